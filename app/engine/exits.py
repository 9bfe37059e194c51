"""Exits: what the levels that fired do to their positions, and the orders that close those."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.domain.execution import OrderState
from app.domain.instruments import SymbolTable
from app.domain.ledger import AccountKind, AccountRef, EntryKind, hold_lines
from app.domain.money import ZERO, floor_to
from app.domain.order_requests import Draft, exit_of
from app.domain.orders import OrderSource, OrderType, Side
from app.domain.positions import (
    LIVE_FOR_EXIT,
    PositionState,
    PositionStatus,
    changed,
    move,
    protect,
    take_back_exit,
)
from app.domain.protection import Protection, break_even_price
from app.domain.triggers import Fired, Leg, from_units
from app.models import ORDER_IS_LIVE, POSITION_TO_ATTEND, Order, Position, Wallet, table_of
from app.services import faults, wallets
from app.services.events import Events
from app.services.ledger import Journal
from app.services.locks import Locks
from app.services.orders import Canceler, new_order
from app.services.quotes import QuoteBook
from app.services.records import Transition, armed, insert_orders, order_event, position_event, store_positions

from .booking import ACTOR
from .levels import TrailMove
from .waiting import CANCELABLE

orders, positions = table_of(Order), table_of(Position)
_LIVE_FOR_EXIT = sorted(status.value for status in LIVE_FOR_EXIT)


class Exits:
    """What reached levels do to positions, and the orders that close them."""

    def __init__(self, instruments: SymbolTable, quotes: QuoteBook) -> None:
        self.instruments, self.quotes = instruments, quotes

    def store_moves(self, session: Session, moves: list[TrailMove]) -> None:
        """Trailing extremes only ever improve; one statement per instrument, however many positions."""
        best: dict[tuple[int, Side], Decimal] = {}
        for moved in moves:
            key, better = (moved.instrument_id, moved.exit_side), max if moved.exit_side is Side.SELL else min
            best[key] = better(best.get(key, moved.extreme), moved.extreme)
        extremes = positions.c.trail_extreme_px
        for (instrument_id, exit_side), extreme in sorted(best.items()):
            long = exit_side is Side.SELL
            following = (
                sa.select(positions.c.id)
                .where(
                    positions.c.instrument_id == instrument_id,
                    positions.c.status.in_(_LIVE_FOR_EXIT),
                    positions.c.qty > 0 if long else positions.c.qty < 0,
                    extremes < extreme if long else extremes > extreme,
                )
                .order_by(positions.c.id)  # locked in the order in which everybody locks
                .with_for_update()
            )
            session.execute(sa.update(positions).where(positions.c.id.in_(following)).values(trail_extreme_px=extreme))

    def act(self, session: Session, fired: list[tuple[str, Fired]], now: datetime) -> list[PositionState]:
        """What the fired levels cause: closing positions, moved stops, trails that begin.

        Returns the touched positions. A level whose position has moved on meanwhile is ignored.
        """
        if not fired:
            return []
        ids = sorted({position_id for position_id, _ in fired})
        found = {position.id: position for position in Locks.of(session).positions(positions.c.id.in_(ids))}
        events = Events(now)
        touched: dict[str, PositionState] = {}
        rearm: set[str] = set()  # break-evens that were reached too early: fees first
        for position_id, fire in fired:
            position = found.get(position_id)
            # a request may have changed the levels meanwhile: the old ones do not count any more
            if position is None or not position.may_exit or fire.version != position.protection_version:
                continue
            after = self._fire(session, position, fire, now)
            if after is None:
                if fire.leg is Leg.BREAK_EVEN and position.break_even_px is None:
                    rearm.add(position_id)
                continue
            found[position_id] = touched[position_id] = after
            self._event(events, after, now, action=fire.leg.value, price=str(from_units(fire.price)))
        events.flush(session)
        store_positions(session, list(touched.values()))
        return [*touched.values(), *(found[position_id] for position_id in rearm - touched.keys())]

    def _fire(self, session: Session, position: PositionState, fire: Fired, now: datetime) -> PositionState | None:
        """The position after one of its levels was reached; None where that changes nothing."""
        price = from_units(fire.price)
        if fire.leg is Leg.TRAIL_ACTIVATION:
            if position.trail_extreme_px is not None:
                return None  # stored already: the answer of its commit was lost
            return changed(position, now, trail_extreme_px=price)
        if fire.leg is Leg.BREAK_EVEN:
            stop = None if position.break_even_px is not None else self._break_even_stop(session, position, price)
            if stop is None:
                return None
            return changed(position, now, break_even_px=stop, stop_adjustments=position.stop_adjustments + 1)
        stops = position.stop_loss_px, position.break_even_px
        long = position.entry_side is Side.BUY
        by_break_even = stops[1] is not None and (stops[0] is None or (stops[1] > stops[0]) is long)
        reason = Leg.BREAK_EVEN if fire.leg is Leg.STOP_LOSS and by_break_even else fire.leg
        return move(position, PositionStatus.CLOSING, now, exit_reason=reason.value)

    def _break_even_stop(self, session: Session, position: PositionState, mark: Decimal) -> Decimal | None:
        """The stop where nothing is lost; None while the market is not beyond that price yet."""
        rate = session.scalar(sa.select(Wallet.taker_rate).where(Wallet.id == position.wallet_id)) or ZERO
        side, tick = position.entry_side, self.instruments.by_id(position.instrument_id).tick_size
        price = break_even_price(position.avg_entry_px, abs(position.qty), position.open_fees, rate, side)
        # to the tick on the better side: a stop there never loses
        if side is Side.BUY:
            stop = -floor_to(-price, tick)
            return None if stop >= mark else stop
        stop = floor_to(price, tick)
        return None if stop <= mark else stop

    def attend(self, session: Session, parked: set[str], only: str | None = None) -> list[PositionState]:
        """Positions whose protection was changed by a request: the engine arms them now."""
        where = sa.and_(
            POSITION_TO_ATTEND,
            positions.c.armed_version != positions.c.protection_version,
            *_narrowed(parked, only),
        )
        found = [armed(position) for position in Locks.of(session).positions(where, limit=500)]
        store_positions(session, found)
        return found

    def exit(self, session: Session, now: datetime, parked: set[str], only: str | None = None) -> list[PositionState]:
        """Give every closing position that has none its exit order (status NEW).

        Returns the positions as they are now. The asset may still be held by resting sales of the client;
        they are cancelled first and the exit follows when they are gone.
        """
        where = sa.and_(
            POSITION_TO_ATTEND,
            positions.c.status == PositionStatus.CLOSING.value,
            positions.c.exit_order_id.is_(None),
            *_narrowed(parked, only),
        )
        closing = Locks.of(session).positions(where, limit=200)
        if not closing:
            return []
        journal = Journal(session, self.instruments.scales, now, ACTOR)
        canceler = Canceler(session, self.instruments, self.quotes, journal, Events(now), now)
        journal, events = canceler.journal, canceler.events
        sales = self._sales(session, closing)
        venues = _venues_of_entries(session, closing)
        refs = canceler.accounts(sale for found in sales.values() for sale in found)
        for position in closing:
            refs |= wallets.account_refs(position.wallet_id, self.instruments.by_id(position.instrument_id).base)
        journal.lock(refs)
        free = {ref: account.balance for ref, account in journal.locked.items()}
        after, created = [], []
        for position in closing:
            blocking = sales.get((position.wallet_id, position.instrument_id), [])
            order = self._exit_order(journal, free, position, blocking, venues[position.id], now)
            if order is None and blocking:
                blocking = _make_way(canceler, blocking, free)
                order = self._exit_order(journal, free, position, blocking, venues[position.id], now)
            if order is not None:
                created.append(order)
                position = changed(position, now, exit_order_id=order.id)
                self._event(events, position, now, action="exit_order", price=None)
            elif not blocking:
                position = self._give_up(session, position, events, now)
            after.append(position)
        insert_orders(session, created)
        for order in created:
            order_event(events, order, self.instruments, [Transition(None, order.status, order.exit_reason)])
        owners = {position.wallet_id: position.client_id for position in closing}
        wallets.balance_events(events, owners, journal.flush().values())
        store_positions(session, after)
        events.flush(session)
        return after

    def _give_up(self, session: Session, position: PositionState, events: Events, now: datetime) -> PositionState:
        """The asset went elsewhere and there is nothing left to sell: say so instead of trying for ever."""
        position = armed(protect(take_back_exit(position, now), Protection(), None))
        self._event(events, position, now, action="exit_impossible", price=None)
        symbol = self.instruments.by_id(position.instrument_id).symbol
        message = f"position {position.id} in {symbol} cannot be closed: the wallet does not hold the asset any more"
        faults.alert(session, now, "exit_impossible", message, "position", position.id)
        return position

    def _exit_order(
        self,
        journal: Journal,
        free: dict[AccountRef, Decimal],
        position: PositionState,
        blocking: list[OrderState],
        venue: str,
        now: datetime,
    ) -> OrderState | None:
        instrument = self.instruments.by_id(position.instrument_id)
        spend = AccountRef(position.wallet_id, instrument.base, AccountKind.AVAILABLE)
        reducing = [sale for sale in blocking if sale.reduce_only]
        if any(sale.type is OrderType.LIMIT for sale in reducing):
            return None  # it rests on what the exit has to sell
        taken = sum((sale.leaves_qty for sale in reducing), ZERO)  # a close at the market is on its way
        qty = floor_to(abs(position.qty) - taken, instrument.lot_size)
        if qty <= 0:
            return None
        if free[spend] < qty:
            if blocking:
                return None
            qty = floor_to(free[spend], instrument.lot_size)  # the asset went elsewhere; sell what is there
            if qty <= 0:
                return None
        request = exit_of(
            position,
            instrument,
            qty,
            position.exit_reason,
            created_by=ACTOR,
            source=OrderSource.ENGINE,
            trigger_key=f"{position.id}:{position.protection_version}",
        )
        draft = Draft(instrument, qty, None, None, None, qty, instrument.base, None)
        order = new_order(request, draft, position.client_id, venue, now)
        journal.add(
            EntryKind.HOLD,
            ("order", order.id),
            f"hold:{order.id}:1",
            hold_lines(position.wallet_id, instrument.base, qty),
        )
        free[spend] -= qty  # a second exit of the wallet in this batch sees it gone
        return order

    def cancel_reducing(self, session: Session, now: datetime, order_ids: list[str]) -> None:
        """Cancel reduce-only orders that have nothing to reduce any more, or ask the venue to."""
        journal = Journal(session, self.instruments.scales, now, ACTOR)
        canceler = Canceler(session, self.instruments, self.quotes, journal, Events(now), now)
        found = canceler.lock(sa.and_(orders.c.id.in_(order_ids), orders.c.status.in_(CANCELABLE)))
        canceler.cancel(found, "the position is closed")
        owners = {order.wallet_id: order.client_id for order in found}
        wallets.balance_events(canceler.events, owners, canceler.journal.locked.values())
        canceler.events.flush(session)

    def _sales(self, session: Session, closing: list[PositionState]) -> dict[tuple[str, int], list[OrderState]]:
        """Live sales in the instruments of positions, by wallet and instrument; under their lock."""
        pairs = sa.tuple_(orders.c.wallet_id, orders.c.instrument_id).in_(
            sorted({(position.wallet_id, position.instrument_id) for position in closing})
        )
        found: dict[tuple[str, int], list[OrderState]] = {}
        for sale in Locks.of(session).orders(sa.and_(ORDER_IS_LIVE, pairs, orders.c.side == Side.SELL.value)):
            found.setdefault((sale.wallet_id, sale.instrument_id), []).append(sale)
        return found

    def _event(self, events: Events, position: PositionState, now: datetime, *, action: str, price: str | None) -> None:
        position_event(events, position, self.instruments, self.quotes, now, action=action, price=price)


def _make_way(canceler: Canceler, sales: list[OrderState], free: dict[AccountRef, Decimal]) -> list[OrderState]:
    """Cancel the sales that rest on what an exit has to sell; returns those that still hold it.

    What the venue has not heard of frees its hold at once, the others when the venue has ended them.
    """
    resting = [sale for sale in sales if sale.type is OrderType.LIMIT and sale.status in CANCELABLE]
    after = canceler.cancel(resting, "makes way for the exit")
    ended = {sale.id for sale in after if sale.terminal}
    for sale in resting:
        if sale.id in ended:
            free[AccountRef(sale.wallet_id, sale.hold_currency, AccountKind.AVAILABLE)] += sale.held
    return [sale for sale in sales if sale.id not in ended]


def _venues_of_entries(session: Session, closing: list[PositionState]) -> dict[str, str]:
    """Where each position was opened: it is closed there."""
    entries = {position.entry_order_id: position.id for position in closing}
    query = sa.select(orders.c.id, orders.c.venue).where(orders.c.id.in_(entries))
    return {entries[row.id]: row.venue for row in session.execute(query)}


def _narrowed(parked: set[str], only: str | None) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if parked:
        conditions.append(positions.c.id.not_in(parked))
    if only is not None:
        conditions.append(positions.c.id == only)
    return conditions
