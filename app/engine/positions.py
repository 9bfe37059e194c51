"""What a batch of fills does to positions: they open, grow, shrink and close, and take over their orders' exits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from app.core.ids import new_id
from app.domain.execution import OrderState
from app.domain.instruments import SymbolTable
from app.domain.money import ONE
from app.domain.positions import (
    Booked,
    ExitReason,
    Fill,
    PositionState,
    PositionStatus,
    book_fill,
    move,
    protect,
    take_back_exit,
)
from app.domain.protection import Protection
from app.services.events import Events
from app.services.locks import Locks
from app.services.quotes import QuoteBook
from app.services.records import armed, insert_positions, position_event, store_positions


class BookedPositions:
    """The positions of one booking transaction."""

    def __init__(
        self, session: Session, instruments: SymbolTable, quotes: QuoteBook, events: Events, now: datetime
    ) -> None:
        self.session, self.instruments, self.quotes, self.events, self.now = session, instruments, quotes, events, now
        self._open: dict[tuple[str, int], PositionState] = {}
        self._touched: dict[str, PositionState] = {}
        self._new: set[str] = set()

    def load(self, order_ids: Iterable[str]) -> None:
        """Lock the open positions that these orders may change."""
        for position in Locks.of(self.session).open_positions_of_orders(order_ids):
            self._open[position.wallet_id, position.instrument_id] = position

    def book_fill(self, before: OrderState, fill: Fill, wallet: Any) -> Booked | None:
        """What the fill did to the position; None where it had none to do anything to.

        ``before`` is the order without this fill, ``wallet`` has the exits that a new position starts from.
        A cash wallet cannot be short: what is sold beyond the position is an exchange of assets, no more.
        """
        key = (before.wallet_id, before.instrument_id)
        position = self._open.get(key)
        if position is None:
            if not before.opens:
                return None
            position = self._opened(before)
        booked = book_fill(position, fill, self.instruments.by_id(before.instrument_id).quote_scale, self.now)
        position = booked.position
        if position.status is PositionStatus.CLOSED:
            reason = before.exit_reason or position.exit_reason or ExitReason.MANUAL.value
            position = position._replace(exit_reason=reason)
            del self._open[key]
        else:
            if fill.side is position.entry_side:
                position = self._attach(position, before, fill, wallet)
            self._open[key] = position
        self._tell(position)
        return replace(booked, position=position)

    def _opened(self, order: OrderState) -> PositionState:
        quote = self.quotes.get(self.instruments.by_id(order.instrument_id).symbol)
        position = PositionState(
            id=new_id(),
            client_id=order.client_id,
            wallet_id=order.wallet_id,
            instrument_id=order.instrument_id,
            status=PositionStatus.OPENING,
            entry_order_id=order.id,
            entry_mark_px=quote.taken_by(order.side) if quote else None,
            opened_at=self.now,
            updated_at=self.now,
        )
        self._new.add(position.id)
        return position

    def _attach(self, position: PositionState, before: OrderState, fill: Fill, wallet: Any) -> PositionState:
        """The order's legs become the position's as soon as it fills; what it does not name stays as it is.

        A new position starts from the wallet's defaults.
        """
        fresh = position.version == 1
        if before.cum_qty > 0 and not fresh:
            return position  # its first fill has attached them
        current = position.protection
        wanted = Protection.from_json(before.protection).over(self._defaults(position, wallet) if fresh else current)
        if wanted == current:
            return position
        quote = self.quotes.get(self.instruments.by_id(before.instrument_id).symbol)
        return protect(position, wanted, quote.taken_by(position.exit_side) if quote else fill.price)

    def _defaults(self, position: PositionState, wallet: Any) -> Protection:
        tick = self.instruments.by_id(position.instrument_id).tick_size

        def level(percent: Decimal | None, sign: int) -> Decimal | None:
            if percent is None:
                return None
            ticks = (position.avg_entry_px * (ONE + sign * percent / 100) / tick).to_integral_value()
            return max(ticks, ONE) * tick

        return Protection(
            stop_loss=level(wallet.default_stop_loss_percent, -1),
            take_profit=level(wallet.default_take_profit_percent, 1),
        )

    def finish_exits(self, ended_order_ids: set[str]) -> set[str]:
        """Where an order that opened or closed a position is done, the position's own status follows.

        Returns the ids of positions whose exit ended without closing them: they are watched again.
        """
        refused = set()
        for key, position in list(self._open.items()):
            if position.exit_order_id in ended_order_ids:
                refused.add(position.id)
                position = take_back_exit(position, self.now)
            elif position.status is PositionStatus.OPENING and position.entry_order_id in ended_order_ids:
                position = move(position, PositionStatus.OPEN, self.now)
            else:
                continue
            self._open[key] = position
            self._tell(position)
        return refused

    def _tell(self, position: PositionState) -> None:
        self._touched[position.id] = position
        type_ = "position.opened" if position.version == 1 else "position.updated"
        if position.status is PositionStatus.CLOSED:
            type_ = "position.closed"
        position_event(self.events, position, self.instruments, self.quotes, self.now, type_)

    def flush(self) -> list[PositionState]:
        """Store what has changed; returns it as it is stored. The engine arms it right after the commit."""
        touched = [armed(position) for position in self._touched.values()]
        store_positions(self.session, [position for position in touched if position.id not in self._new])
        # after the updates: it may follow one that this batch has closed
        insert_positions(self.session, [position for position in touched if position.id in self._new])
        return touched
