"""Cancelling: at once what the venue has never heard of, by asking the venue for the rest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Conflict
from app.domain.execution import OrderState, move
from app.domain.instruments import SymbolTable
from app.domain.ledger import AccountKind, AccountRef, EntryKind, hold_lines
from app.domain.money import ZERO
from app.domain.orders import OrderStatus, Side
from app.domain.positions import PositionState, PositionStatus, take_back_exit
from app.domain.risk import Failure
from app.models import ORDER_IS_LIVE, Order, Position, Wallet, table_of
from app.services import wallets
from app.services.events import Events
from app.services.ledger import Journal
from app.services.locks import Locks
from app.services.quotes import QuoteBook
from app.services.records import Transition, order_event, position_event, store_orders, store_positions

from .drafting import Drafting

table, positions = table_of(Order), table_of(Position)
# not those that are on their way out already, nor what reduces a position
ENTRIES = sa.and_(
    ORDER_IS_LIVE,
    table.c.status != OrderStatus.PENDING_CANCEL.value,
    table.c.side == Side.BUY.value,
    table.c.reduce_only.is_(False),
)


@dataclass(frozen=True, slots=True)
class Canceler:
    """Cancels locked orders of one transaction; ``journal`` is the one that its other money goes through."""

    session: Session
    instruments: SymbolTable
    quotes: QuoteBook
    journal: Journal
    events: Events
    now: datetime
    _closing: dict[str, PositionState] = field(default_factory=dict, init=False)  # locked, by id

    def lock(self, where: sa.ColumnElement[bool]) -> list[OrderState]:
        """Orders under their lock, after the positions that a cancelled close would set free.

        A close that was entered between the two locks is left out: it came after the request.
        """
        locks = Locks.of(self.session)
        closes = sa.select(table.c.position_id).where(
            where, table.c.status == OrderStatus.NEW.value, table.c.position_id.is_not(None)
        )
        closing = list(self.session.scalars(closes))
        freed = locks.positions(positions.c.id.in_(closing)) if closing else []
        self._closing.update({position.id: position for position in freed})
        return [
            order
            for order in locks.orders(where)
            if order.status is not OrderStatus.NEW or order.position_id is None or order.position_id in self._closing
        ]

    def accounts(self, orders: Iterable[OrderState]) -> set[AccountRef]:
        """The accounts that cancelling these orders moves money between."""
        return {
            AccountRef(order.wallet_id, order.hold_currency, kind)
            for order in orders
            if order.status is OrderStatus.NEW
            for kind in (AccountKind.AVAILABLE, AccountKind.HELD)
        }

    def cancel(self, orders: Collection[OrderState], reason: str) -> list[OrderState]:
        """Cancel live locked orders, or ask the venue to; returns them in their new state.

        Those whose cancel travels already stay as they are.
        """
        if not orders:
            return []
        self.journal.lock(self.accounts(orders))
        after = [self._cancel(order, reason) for order in orders]
        self.journal.flush()
        store_orders(self.session, [order for order, before in zip(after, orders, strict=True) if order is not before])
        return after

    def _cancel(self, order: OrderState, reason: str) -> OrderState:
        before = order.status
        if before is OrderStatus.PENDING_CANCEL:
            return order
        if before is OrderStatus.NEW:  # the venue never heard of it
            self._reopen(order)
            freed = order.held
            order = move(order, OrderStatus.CANCELED, self.now, held=ZERO)
            self.journal.add(
                EntryKind.RELEASE,
                ("order", order.id),
                f"hold:{order.id}:{order.version}",
                hold_lines(order.wallet_id, order.hold_currency, -freed),
            )
        else:
            order = move(order, OrderStatus.PENDING_CANCEL, self.now)
        order_event(self.events, order, self.instruments, [Transition(before, order.status, reason)])
        return order

    def _reopen(self, order: OrderState) -> None:
        """A close that ended without closing its position: the position may be exited again."""
        position = self._closing.get(order.position_id or "")
        if position is None or position.exit_order_id != order.id:
            return
        if position.status is PositionStatus.CLOSING:  # nothing else has closed it meanwhile
            position = self._closing[position.id] = take_back_exit(position, self.now)
            store_positions(self.session, [position])
            position_event(
                self.events, position, self.instruments, self.quotes, self.now, reason=None, action="exit_canceled"
            )

    def stop_entries(self, wallet_ids: Collection[str]) -> list[OrderState]:
        """The locked orders that could still open something in these wallets; what reduces is not among them."""
        return self.lock(sa.and_(table.c.wallet_id.in_(wallet_ids), ENTRIES)) if wallet_ids else []


class OrderCancels(Drafting):
    def cancel(
        self,
        session: Session,
        order_id: str,
        *,
        actor: str,
        now: datetime,
        check_version: Callable[[int], None] | None = None,
    ) -> dict[str, Any]:
        """Cancel, or ask the venue to. Raises ``Conflict`` with the final state when it is too late.

        Locks the position that a cancelled close sets free, the order and its accounts.
        """
        canceler = self._canceler(session, actor, now)
        (order,) = canceler.lock(table.c.id == order_id)
        if check_version is not None:
            check_version(order.version)
        if order.terminal:
            raise Conflict(f"the order is {order.status}", code="too_late", extra={"order": self.show(order)})
        return self._cancel(canceler, [order])[0]

    def cancel_all(
        self,
        session: Session,
        clients: sa.Select[Any] | None,
        *,
        client_id: str | None,
        wallet_id: str | None,
        symbol: str | None,
        side: Side | None,
        actor: str,
        now: datetime,
    ) -> list[dict[str, Any]]:
        """Cancel every live order that matches; returns them in their new state.

        ``clients`` are those the caller may trade for, None for all. Locks positions, orders and accounts,
        each once, so that two of these at a time do not wait for each other in a circle.
        """
        wanted: list[Any] = [ORDER_IS_LIVE]
        if clients is not None:
            wanted.append(table.c.client_id.in_(clients))
        if client_id is not None:
            wanted.append(table.c.client_id == client_id)
        if wallet_id is not None:
            wanted.append(table.c.wallet_id == wallet_id)
        if symbol is not None:
            wanted.append(table.c.instrument_id == self.resolve(symbol).id)
        if side is not None:
            wanted.append(table.c.side == side.value)
        canceler = self._canceler(session, actor, now)
        return self._cancel(canceler, canceler.lock(sa.and_(*wanted)))

    def _canceler(self, session: Session, actor: str, now: datetime) -> Canceler:
        journal = Journal(session, self.instruments.scales, now, actor)
        return Canceler(session, self.instruments, self.quotes, journal, Events(now), now)

    def _cancel(self, canceler: Canceler, locked: list[OrderState]) -> list[dict[str, Any]]:
        after = canceler.cancel(locked, "canceled by request")
        owners = {order.wallet_id: order.client_id for order in locked}
        wallets.balance_events(canceler.events, owners, canceler.journal.locked.values())
        canceler.events.flush(canceler.session)
        return [self.show(order) for order in after]


def suspend(
    session: Session,
    breaches: Mapping[str, tuple[Wallet, Failure]],
    instruments: SymbolTable,
    quotes: QuoteBook,
    now: datetime,
) -> None:
    """Suspend locked wallets, by id, that have reached a limit; cancels their entry orders, leaves exits armed."""
    if not breaches:
        return
    journal = Journal(session, instruments.scales, now, "system")
    canceler = Canceler(session, instruments, quotes, journal, Events(now), now)
    stopped = canceler.stop_entries(breaches.keys())
    for wallet, failure in breaches.values():
        wallets.suspend(session, wallet, failure, canceler.events, now)
    canceler.cancel(stopped, "the wallet is suspended")
    owners = {wallet.id: wallet.client_id for wallet, _ in breaches.values()}
    wallets.balance_events(canceler.events, owners, canceler.journal.locked.values())
    canceler.events.flush(session)
