"""Orders and executions over JSON."""

from __future__ import annotations

from typing import Any

from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.core.errors import AppError
from app.core.permissions import READ, WRITE, Resource
from app.domain.execution import OrderState
from app.domain.order_requests import OrderRequest
from app.domain.orders import OrderSource
from app.domain.positions import PositionState
from app.models import Client, Wallet
from app.routes.access import endpoint, principal
from app.routes.application import shared_commit
from app.routes.errors import problem
from app.routes.request import (
    body,
    check_version,
    db,
    in_transaction,
    named_client,
    now,
    payload,
    query,
    services,
    tagged,
)
from app.schemas.base import validate
from app.schemas.orders import (
    CancelAllIn,
    DryRunOut,
    ExecutionOut,
    FixMessageOut,
    OrderAmendIn,
    OrderBatchIn,
    OrderIn,
    OrderOut,
    OrderQuery,
    execution_json,
    fix_message_json,
)
from app.schemas.system import BatchOut, Empty, EventOut, ExecutionQuery, WalletChoice
from app.services import access, api_keys, blotter

from . import blueprint, page, whole

READING, TRADING = (Resource.ORDERS, READ), (Resource.ORDERS, WRITE)
_SIZE = ("lot_size", "min_qty", "max_qty", "min_notional")
_EXITS = ("stop_wrong_side", "target_wrong_side", "trail_too_wide", "trail_too_narrow")
ENTRY_ERRORS = (
    "unknown_instrument",
    "tick_size",
    *_SIZE,
    "PRICE_REQUIRED",
    "PRICE_NOT_ALLOWED",
    "MISSING_REFERENCE_PRICE",
    "market_buy_only",
    "post_only_market",
    "post_only_immediate",
    "protection_on_sell",
    *_EXITS,
    "invalid_qty",
    "DUPLICATE_ORDER",
)
AMEND_ERRORS = ("too_late", "below_cum_qty", "tick_size", *_SIZE, "PRICE_NOT_ALLOWED", "required", *_EXITS)
EXIT_ERRORS = ("too_late", "tick_size", "required", *_EXITS)
CLOSE_ERRORS = (
    "too_late",
    "exceeds_position",
    "idempotency_required",
    "DUPLICATE_ORDER",
    "required",
    *_SIZE,
)


def source() -> OrderSource:
    return OrderSource.API if principal().kind == "key" else OrderSource.WEB


def request_of(session: Session, given: OrderIn) -> OrderRequest:
    """What is asked for, and for which wallet: by who is calling and what the body names."""
    wallet_id = access.entry_wallet(session, principal(), named_client(given.client_id), given.wallet_id)
    return given.order_request(wallet_id, principal().actor, source())


def shared_request_of(given: OrderIn) -> OrderRequest:
    """The same for an order that shares a commit, where the key is checked again."""
    parts, caller = services(), principal()
    wallet_id = parts.entry_wallets.find(parts.database.look_up, caller, named_client(given.client_id), given.wallet_id)
    return given.order_request(wallet_id, caller.actor, source(), key_id=caller.id if caller.kind == "key" else None)


def dry_run(session: Session, request: OrderIn) -> dict[str, Any]:
    api_keys.require_live(session, principal(), now())
    client = access.acting_client(session, principal(), named_client(request.client_id))
    wallet = access.wallet_for(session, client, request.wallet_id)
    asked = request.order_request(wallet.id, principal().actor, source())
    return services().orders.dry_run(session, client, wallet, asked, now())


def submit(request: OrderIn) -> tuple[dict[str, Any], int]:
    """Store one order in the request's own transaction; the status says whether it is new."""
    if request.dry_run:
        return dry_run(db(), request), 200
    shown, new = services().orders.submit(db(), request_of(db(), request), now())
    return shown, 201 if new else 200


def submit_together(request: OrderIn) -> tuple[dict[str, Any], int]:
    """Store one order in a transaction it shares with those that arrive at the same time."""
    database = services().database
    if request.dry_run:
        return database.read(lambda session: dry_run(session, request)), 200
    outcome = services().order_entry.run(shared_request_of(request))
    if isinstance(outcome, AppError):
        raise outcome
    shown, new = outcome
    return shown, 201 if new else 200


