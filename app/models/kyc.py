"""Verifications of clients by a provider, and what a client may do by level."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.gate import Act
from app.domain.kyc import KycStatus
from app.extensions import db

from .base import JsonText, Uuid, one_of, uuid_pk


class Verification(db.Model):
    """One session with a KYC provider. ``changed_at`` is the provider's own time of the newest thing it said."""

    __tablename__ = "verifications"
    __table_args__ = (
        sa.UniqueConstraint("provider", "session_id"),
        one_of("status", [status for status in KycStatus if status is not KycStatus.NONE], "status"),
        sa.Index(
            "uq_verifications_pending",
            "client_id",
            unique=True,
            postgresql_where=sa.text("status = 'pending'"),
            sqlite_where=sa.text("status = 'pending'"),
        ),
        sa.Index(
            "ix_verifications_approved",
            "expires_at",
            postgresql_where=sa.text("status = 'approved'"),
            sqlite_where=sa.text("status = 'approved'"),
        ),
    )

    id: Mapped[uuid_pk]
    client_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("clients.id"), index=True)
    provider: Mapped[str] = mapped_column(sa.String(20))
    session_id: Mapped[str | None] = mapped_column(sa.String(100))  # NULL until the provider has answered
    level: Mapped[int]
    status: Mapped[str] = mapped_column(sa.String(10))
    reason: Mapped[str | None] = mapped_column(sa.String(1000))
    provider_data: Mapped[Any] = mapped_column(JsonText)
    document_kinds: Mapped[list[str]] = mapped_column(JsonText)
    requested_by: Mapped[str] = mapped_column(sa.String(60))
    version: Mapped[int] = mapped_column(default=1)
    asked_at: Mapped[datetime | None]  # when the provider was last asked how it stands
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime | None]
    verified_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]


class KycLimit(db.Model):
    """What a client of a KYC level may move by one kind of act, in USD; NULL: as much as they like."""

    __tablename__ = "kyc_limits"
    __table_args__ = (one_of("act", Act, "act"),)

    level: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    act: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    each_usd: Mapped[Decimal | None]
    day_usd: Mapped[Decimal | None]
    month_usd: Mapped[Decimal | None]  # 30 days
