"""What waits for a second person, and who said what about it."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.approvals import ApprovalKind, ApprovalStatus
from app.extensions import db

from .base import JsonText, Uuid, one_of, uuid_pk

APPROVAL_IS_OPEN = sa.text("status IN ('pending', 'approved')")


class Approval(db.Model):
    """A proposal with its exact content. One is open per object at most."""

    __tablename__ = "approvals"
    __table_args__ = (
        one_of("kind", ApprovalKind, "kind"),
        one_of("status", ApprovalStatus, "status"),
        sa.CheckConstraint("required >= 1", name="required"),
        sa.Index(
            "uq_approvals_open",
            "kind",
            "object_id",
            unique=True,
            postgresql_where=APPROVAL_IS_OPEN,
            sqlite_where=APPROVAL_IS_OPEN,
        ),
        sa.Index(None, "status", "created_at"),
    )

    id: Mapped[uuid_pk]
    kind: Mapped[str] = mapped_column(sa.String(20))
    object_id: Mapped[str] = mapped_column(Uuid)
    client_id: Mapped[str | None] = mapped_column(Uuid, sa.ForeignKey("clients.id"), index=True)  # who benefits
    summary: Mapped[str] = mapped_column(sa.String(300))
    content: Mapped[Any] = mapped_column(JsonText)
    content_hash: Mapped[str] = mapped_column(sa.String(64))
    amount_usd: Mapped[Decimal | None]
    required: Mapped[int]  # how many people must say yes
    maker: Mapped[str] = mapped_column(sa.String(60))
    status: Mapped[str] = mapped_column(sa.String(10))
    reason: Mapped[str | None] = mapped_column(sa.String(500))  # why it was rejected, voided, or failed
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    executed_at: Mapped[datetime | None]


class ApprovalVote(db.Model):
    __tablename__ = "approval_votes"
    __table_args__ = (sa.UniqueConstraint("approval_id", "checker"),)

    id: Mapped[uuid_pk]
    approval_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("approvals.id"))
    checker: Mapped[str] = mapped_column(sa.String(60))
    approves: Mapped[bool]
    reason: Mapped[str | None] = mapped_column(sa.String(500))
    at: Mapped[datetime]


class ApprovalTier(db.Model):
    """From which value in USD on an approval of a kind needs how many people."""

    __tablename__ = "approval_tiers"
    __table_args__ = (one_of("kind", ApprovalKind, "kind"), sa.CheckConstraint("required >= 1", name="required"))

    kind: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    from_usd: Mapped[Decimal] = mapped_column(primary_key=True)
    required: Mapped[int]
