"""What the engine had to park: listed, retried and resolved."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from app.core.permissions import READ, WRITE, Resource
from app.routes.access import endpoint, principal
from app.routes.request import body, db, now, query
from app.schemas.faults import FaultOut, FaultQuery, FaultResolution
from app.services import faults

from . import blueprint, page

READING, DECIDING = (Resource.SYSTEM, READ), (Resource.SYSTEM, WRITE)


@blueprint.get("/admin/faults")
@endpoint(
    "What the engine had to park, newest first",
    tag="admin",
    query=FaultQuery,
    response=FaultOut,
    many=True,
    needs=READING,
)
def list_faults() -> ResponseReturnValue:
    asked = query(FaultQuery)
    items, total = faults.listed(db(), asked.limit, asked.offset, open_only=asked.open)
    return page(items, total, asked.limit, asked.offset)


@blueprint.get("/admin/faults/<fault_id>")
@endpoint("A parked fault", tag="admin", response=FaultOut, needs=READING)
def get_fault(fault_id: str) -> ResponseReturnValue:
    return faults.find(db(), fault_id)


@blueprint.post("/admin/faults/<fault_id>/retry")
@endpoint(
    "Have the engine try again",
    tag="admin",
    response=FaultOut,
    status=202,
    needs=DECIDING,
    errors=("unchanged",),
    description="The engine tries within a second: the fault is resolved then, or has a new error.",
)
def retry_fault(fault_id: str) -> ResponseReturnValue:
    return faults.ask_retry(db(), fault_id, principal(), now(), request.remote_addr), 202


@blueprint.post("/admin/faults/<fault_id>/resolve")
@endpoint(
    "Say that a fault is dealt with",
    tag="admin",
    body=FaultResolution,
    response=FaultOut,
    needs=DECIDING,
    errors=("unchanged",),
    description="For what was put right by hand: reports that wait for it are never booked.",
)
def resolve_fault(fault_id: str) -> ResponseReturnValue:
    given = body(FaultResolution)
    return faults.resolve(db(), fault_id, principal(), now(), given.note, request.remote_addr)
