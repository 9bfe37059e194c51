"""The trigger monitor: armed levels per instrument, and the exit orders they cause.

Memory holds only what can be rebuilt from the positions table; the database decides whether a level
that fired still counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.ids import new_id
from app.domain.instruments import Instrument, SymbolTable
from app.domain.ledger import AccountKind, AccountRef, EntryKind, hold_lines
from app.domain.money import ONE, ZERO, floor_to
from app.domain.orders import TERMINAL, OrderSource, OrderStatus, OrderType, Side, TimeInForce
from app.domain.positions import PositionStatus
from app.domain.protection import Protection, Trail, TrailType, break_even_price
from app.domain.quotes import Quote
from app.domain.triggers import Fired, Leg, Levels, TriggerBook, from_units, to_units
from app.models import Order, Position, Wallet, table_of
from app.schemas.orders import order_json
from app.schemas.positions import position_json
from app.services import wallets
from app.services.events import FIRM, Events
from app.services.ledger import Journal
from app.services.orders import order_event
from app.services.positions import PROTECTION_COLUMNS, set_protection
from app.services.quotes import QuoteBook

from .booking import ACTOR

orders, positions = table_of(Order), table_of(Position)
_LIVE_FOR_EXIT = (PositionStatus.OPENING.value, PositionStatus.OPEN.value)


@dataclass(frozen=True, slots=True)
class Move:
    """A trailing extreme that rose: every tracking position of the instrument below it follows."""

    instrument_id: int
    extreme: Decimal


class Monitor:
    """Long positions are judged at the bid."""

    def __init__(self, instruments: SymbolTable, quotes: QuoteBook, venue: str) -> None:
        self.instruments, self.quotes, self.venue = instruments, quotes, venue
        self._books: dict[int, TriggerBook] = {}

    def forget(self) -> None:
        """Start from nothing, before everything is armed from the database."""
        self._books.clear()

    def armed(self) -> int:
        """How many positions have something armed."""
        return sum(len(book) for book in self._books.values())

    # -- memory ------------------------------------------------------------------------------------------

    def arm(self, row: dict[str, Any]) -> None:
        """Watch a position as its row says, or stop watching it."""
        book = self._books.setdefault(row["instrument_id"], TriggerBook())
        if row["status"] not in _LIVE_FOR_EXIT or row["qty"] <= 0 or row["exit_order_id"] is not None:
            book.disarm(row["id"])
            return
        levels = levels_of(row)
        if levels is None:
            book.disarm(row["id"])
        else:
            book.arm(levels)

    def on_quote(self, quote: Quote) -> tuple[list[tuple[str, Fired]], Move | None]:
        """Levels this quote reaches, by position id, and the trailing extreme it raised."""
        instrument = self.instruments.resolve(quote.symbol)
        book = self._books.get(instrument.id)
        if book is None or not len(book):
            return [], None
        fired, moved = book.on_price(to_units(quote.bid))
        return [(str(f.key), f) for f in fired], Move(instrument.id, quote.bid) if moved else None

    # -- the database ------------------------------------------------------------------------------------

    def store_moves(self, session: Session, moves: list[Move]) -> None:
        """Trailing extremes only ever improve; one statement per instrument, however many positions."""
        best: dict[int, Decimal] = {}
        for move in moves:
            best[move.instrument_id] = max(best.get(move.instrument_id, ZERO), move.extreme)
        for instrument_id, extreme in best.items():
            session.execute(
                sa.update(positions)
                .where(
                    positions.c.instrument_id == instrument_id,
                    positions.c.status.in_(_LIVE_FOR_EXIT),
                    positions.c.trail_extreme_px < extreme,
                )
                .values(trail_extreme_px=extreme)
            )

    def act(self, session: Session, fired: list[tuple[str, Fired]], now: datetime) -> list[dict[str, Any]]:
        """What the fired levels cause: closing positions, moved stops, trails that begin.

        Returns the touched positions. A level whose position has moved on meanwhile is ignored.
        """
        if not fired:
            return []
        query = sa.select(positions).where(positions.c.id.in_(sorted({key for key, _ in fired})))
        rows = {
            row["id"]: dict(row) for row in session.execute(query.order_by(positions.c.id).with_for_update()).mappings()
        }
        events = Events(now)
        touched: dict[str, dict[str, Any]] = {}
        rearm: dict[str, dict[str, Any]] = {}
        for key, fire in fired:
            row = rows.get(key)
            if row is None or row["status"] not in _LIVE_FOR_EXIT or row["exit_order_id"] is not None:
                continue
            if row["armed_version"] != row["protection_version"]:
                continue  # a request has changed the levels meanwhile: the old ones do not count any more
            if fire.leg is Leg.TRAIL_ACTIVATION:
                row["trail_extreme_px"] = max(row["trail_extreme_px"] or ZERO, from_units(fire.price))
            elif fire.leg is Leg.BREAK_EVEN:
                if not self._move_to_break_even(session, row, from_units(fire.price)):
                    rearm[key] = row  # not there yet: fees first
                    continue
            else:
                reason = fire.leg.value
                if fire.leg is Leg.STOP_LOSS and row["break_even_px"] is not None and (
                    row["stop_loss_px"] is None or row["break_even_px"] > row["stop_loss_px"]
                ):  # fmt: skip
                    reason = Leg.BREAK_EVEN.value
                row.update(status=PositionStatus.CLOSING.value, exit_reason=reason)
            row.update(version=row["version"] + 1, updated_at=now)
            touched[key] = row
            self._event(events, row, now, action=fire.leg.value, price=str(from_units(fire.price)))
        events.flush(session)
        for row in touched.values():
            _store(session, row, "status", "exit_reason", "trail_extreme_px", "break_even_px", "stop_adjustments",
                   "version", "updated_at")  # fmt: skip
        return [*touched.values(), *(row for key, row in rearm.items() if key not in touched)]

    def _move_to_break_even(self, session: Session, row: dict[str, Any], bid: Decimal) -> bool:
        """Set the stop where nothing is lost; False while the market is not above that price yet."""
        rate = session.scalar(sa.select(Wallet.taker_rate).where(Wallet.id == row["wallet_id"])) or ZERO
        price = break_even_price(row["avg_entry_px"], row["qty"], row["open_fees"], rate, Side.BUY)
        tick = self.instruments.by_id(row["instrument_id"]).tick_size
        # up to the tick: a stop at or above break-even never loses
        stop = -floor_to(-price, tick)
        if stop >= bid:
            return False
        row["break_even_px"] = stop
        row["stop_adjustments"] += 1
        return True

    def exits(self, session: Session, now: datetime) -> list[dict[str, Any]]:
        """Give every closing position that has none its exit order (status NEW).

        Returns the positions touched. The asset may still be held by
        resting sales of the client; they are cancelled first and the exit follows when they are gone.
        """
        query = (
            sa.select(positions)
            .where(positions.c.status == PositionStatus.CLOSING.value, positions.c.exit_order_id.is_(None))
            .order_by(positions.c.id)
            .limit(200)
            .with_for_update()
        )
        rows = [dict(row) for row in session.execute(query).mappings()]
        if not rows:
            return []
        journal, events = Journal(session, now, ACTOR), Events(now)
        refs = set()
        for row in rows:
            base = self.instruments.by_id(row["instrument_id"]).base
            refs |= wallets.account_refs(row["wallet_id"], base)
        journal.lock(refs)
        free = {ref: account.balance for ref, account in journal.locked.items()}
        created = []
        for row in rows:
            order = self._exit_order(session, journal, free, row, now)
            if order is None:
                if self._blocking_sales(session, row):
                    self._cancel_blocking_sales(session, row, events)
                else:
                    self._give_up(session, row, events, now)
                continue
            created.append(order)
            row.update(exit_order_id=order["id"], version=row["version"] + 1, updated_at=now)
        if created:
            session.execute(sa.insert(orders), created)
            locked = journal.flush()
            for order in created:
                symbol = self.instruments.by_id(order["instrument_id"]).symbol
                order_event(events, order, order_json(order, symbol), None, order["exit_reason"])
            for wallet_id, client_id in {(o["wallet_id"], o["client_id"]) for o in created}:
                wallets.balance_event(events, client_id, wallet_id, locked.values())
        for row in rows:
            if row["exit_order_id"] is not None:
                _store(session, row, "exit_order_id", "version", "updated_at")
                self._event(events, row, now, action="exit_order", price=None)
        events.flush(session)
        return rows

    def _give_up(self, session: Session, row: dict[str, Any], events: Events, now: datetime) -> None:
        """The asset went elsewhere and there is nothing left to sell: say so instead of trying for ever."""
        set_protection(row, Protection(), None)
        row.update(status=PositionStatus.OPEN.value, exit_reason=None, armed_version=row["protection_version"],
                   version=row["version"] + 1, updated_at=now)  # fmt: skip
        _store(session, row, *PROTECTION_COLUMNS, "status", "exit_reason", "armed_version", "version", "updated_at")
        self._event(events, row, now, action="exit_impossible", price=None)
        symbol = self.instruments.by_id(row["instrument_id"]).symbol
        message = f"position {row['id']} in {symbol} cannot be closed: the wallet has spent the asset"
        events.add(FIRM, "alert.engine", "position", row["id"], {"code": "exit_impossible", "message": message,
                                                                 "position_id": row["id"]})  # fmt: skip

    def _exit_order(
        self, session: Session, journal: Journal, free: dict[AccountRef, Decimal], row: dict[str, Any], now: datetime
    ) -> dict[str, Any] | None:
        instrument = self.instruments.by_id(row["instrument_id"])
        spend = AccountRef(row["wallet_id"], instrument.base, AccountKind.AVAILABLE)
        reducing = [sale for sale in self._blocking_sales(session, row) if sale["reduce_only"]]
        if any(sale["type"] == OrderType.LIMIT for sale in reducing):
            return None  # it rests on what the exit has to sell
        taken = sum((sale["leaves_qty"] for sale in reducing), ZERO)  # a close at the market is on its way
        qty = floor_to(row["qty"] - taken, instrument.lot_size)
        if qty <= 0:
            return None
        if free[spend] < qty:
            if self._blocking_sales(session, row):
                return None
            qty = floor_to(free[spend], instrument.lot_size)  # the asset went elsewhere; sell what is there
            if qty <= 0:
                return None
        order = _exit_row(row, instrument, qty, self.venue, now)
        journal.add(
            EntryKind.HOLD, ("order", order["id"]), f"hold:{order['id']}:1",
            hold_lines(row["wallet_id"], instrument.base, qty),
        )  # fmt: skip
        free[spend] -= qty  # a second exit of the wallet in this batch sees it gone
        return order

    def cancel_reducing(self, session: Session, booked: list[dict[str, Any]], now: datetime) -> None:
        """A closed position leaves nothing to reduce: its resting reduce-only orders must not sell what is left."""
        events = Events(now)
        for row in booked:
            if row["status"] == PositionStatus.CLOSED:
                reducing = [sale for sale in self._blocking_sales(session, row) if sale["reduce_only"]]
                self._cancel_sales(session, reducing, events, "the position is closed")
        events.flush(session)

    def _blocking_sales(self, session: Session, row: dict[str, Any]) -> list[Any]:
        query = sa.select(orders).where(
            orders.c.wallet_id == row["wallet_id"],
            orders.c.instrument_id == row["instrument_id"],
            orders.c.side == Side.SELL.value,
            orders.c.status.not_in([status.value for status in TERMINAL]),
        )
        return list(session.execute(query.with_for_update()).mappings())

    def _cancel_blocking_sales(self, session: Session, row: dict[str, Any], events: Events) -> None:
        resting = [sale for sale in self._blocking_sales(session, row) if sale["type"] == OrderType.LIMIT]
        self._cancel_sales(session, resting, events, "makes way for the exit")

    def _cancel_sales(self, session: Session, sales: list[Any], events: Events, reason: str) -> None:
        for blocking in sales:
            status = OrderStatus(blocking["status"])
            if status in (OrderStatus.PENDING_CANCEL, OrderStatus.NEW, OrderStatus.PENDING_SEND):
                continue  # on its way already; the next step looks again
            sale = dict(blocking)
            sale.update(status=OrderStatus.PENDING_CANCEL.value, version=sale["version"] + 1)
            session.execute(
                sa.update(orders)
                .where(orders.c.id == sale["id"])
                .values(status=sale["status"], version=sale["version"])
            )
            symbol = self.instruments.by_id(sale["instrument_id"]).symbol
            order_event(events, sale, order_json(sale, symbol), status, reason)

    def _event(self, events: Events, row: dict[str, Any], now: datetime, *, action: str, price: str | None) -> None:
        instrument = self.instruments.by_id(row["instrument_id"])
        shown = position_json(row, instrument.symbol, instrument.quote, self.quotes.get(instrument.symbol), now)
        events.add(row["client_id"], "position.updated", "position", row["id"], shown, version=row["version"],
                   action=action, price=price)  # fmt: skip


def levels_of(row: dict[str, Any]) -> Levels | None:
    """The levels of a long position in price units; None when nothing protects it."""
    stops = [price for price in (row["stop_loss_px"], row["break_even_px"]) if price is not None]
    trail = None
    if row["trail_type"] is not None:
        trail = Trail(TrailType(row["trail_type"]), row["trail_value"], row["trail_activation_px"])
    percent = row["break_even_percent"]
    pending_break_even = percent is not None and row["break_even_px"] is None
    if not stops and row["take_profit_px"] is None and trail is None and not pending_break_even:
        return None
    return Levels(
        row["id"],
        stop=to_units(max(stops)) if stops else None,
        target=to_units(row["take_profit_px"]) if row["take_profit_px"] is not None else None,
        trail=trail,
        extreme=to_units(row["trail_extreme_px"]) if trail and row["trail_extreme_px"] is not None else None,
        activation=to_units(trail.activation) if trail and trail.activation is not None else None,
        break_even=_ceil_units(row["avg_entry_px"] * (ONE + percent / 100)) if pending_break_even else None,
    )


def _ceil_units(price: Decimal) -> int:
    units = price * to_units(ONE)
    return int(-(-units // 1))


def _exit_row(
    position: dict[str, Any], instrument: Instrument, qty: Decimal, venue: str, now: datetime
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(orders.columns.keys())
    row.update(
        id=new_id(), client_id=position["client_id"], wallet_id=position["wallet_id"], instrument_id=instrument.id,
        side=Side.SELL.value, type=OrderType.MARKET.value, time_in_force=TimeInForce.GTC.value, qty=qty,
        reduce_only=True, post_only=False, position_id=position["id"], exit_reason=position["exit_reason"],
        trigger_key=f"{position['id']}:{position['protection_version']}", status=OrderStatus.NEW.value, version=1,
        cum_qty=ZERO, leaves_qty=qty, cum_value=ZERO, fees=ZERO, hold_currency=instrument.base, held=qty, venue=venue,
        source=OrderSource.ENGINE.value, created_by=ACTOR, created_at=now,
    )  # fmt: skip
    return row


def _store(session: Session, row: dict[str, Any], *columns: str) -> None:
    session.execute(
        sa.update(positions).where(positions.c.id == row["id"]).values({name: row[name] for name in columns})
    )
