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
from app.domain.positions import PositionState
from app.models import Client, Order, Position, Wallet, table_of

positions, orders = table_of(Position), table_of(Order)


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

        NO KEY UPDATE, so that the engine's inserts, which reference the wallet, do not wait for it. With
        ``skip_locked`` those that somebody else holds are left out instead of waited for.
        """
        wanted = set(wallet_ids)
        if wanted - self._wallets.keys():
            query = (
                sa.select(Wallet, Client)
                .join(Client, Client.id == Wallet.client_id)
                .where(Wallet.id.in_(wanted))
                .order_by(Wallet.id)
                .with_for_update(key_share=True, of=Wallet, skip_locked=skip_locked)
                .execution_options(populate_existing=True)
            )
            found = {wallet.id: (wallet, client) for wallet, client in self._session.execute(query)}
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
        (order,) = self.orders(orders.c.id == order_id)
        return order

    def wait_at_most(self, milliseconds: int) -> None:
        """From here on a lock that is not had in time ends the transaction; PostgreSQL alone has such waits."""
        if self._session.get_bind().dialect.name == "postgresql":
            self._session.execute(sa.text(f"SET LOCAL lock_timeout = {milliseconds:d}"))

    def positions(self, where: sa.ColumnElement[bool], limit: int | None = None) -> list[PositionState]:
        """Positions as they are under their lock, by ascending id."""
        return [PositionState.of(row) for row in self._rows(Kind.POSITIONS, positions, where, limit)]

    def orders(
        self, where: sa.ColumnElement[bool], limit: int | None = None, *, skip_locked: bool = False
    ) -> list[OrderState]:
        """Orders as they are under their lock, by ascending id; without those others hold, if asked."""
        return [OrderState.of(row) for row in self._rows(Kind.ORDERS, orders, where, limit, skip_locked)]

    def _rows(
        self,
        kind: Kind,
        table: sa.Table,
        where: sa.ColumnElement[bool],
        limit: int | None,
        skip_locked: bool = False,
    ) -> Sequence[sa.RowMapping]:
        query = sa.select(table).where(where).order_by(table.c.id).limit(limit).with_for_update(skip_locked=skip_locked)
        rows = self._session.execute(query).mappings().all()
        self.note(kind, [row["id"] for row in rows])
        return rows
