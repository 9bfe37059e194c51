"""Chart of accounts, accounts, and the journal: append-only; the triggers that keep it so are in the migration."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.ledger import EntryKind, NormalSide
from app.extensions import db

from .base import Uuid, one_of, serial_pk, uuid_pk


class ChartAccount(db.Model):
    """A line of the firm's chart of accounts: what an account that is opened under it starts with.

    An account that nobody has opened is opened when it is posted to, under the first code of its kind.
    """

    __tablename__ = "chart_of_accounts"
    __table_args__ = (
        sa.UniqueConstraint("code", "kind"),
        one_of("normal_side", NormalSide, "normal_side"),
        sa.CheckConstraint("floor IS NULL OR cached", name="floor_is_of_a_balance"),
    )

    code: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100))  # in English; pages translate the names they know
    kind: Mapped[str] = mapped_column(sa.String(20))  # ``domain.ledger.AccountKind``
    normal_side: Mapped[str] = mapped_column(sa.String(6))
    floor: Mapped[Decimal | None]
    cached: Mapped[bool]


class LedgerAccount(db.Model):
    """An account of one owner in one currency.

    ``balance`` is the sum of its postings, positive on its normal side, and never below ``floor``. It is
    cached where a floor has to be kept; the house's busy accounts have NULL and are summed.
    """

    __tablename__ = "ledger_accounts"
    __table_args__ = (
        sa.UniqueConstraint("owner", "currency", "kind"),
        sa.ForeignKeyConstraint(["code", "kind"], ["chart_of_accounts.code", "chart_of_accounts.kind"]),
        one_of("normal_side", NormalSide, "normal_side"),
        sa.CheckConstraint("balance >= floor", name="floor"),
        sa.CheckConstraint("floor IS NULL OR balance IS NOT NULL", name="floor_is_of_a_balance"),
        sa.CheckConstraint("wallet_id IS NULL OR balance IS NOT NULL", name="cached_for_wallets"),
    )

    id: Mapped[serial_pk]
    owner: Mapped[str] = mapped_column(sa.String(60))  # wallet id, or the name of a house account
    wallet_id: Mapped[str | None] = mapped_column(Uuid, sa.ForeignKey("wallets.id"), index=True)
    currency: Mapped[str] = mapped_column(sa.String(12), sa.ForeignKey("currencies.code"))
    kind: Mapped[str] = mapped_column(sa.String(20))
    code: Mapped[str] = mapped_column(sa.String(20))
    normal_side: Mapped[str] = mapped_column(sa.String(6))
    floor: Mapped[Decimal | None]
    balance: Mapped[Decimal | None]
    version: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]


class JournalEntry(db.Model):
    """Inserted after its postings: from that moment they are complete and the database checks them."""

    __tablename__ = "journal_entries"
    __table_args__ = (
        sa.UniqueConstraint("source", "external_ref"),
        one_of("kind", EntryKind, "kind"),
        sa.Index(None, "about_type", "about_id"),
    )

    id: Mapped[uuid_pk]
    number: Mapped[int] = mapped_column(sa.BigInteger, unique=True)
    kind: Mapped[str] = mapped_column(sa.String(20))
    about_type: Mapped[str] = mapped_column(sa.String(20))
    about_id: Mapped[str] = mapped_column(Uuid)
    source: Mapped[str] = mapped_column(sa.String(40))
    external_ref: Mapped[str] = mapped_column(sa.String(160))
    effective_at: Mapped[datetime] = mapped_column(index=True)
    created_by: Mapped[str] = mapped_column(sa.String(60))
    memo: Mapped[str | None] = mapped_column(sa.String(200))
    reverses_id: Mapped[str | None] = mapped_column(Uuid, sa.ForeignKey("journal_entries.id"), unique=True)


class Posting(db.Model):
    __tablename__ = "postings"
    __table_args__ = (sa.Index(None, "account_id", "posted_at"),)

    id: Mapped[serial_pk]
    entry_id: Mapped[str] = mapped_column(
        Uuid, sa.ForeignKey("journal_entries.id", deferrable=True, initially="DEFERRED"), index=True
    )
    account_id: Mapped[int] = mapped_column(sa.ForeignKey("ledger_accounts.id"))
    currency: Mapped[str] = mapped_column(sa.String(12))
    amount: Mapped[Decimal]
    posted_at: Mapped[datetime]
