"""Lists of orders, executions, messages, events and positions, as their readers filter them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Invalid, NotFound
from app.core.permissions import READ, Principal, Resource
from app.domain.execution import OrderState
from app.domain.orders import TERMINAL
from app.domain.positions import PositionState, PositionStatus
from app.models import Event, Execution, FixMessage, Order, Position, table_of

from .access import is_uuid, visible_clients
from .events import event_json

orders, executions, positions = table_of(Order), table_of(Execution), table_of(Position)
messages, events = table_of(FixMessage), table_of(Event)
_ENDED = [status.value for status in TERMINAL]


@dataclass(frozen=True, slots=True)
class BlotterFilter:
    """What a list is narrowed to; ids are ids here, already resolved."""

    client_id: str | None = None
    wallet_id: str | None = None
    instrument_id: int | None = None
    side: str | None = None
    status: str | None = None
    open: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    order_id: str | None = None
    position_id: str | None = None


Rows = tuple[list[dict[str, Any]], int]


def list_orders(
    session: Session, principal: Principal, wanted: BlotterFilter, limit: int, offset: int
) -> tuple[list[OrderState], int]:
    """Newest first, with how many there are in all."""
    query = _narrow(sa.select(orders), orders, principal, wanted)
    if wanted.side is not None:
        query = query.where(orders.c.side == wanted.side)
    if wanted.status is not None:
        query = query.where(orders.c.status == wanted.status)
    if wanted.open is not None:
        ended = orders.c.status.in_(_ENDED)
        query = query.where(~ended if wanted.open else ended)
    if wanted.since is not None:
        query = query.where(orders.c.created_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(orders.c.created_at < wanted.until)
    rows, total = _page(session, query, orders.c.id.desc(), limit, offset)
    return [OrderState.of(row) for row in rows], total


def list_executions(session: Session, principal: Principal, wanted: BlotterFilter, limit: int, offset: int) -> Rows:
    query = _narrow(sa.select(executions), executions, principal, wanted)
    if wanted.order_id is not None:
        query = query.where(executions.c.order_id == wanted.order_id)
    if wanted.position_id is not None:
        query = query.where(executions.c.position_id == wanted.position_id)
    return _page(session, query, executions.c.id.desc(), limit, offset)


def list_positions(
    session: Session, principal: Principal, wanted: BlotterFilter, limit: int, offset: int
) -> tuple[list[PositionState], int]:
    query = _narrow(sa.select(positions), positions, principal, wanted)
    if wanted.status is not None:
        query = query.where(positions.c.status == wanted.status)
    if wanted.open is not None:
        closed = positions.c.status == PositionStatus.CLOSED.value
        query = query.where(~closed if wanted.open else closed)
    rows, total = _page(session, query, positions.c.id.desc(), limit, offset)
    return [PositionState.of(row) for row in rows], total


def by_client_order_id(
    session: Session, principal: Principal, client_order_id: str, wallet_id: str | None
) -> OrderState:
    """The order a caller gave this id. Raises ``NotFound``; ``Invalid`` when several wallets know the id."""
    wanted = BlotterFilter(wallet_id=wallet_id)
    query = _narrow(sa.select(orders), orders, principal, wanted).where(orders.c.client_order_id == client_order_id)
    found = session.execute(query.limit(2)).mappings().all()
    if not found:
        raise NotFound("there is no such order")
    if len(found) > 1:
        raise Invalid.field("wallet_id", "required", "is needed: several wallets have an order of this id")
    return OrderState.of(found[0])


def fix_messages(session: Session, order_id: str) -> list[dict[str, Any]]:
    """The conversation with the venue about an order, oldest first."""
    query = sa.select(messages).where(messages.c.order_id == order_id).order_by(messages.c.id)
    return [dict(row) for row in session.execute(query).mappings()]


def order_events(session: Session, order_id: str) -> list[dict[str, Any]]:
    """Everything that happened to an order, oldest first; the newest may not be numbered yet."""
    query = sa.select(events).where(events.c.object_id == order_id, events.c.object_type == "order")
    return [event_json(row) for row in session.execute(query.order_by(events.c.id)).mappings()]


def live_orders_by_status(session: Session) -> dict[str, int]:
    query = sa.select(orders.c.status, sa.func.count().label("live")).where(orders.c.status.not_in(_ENDED))
    return {row.status: row.live for row in session.execute(query.group_by(orders.c.status))}


def _narrow(query: Any, table: sa.Table, principal: Principal, wanted: BlotterFilter) -> Any:
    visible = visible_clients(principal, Resource.ORDERS, READ)
    if visible is not None:
        query = query.where(table.c.client_id.in_(visible))
    for name in ("client_id", "wallet_id"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(table.c[name] == value.lower() if is_uuid(value) else sa.false())
    if wanted.instrument_id is not None:
        query = query.where(table.c.instrument_id == wanted.instrument_id)
    return query


def _page(session: Session, query: Any, order: Any, limit: int, offset: int) -> Rows:
    total = session.scalar(sa.select(sa.func.count()).select_from(query.order_by(None).subquery())) or 0
    rows = session.execute(query.order_by(order).limit(limit).offset(offset)).mappings()
    return [dict(row) for row in rows], total
