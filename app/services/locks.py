"""The one order in which rows are locked: wallets, positions, orders, accounts, each by ascending id.

Two transactions that lock in one order never wait for each other in a circle. Whoever needs an earlier
row later starts again with all it needs: ``Locks`` refuses it, on both databases.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.domain.execution import OrderState
from app.domain.orders import OrderStatus
from app.domain.positions import PositionState, PositionStatus
from app.models import ORDER_TO_SEND, Client, Order, Position, Wallet, table_of

positions, orders = table_of(Position), table_of(Order)
_IDS: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)


def _locking(table: sa.Table, *, skip_locked: bool = False) -> sa.Select[Any]:
    return sa.select(table).order_by(table.c.id).with_for_update(skip_locked=skip_locked)


# statements of the order path are made once: making one costs several times what running it does
_WALLETS = (
    sa.select(Wallet, Client)
    .join(Client, Client.id == Wallet.client_id)
    .where(Wallet.id.in_(_IDS))
    .order_by(Wallet.id)
    .execution_options(populate_existing=True)
)
# NO KEY UPDATE, so that the engine's inserts, which reference the wallet, do not wait for it
_LOCK_WALLETS = _WALLETS.with_for_update(key_share=True, of=Wallet)
_LOCK_FREE_WALLETS = _WALLETS.with_for_update(key_share=True, of=Wallet, skip_locked=True)
_LOCK_ORDERS = _locking(orders).where(orders.c.id.in_(_IDS))
_LOCK_FREE_NEW_ORDERS = (
    _locking(orders, skip_locked=True)
    .where(ORDER_TO_SEND, orders.c.status == OrderStatus.NEW.value)
    .limit(sa.bindparam("most"))
)
_of_orders = sa.select(orders.c.wallet_id, orders.c.instrument_id).where(orders.c.id.in_(_IDS))
_LOCK_OPEN_POSITIONS_OF_ORDERS = _locking(positions).where(
    positions.c.status != PositionStatus.CLOSED.value,
    sa.tuple_(positions.c.wallet_id, positions.c.instrument_id).in_(_of_orders),
)


class Kind(IntEnum):
    """In the order in which they are locked."""

    WALLETS = 1
    POSITIONS = 2
    ORDERS = 3
    ACCOUNTS = 4


class LockOrderViolation(RuntimeError):
    """A row was locked after one that comes later: a mistake in our code, found before it is a deadlock."""


class Locks:
    """What one transaction has locked. There is one per session: ``Locks.of(session)``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._held: dict[Kind, set[Any]] = {kind: set() for kind in Kind}
        self._wallets: dict[str, tuple[Wallet, Client]] = {}

    @classmethod
    def of(cls, session: Session) -> Locks:
        found: Locks | None = session.info.get("locks")
        if found is None:
            found = session.info["locks"] = cls(session)
        return found

    def note(self, kind: Kind, ids: Iterable[Any]) -> None:
        """Remember rows that a statement has just locked, as it gave them. Raises ``LockOrderViolation``."""
        fresh = [id_ for id_ in ids if id_ not in self._held[kind]]
        if not fresh:
            return
        later = [other.name.lower() for other in Kind if other > kind and self._held[other]]
        if later:
            raise LockOrderViolation(f"{kind.name.lower()} are locked after {', '.join(later)}")
        if fresh != sorted(fresh) or (self._held[kind] and fresh[0] < max(self._held[kind])):
            raise LockOrderViolation(f"{kind.name.lower()} are not locked by ascending id")
        self._held[kind].update(fresh)

    def wallets(self, wallet_ids: Iterable[str], *, skip_locked: bool = False) -> dict[str, tuple[Wallet, Client]]:
        """Wallets with their clients, by wallet id; the client's row is read, not locked.

        With ``skip_locked`` those that somebody else holds are left out instead of waited for.
        """
        wanted = set(wallet_ids)
        if wanted - self._wallets.keys():
            query = _LOCK_FREE_WALLETS if skip_locked else _LOCK_WALLETS
            rows = self._session.execute(query, {"ids": list(wanted)})
            found = {wallet.id: (wallet, client) for wallet, client in rows}
            self.note(Kind.WALLETS, found)
            self._wallets.update(found)
        return {wallet_id: self._wallets[wallet_id] for wallet_id in sorted(wanted) if wallet_id in self._wallets}

    def wallet(self, wallet_id: str) -> tuple[Wallet, Client]:
        """One wallet that exists, with its client."""
        return self.wallets({wallet_id})[wallet_id]

    def position(self, position_id: str) -> PositionState:
        """One position that exists."""
        (position,) = self.positions(positions.c.id == position_id)
        return position

    def order(self, order_id: str) -> OrderState:
        """One order that exists."""
        (order,) = self.orders_by_id([order_id])
        return order

    def wait_at_most(self, milliseconds: int) -> None:
        """From here on a lock that is not had in time ends the transaction; PostgreSQL alone has such waits."""
        if self._session.get_bind().dialect.name == "postgresql":
            self._session.execute(sa.text(f"SET LOCAL lock_timeout = {milliseconds:d}"))

    def positions(self, where: sa.ColumnElement[bool], limit: int | None = None) -> list[PositionState]:
        """Positions as they are under their lock, by ascending id."""
        return self._positions(_locking(positions).where(where).limit(limit))

    def open_positions_of_orders(self, order_ids: Iterable[str]) -> list[PositionState]:
        """The open positions that orders may change: those of their wallets and instruments."""
        return self._positions(_LOCK_OPEN_POSITIONS_OF_ORDERS, ids=list(order_ids))

    def orders(
        self, where: sa.ColumnElement[bool], limit: int | None = None, *, skip_locked: bool = False
    ) -> list[OrderState]:
        """Orders as they are under their lock, by ascending id; without those others hold, if asked."""
        return self._orders(_locking(orders, skip_locked=skip_locked).where(where).limit(limit))

    def orders_by_id(self, order_ids: Iterable[str]) -> list[OrderState]:
        """Those of the orders that exist."""
        return self._orders(_LOCK_ORDERS, ids=list(order_ids))

    def free_new_orders(self, most: int) -> list[OrderState]:
        """The oldest orders in NEW that nobody else holds."""
        return self._orders(_LOCK_FREE_NEW_ORDERS, most=most)

    def _positions(self, query: sa.Select[Any], **values: Any) -> list[PositionState]:
        return [PositionState.of(row) for row in self._rows(Kind.POSITIONS, query, values)]

    def _orders(self, query: sa.Select[Any], **values: Any) -> list[OrderState]:
        return [OrderState.of(row) for row in self._rows(Kind.ORDERS, query, values)]

    def _rows(self, kind: Kind, query: sa.Select[Any], values: dict[str, Any]) -> Sequence[sa.RowMapping]:
        rows = self._session.execute(query, values).mappings().all()
        self.note(kind, [row["id"] for row in rows])
        return rows
