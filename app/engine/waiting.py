"""What waits for the engine in the database, asked by one statement after every commit that woke it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.domain.orders import TERMINAL, TRANSITIONS, OrderStatus
from app.domain.positions import PositionStatus
from app.domain.requests import UNANSWERED, RequestKind, RequestState
from app.models import EngineCommand, Order, Position, VenueRequest, table_of

orders, positions, requests = table_of(Order), table_of(Position), table_of(VenueRequest)
commands = table_of(EngineCommand)
MOST: Final = 1000
# what a request of a person has made of an order, and what the venue is asked for it
ASKED_BY: Final = {OrderStatus.PENDING_CANCEL: RequestKind.CANCEL, OrderStatus.PENDING_REPLACE: RequestKind.REPLACE}
# not what is on its way to the venue or out of it already; the next round looks again
CANCELABLE: Final = (
    OrderStatus.NEW,
    *(
        status
        for status in OrderStatus
        if OrderStatus.PENDING_CANCEL in TRANSITIONS[status]
        and status not in (OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_SEND)
    ),
)


@dataclass(slots=True)
class Waiting:
    """Ids, oldest first; of what is only looked for the first one."""

    command: list[str] = field(default_factory=list)  # handed over by a request
    arm: list[str] = field(default_factory=list)  # positions whose protection a request has changed
    exit: list[str] = field(default_factory=list)  # closing positions without an exit order
    reduce: list[str] = field(default_factory=list)  # reduce-only orders that have nothing to reduce any more
    new: list[str] = field(default_factory=list)  # the first order that no venue has heard of
    asked: list[str] = field(default_factory=list)  # the first order whose venue is to be asked for something
    requests: set[tuple[str, int]] = field(default_factory=set)  # (id, attempt) of what is stored to be handed over

    @classmethod
    def read(cls, session: Session, parked: Collection[str]) -> Waiting:
        """``parked`` are orders that nothing is sent for."""
        found = cls()
        for kind, id_, attempt in session.execute(_WAITING, {"parked": list(parked)}):
            if kind == "request":
                found.requests.add((id_, attempt))
            else:
                getattr(found, kind).append(id_)
        return found


def is_asked() -> sa.ColumnElement[bool]:
    """Whether a person has asked something for an order that the venue has not been told of."""
    under_way = (
        sa.select(requests.c.kind)
        .where(requests.c.order_id == orders.c.id, requests.c.state.in_([state.value for state in UNANSWERED]))
        .correlate(orders)
    )
    waits = sa.or_(
        *(
            sa.and_(orders.c.status == status.value, sa.literal(kind.value).not_in(under_way))
            for status, kind in ASKED_BY.items()
        )
    )
    # named again for the partial index
    return sa.and_(orders.c.status.in_([status.value for status in ASKED_BY]), waits)


def _reduces_nothing() -> sa.ColumnElement[bool]:
    open_ = sa.exists().where(
        positions.c.wallet_id == orders.c.wallet_id,
        positions.c.instrument_id == orders.c.instrument_id,
        positions.c.status != PositionStatus.CLOSED.value,
    )
    live = orders.c.status.not_in([status.value for status in TERMINAL])  # for the partial index
    return sa.and_(live, orders.c.reduce_only.is_(True), orders.c.status.in_(CANCELABLE), ~open_)


def _statement() -> sa.CompoundSelect[Any]:
    not_parked = orders.c.id.not_in(sa.bindparam("parked", expanding=True))
    open_ = positions.c.status != PositionStatus.CLOSED.value
    unarmed = positions.c.armed_version != positions.c.protection_version
    closing = sa.and_(positions.c.status == PositionStatus.CLOSING.value, positions.c.exit_order_id.is_(None))
    nothing = sa.literal(0)

    def some(kind: str, table: sa.Table, where: Any, most: int = MOST, attempt: Any = nothing) -> sa.Select[Any]:
        columns = (sa.literal(kind).label("kind"), table.c.id, attempt.label("attempt"))
        return sa.select(sa.select(*columns).where(where).order_by(table.c.id).limit(most).subquery())

    return sa.union_all(
        some("command", commands, commands.c.taken_at.is_(None)),
        some("arm", positions, sa.and_(open_, unarmed)),
        some("exit", positions, sa.and_(open_, closing)),
        some("reduce", orders, _reduces_nothing()),
        some("new", orders, sa.and_(orders.c.status == OrderStatus.NEW.value, not_parked), 1),
        some("asked", orders, sa.and_(is_asked(), not_parked), 1),
        some("request", requests, requests.c.state == RequestState.PENDING.value, attempt=requests.c.attempt),
    )


_WAITING = _statement()
