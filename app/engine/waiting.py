"""What waits for the engine in the database, asked by one statement after every commit that woke it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.domain.orders import TRANSITIONS, OrderStatus
from app.domain.positions import PositionStatus
from app.domain.requests import UNANSWERED, RequestKind, RequestState
from app.models import (
    ORDER_IS_LIVE,
    ORDER_TO_SEND,
    POSITION_TO_ATTEND,
    REQUEST_IS_UNANSWERED,
    EngineCommand,
    Order,
    Position,
    VenueRequest,
    table_of,
)

orders, positions, requests = table_of(Order), table_of(Position), table_of(VenueRequest)
commands = table_of(EngineCommand)
MOST: Final = 1000
ARM, EXIT = 1, 2  # what a position waits for
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
    """Ids, oldest first; of orders only the first of each kind, which says that there are some."""

    command: list[str] = field(default_factory=list)  # handed over by a request
    arm: list[str] = field(default_factory=list)  # positions whose protection a request has changed
    exit: list[str] = field(default_factory=list)  # closing positions without an exit order
    reduce: list[str] = field(default_factory=list)  # reduce-only orders that have nothing to reduce any more
    new: bool = False  # orders that no venue has heard of
    asked: bool = False  # orders whose venue has been, or is to be, asked for something by a person
    requests: set[tuple[str, int]] = field(default_factory=set)  # (id, attempt) of what is stored to be handed over

    @classmethod
    def read(cls, session: Session, parked: Collection[str], *, reduce: bool = True) -> Waiting:
        """``parked`` are orders that nothing is sent for; what reduces nothing is looked for only where asked."""
        found = cls()
        for kind, id_, more in session.execute(_WAITING, {"parked": list(parked)}):
            if kind == "request":
                found.requests.add((id_, more))
            elif kind == "command":
                found.command.append(id_)
            elif kind == "position":
                if more & ARM:
                    found.arm.append(id_)
                if more & EXIT:
                    found.exit.append(id_)
            elif kind == "new":
                found.new = True
            else:
                found.asked = True
        if reduce:
            found.reduce = list(session.scalars(_REDUCING_NOTHING))
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
    return sa.and_(ORDER_TO_SEND, waits)


def _statement() -> sa.CompoundSelect[Any]:
    """One of few and plain parts: PostgreSQL plans it anew each time."""
    not_parked = orders.c.id.not_in(sa.bindparam("parked", expanding=True))
    unarmed = sa.case((positions.c.armed_version != positions.c.protection_version, ARM), else_=0)
    closing = sa.case(
        (sa.and_(positions.c.status == PositionStatus.CLOSING.value, positions.c.exit_order_id.is_(None)), EXIT),
        else_=0,
    )
    nothing: sa.ColumnClause[int] = sa.literal_column("0")

    def some(kind: str, table: sa.Table, *where: Any, more: Any = nothing, most: int = MOST) -> sa.Select[Any]:
        named: sa.ColumnClause[str] = sa.literal_column(f"'{kind}'")
        found = sa.select(named.label("kind"), table.c.id, more.label("more")).where(*where).order_by(table.c.id)
        return sa.select(found.limit(sa.literal_column(str(most))).subquery())

    new, asked = orders.c.status == OrderStatus.NEW.value, orders.c.status != OrderStatus.NEW.value
    pending = requests.c.state == RequestState.PENDING.value
    return sa.union_all(
        some("command", commands, commands.c.taken_at.is_(None)),
        some("position", positions, POSITION_TO_ATTEND, more=unarmed + closing),
        some("new", orders, ORDER_TO_SEND, new, not_parked, most=1),
        some("asked", orders, ORDER_TO_SEND, asked, not_parked, most=1),
        some("request", requests, REQUEST_IS_UNANSWERED, pending, more=requests.c.attempt),
    )


def _reducing_nothing() -> sa.Select[Any]:
    open_ = sa.exists().where(
        positions.c.wallet_id == orders.c.wallet_id,
        positions.c.instrument_id == orders.c.instrument_id,
        positions.c.status != PositionStatus.CLOSED.value,
    )
    where = (ORDER_IS_LIVE, orders.c.reduce_only.is_(True), orders.c.status.in_(CANCELABLE), ~open_)
    return sa.select(orders.c.id).where(*where).order_by(orders.c.id).limit(MOST)


_WAITING, _REDUCING_NOTHING = _statement(), _reducing_nothing()
