"""Positions: protecting, closing, listening to signals. What fills do to them is the engine's."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core import json
from app.core.clock import iso
from app.core.errors import Conflict, FieldError, Invalid
from app.core.ids import new_id
from app.domain.instruments import Instrument, SymbolTable
from app.domain.money import floor_to, text
from app.domain.orders import OrderSource, OrderType, Side
from app.domain.positions import ExitReason, PositionStatus
from app.domain.protection import Protection, protection_errors
from app.models import Client, Position, PositionUpdate, Signal, Wallet, table_of
from app.schemas.orders import OrderIn
from app.schemas.positions import SignalIn, position_json

from .events import Events
from .orders.draft import leg_errors
from .orders.entry import Entry
from .quotes import QuoteBook

if TYPE_CHECKING:
    from .orders import Orders  # which cancels closes, and so needs this module

table = table_of(Position)


class Positions:
    def __init__(self, orders: Orders, instruments: SymbolTable, quotes: QuoteBook) -> None:
        self.orders, self.instruments, self.quotes = orders, instruments, quotes

    def show(self, row: Any, now: datetime) -> dict[str, Any]:
        """The position as the API and every event show it, valued at the current quote."""
        return show(row, self.instruments, self.quotes, now)

    def protect(
        self, session: Session, row: dict[str, Any], protection: Protection, *, actor: str, now: datetime
    ) -> dict[str, Any]:
        """Replace the position's protection; ``row`` must be locked.

        Raises ``Invalid`` for prices off the tick or on the wrong side of the market (they would exit at
        once), ``Conflict`` when the position is closing or closed.
        """
        if row["status"] not in (PositionStatus.OPENING, PositionStatus.OPEN):
            raise Conflict(f"the position is {row['status']}", code="too_late")
        instrument = self.instruments.by_id(row["instrument_id"])
        quote = self.quotes.get(instrument.symbol)
        reference = quote.bid if quote is not None else row["avg_entry_px"]
        errors = leg_errors(protection, instrument)
        errors += [FieldError(*error) for error in protection_errors(Side.BUY, reference, protection)]
        if errors:
            raise Invalid("; ".join(f"{e.field} {e.message}" for e in errors), errors=errors,
                          code=errors[0].code if len(errors) == 1 else None)  # fmt: skip
        set_protection(row, protection, reference if quote is not None else None)
        row.update(version=row["version"] + 1, updated_at=now, stop_adjustments=row["stop_adjustments"] + 1)
        store(session, row, *PROTECTION_COLUMNS, "version", "updated_at", "stop_adjustments")
        shown = self.show(row, now)
        events = Events(now)
        events.add(row["client_id"], "position.protection", "position", row["id"], shown,
                   version=row["version"], by=actor)  # fmt: skip
        events.flush(session)
        return shown

    def close(
        self, session: Session, client: Client, wallet: Wallet, row: dict[str, Any], qty: Decimal | None,
        client_order_id: str | None, *, actor: str, source: OrderSource, now: datetime,
        reason: ExitReason = ExitReason.MANUAL,
    ) -> dict[str, Any]:  # fmt: skip
        """Sell all of the position or part of it at the market, as an ordinary reduce-only order.

        ``row`` must be locked, and the wallet before it. The same ``client_order_id`` again answers the first
        order. Raises ``Conflict`` when the position is closing or closed already, or the id was used for
        something else.
        """
        asked = json.dumps({"close": row["id"], "qty": None if qty is None else text(qty)})
        instrument = self.instruments.by_id(row["instrument_id"])
        wanted = row["qty"] if qty is None else qty
        entry = Entry(row["wallet_id"], exit_request(instrument, wanted, client_order_id), actor, source, position=row,
                      exit_reason=reason, asked=asked)  # fmt: skip
        earlier = self.orders.earlier(session, entry)
        if earlier is not None:
            return earlier  # the answer to the first request may have been lost
        if row["status"] not in (PositionStatus.OPENING, PositionStatus.OPEN):
            raise Conflict(f"the position is {row['status']}", code="too_late")
        if qty is not None and qty > row["qty"]:
            raise Invalid.field("qty", "exceeds_position", f"is more than the {text(row['qty'])} held", text(qty))
        order, new = self.orders.submit(session, entry, now)
        if new and order["status"] == "NEW" and wanted == row["qty"]:
            events = Events(now)
            # closing: the engine stops watching the levels, so that they cannot sell it a second time
            set_status(session, row, PositionStatus.CLOSING, events, self.instruments, self.quotes, now,
                       exit_order_id=order["id"], exit_reason=reason)  # fmt: skip
            events.flush(session)
        return order

    def signal(
        self, session: Session, client: Client, wallet: Wallet, row: dict[str, Any], request: SignalIn, *,
        actor: str, source: OrderSource, now: datetime,
    ) -> dict[str, Any]:  # fmt: skip
        """Store what a strategy says; act on ``reduce`` and ``close`` at or above the wallet's threshold."""
        order, outcome = None, "noted"
        if request.action != "hold":
            if request.confidence < wallet.close_signal_confidence:
                outcome = "below_threshold"
            else:
                qty = None
                if request.action == "reduce":
                    instrument = self.instruments.by_id(row["instrument_id"])
                    qty = floor_to(row["qty"] * request.reduce_percent / 100, instrument.lot_size) or None
                order = self.close(session, client, wallet, row, qty, None, actor=actor, source=source, now=now,
                                   reason=ExitReason.AI_SIGNAL)  # fmt: skip
                outcome = "rejected" if order["status"] == "REJECTED" else "executed"
        signal = Signal(
            id=new_id(), position_id=row["id"], action=request.action, confidence=request.confidence,
            urgency=request.urgency, reasoning=request.reasoning, order_id=order and order["id"], outcome=outcome,
            created_at=now, created_by=actor,
        )  # fmt: skip
        session.add(signal)
        shown = {
            "id": signal.id, "position_id": row["id"], "action": signal.action, "confidence": signal.confidence,
            "threshold": wallet.close_signal_confidence, "outcome": outcome, "order_id": signal.order_id,
            "created_at": iso(now),
        }  # fmt: skip
        return {"signal": shown, "order": order}


