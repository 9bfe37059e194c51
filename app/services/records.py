"""How orders and positions are stored and told: one way for requests and engine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from app.core.bulk import BulkInsert, BulkUpdate, plain_row
from app.domain.execution import ORDER_COLUMNS, OrderState
from app.domain.instruments import SymbolTable
from app.domain.orders import OrderStatus
from app.domain.positions import POSITION_COLUMNS, PositionState
from app.models import Order, Position, table_of
from app.schemas.orders import order_json
from app.schemas.positions import position_json

from .events import Events
from .quotes import QuoteBook

orders, positions = table_of(Order), table_of(Position)
_FIXED: Final = frozenset(
    {
        "id",
        "client_order_id",
        "body_hash",
        "client_id",
        "wallet_id",
        "instrument_id",
        "side",
        "type",
        "time_in_force",
        "quote_qty",
        "protection_px",
        "expires_at",
        "reduce_only",
        "post_only",
        "protection",
        "exit_reason",
        "trigger_key",
        "hold_currency",
        "reject_values",
        "venue",
        "source",
        "created_by",
        "strategy",
        "created_at",
    }
)
_ORDER_CHANGES: Final = tuple(name for name in ORDER_COLUMNS if name not in _FIXED)
_POSITION_FIXED: Final = frozenset(
    {"id", "client_id", "wallet_id", "instrument_id", "opened_at", "entry_order_id", "entry_mark_px"}
)
_POSITION_CHANGES: Final = tuple(name for name in POSITION_COLUMNS if name not in _POSITION_FIXED)
_INSERT_ORDERS, _UPDATE_ORDERS = BulkInsert(orders), BulkUpdate(orders, _ORDER_CHANGES)
_INSERT_POSITIONS, _UPDATE_POSITIONS = BulkInsert(positions), BulkUpdate(positions, _POSITION_CHANGES)


def insert_orders(session: Session, entered: Collection[OrderState]) -> None:
    _INSERT_ORDERS.run(session, [order.row() for order in entered])


def store_orders(session: Session, changed: Collection[OrderState]) -> None:
    """Everything of locked orders that may change."""
    _UPDATE_ORDERS.run(session, [plain_row(order, ("id", *_ORDER_CHANGES)) for order in changed])


@dataclass(frozen=True, slots=True)
class Transition:
    """A step of an order from one status to another; ``before`` is None for a new order."""

    before: OrderStatus | None
    after: OrderStatus
    reason: str | None = None


def order_event(
    events: Events,
    order: OrderState,
    instruments: SymbolTable,
    transitions: Sequence[Transition],
    type_: str | None = None,
    **told: Any,
) -> None:
    """What one commit has changed of an order: ``order.<status>`` unless another type is named.

    ``told`` stands beside it.
    """
    shown = order_json(order, instruments.by_id(order.instrument_id).symbol)
    first, last = transitions[0], transitions[-1]
    events.add(
        order.client_id,
        type_ or f"order.{order.status.lower()}",
        "order",
        order.id,
        shown,
        version=order.version,
        previous_status=first.before and first.before.value,
        reason=last.reason,
        transitions=[{"status": step.after.value, "reason": step.reason} for step in transitions],
        **told,
    )


def insert_positions(session: Session, opened: Collection[PositionState]) -> None:
    _INSERT_POSITIONS.run(session, [position.row() for position in opened])


def store_positions(session: Session, changed: Collection[PositionState]) -> None:
    """Everything of locked positions that may change."""
    _UPDATE_POSITIONS.run(session, [plain_row(position, ("id", *_POSITION_CHANGES)) for position in changed])


def show_position(
    position: PositionState, instruments: SymbolTable, quotes: QuoteBook, now: datetime
) -> dict[str, Any]:
    """The position as the API and every event show it, valued at the current quote."""
    instrument = instruments.by_id(position.instrument_id)
    return position_json(position, instrument.symbol, instrument.quote, quotes.get(instrument.symbol), now)


def position_event(
    events: Events,
    position: PositionState,
    instruments: SymbolTable,
    quotes: QuoteBook,
    now: datetime,
    type_: str = "position.updated",
    **told: Any,
) -> None:
    """One change of a position."""
    events.add(
        position.client_id,
        type_,
        "position",
        position.id,
        show_position(position, instruments, quotes, now),
        version=position.version,
        **told,
    )


def armed(position: PositionState) -> PositionState:
    """As the engine stores what it arms right after the commit."""
    return position._replace(armed_version=position.protection_version)