@blueprint.post("/orders")
@endpoint(
    "Submit an order",
    tag="orders",
    body=OrderIn,
    response=OrderOut,
    status=201,
    also={200: DryRunOut},
    needs=TRADING,
    errors=ENTRY_ERRORS,
    order_entry=True,
    etag=True,
    description="An order refused by risk is stored as REJECTED and answered with 201 too; reject_values has every "
    "failing check. 200: this client_order_id was sent before with the same body, or dry_run was asked for.",
)
@shared_commit
def create_order() -> ResponseReturnValue:
    # an Idempotency-Key is stored in the order's own transaction
    shown, status = submit(body(OrderIn)) if in_transaction() else submit_together(body(OrderIn))
    return tagged(shown, status) if "version" in shown else (shown, status)


def _batch_size() -> int:
    """How many orders a batch counts as; what is no batch is refused when it is validated."""
    try:
        return max(1, len(payload()["orders"]))
    except (AppError, KeyError, TypeError):
        return 1


@blueprint.post("/orders/batch")
@endpoint(
    "Submit up to 100 orders",
    tag="orders",
    body=OrderBatchIn,
    response=BatchOut,
    status=201,
    needs=TRADING,
    order_entry=True,
    orders=_batch_size,
    description="Each order has its own outcome, in the order sent; one that fails stores nothing "
    "and does not touch the others. For the rate it counts as its number of orders.",
)
def create_orders() -> ResponseReturnValue:
    wanted = body(OrderBatchIn).orders
    found: list[Any] = [_wanted(data) for data in wanted]
    requests = [item for item in found if isinstance(item, OrderRequest)]
    answers = iter(services().orders.submit_many(db(), requests, now()) if requests else ())
    outcomes = [next(answers) if isinstance(item, OrderRequest) else item for item in found]
    return {"items": [_item(index, outcome) for index, outcome in enumerate(outcomes)]}, 201


def _wanted(data: dict[str, Any]) -> OrderRequest | tuple[dict[str, Any], int] | AppError:
    """One order of a batch, or its outcome where there is nothing to store."""
    try:
        request = validate(OrderIn, data)
        return (dry_run(db(), request), 200) if request.dry_run else request_of(db(), request)
    except AppError as error:
        return error


def _item(index: int, outcome: Any) -> dict[str, Any]:
    if isinstance(outcome, AppError):
        return {"index": index, "status": outcome.status, "error": problem(outcome)}
    shown, how = outcome
    return {"index": index, "status": {True: 201, False: 200}.get(how, how), "order": shown}


@blueprint.get("/orders")
@endpoint(
    "List orders, newest first",
    tag="orders",
    query=OrderQuery,
    response=OrderOut,
    many=True,
    needs=READING,
    errors=("unknown_instrument", "reversed_range"),
)
def list_orders() -> ResponseReturnValue:
    asked = query(OrderQuery)
    wanted = blotter.BlotterFilter(
        client_id=client_id(named_client(asked.client_id)),
        wallet_id=asked.wallet_id,
        instrument_id=instrument_id(asked.symbol),
        side=asked.side,
        status=asked.status,
        open=asked.open,
        since=asked.created_from,
        until=asked.created_to,
    )
    found, total = blotter.list_orders(db(), principal(), wanted, asked.limit, asked.offset)
    return page([services().orders.show(order) for order in found], total, asked.limit, asked.offset)


def client_id(ref: str | None) -> str | None:
    """The id for a code or id of a client the caller may see; an unknown one is 404."""
    return None if ref is None else access.client(db(), principal(), ref, READ, Resource.ORDERS).id


def instrument_id(symbol: str | None) -> int | None:
    return None if symbol is None else services().orders.resolve(symbol).id


@blueprint.post("/orders/cancel-all")
@endpoint(
    "Cancel every live order that matches",
    tag="orders",
    body=CancelAllIn,
    response=OrderOut,
    many=True,
    needs=TRADING,
    errors=("required", "unknown_instrument"),
)
def cancel_all() -> ResponseReturnValue:
    wanted = body(CancelAllIn)
    ref = named_client(wanted.client_id)
    client = None if ref is None else access.client(db(), principal(), ref, WRITE, Resource.ORDERS)
    wallet = wanted.wallet_id and access.wallet(db(), principal(), wanted.wallet_id, WRITE, Resource.ORDERS).id
    canceled = services().orders.cancel_all(
        db(),
        access.visible_clients(principal(), Resource.ORDERS, WRITE),
        client_id=None if client is None else client.id,
        wallet_id=wallet,
        symbol=wanted.symbol,
        side=wanted.side,
        actor=principal().actor,
        now=now(),
    )
    return whole(canceled)


