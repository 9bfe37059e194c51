"""What receipts and statements say: figures from the rows and the journal, and codes by which anybody checks them.

Words and layout are the caller's. A withdrawal carries its code; those of deposits and statements are signed with
the server's secret key, so that nothing has to be stored for them.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Conflict, NotFound
from app.core.permissions import READ, Principal, Resource
from app.domain.ledger import AccountKind, EntryKind
from app.domain.money import ZERO
from app.models import Client, Deposit, JournalEntry, LedgerAccount, Posting, Wallet, Withdrawal, table_of
from app.models.base import exact_sum

from .access import is_uuid, visible_clients

accounts, entries, postings = table_of(LedgerAccount), table_of(JournalEntry), table_of(Posting)
MOST_LINES: Final = 1_000  # of one account; a month with more of them has its trades by day
DEPOSIT, STATEMENT = b"d", b"s"
_SIGNATURE: Final = 12  # bytes of a code


@dataclass(frozen=True, slots=True)
class Receipt:
    """A deposit or a withdrawal. ``net`` is what arrives; None: it does not apply, or is not known."""

    kind: str  # deposit or withdrawal
    id: str
    code: str
    client_code: str
    client_name: str
    status: str
    created_at: datetime
    completed_at: datetime | None
    currency: str
    amount: Decimal
    net: Decimal
    fee: Decimal | None = None
    tax: Decimal | None = None
    refunded: Decimal | None = None
    beneficiary: str | None = None
    bank: str | None = None
    account: str | None = None  # its last characters alone
    reference: str | None = None
    concept: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """What one entry, or a day's trades, did to an account. ``number`` None: several entries."""

    at: datetime
    kind: str
    number: int | None
    amount: Decimal
    balance: Decimal


@dataclass(frozen=True, slots=True)
class Account:
    """One currency of one wallet over a month: available and held together."""

    wallet: str
    currency: str
    opening: Decimal
    closing: Decimal
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """A month of a client that is over: its figures do not change any more."""

    code: str
    client_code: str
    client_name: str
    month: date
    accounts: tuple[Account, ...]


def masked(number: str) -> str:
    """A bank account as strangers may see it: its last four characters."""
    return "•••• " + number[-4:] if len(number) > 4 else "••••"


# -- receipts ------------------------------------------------------------------------------------------------


def withdrawal_receipt(session: Session, principal: Principal, withdrawal_id: str) -> Receipt:
    """Raises ``NotFound``, also for another's."""
    return _of_withdrawal(session, _visible(session, Withdrawal, Resource.WITHDRAWALS, principal, withdrawal_id))


def deposit_receipt(session: Session, principal: Principal, deposit_id: str, secret: str) -> Receipt:
    """Raises ``NotFound``, also for another's."""
    return _of_deposit(session, _visible(session, Deposit, Resource.DEPOSITS, principal, deposit_id), secret)


def _visible(session: Session, model: Any, resource: Resource, principal: Principal, object_id: str) -> Any:
    query = sa.select(model).where(model.id == object_id.lower())
    visible = visible_clients(principal, resource, READ)
    if visible is not None:
        query = query.where(model.client_id.in_(visible))
    found = session.scalars(query).one_or_none() if is_uuid(object_id) else None
    if found is None:
        raise NotFound(f"there is no such {model.__name__.lower()}")
    return found


def _of_withdrawal(session: Session, row: Withdrawal) -> Receipt:
    client = session.get_one(Client, row.client_id)
    return Receipt(
        kind="withdrawal",
        id=row.id,
        code=row.verification_code,
        client_code=client.code,
        client_name=client.name,
        status=row.status,
        created_at=row.created_at,
        completed_at=row.completed_at,
        currency=row.currency,
        amount=row.amount,
        net=row.amount - row.fee - row.tax,
        fee=row.fee,
        tax=row.tax,
        beneficiary=row.destination.get("holder"),
        bank=row.destination.get("bank_name"),
        account=masked(row.destination["number"]),
        reference=row.bank_reference,
        concept=row.concept,
    )


def _of_deposit(session: Session, row: Deposit, secret: str) -> Receipt:
    client = session.get_one(Client, row.client_id)
    amount = row.amount if row.confirmed_amount is None else row.confirmed_amount
    return Receipt(
        kind="deposit",
        id=row.id,
        code=_signed(DEPOSIT, row.id, secret),
        client_code=client.code,
        client_name=client.name,
        status=row.status,
        created_at=row.created_at,
        completed_at=row.completed_at,
        currency=row.currency,
        amount=amount,
        net=amount - row.refunded_amount,
        refunded=row.refunded_amount or None,
        reference=row.bank_reference,
    )


# -- statements ----------------------------------------------------------------------------------------------


