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
from app.domain.orders import TERMINAL, TRANSITIONS, OrderSource, OrderStatus, OrderType, Side, TimeInForce
from app.domain.positions import PositionStatus
from app.domain.protection import Protection, Trail, TrailType, break_even_price
from app.domain.quotes import Quote
from app.domain.triggers import Fired, Leg, Levels, TriggerBook, from_units, to_units
from app.models import Order, Position, Wallet, table_of
from app.schemas.orders import order_json
from app.schemas.positions import position_json
from app.services import faults, wallets
from app.services.events import Events
from app.services.ledger import Journal
from app.services.locks import Locks
from app.services.orders import order_event
from app.services.positions import PROTECTION_COLUMNS, set_protection
from app.services.quotes import QuoteBook

from .booking import ACTOR

orders, positions = table_of(Order), table_of(Position)
_LIVE_FOR_EXIT = (PositionStatus.OPENING.value, PositionStatus.OPEN.value)
_CANCELABLE = tuple(
    status for status in OrderStatus if OrderStatus.PENDING_CANCEL in TRANSITIONS[status]
    and status not in (OrderStatus.PENDING_CANCEL, OrderStatus.PENDING_SEND)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Move:
    """A trailing extreme that rose: every tracking position of the instrument below it follows."""

    instrument_id: int
    extreme: Decimal


class Monitor:
    """Long positions are judged at the bid."""

    def __init__(self, instruments: SymbolTable, quotes: QuoteBook) -> None:
        self.instruments, self.quotes = instruments, quotes
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
        for instrument_id, extreme in sorted(best.items()):
            following = (
                sa.select(positions.c.id)
                .where(
                    positions.c.instrument_id == instrument_id,
                    positions.c.status.in_(_LIVE_FOR_EXIT),
                    positions.c.trail_extreme_px < extreme,
                )
                .order_by(positions.c.id)  # locked in the order in which everybody locks
                .with_for_update()
            )
            session.execute(sa.update(positions).where(positions.c.id.in_(following)).values(trail_extreme_px=extreme))

    def act(self, session: Session, fired: list[tuple[str, Fired]], now: datetime) -> list[dict[str, Any]]:
        """What the fired levels cause: closing positions, moved stops, trails that begin.

        Returns the touched positions. A level whose position has moved on meanwhile is ignored.
        """
        if not fired:
            return []
        keys = sorted({key for key, _ in fired})
        rows = {row["id"]: row for row in Locks.of(session).positions(positions.c.id.in_(keys))}
        events = Events(now)
        touched: dict[str, dict[str, Any]] = {}
        rearm: dict[str, dict[str, Any]] = {}
        for key, fire in fired:
            row = rows.get(key)
            if row is None or row["status"] not in _LIVE_FOR_EXIT or row["exit_order_id"] is not None:
                continue
            if fire.version != row["protection_version"]:
                continue  # a request has changed the levels meanwhile: the old ones do not count any more
            if fire.leg is Leg.TRAIL_ACTIVATION:
                if row["trail_extreme_px"] is not None:
                    continue  # stored already: the answer of its commit was lost
                row["trail_extreme_px"] = from_units(fire.price)
            elif fire.leg is Leg.BREAK_EVEN:
                if row["break_even_px"] is not None:
                    continue
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

    @staticmethod
    def waiting(session: Session) -> tuple[list[str], list[str]]:
        """Ids of positions with protection that is not armed yet, and of closing ones without an exit order."""
        open_ = positions.c.status != PositionStatus.CLOSED.value
        changed = positions.c.armed_version != positions.c.protection_version
        closing = sa.and_(positions.c.status == PositionStatus.CLOSING.value, positions.c.exit_order_id.is_(None))
        query = sa.select(positions.c.id, changed.label("changed"), closing.label("closing"))
        rows = session.execute(query.where(open_, sa.or_(changed, closing)).order_by(positions.c.id).limit(1000)).all()
        return [row.id for row in rows if row.changed], [row.id for row in rows if row.closing]

    def attend(self, session: Session, parked: set[str], only: str | None = None) -> list[dict[str, Any]]:
        """Positions whose protection was changed by a request: the engine arms them now."""
        where = sa.and_(
            positions.c.status != PositionStatus.CLOSED.value,
            positions.c.armed_version != positions.c.protection_version,
            *_narrowed(parked, only),
        )
        rows = Locks.of(session).positions(where, limit=500)
        if rows:
            session.execute(
                sa.update(positions)
                .where(positions.c.id.in_([row["id"] for row in rows]))
                .values(armed_version=positions.c.protection_version)
            )
        return rows

    def exits(self, session: Session, now: datetime, parked: set[str], only: str | None = None) -> list[dict[str, Any]]:
        """Give every closing position that has none its exit order (status NEW).

        Returns the positions touched. The asset may still be held by
        resting sales of the client; they are cancelled first and the exit follows when they are gone.
        """
        locks = Locks.of(session)
        where = sa.and_(
            positions.c.status == PositionStatus.CLOSING.value,
            positions.c.exit_order_id.is_(None),
            *_narrowed(parked, only),
        )
        rows = locks.positions(where, limit=200)
        if not rows:
            return []
        journal, events = Journal(session, now, ACTOR), Events(now)
        sales = self._sales(session, rows)
        venues = _venues_of_entries(session, rows)
        refs = set()
        for row in rows:
            refs |= wallets.account_refs(row["wallet_id"], self.instruments.by_id(row["instrument_id"]).base)
        journal.lock(refs)
        free = {ref: account.balance for ref, account in journal.locked.items()}
        created = []
        for row in rows:
            blocking = sales.get((row["wallet_id"], row["instrument_id"]), [])
            order = self._exit_order(journal, free, row, blocking, venues[row["id"]], now)
            if order is not None:
                created.append(order)
                row.update(exit_order_id=order["id"], version=row["version"] + 1, updated_at=now)
            elif blocking:
                resting = [sale for sale in blocking if sale["type"] == OrderType.LIMIT]
                self._cancel_sales(session, resting, events, "makes way for the exit")
            else:
                self._give_up(session, row, events, now)
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
        faults.alert(session, now, "exit_impossible", message, "position", row["id"])

    def _exit_order(
        self,
        journal: Journal,
        free: dict[AccountRef, Decimal],
        row: dict[str, Any],
        blocking: list[dict[str, Any]],
        venue: str,
        now: datetime,
    ) -> dict[str, Any] | None:
        instrument = self.instruments.by_id(row["instrument_id"])
        spend = AccountRef(row["wallet_id"], instrument.base, AccountKind.AVAILABLE)
        reducing = [sale for sale in blocking if sale["reduce_only"]]
        if any(sale["type"] == OrderType.LIMIT for sale in reducing):
            return None  # it rests on what the exit has to sell
        taken = sum((sale["leaves_qty"] for sale in reducing), ZERO)  # a close at the market is on its way
        qty = floor_to(row["qty"] - taken, instrument.lot_size)
        if qty <= 0:
            return None
        if free[spend] < qty:
            if blocking:
                return None
            qty = floor_to(free[spend], instrument.lot_size)  # the asset went elsewhere; sell what is there
            if qty <= 0:
                return None
        order = _exit_row(row, instrument, qty, venue, now)
        journal.add(
            EntryKind.HOLD, ("order", order["id"]), f"hold:{order['id']}:1",
            hold_lines(row["wallet_id"], instrument.base, qty),
        )  # fmt: skip
        free[spend] -= qty  # a second exit of the wallet in this batch sees it gone
        return order

    @staticmethod
    def reducing_nothing(session: Session, parked: set[str]) -> list[str]:
        """Ids of reduce-only orders whose position is closed: they must not sell what is left."""
        open_ = sa.exists().where(
            positions.c.wallet_id == orders.c.wallet_id,
            positions.c.instrument_id == orders.c.instrument_id,
            positions.c.status != PositionStatus.CLOSED.value,
        )
        live = orders.c.status.not_in([status.value for status in TERMINAL])  # for the partial index
        where = [live, orders.c.reduce_only.is_(True), orders.c.status.in_(_CANCELABLE), ~open_]
        if parked:
            where.append(orders.c.id.not_in(parked))
        return list(session.scalars(sa.select(orders.c.id).where(*where).order_by(orders.c.id).limit(200)))

    def cancel_reducing(self, session: Session, now: datetime, order_ids: list[str]) -> None:
        """Ask the venue to cancel reduce-only orders that have nothing to reduce any more."""
        events = Events(now)
        rows = Locks.of(session).orders(sa.and_(orders.c.id.in_(order_ids), orders.c.status.in_(_CANCELABLE)))
        self._cancel_sales(session, rows, events, "the position is closed")
        events.flush(session)

    def _sales(self, session: Session, rows: list[dict[str, Any]]) -> dict[tuple[str, int], list[dict[str, Any]]]:
        """Live sales in the instruments of positions, by wallet and instrument; under their lock."""
        pairs = sa.tuple_(orders.c.wallet_id, orders.c.instrument_id).in_(
            sorted({(row["wallet_id"], row["instrument_id"]) for row in rows})
        )
        live = orders.c.status.not_in([status.value for status in TERMINAL])
        found: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for sale in Locks.of(session).orders(sa.and_(live, pairs, orders.c.side == Side.SELL.value)):
            found.setdefault((sale["wallet_id"], sale["instrument_id"]), []).append(sale)
        return found

    def _cancel_sales(self, session: Session, sales: list[dict[str, Any]], events: Events, reason: str) -> None:
        for sale in sales:
            status = OrderStatus(sale["status"])
            if status not in _CANCELABLE:
                continue  # on its way already; the next round looks again
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


def _venues_of_entries(session: Session, rows: list[dict[str, Any]]) -> dict[str, str]:
    """Where each position was opened: it is closed there."""
    entries = {row["entry_order_id"]: row["id"] for row in rows}
    query = sa.select(orders.c.id, orders.c.venue).where(orders.c.id.in_(entries))
    return {entries[row.id]: row.venue for row in session.execute(query)}


def _narrowed(parked: set[str], only: str | None) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if parked:
        conditions.append(positions.c.id.not_in(parked))
    if only is not None:
        conditions.append(positions.c.id == only)
    return conditions


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
        version=row["protection_version"],
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
