"""Positions over JSON: see, protect, close, signal."""

from __future__ import annotations

from flask import request as http
from flask.typing import ResponseReturnValue

from app.core.errors import Invalid
from app.core.permissions import READ, WRITE
from app.routes.access import endpoint, principal
from app.routes.request import body, check_version, db, named_client, now, query, services, tagged
from app.schemas.orders import ExecutionOut, OrderOut, PageQuery
from app.schemas.positions import CloseIn, PositionOut, PositionQuery, ProtectIn, SignalIn
from app.schemas.system import PositionUpdateOut, SignalResult
from app.services import access, blotter, positions

from . import blueprint, page
from .orders import (
    CLOSE_ERRORS,
    EXIT_ERRORS,
    READING,
    TRADING,
    client_id,
    instrument_id,
    owner_of,
    show_executions,
    source,
)


@blueprint.get("/positions")
@endpoint(
    "List positions, newest first",
    tag="positions",
    query=PositionQuery,
    response=PositionOut,
    many=True,
    needs=READING,
    errors=("unknown_instrument",),
)
def list_positions() -> ResponseReturnValue:
    asked = query(PositionQuery)
    wanted = blotter.BlotterFilter(
        client_id=client_id(named_client(asked.client_id)),
        wallet_id=asked.wallet_id,
        instrument_id=instrument_id(asked.symbol),
        status=asked.status,
        open=asked.open,
    )
    found, total = blotter.list_positions(db(), principal(), wanted, asked.limit, asked.offset)
    return page([services().positions.show(position, now()) for position in found], total, asked.limit, asked.offset)


@blueprint.get("/positions/<position_id>")
@endpoint("Get a position", tag="positions", response=PositionOut, needs=READING, etag=True)
def get_position(position_id: str) -> ResponseReturnValue:
    return tagged(services().positions.show(access.position(db(), principal(), position_id, READ), now()))


@blueprint.put("/positions/<position_id>/protection")
@endpoint(
    "Change the protection of a position",
    tag="positions",
    body=ProtectIn,
    response=PositionOut,
    needs=TRADING,
    errors=EXIT_ERRORS,
    if_match=True,
    etag=True,
    description="What the body does not name stays as it is; null removes.",
)
def protect(position_id: str) -> ResponseReturnValue:
    request = body(ProtectIn)
    position = access.position(db(), principal(), position_id, WRITE, lock=True)
    check_version(position.version)
    shown = services().positions.protect(
        db(), position, request.over(position.protection), actor=principal().actor, now=now()
    )
    return tagged(shown)


@blueprint.post("/positions/<position_id>/close")
@endpoint(
    "Close all of a position or part of it",
    tag="positions",
    body=CloseIn,
    response=OrderOut,
    status=201,
    needs=TRADING,
    errors=CLOSE_ERRORS,
    order_entry=True,
)
def close(position_id: str) -> ResponseReturnValue:
    request = body(CloseIn)
    if request.qty is not None and request.client_order_id is None:
        _require_repeatable("client_order_id")
    position = access.position(db(), principal(), position_id, WRITE, wallet=True)
    client, wallet = owner_of(position)
    order = services().positions.close(
        db(),
        client,
        wallet,
        position,
        request.qty,
        request.client_order_id,
        actor=principal().actor,
        source=source(),
        now=now(),
    )
    return order, 201


def _require_repeatable(field: str) -> None:
    """Raises ``Invalid`` for what would sell a second time when it is sent again after a lost answer."""
    if "Idempotency-Key" not in http.headers:
        message = "is needed for a part, or an Idempotency-Key: sent twice it would sell twice"
        if field == "Idempotency-Key":
            message = "is needed to reduce: sent twice it would sell twice"
        raise Invalid.field(field, "idempotency_required", message)


@blueprint.post("/positions/<position_id>/signals")
@endpoint(
    "Tell what a strategy thinks of a position",
    tag="positions",
    body=SignalIn,
    response=SignalResult,
    status=201,
    needs=TRADING,
    errors=("too_late", "idempotency_required"),
    order_entry=True,
)
def signal(position_id: str) -> ResponseReturnValue:
    request = body(SignalIn)
    if request.action == "reduce":
        _require_repeatable("Idempotency-Key")
    position = access.position(db(), principal(), position_id, WRITE, wallet=True)
    client, wallet = owner_of(position)
    result = services().positions.signal(
        db(), client, wallet, position, request, actor=principal().actor, source=source(), now=now()
    )
    return result, 201


@blueprint.get("/positions/<position_id>/updates")
@endpoint(
    "Samples of a position's value",
    tag="positions",
    query=PageQuery,
    response=PositionUpdateOut,
    many=True,
    needs=READING,
)
def updates(position_id: str) -> ResponseReturnValue:
    asked = query(PageQuery)
    position = access.position(db(), principal(), position_id, READ)
    found = positions.updates(db(), position.id, asked.offset + asked.limit + 1)
    items = found[asked.offset : asked.offset + asked.limit]
    return page(items, len(found), asked.limit, asked.offset)


@blueprint.get("/positions/<position_id>/executions")
@endpoint("Executions of a position", tag="positions", query=PageQuery, response=ExecutionOut, many=True, needs=READING)
def executions(position_id: str) -> ResponseReturnValue:
    asked = query(PageQuery)
    position = access.position(db(), principal(), position_id, READ)
    rows, total = blotter.list_executions(
        db(), principal(), blotter.BlotterFilter(position_id=position.id), asked.limit, asked.offset
    )
    return page(show_executions(rows), total, asked.limit, asked.offset)
