"""Limits of a client's trading over JSON."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from app.core.permissions import READ, WRITE, Resource
from app.models import Approval, Client
from app.routes.access import endpoint, principal
from app.routes.request import body, db, now, services
from app.schemas.approvals import ApprovalOut
from app.schemas.client_limits import ClientLimitIn, ClientLimitOut
from app.services import access, client_limits, clients

from . import blueprint, whole
from .approvals import shown

READING, WRITING = (Resource.LIMITS, READ), (Resource.LIMITS, WRITE)


@blueprint.get("/clients/<ref>/limits")
@endpoint(
    "Limits of a client",
    tag="clients",
    response=ClientLimitOut,
    many=True,
    needs=READING,
    description="Beside the limits of each wallet; the stricter rules. A limit for an instrument is taken in "
    "place of the one for all (*), not together with it.",
)
def list_client_limits(ref: str) -> ResponseReturnValue:
    client = access.client(db(), principal(), ref, READ, Resource.LIMITS)
    return whole(client_limits.of_client(db(), client, services().instruments))


@blueprint.put("/clients/<ref>/limits")
@endpoint(
    "Propose the limit of a client for an instrument",
    tag="clients",
    body=ClientLimitIn,
    response=ApprovalOut,
    status=202,
    needs=WRITING,
    errors=("unknown_instrument", "invalid_hours", "hours_need_zone", "required", "unchanged", "approval_pending"),
    description="Once a second person has approved, it replaces the client's limit for that instrument; what the body "
    "leaves out is not limited. It holds for orders from then on, not for those that wait at the venue.",
)
def set_client_limit(ref: str) -> ResponseReturnValue:
    given = body(ClientLimitIn)
    client = _locked(ref)
    instrument = None if given.symbol == client_limits.EVERY_INSTRUMENT else services().orders.resolve(given.symbol)
    wanted = client_limits.LimitValues(
        given.blocked, given.max_order_qty, given.max_notional_usd, given.hours, given.time_zone
    )
    return _proposed(client_limits.propose(db(), client, instrument, wanted, principal(), now(), request.remote_addr))


@blueprint.delete("/clients/<ref>/limits/<limit_id>")
@endpoint(
    "Propose to lift a limit of a client",
    tag="clients",
    response=ApprovalOut,
    status=202,
    needs=WRITING,
    errors=("approval_pending",),
    description="It is lifted once a second person has approved.",
)
def remove_client_limit(ref: str, limit_id: str) -> ResponseReturnValue:
    return _proposed(
        client_limits.propose_lifting(
            db(), _locked(ref), limit_id, services().instruments, principal(), now(), request.remote_addr
        )
    )


def _proposed(approval: Approval) -> ResponseReturnValue:
    return shown(db(), principal(), [approval])[0], 202


def _locked(ref: str) -> Client:
    client = access.client(db(), principal(), ref, WRITE, Resource.LIMITS)
    clients.lock(db(), client)
    return client
