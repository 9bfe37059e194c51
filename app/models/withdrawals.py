"""Money that clients take out."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.withdrawals import WithdrawalStatus
from app.extensions import db

from .base import JsonText, Uuid, one_of, uuid_pk

WITHDRAWAL_HOLDS = sa.text("status IN ('pending_review', 'approved', 'processing')")


class Withdrawal(db.Model):
    """``amount`` is held from the request on; ``amount - fee - tax`` arrives at ``destination``."""

    __tablename__ = "withdrawals"
    __table_args__ = (
        one_of("status", WithdrawalStatus, "status"),
        sa.CheckConstraint("payer IS NULL OR payer <> requested_by", name="payer_is_not_requester"),
        sa.Index("ix_withdrawals_held", "wallet_id", postgresql_where=WITHDRAWAL_HOLDS, sqlite_where=WITHDRAWAL_HOLDS),
        sa.Index(None, "client_id", "created_at"),
    )

    id: Mapped[uuid_pk]
    client_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("clients.id"))
    wallet_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("wallets.id"))
    bank_account_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("client_bank_accounts.id"))
    amount: Mapped[Decimal]
    fee: Mapped[Decimal]
    tax: Mapped[Decimal]
    currency: Mapped[str] = mapped_column(sa.String(12), sa.ForeignKey("currencies.code"))
    amount_usd: Mapped[Decimal | None]  # what it was worth when it was requested, for limits and tiers
    destination: Mapped[Any] = mapped_column(JsonText)  # the account as it was when it was requested
    email: Mapped[str | None] = mapped_column(sa.String(254))
    phone: Mapped[str | None] = mapped_column(sa.String(30))
    concept: Mapped[str | None] = mapped_column(sa.String(140))
    details: Mapped[Any] = mapped_column(JsonText)  # the caller's own
    status: Mapped[str] = mapped_column(sa.String(20))
    requested_by: Mapped[str] = mapped_column(sa.String(60))
    payer: Mapped[str | None] = mapped_column(sa.String(60))  # the operator who pays it out
    bank_reference: Mapped[str | None] = mapped_column(sa.String(100), unique=True)  # of the payout
    reason: Mapped[str | None] = mapped_column(sa.String(500))  # why it was rejected or failed
    verification_code: Mapped[str] = mapped_column(sa.String(32), unique=True)  # what the receipt's QR code carries
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