def statement(session: Session, client: Client, month: date, now: datetime, secret: str) -> Statement:
    """The month that begins on the day ``month``, by UTC. Raises ``Conflict`` (``month_not_over``)."""
    start, end = _moment(month), _moment(_next(month))
    if end > now:
        raise Conflict("the month is not over yet", code="month_not_over")
    held = (AccountKind.AVAILABLE.value, AccountKind.HELD.value)
    query = (
        sa.select(accounts.c.wallet_id, accounts.c.currency, exact_sum(postings.c.amount).label("amount"))
        .join(postings, postings.c.account_id == accounts.c.id)
        .join(Wallet, Wallet.id == accounts.c.wallet_id)
        .where(Wallet.client_id == client.id, accounts.c.kind.in_(held))
        .group_by(accounts.c.wallet_id, accounts.c.currency)
    )
    before = query.where(postings.c.posted_at < start)
    opening = {(row.wallet_id, row.currency): row.amount for row in session.execute(before)}
    within = (
        query.join(entries, entries.c.id == postings.c.entry_id)
        .add_columns(entries.c.number, entries.c.kind, entries.c.effective_at)
        .where(postings.c.posted_at >= start, postings.c.posted_at < end)
        .group_by(entries.c.number, entries.c.kind, entries.c.effective_at)
        .order_by(entries.c.number)
    )
    moved: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in session.execute(within):
        if row.amount:  # what is set aside or freed moves within the account
            moved[row.wallet_id, row.currency].append(row)
    names: dict[str, str] = {
        row.id: row.name
        for row in session.execute(sa.select(Wallet.id, Wallet.name).where(Wallet.client_id == client.id))
    }
    keys = sorted({*opening, *moved}, key=lambda key: (names[key[0]], key[0], key[1]))
    shown = tuple(_account(names[key[0]], key[1], opening.get(key, ZERO), moved[key]) for key in keys)
    code = _signed(STATEMENT, client.id, secret, month)
    return Statement(code, client.code, client.name, month, shown)


def _account(wallet: str, currency: str, opening: Decimal, rows: Iterable[Any]) -> Account:
    lines: list[Line] = []
    balance = opening
    listed = list(rows)
    by_day = len(listed) > MOST_LINES
    for row in listed:
        balance += row.amount
        last = lines[-1] if lines else None
        together = by_day and last is not None and row.kind == last.kind == EntryKind.TRADE
        if together and last is not None and last.at.date() == row.effective_at.date():
            lines[-1] = Line(last.at, last.kind, None, last.amount + row.amount, balance)
        else:
            lines.append(Line(row.effective_at, row.kind, row.number, row.amount, balance))
    return Account(wallet, currency, opening, balance, tuple(lines))


def _moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _next(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


# -- codes ---------------------------------------------------------------------------------------------------


def _signed(kind: bytes, object_id: str, secret: str, month: date | None = None) -> str:
    """What the code names, and twelve bytes that only the holder of the secret key can add to it."""
    named = kind + UUID(object_id).bytes + (b"" if month is None else bytes((month.year - 2000, month.month)))
    key = hashlib.sha256(f"papers:{secret}".encode()).digest()
    return urlsafe_b64encode(named + hmac.digest(key, named, "sha256")[:_SIGNATURE]).decode().rstrip("=")


def find(session: Session, code: str, now: datetime, secret: str) -> Receipt | Statement:
    """What a paper with this code says. Raises ``NotFound`` for a code that is none of ours."""
    withdrawal = session.scalars(sa.select(Withdrawal).where(Withdrawal.verification_code == code)).one_or_none()
    if withdrawal is not None:
        return _of_withdrawal(session, withdrawal)
    kind, object_id, month = _named(code)
    if not hmac.compare_digest(code, _signed(kind, object_id, secret, month)):
        raise NotFound("there is no such paper")
    if kind == DEPOSIT:
        deposit = session.get(Deposit, object_id)
        if deposit is not None:
            return _of_deposit(session, deposit, secret)
    client = session.get(Client, object_id)
    if client is None or month is None:
        raise NotFound("there is no such paper")
    return statement(session, client, month, now, secret)


def _named(code: str) -> tuple[bytes, str, date | None]:
    """What a code says it is of, whoever has written it. Raises ``NotFound`` where it is none."""
    try:
        found = urlsafe_b64decode(code.encode("ascii") + b"=" * (-len(code) % 4))[:-_SIGNATURE]
        kind, object_id = found[:1], str(UUID(bytes=found[1:17]))
        if kind == DEPOSIT and len(found) == 17:
            return kind, object_id, None
        if kind == STATEMENT and len(found) == 19:
            return kind, object_id, date(2000 + found[17], found[18], 1)
    except ValueError:
        pass
    raise NotFound("there is no such paper")
