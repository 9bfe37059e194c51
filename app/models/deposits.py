"""Money that clients bring in, and what came in that does not fit."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.deposits import DepositMethod, DepositStatus, DisputeStatus
from app.extensions import db

from .base import JsonText, Uuid, one_of, uuid_pk

DEPOSIT_IS_OPEN = sa.text("status IN ('pending', 'processing')")
PAGE_IS_OPEN = sa.text("status = 'canceled' AND payment_url IS NOT NULL")  # of a deposit that was given up


class Deposit(db.Model):
    """An intent to pay in. It is credited once, by the journal entry ``deposit:<id>``."""

    __tablename__ = "deposits"
    __table_args__ = (
        sa.UniqueConstraint("provider", "provider_reference"),
        one_of("method", DepositMethod, "method"),
        one_of("status", DepositStatus, "status"),
        one_of("dispute_status", DisputeStatus, "dispute_status"),
        sa.CheckConstraint("(status = 'completed') = (confirmed_amount IS NOT NULL)", name="completed_is_confirmed"),
        sa.Index("ix_deposits_open", "created_at", postgresql_where=DEPOSIT_IS_OPEN, sqlite_where=DEPOSIT_IS_OPEN),
        sa.Index("ix_deposits_page_open", "updated_at", postgresql_where=PAGE_IS_OPEN, sqlite_where=PAGE_IS_OPEN),
        sa.Index(None, "client_id", "created_at"),
    )

    id: Mapped[uuid_pk]
    client_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("clients.id"))
    wallet_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("wallets.id"))
    amount: Mapped[Decimal]
    currency: Mapped[str] = mapped_column(sa.String(12), sa.ForeignKey("currencies.code"))
    amount_usd: Mapped[Decimal | None]  # what it was worth when it was declared, for the limits
    method: Mapped[str] = mapped_column(sa.String(20))
    provider: Mapped[str] = mapped_column(sa.String(20))
    provider_reference: Mapped[str | None] = mapped_column(sa.String(255))  # NULL until the provider has answered
    payment_reference: Mapped[str | None] = mapped_column(sa.String(255), index=True)  # of the payment within it
    payment_url: Mapped[str | None] = mapped_column(sa.String(2000))
    bank_reference: Mapped[str | None] = mapped_column(sa.String(100))  # of a bank transfer, as the client declares it
    movement: Mapped[Any] = mapped_column(JsonText, nullable=True)  # of the firm's bank account, matched to it
    status: Mapped[str] = mapped_column(sa.String(10))
    confirmed_amount: Mapped[Decimal | None]
    refunded_amount: Mapped[Decimal] = mapped_column(default=Decimal(0))
    dispute_status: Mapped[str | None] = mapped_column(sa.String(10))
    disputed_amount: Mapped[Decimal] = mapped_column(default=Decimal(0))  # of it, what a dispute has taken back
    reason: Mapped[str | None] = mapped_column(sa.String(300))
    details: Mapped[Any] = mapped_column(JsonText)  # the caller's own
    requested_by: Mapped[str] = mapped_column(sa.String(60))
    version: Mapped[int] = mapped_column(default=1)
    asked_at: Mapped[datetime | None]  # when the provider was last asked how it stands
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]


class DepositMismatch(db.Model):
    """What a provider reported that does not fit its deposit: kept apart until a person has dealt with it."""

    __tablename__ = "deposit_mismatches"

    id: Mapped[uuid_pk]
    provider_event_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("provider_events.id"), unique=True)
    deposit_id: Mapped[str | None] = mapped_column(Uuid, sa.ForeignKey("deposits.id"), index=True)
    code: Mapped[str] = mapped_column(sa.String(40))
    expected: Mapped[Any] = mapped_column(JsonText)
    found: Mapped[Any] = mapped_column(JsonText)
    created_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[str | None] = mapped_column(sa.String(60))
    resolution: Mapped[str | None] = mapped_column(sa.String(500))
