"""The journal's one writer, and reading it: balances, movements, trial balance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.bulk import BulkInsert, BulkUpdate
from app.core.errors import Conflict
from app.core.ids import new_id
from app.domain.ledger import AccountKind, AccountRef, EntryKind, PostingLine, check_balanced
from app.domain.money import ZERO
from app.models import JournalEntry, LedgerAccount, Posting, exact_sum, table_of

from .locks import Kind, Locks

# Plan Contable General Empresarial (Peru): the code an account of each kind carries
CHART = {
    AccountKind.AVAILABLE: "4691",
    AccountKind.HELD: "4692",
    AccountKind.CLEARING: "1691",
    AccountKind.FEES: "7041",
    AccountKind.EXTERNAL: "1041",
    AccountKind.ROUNDING: "6599",
    AccountKind.RECEIVABLE: "1681",
}
WALLET_KINDS = frozenset({AccountKind.AVAILABLE, AccountKind.HELD})

accounts = table_of(LedgerAccount)
entries = table_of(JournalEntry)
postings = table_of(Posting)
_INSERT_POSTINGS = BulkInsert(postings, ("entry_id", "account_id", "currency", "amount", "posted_at"))
_INSERT_ENTRIES = BulkInsert(entries)
_UPDATE_BALANCES = BulkUpdate(accounts, ("balance", "version"))


class InsufficientFunds(Conflict):
    """A posting would take a wallet's balance below zero. ``extra`` has account and amounts."""

    code, title = "insufficient_funds", "Not enough funds"


@dataclass(slots=True)
class LockedAccount:
    """A wallet's account under its row lock; ``balance`` moves with what is added to the journal."""

    id: int
    ref: AccountRef
    balance: Decimal
    version: int
    changed: bool = False  # since it was last written
    posted: bool = False  # by this journal at all


def lock_accounts(session: Session, refs: Iterable[AccountRef], now: datetime) -> dict[AccountRef, LockedAccount]:
    """Lock wallets' accounts in ascending id, creating those that do not exist yet."""
    wanted = set(refs)
    if not wanted:
        return {}
    found = _select_locked(session, wanted)
    missing = wanted - found.keys()
    if missing:
        _create(session, missing, now)
        found = _select_locked(session, wanted)  # the ascending order again: a new one may stand between
    Locks.of(session).note(Kind.ACCOUNTS, (account.id for account in found.values()))
    return found


def _select_locked(session: Session, refs: set[AccountRef]) -> dict[AccountRef, LockedAccount]:
    query = (
        sa.select(
            accounts.c.id,
            accounts.c.owner,
            accounts.c.currency,
            accounts.c.kind,
            accounts.c.balance,
            accounts.c.version,
        )
        .where(
            sa.tuple_(accounts.c.owner, accounts.c.currency, accounts.c.kind).in_(
                [(ref.owner, ref.currency, ref.kind.value) for ref in refs]
            )
        )
        .order_by(accounts.c.id)
        .with_for_update()
    )
    locked = {}
    for row in session.execute(query):
        ref = AccountRef(row.owner, row.currency, AccountKind(row.kind))
        locked[ref] = LockedAccount(row.id, ref, row.balance, row.version)
    return locked


def _create(session: Session, refs: Iterable[AccountRef], now: datetime) -> None:
    dialect = session.get_bind().dialect.name
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    rows = [
        {
            "owner": ref.owner,
            "wallet_id": ref.owner if ref.kind in WALLET_KINDS else None,
            "currency": ref.currency,
            "kind": ref.kind.value,
            "code": CHART[ref.kind],
            "balance": ZERO if ref.kind in WALLET_KINDS else None,
            "version": 0,
            "created_at": now,
        }
        for ref in sorted(refs, key=lambda ref: (ref.owner, ref.currency, ref.kind))
    ]
    session.execute(insert(accounts).values(rows).on_conflict_do_nothing())


@dataclass(slots=True)
class _Entry:
    row: dict[str, Any]
    lines: list[PostingLine]


