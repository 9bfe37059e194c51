"""Cancelling: at once what the venue has never heard of, by asking the venue for the rest."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.domain.instruments import SymbolTable
from app.domain.ledger import AccountKind, AccountRef, EntryKind, hold_lines
from app.domain.money import ZERO
from app.domain.orders import TERMINAL, OrderStatus, Side, check_transition
from app.domain.positions import PositionStatus
from app.domain.risk import Failure
from app.models import Order, Position, Wallet, table_of
from app.schemas.orders import order_json
from app.services import positions as position_service
from app.services import wallets
from app.services.events import Events
from app.services.ledger import Journal
from app.services.locks import Locks
from app.services.quotes import QuoteBook

table, positions = table_of(Order), table_of(Position)
_COLUMNS = ("status", "version", "held", "leaves_qty", "closed_at")
_UPDATE = (
    sa.update(table)
    .where(table.c.id == sa.bindparam("row_id"))
    .values({name: sa.bindparam(f"new_{name}") for name in _COLUMNS})
)
LIVE_ORDERS = table.c.status.not_in(sorted(status.value for status in TERMINAL))
# not those that are on their way out already, nor what reduces a position
ENTRIES = sa.and_(
    LIVE_ORDERS,
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

    def lock(self, where: sa.ColumnElement[bool]) -> list[dict[str, Any]]:
        """Orders under their lock, after the positions that a cancelled close would set free.

        A close that was entered between the two locks is left out: it came after the request.
        """
        locks = Locks.of(self.session)
        closes = sa.select(table.c.position_id).where(
            where, table.c.status == OrderStatus.NEW.value, table.c.position_id.is_not(None)
        )
        closing = list(self.session.scalars(closes))
        freed = {row["id"] for row in locks.positions(positions.c.id.in_(closing))} if closing else set()
        rows = locks.orders(where)
        return [row for row in rows if row["status"] != OrderStatus.NEW or row["position_id"] in {None, *freed}]

    def accounts(self, rows: Iterable[dict[str, Any]]) -> set[AccountRef]:
        """The accounts that cancelling these orders moves money between."""
        return {
            AccountRef(row["wallet_id"], row["hold_currency"], kind)
            for row in rows
            if row["status"] == OrderStatus.NEW
            for kind in (AccountKind.AVAILABLE, AccountKind.HELD)
        }

    def cancel(self, rows: list[dict[str, Any]], reason: str) -> None:
        """Cancel live orders, or ask the venue to; the rows are brought to their new state."""
        if not rows:
            return
        self.journal.lock(self.accounts(rows))
        for row in rows:
            self._cancel(row, reason)
        self.journal.flush()
        changes = [{"row_id": row["id"], **{f"new_{name}": row[name] for name in _COLUMNS}} for row in rows]
        self.session.connection().execute(_UPDATE, changes)

    def _cancel(self, row: dict[str, Any], reason: str) -> None:
        status = OrderStatus(row["status"])
        wanted = OrderStatus.CANCELED if status is OrderStatus.NEW else OrderStatus.PENDING_CANCEL
        check_transition(row["id"], status, wanted)
        row.update(status=wanted.value, version=row["version"] + 1)
        if wanted is OrderStatus.CANCELED:  # the venue never heard of it
            self._reopen(row)
            self.journal.add(
                EntryKind.RELEASE, ("order", row["id"]), f"hold:{row['id']}:{row['version']}",
                hold_lines(row["wallet_id"], row["hold_currency"], -row["held"]),
            )  # fmt: skip
            row.update(held=ZERO, leaves_qty=ZERO, closed_at=self.now)
        symbol = self.instruments.by_id(row["instrument_id"]).symbol
        order_event(self.events, row, order_json(row, symbol), status, reason)

    def _reopen(self, row: dict[str, Any]) -> None:
        """A close that ended without closing its position: the position may be exited again."""
        if row["position_id"] is None:
            return
        (position,) = Locks.of(self.session).positions(positions.c.id == row["position_id"])
        if position["exit_order_id"] == row["id"]:
            position_service.set_status(
                self.session, position, PositionStatus.OPEN, self.events, self.instruments, self.quotes, self.now,
                action="exit_canceled",
            )  # fmt: skip

    def stop_entries(self, wallet_ids: Collection[str]) -> list[dict[str, Any]]:
        """The locked orders that could still open something in these wallets; what reduces is not among them."""
        return self.lock(sa.and_(table.c.wallet_id.in_(wallet_ids), ENTRIES)) if wallet_ids else []


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
    canceler = Canceler(session, instruments, quotes, Journal(session, now, "system"), Events(now), now)
    rows = canceler.stop_entries(breaches.keys())
    for wallet, failure in breaches.values():
        wallets.suspend(session, wallet, failure, canceler.events, now)
    canceler.cancel(rows, "the wallet is suspended")
    owners = {wallet.id: wallet.client_id for wallet, _ in breaches.values()}
    wallets.balance_events(canceler.events, owners, canceler.journal.locked.values())
    canceler.events.flush(session)


def order_event(
    events: Events,
    row: dict[str, Any],
    shown: dict[str, Any],
    previous: OrderStatus | None,
    reason: str | None,
    type_: str | None = None,
    **told: Any,
) -> None:
    """One change of an order: ``order.<status>`` unless another type is named; ``told`` stands beside it."""
    events.add(
        row["client_id"], type_ or f"order.{row['status'].lower()}", "order", row["id"], shown,
        version=row["version"], previous_status=previous.value if previous else None, reason=reason, **told,
    )  # fmt: skip
