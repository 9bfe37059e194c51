"""Positions: protecting, closing, listening to signals. What fills do to them is the engine's."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core import json
from app.core.clock import iso
from app.core.errors import Conflict, FieldError, Invalid
from app.core.ids import new_id
from app.domain.instruments import SymbolTable
from app.domain.money import floor_to, text
from app.domain.order_requests import body_hash, exit_of
from app.domain.orders import OrderSource
from app.domain.positions import LIVE_FOR_EXIT, ExitReason, PositionState, begin_exit, changed, protect
from app.domain.protection import Protection, protection_errors
from app.models import Client, PositionUpdate, Signal, Wallet
from app.schemas.positions import SignalIn

from .events import Events
from .orders import Orders
from .orders.drafting import leg_errors
from .quotes import QuoteBook
from .records import position_event, show_position, store_positions


class Positions:
    def __init__(self, orders: Orders, instruments: SymbolTable, quotes: QuoteBook) -> None:
        self.orders, self.instruments, self.quotes = orders, instruments, quotes

    def show(self, position: PositionState, now: datetime) -> dict[str, Any]:
        return show_position(position, self.instruments, self.quotes, now)

    def protect(
        self, session: Session, position: PositionState, protection: Protection, *, actor: str, now: datetime
    ) -> dict[str, Any]:
        """Replace the protection of a position, which must be locked.

        Raises ``Invalid`` for prices off the tick or on the wrong side of the market (they would exit at
        once), ``Conflict`` when the position is closing or closed.
        """
        if position.status not in LIVE_FOR_EXIT:
            raise Conflict(f"the position is {position.status}", code="too_late")
        instrument = self.instruments.by_id(position.instrument_id)
        quote = self.quotes.get(instrument.symbol)
        reference = quote.taken_by(position.exit_side) if quote is not None else position.avg_entry_px
        errors = leg_errors(protection, instrument)
        wrong = protection_errors(position.entry_side, reference, instrument.tick_size, protection)
        errors += [FieldError(*error) for error in wrong]
        if errors:
            raise Invalid(
                "; ".join(f"{e.field} {e.message}" for e in errors),
                errors=errors,
                code=errors[0].code if len(errors) == 1 else None,
            )
        position = protect(position, protection, reference if quote is not None else None)
        position = changed(position, now, stop_adjustments=position.stop_adjustments + 1)
        store_positions(session, [position])
        events = Events(now)
        position_event(events, position, self.instruments, self.quotes, now, "position.protection", by=actor)
        events.flush(session)
        return self.show(position, now)

    def close(
        self,
        session: Session,
        client: Client,
        wallet: Wallet,
        position: PositionState,
        qty: Decimal | None,
        client_order_id: str | None,
        *,
        actor: str,
        source: OrderSource,
        now: datetime,
        reason: ExitReason = ExitReason.MANUAL,
    ) -> dict[str, Any]:
        """Close all of the position or part of it at the market, by an ordinary reduce-only order.

        The position must be locked, and the wallet before it. The same ``client_order_id`` again answers the first
        order. Raises ``Conflict`` when the position is closing or closed already, or the id was used for
        something else.
        """
        asked = json.dumps({"close": position.id, "qty": None if qty is None else text(qty)})
        instrument = self.instruments.by_id(position.instrument_id)
        wanted = abs(position.qty) if qty is None else qty
        request = exit_of(
            position,
            instrument,
            wanted,
            reason.value,
            created_by=actor,
            source=source,
            client_order_id=client_order_id,
            body_hash=None if client_order_id is None else body_hash(asked),
        )
        earlier = self.orders.earlier(session, request)
        if earlier is not None:
            return earlier  # the answer to the first request may have been lost
        if position.status not in LIVE_FOR_EXIT:
            raise Conflict(f"the position is {position.status}", code="too_late")
        if wanted > abs(position.qty):
            held = text(abs(position.qty))
            raise Invalid.field("qty", "exceeds_position", f"is more than the {held} held", text(wanted))
        order, new = self.orders.submit(session, request, now)
        if new and order["status"] == "NEW" and wanted == abs(position.qty):
            events = Events(now)
            # closing: the engine stops watching the levels, so that they cannot sell it a second time
            position = begin_exit(position, now, reason, order["id"])
            store_positions(session, [position])
            position_event(events, position, self.instruments, self.quotes, now, reason=reason.value)
            events.flush(session)
        return order

    def _signaled_qty(self, position: PositionState, request: SignalIn) -> Decimal | None:
        """What a signal wants out, on the lot, which may be nothing; None: all of it."""
        if request.action != "reduce":
            return None
        lot = self.instruments.by_id(position.instrument_id).lot_size
        return floor_to(abs(position.qty) * request.reduce_percent / 100, lot)

    def signal(
        self,
        session: Session,
        client: Client,
        wallet: Wallet,
        position: PositionState,
        request: SignalIn,
        *,
        actor: str,
        source: OrderSource,
        now: datetime,
    ) -> dict[str, Any]:
        """Store what a strategy says; act on ``reduce`` and ``close`` at or above the wallet's threshold."""
        order, outcome = None, "noted"
        if request.action != "hold":
            if request.confidence < wallet.close_signal_confidence:
                outcome = "below_threshold"
            elif (qty := self._signaled_qty(position, request)) is not None and not qty:
                outcome = "below_lot"
            else:
                order = self.close(
                    session,
                    client,
                    wallet,
                    position,
                    qty,
                    None,
                    actor=actor,
                    source=source,
                    now=now,
                    reason=ExitReason.AI_SIGNAL,
                )
                outcome = "rejected" if order["status"] == "REJECTED" else "executed"
        signal = Signal(
            id=new_id(),
            position_id=position.id,
            action=request.action,
            confidence=request.confidence,
            urgency=request.urgency,
            reasoning=request.reasoning,
            order_id=order and order["id"],
            outcome=outcome,
            created_at=now,
            created_by=actor,
        )
        session.add(signal)
        shown = {
            "id": signal.id,
            "position_id": position.id,
            "action": signal.action,
            "confidence": signal.confidence,
            "threshold": wallet.close_signal_confidence,
            "outcome": outcome,
            "order_id": signal.order_id,
            "created_at": iso(now),
        }
        return {"signal": shown, "order": order}


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