@dataclass(slots=True)
class Journal:
    """Collects balanced entries and writes them in bulk, postings before their entries.

    Wallets' accounts are locked in ascending id when it flushes (or before, by ``lock_accounts``); house
    accounts are never locked. Nothing is committed here.
    """

    session: Session
    now: datetime
    actor: str
    locked: dict[AccountRef, LockedAccount] = field(default_factory=dict)
    _pending: list[_Entry] = field(default_factory=list)

    def add(
        self,
        kind: EntryKind,
        about: tuple[str, str],
        external_ref: str,
        lines: list[PostingLine],
        *,
        source: str = "cambista",
        memo: str | None = None,
        effective_at: datetime | None = None,
        reverses_id: str | None = None,
        actor: str | None = None,
    ) -> str:
        """Queue an entry and return its id. Raises ``domain.ledger.Unbalanced``."""
        check_balanced(lines)
        entry_id = new_id()
        row = {
            "id": entry_id,
            "kind": kind.value,
            "about_type": about[0],
            "about_id": about[1],
            "source": source,
            "external_ref": external_ref,
            "effective_at": effective_at or self.now,
            "created_by": actor or self.actor,
            "memo": memo,
            "reverses_id": reverses_id,
        }
        self._pending.append(_Entry(row, lines))
        return entry_id

    def lock(self, refs: Iterable[AccountRef]) -> None:
        """Lock accounts before anything is decided on their balances."""
        self.locked.update(lock_accounts(self.session, refs, self.now))

    def flush(self) -> dict[AccountRef, LockedAccount]:
        """Write what is pending; returns the locked accounts with their new balances.

        Raises ``InsufficientFunds`` when a wallet's balance would fall below zero.
        """
        if not self._pending:
            return self.locked
        refs = {line.account for entry in self._pending for line in entry.lines}
        wallet_refs = {ref for ref in refs if ref.kind in WALLET_KINDS}
        if wallet_refs - self.locked.keys():
            self.lock(wallet_refs)
        ids = self._house_ids(refs - wallet_refs)
        rows = []
        for entry in self._pending:
            for line in entry.lines:
                account = self.locked.get(line.account)
                if account is not None:
                    account.balance += line.amount
                    account.changed = account.posted = True
                rows.append(
                    {
                        "entry_id": entry.row["id"],
                        "account_id": account.id if account is not None else ids[line.account],
                        "currency": line.account.currency,
                        "amount": line.amount,
                        "posted_at": entry.row["effective_at"],
                    }
                )
        self._check_funds()
        self._write(rows)
        self._pending.clear()
        return self.locked

    def _check_funds(self) -> None:
        for account in self.locked.values():
            if account.balance < 0:
                raise InsufficientFunds(
                    f"{account.ref.kind} {account.ref.currency} would be {account.balance}",
                    extra={"wallet_id": account.ref.owner, "currency": account.ref.currency},
                )

    def _house_ids(self, refs: set[AccountRef]) -> dict[AccountRef, int]:
        if not refs:
            return {}
        query = sa.select(accounts.c.id, accounts.c.owner, accounts.c.currency, accounts.c.kind).where(
            accounts.c.wallet_id.is_(None), accounts.c.owner.in_({ref.owner for ref in refs})
        )

        def read() -> dict[AccountRef, int]:
            return {
                AccountRef(row.owner, row.currency, AccountKind(row.kind)): row.id
                for row in self.session.execute(query)
            }

        ids = read()
        if refs - ids.keys():
            _create(self.session, refs - ids.keys(), self.now)
            ids = read()
        return ids

    def _write(self, rows: list[dict[str, Any]]) -> None:
        numbers = _next_numbers(self.session, len(self._pending))
        _INSERT_POSTINGS.run(self.session, rows)
        _INSERT_ENTRIES.run(
            self.session,
            [{**entry.row, "number": number} for entry, number in zip(self._pending, numbers, strict=True)],
        )
        changed = [account for account in self.locked.values() if account.changed]
        for account in changed:
            account.version += 1
            account.changed = False
        _UPDATE_BALANCES.run(
            self.session,
            [{"id": account.id, "balance": account.balance, "version": account.version} for account in changed],
        )


