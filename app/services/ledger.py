"""The journal's one writer, and reading it: balances, movements, trial balance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.core.bulk import BulkInsert, BulkUpdate
from app.core.errors import Conflict
from app.core.ids import new_id
from app.domain.ledger import AccountKind, AccountRef, EntryKind, NormalSide, PostingLine, check_balanced
from app.domain.money import ZERO, Scales
from app.models import ChartAccount, JournalEntry, LedgerAccount, Posting, exact_sum, table_of

from . import market
from .locks import Kind, Locks

WALLET_KINDS = frozenset({AccountKind.AVAILABLE, AccountKind.HELD})  # their owner is a wallet

accounts, chart = table_of(LedgerAccount), table_of(ChartAccount)
entries = table_of(JournalEntry)
postings = table_of(Posting)
_LOCK = (
    sa.select(
        accounts.c.id,
        accounts.c.owner,
        accounts.c.currency,
        accounts.c.kind,
        accounts.c.balance,
        accounts.c.version,
        accounts.c.floor,
        accounts.c.normal_side,
    )
    .where(sa.tuple_(accounts.c.owner, accounts.c.currency, accounts.c.kind).in_(sa.bindparam("named", expanding=True)))
    .order_by(accounts.c.id)
    .with_for_update()
)
_IDS = sa.select(
    accounts.c.id, accounts.c.owner, accounts.c.currency, accounts.c.kind, accounts.c.balance.is_not(None)
).where(
    accounts.c.owner.in_(sa.bindparam("owners", expanding=True)),
    accounts.c.kind.in_(sa.bindparam("kinds", expanding=True)),
)
_INSERT_POSTINGS = BulkInsert(postings, ("entry_id", "account_id", "currency", "amount", "posted_at"))
_INSERT_ENTRIES = BulkInsert(entries, sequences={"number": "journal_entry_numbers"})
_LAST_NUMBER = sa.select(sa.func.max(entries.c.number))
_UPDATE_BALANCES = BulkUpdate(accounts, ("balance", "version"))


class InsufficientFunds(Conflict):
    """A posting would take a balance below its account's floor. ``extra`` has owner and currency."""

    code, title = "insufficient_funds", "Not enough funds"


@dataclass(slots=True)
class LockedAccount:
    """An account with a balance, under its row lock; ``balance`` moves with what is added to the journal."""

    id: int
    ref: AccountRef
    balance: Decimal
    version: int
    floor: Decimal | None
    credit: bool  # credits increase the balance
    changed: bool = False  # since it was last written
    posted: bool = False  # by this journal at all


class NoSuchAccount(LookupError):
    """The chart of accounts has no code for accounts of this kind."""


def lock_accounts(session: Session, refs: Iterable[AccountRef], now: datetime) -> dict[AccountRef, LockedAccount]:
    """Lock accounts that have a balance in ascending id, opening those that do not exist yet."""
    wanted = set(refs)
    if not wanted:
        return {}
    found = _select_locked(session, wanted)
    missing = wanted - found.keys()
    if missing:
        _open(session, missing, now)
        found = _select_locked(session, wanted)  # the ascending order again: a new one may stand between
        _require(wanted - found.keys())
    Locks.of(session).note(Kind.ACCOUNTS, (account.id for account in found.values()))
    return found


def _select_locked(session: Session, refs: set[AccountRef]) -> dict[AccountRef, LockedAccount]:
    named = [(ref.owner, ref.currency, ref.kind.value) for ref in refs]
    locked = {}
    for row in session.execute(_LOCK, {"named": named}):
        ref = AccountRef(row.owner, row.currency, AccountKind(row.kind))
        credit = row.normal_side == NormalSide.CREDIT
        locked[ref] = LockedAccount(row.id, ref, row.balance, row.version, row.floor, credit)
    return locked


def _open(session: Session, refs: Iterable[AccountRef], now: datetime) -> None:
    """Open accounts as the chart says; those that another transaction has opened meanwhile stay as they are."""
    rows = [
        {
            "new_owner": ref.owner,
            "new_wallet_id": ref.owner if ref.kind in WALLET_KINDS else None,
            "new_currency": ref.currency,
            "new_kind": ref.kind.value,
            "new_created_at": now,
        }
        for ref in sorted(refs, key=lambda ref: (ref.owner, ref.currency, ref.kind))
    ]
    session.execute(_OPENING[session.get_bind().dialect.name], rows)


def _opening(insert: Any) -> Any:
    def new(name: str) -> sa.BindParameter[Any]:
        return sa.bindparam(f"new_{name}", type_=accounts.c[name].type)

    first_code = sa.select(sa.func.min(chart.c.code)).where(chart.c.kind == new("kind")).scalar_subquery()
    columns = {
        "owner": new("owner"),
        "wallet_id": new("wallet_id"),
        "currency": new("currency"),
        "kind": chart.c.kind,
        "code": chart.c.code,
        "normal_side": chart.c.normal_side,
        "floor": chart.c.floor,
        "balance": sa.case((chart.c.cached, sa.literal(ZERO, accounts.c.balance.type))),
        "version": sa.literal(0),
        "created_at": new("created_at"),
    }
    of_chart = sa.select(*columns.values()).where(chart.c.code == first_code)
    return insert(accounts).from_select(list(columns), of_chart, include_defaults=False).on_conflict_do_nothing()