PROTECTION_COLUMNS = (
    "stop_loss_px", "take_profit_px", "trail_type", "trail_value", "trail_activation_px", "trail_extreme_px",
    "break_even_percent", "break_even_px", "protection_version",
)  # fmt: skip


def show(row: Any, instruments: SymbolTable, quotes: QuoteBook, now: datetime) -> dict[str, Any]:
    instrument = instruments.by_id(row["instrument_id"])
    return position_json(row, instrument.symbol, instrument.quote, quotes.get(instrument.symbol), now)


def set_status(
    session: Session, row: dict[str, Any], status: PositionStatus, events: Events, instruments: SymbolTable,
    quotes: QuoteBook, now: datetime, *, exit_order_id: str | None = None, exit_reason: ExitReason | None = None,
    **told: Any,
) -> None:  # fmt: skip
    """Begin a close or take it back: the one way a request changes a position's status.

    ``row`` must be locked. Its levels get a new version, so that the engine arms them again or forgets
    them; whoever looks is told by ``position.updated``.
    """
    row.update(
        status=status.value, exit_order_id=exit_order_id, exit_reason=exit_reason and exit_reason.value,
        protection_version=row["protection_version"] + 1, version=row["version"] + 1, updated_at=now,
    )  # fmt: skip
    store(session, row, "status", "exit_order_id", "exit_reason", "protection_version", "version", "updated_at")
    events.add(row["client_id"], "position.updated", "position", row["id"], show(row, instruments, quotes, now),
               version=row["version"], reason=row["exit_reason"], **told)  # fmt: skip


def exit_request(instrument: Instrument, qty: Decimal, client_order_id: str | None = None) -> OrderIn:
    """A reduce-only market sale."""
    return OrderIn.model_validate({
        "symbol": instrument.symbol, "side": Side.SELL, "type": OrderType.MARKET, "qty": qty, "reduce_only": True,
        "client_order_id": client_order_id,
    })  # fmt: skip


def set_protection(row: dict[str, Any], protection: Protection, mark: Decimal | None) -> None:
    """Write the wanted exits into a position's row.

    A trail that stays as it was keeps the best price it has seen: its trigger never moves back. One
    without an activation price starts tracking at ``mark``.
    """
    trail = protection.trail
    same = (
        trail is not None
        and (row["trail_type"], row["trail_value"], row["trail_activation_px"])
        == (trail.type.value, trail.value, trail.activation)
    )  # fmt: skip
    if not same:
        starts = trail is not None and (trail.activation is None or (mark is not None and mark >= trail.activation))
        row["trail_extreme_px"] = mark if starts else None
    row.update(
        stop_loss_px=protection.stop_loss,
        take_profit_px=protection.take_profit,
        trail_type=trail.type.value if trail else None,
        trail_value=trail.value if trail else None,
        trail_activation_px=trail.activation if trail else None,
        protection_version=row["protection_version"] + 1,
    )
    if row["break_even_percent"] != protection.break_even:
        row.update(break_even_percent=protection.break_even, break_even_px=None)


def store(session: Session, row: dict[str, Any], *columns: str) -> None:
    session.execute(sa.update(table).where(table.c.id == row["id"]).values({name: row[name] for name in columns}))


def updates(session: Session, position_id: str, limit: int) -> list[dict[str, Any]]:
    """Samples of a position's value, newest first."""
    query = (
        sa.select(PositionUpdate)
        .where(PositionUpdate.position_id == position_id)
        .order_by(PositionUpdate.id.desc())
        .limit(limit)
    )
    return [
        {"at": iso(u.at), "price": text(u.mark_px), "unrealized_pnl": text(u.unrealized_pnl), "action": u.action}
        for u in session.scalars(query)
    ]
