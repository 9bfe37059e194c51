"""The journal as it is read: entries with their postings, the trial balance, and both as CSV."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.errors import Forbidden, NotFound
from app.core.permissions import READ, Principal, Reach, Resource
from app.core.spreadsheets import csv_text
from app.domain.money import text
from app.models import ChartAccount, JournalEntry, LedgerAccount, Posting, Wallet, table_of

from . import ledger
from .access import is_uuid, visible_clients

accounts, entries, postings = table_of(LedgerAccount), table_of(JournalEntry), table_of(Posting)
chart = table_of(ChartAccount)
wallets = table_of(Wallet)


@dataclass(frozen=True, slots=True)
class EntryFilter:
    kind: str | None = None
    about_type: str | None = None
    about_id: str | None = None
    client_id: str | None = None
    wallet_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def list_entries(
    session: Session, principal: Principal, wanted: EntryFilter, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """Entries with their postings, newest first, of the wallets the caller may see."""
    query = _visible(principal, wanted)
    for name in ("kind", "about_type"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(entries.c[name] == value)
    if wanted.about_id is not None:
        query = query.where(entries.c.about_id == wanted.about_id.lower() if is_uuid(wanted.about_id) else sa.false())
    if wanted.since is not None:
        query = query.where(entries.c.effective_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(entries.c.effective_at < wanted.until)
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    rows = session.execute(query.order_by(entries.c.number.desc()).limit(limit).offset(offset)).mappings().all()
    return _with_postings(session, rows), total


def entry(session: Session, principal: Principal, entry_id: str) -> dict[str, Any]:
    """One entry. Raises ``NotFound``."""
    query = _visible(principal, EntryFilter()).where(entries.c.id == entry_id.lower())
    row = session.execute(query).mappings().one_or_none() if is_uuid(entry_id) else None
    if row is None:
        raise NotFound("there is no such entry")
    return _with_postings(session, [row])[0]


def _visible(principal: Principal, wanted: EntryFilter) -> Any:
    """Entries that touch a wallet of a client the caller reaches."""
    visible = visible_clients(principal, Resource.LEDGER, READ)
    query = sa.select(entries)
    if visible is None and wanted.client_id is None and wanted.wallet_id is None:
        return query
    touching = (
        sa.select(postings.c.entry_id)
        .join(accounts, accounts.c.id == postings.c.account_id)
        .join(wallets, wallets.c.id == accounts.c.wallet_id)
    )
    if visible is not None:
        touching = touching.where(wallets.c.client_id.in_(visible))
    for column, value in ((wallets.c.client_id, wanted.client_id), (wallets.c.id, wanted.wallet_id)):
        if value is not None:
            touching = touching.where(column == value.lower() if is_uuid(value) else sa.false())
    return query.where(entries.c.id.in_(touching))


def _with_postings(session: Session, rows: Sequence[Any]) -> list[dict[str, Any]]:
    query = (
        sa.select(
            postings.c.entry_id,
            postings.c.amount,
            postings.c.currency,
            accounts.c.owner,
            accounts.c.kind,
            accounts.c.code,
            chart.c.name,
            accounts.c.wallet_id,
            wallets.c.client_id,
        )
        .join(accounts, accounts.c.id == postings.c.account_id)
        .join(chart, chart.c.code == accounts.c.code)
        .outerjoin(wallets, wallets.c.id == accounts.c.wallet_id)
        .where(postings.c.entry_id.in_([row["id"] for row in rows]))
        .order_by(postings.c.id)
    )
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in session.execute(query).mappings():
        lines[line["entry_id"]].append(
            {
                "code": line["code"],
                "name": line["name"],
                "owner": line["owner"],
                "wallet_id": line["wallet_id"],
                "client_id": line["client_id"],
                "account": line["kind"],
                "currency": line["currency"],
                "amount": text(line["amount"]),
            }
        )
    return [
        {
            "id": row["id"],
            "number": row["number"],
            "kind": row["kind"],
            "about_type": row["about_type"],
            "about_id": row["about_id"],
            "external_ref": row["external_ref"],
            "at": iso(row["effective_at"]),
            "created_by": row["created_by"],
            "memo": row["memo"],
            "reverses_id": row["reverses_id"],
            "postings": lines[row["id"]],
        }
        for row in rows
    ]


def trial_balance(session: Session, principal: Principal, until: datetime | None) -> list[dict[str, Any]]:
    """The firm's; for those who may read all of the ledger. Raises ``Forbidden``."""
    if principal.require(Resource.LEDGER, READ) is not Reach.ALL:
        raise Forbidden("the trial balance is the firm's", code="firm_only")
    return [
        {**row, **{name: text(row[name]) for name in ("increases", "decreases", "balance")}}
        for row in ledger.trial_balance(session, until)
    ]


def balances_as_of(session: Session, wallet_id: str, moment: datetime) -> list[dict[str, str]]:
    """A wallet's balances at a past instant."""
    return [
        {"asset": asset, **{name: text(amount) for name, amount in balance.items()}}
        for asset, balance in ledger.balances_as_of(session, wallet_id, moment).items()
    ]


def entries_csv(shown: Iterable[dict[str, Any]]) -> str:
    """One line per posting."""
    header = (
        "number",
        "at",
        "kind",
        "about_type",
        "about_id",
        "code",
        "name",
        "owner",
        "account",
        "currency",
        "amount",
        "memo",
    )
    return csv_text(
        header,
        (
            [*(row[name] for name in header[:5]), *(line[name] for name in header[5:11]), row["memo"]]
            for row in shown
            for line in row["postings"]
        ),
    )


def trial_balance_csv(rows: Iterable[dict[str, Any]]) -> str:
    header = ("code", "name", "kind", "normal_side", "currency", "increases", "decreases", "balance", "postings")
    return csv_text(header, ([row[name] for name in header] for row in rows))