def _next_numbers(session: Session, count: int) -> list[int]:
    """Numbers for new entries: a sequence on PostgreSQL, the next ones under SQLite's one write lock."""
    if session.get_bind().dialect.name == "postgresql":
        series = sa.func.generate_series(1, count).table_valued("n")
        return list(session.scalars(sa.select(sa.func.nextval("journal_entry_numbers")).select_from(series)))
    last = session.scalar(sa.select(sa.func.max(entries.c.number))) or 0
    return list(range(last + 1, last + count + 1))


def balances(session: Session, wallet_id: str) -> dict[str, dict[str, Decimal]]:
    """available, held and total of each asset of a wallet, now."""
    query = sa.select(accounts.c.currency, accounts.c.kind, accounts.c.balance).where(accounts.c.wallet_id == wallet_id)
    result: dict[str, dict[str, Decimal]] = defaultdict(lambda: {"available": ZERO, "held": ZERO, "total": ZERO})
    for row in session.execute(query.order_by(accounts.c.currency)):
        result[row.currency][row.kind] = row.balance
        result[row.currency]["total"] += row.balance
    return dict(result)


def balances_as_of(session: Session, wallet_id: str, moment: datetime) -> dict[str, dict[str, Decimal]]:
    """The same at any past instant, from the postings up to and including it."""
    query = (
        sa.select(accounts.c.currency, accounts.c.kind, exact_sum(postings.c.amount).label("balance"))
        .join(postings, postings.c.account_id == accounts.c.id)
        .where(accounts.c.wallet_id == wallet_id, postings.c.posted_at <= moment)
        .group_by(accounts.c.currency, accounts.c.kind)
        .order_by(accounts.c.currency)
    )
    result: dict[str, dict[str, Decimal]] = defaultdict(lambda: {"available": ZERO, "held": ZERO, "total": ZERO})
    for row in session.execute(query):
        result[row.currency][row.kind] = row.balance
        result[row.currency]["total"] += row.balance
    return dict(result)


def trial_balance(session: Session, until: datetime | None = None) -> list[dict[str, Any]]:
    """Debits, credits and balance per chart code, kind and currency; each currency sums to zero.

    Positive amounts are debits of the house's own accounts' point of view reversed for wallets: a wallet's
    balance is what the firm owes, so the sign is shown as posted.
    """
    condition = [] if until is None else [postings.c.posted_at <= until]
    zero = sa.literal(ZERO, type_=postings.c.amount.type)
    positive = sa.case((postings.c.amount > zero, postings.c.amount), else_=zero)
    query = (
        sa.select(
            accounts.c.code,
            accounts.c.kind,
            accounts.c.currency,
            exact_sum(positive).label("increases"),
            exact_sum(postings.c.amount).label("balance"),
            sa.func.count(postings.c.id).label("postings"),
        )
        .join(postings, postings.c.account_id == accounts.c.id)
        .where(*condition)
        .group_by(accounts.c.code, accounts.c.kind, accounts.c.currency)
        .order_by(accounts.c.currency, accounts.c.code)
    )
    return [
        {
            "code": row.code,
            "kind": row.kind,
            "currency": row.currency,
            "increases": row.increases,
            "decreases": row.increases - row.balance,
            "balance": row.balance,
            "postings": row.postings,
        }
        for row in session.execute(query)
    ]


def reverse(session: Session, entry_id: str, now: datetime, actor: str, memo: str) -> str:
    """Post the opposite of an entry, linked to it. An entry can be reversed once."""
    original = session.get(JournalEntry, entry_id)
    if original is None:
        raise Conflict("there is no such entry", code="unknown_entry")
    query = (
        sa.select(accounts.c.owner, accounts.c.currency, accounts.c.kind, postings.c.amount)
        .join(accounts, accounts.c.id == postings.c.account_id)
        .where(postings.c.entry_id == entry_id)
    )
    lines = [
        PostingLine(AccountRef(row.owner, row.currency, AccountKind(row.kind)), -row.amount)
        for row in session.execute(query)
    ]
    journal = Journal(session, now, actor)
    about = (original.about_type, original.about_id)
    reversal = journal.add(EntryKind.REVERSAL, about, f"reversal:{entry_id}", lines, memo=memo, reverses_id=entry_id)
    journal.flush()
    return reversal