@blueprint.get("/orders/by-client-order-id/<path:client_order_id>")
@endpoint(
    "Get an order by the id its sender gave it",
    tag="orders",
    query=WalletChoice,
    response=OrderOut,
    needs=READING,
    etag=True,
    errors=("required",),
)
def get_by_client_order_id(client_order_id: str) -> ResponseReturnValue:
    order = blotter.by_client_order_id(db(), principal(), client_order_id, query(WalletChoice).wallet_id)
    return tagged(services().orders.show(order))


@blueprint.get("/orders/<order_id>")
@endpoint("Get an order", tag="orders", response=OrderOut, needs=READING, etag=True)
def get_order(order_id: str) -> ResponseReturnValue:
    return tagged(services().orders.show(access.order(db(), principal(), order_id, READ)))


@blueprint.patch("/orders/<order_id>")
@endpoint(
    "Amend quantity or price",
    tag="orders",
    body=OrderAmendIn,
    response=OrderOut,
    needs=TRADING,
    if_match=True,
    etag=True,
    errors=AMEND_ERRORS,
)
def amend_order(order_id: str) -> ResponseReturnValue:
    request = body(OrderAmendIn)
    order = access.order(db(), principal(), order_id, WRITE)
    client, wallet = owner_of(order)
    shown = services().orders.amend(
        db(),
        client,
        wallet,
        order.id,
        request.qty,
        request.price,
        actor=principal().actor,
        now=now(),
        check_version=check_version,
    )
    return tagged(shown)


def owner_of(order: OrderState | PositionState) -> tuple[Client, Wallet]:
    """Client and wallet of an order or position the caller has been let through to."""
    return access.client_of(db(), order), access.wallet_of(db(), order)


@blueprint.post("/orders/<order_id>/cancel")
@endpoint(
    "Cancel an order",
    tag="orders",
    body=Empty,
    response=OrderOut,
    needs=TRADING,
    errors=("too_late",),
    if_match=True,
    etag=True,
)
def cancel_order(order_id: str) -> ResponseReturnValue:
    body(Empty)
    return tagged(_cancel(order_id))


@blueprint.delete("/orders/<order_id>")
@endpoint(
    "Cancel an order", tag="orders", response=OrderOut, needs=TRADING, errors=("too_late",), if_match=True, etag=True
)
def delete_order(order_id: str) -> ResponseReturnValue:
    return tagged(_cancel(order_id))


def _cancel(order_id: str) -> dict[str, Any]:
    order = access.order(db(), principal(), order_id, WRITE)
    return services().orders.cancel(db(), order.id, actor=principal().actor, now=now(), check_version=check_version)


def show_executions(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_id = services().instruments.by_id
    return [execution_json(row, by_id(row["instrument_id"]).symbol) for row in rows]


@blueprint.get("/orders/<order_id>/executions")
@endpoint("Executions of an order", tag="orders", response=ExecutionOut, many=True, needs=READING)
def order_executions(order_id: str) -> ResponseReturnValue:
    order = access.order(db(), principal(), order_id, READ)
    rows, _ = blotter.list_executions(db(), principal(), blotter.BlotterFilter(order_id=order.id), 10_000, 0)
    return whole(show_executions(rows[::-1]))


@blueprint.get("/orders/<order_id>/fix-messages")
@endpoint("The FIX messages about an order", tag="orders", response=FixMessageOut, many=True, needs=READING)
def order_messages(order_id: str) -> ResponseReturnValue:
    order = access.order(db(), principal(), order_id, READ)
    return whole([fix_message_json(message) for message in blotter.fix_messages(db(), order.id)])


@blueprint.get("/orders/<order_id>/events")
@endpoint("What happened to an order", tag="orders", response=EventOut, many=True, needs=READING)
def order_events(order_id: str) -> ResponseReturnValue:
    order = access.order(db(), principal(), order_id, READ)
    return whole(blotter.order_events(db(), order.id))


@blueprint.get("/executions")
@endpoint(
    "List executions, newest first",
    tag="orders",
    query=ExecutionQuery,
    response=ExecutionOut,
    many=True,
    needs=READING,
    errors=("unknown_instrument",),
)
def list_executions() -> ResponseReturnValue:
    asked = query(ExecutionQuery)
    wanted = blotter.BlotterFilter(
        client_id=client_id(named_client(asked.client_id)),
        wallet_id=asked.wallet_id,
        instrument_id=instrument_id(asked.symbol),
    )
    rows, total = blotter.list_executions(db(), principal(), wanted, asked.limit, asked.offset)
    return page(show_executions(rows), total, asked.limit, asked.offset)