_OPENING = {"sqlite": _opening(sqlite.insert), "postgresql": _opening(postgresql.insert)}


def _require(missing: set[AccountRef]) -> None:
    if missing:
        raise NoSuchAccount(f"the chart of accounts has no code for {', '.join(sorted({r.kind for r in missing}))}")


@dataclass(slots=True)
class _Entry:
    row: dict[str, Any]
    lines: list[PostingLine]


@dataclass(slots=True)
class Journal:
    """Collects balanced entries and writes them in bulk, postings before their entries.

    Accounts with a balance are locked in ascending id when it flushes (or before, by ``lock``); the house's
    busy accounts have none and are never locked. Nothing is committed here.
    """

    session: Session
    scales: Scales
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
        check_balanced(lines, self.scales)
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

        Raises ``InsufficientFunds`` when a balance would fall below its account's floor.
        """
        if not self._pending:
            return self.locked
        refs = {line.account for entry in self._pending for line in entry.lines}
        ids = self._ids(refs - self.locked.keys())
        rows = []
        for entry in self._pending:
            for line in entry.lines:
                account = self.locked.get(line.account)
                if account is not None:
                    account.balance += line.amount if account.credit else -line.amount
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
        self._check_floors()
        self._write(rows)
        self._pending.clear()
        return self.locked

    def _check_floors(self) -> None:
        for account in self.locked.values():
            if account.floor is not None and account.balance < account.floor:
                least = f", below {account.floor}" if account.floor else ""
                raise InsufficientFunds(
                    f"{account.ref.kind} {account.ref.currency} would be {account.balance}{least}",
                    extra={"wallet_id": account.ref.owner, "currency": account.ref.currency},
                )

    def _ids(self, refs: set[AccountRef]) -> dict[AccountRef, int]:
        """Ids of accounts that are not locked yet, opening those that do not exist; what has a balance is locked."""
        if not refs:
            return {}
        named = {"owners": list({ref.owner for ref in refs}), "kinds": list({ref.kind.value for ref in refs})}

        def read() -> dict[AccountRef, tuple[int, bool]]:
            return {
                AccountRef(owner, currency, AccountKind(kind)): (id_, cached)
                for id_, owner, currency, kind, cached in self.session.execute(_IDS, named)
            }

        found = read()
        if refs - found.keys():
            _open(self.session, refs - found.keys(), self.now)
            found = read()
            _require(refs - found.keys())
        self.lock({ref for ref in refs if found[ref][1]})
        return {ref: found[ref][0] for ref in refs}

    def _write(self, rows: list[dict[str, Any]]) -> None:
        _INSERT_POSTINGS.run(self.session, rows)
        _insert_entries(self.session, [entry.row for entry in self._pending])
        changed = [account for account in self.locked.values() if account.changed]
        for account in changed:
            account.version += 1
            account.changed = False
        _UPDATE_BALANCES.run(
            self.session,
            [{"id": account.id, "balance": account.balance, "version": account.version} for account in changed],
        )


def _insert_entries(session: Session, rows: list[dict[str, Any]]) -> None:
    """Numbered in their order: by a sequence on PostgreSQL, the next ones under SQLite's one write lock."""
    if session.get_bind().dialect.name == "sqlite":
        last = session.scalar(_LAST_NUMBER) or 0
        rows = [{**row, "number": number} for number, row in enumerate(rows, last + 1)]
    _INSERT_ENTRIES.run(session, rows)


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
    """Increases, decreases and balance per account of the chart, kind and currency; each currency sums to zero.

    Signed as posted: a credit increases, a debit decreases. What the firm owns is negative, what it owes to
    wallets positive; ``normal_side`` says which of the two is usual.
    """
    condition = [] if until is None else [postings.c.posted_at <= until]
    zero = sa.literal(ZERO, type_=postings.c.amount.type)
    positive = sa.case((postings.c.amount > zero, postings.c.amount), else_=zero)
    grouped = (accounts.c.code, chart.c.name, accounts.c.kind, accounts.c.normal_side, accounts.c.currency)
    query = (
        sa.select(
            *grouped,
            exact_sum(positive).label("increases"),
            exact_sum(postings.c.amount).label("balance"),
            sa.func.count(postings.c.id).label("postings"),
        )
        .join(postings, postings.c.account_id == accounts.c.id)
        .join(chart, chart.c.code == accounts.c.code)
        .where(*condition)
        .group_by(*grouped)
        .order_by(accounts.c.currency, accounts.c.code)
    )
    return [
        {
            "code": row.code,
            "name": row.name,
            "kind": row.kind,
            "normal_side": row.normal_side,
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
    journal = Journal(session, market.load_scales(session), now, actor)
    about = (original.about_type, original.about_id)
    reversal = journal.add(EntryKind.REVERSAL, about, f"reversal:{entry_id}", lines, memo=memo, reverses_id=entry_id)
    journal.flush()
    return reversal
