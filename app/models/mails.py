"""Mail that waits to be sent, and mail that was."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import db

from .base import JsonText, one_of, uuid_pk

MAIL_STATUSES = ("waiting", "sent", "failed")


class Mail(db.Model):
    """Written in the transaction of what it tells, sent after it. ``key``: one mail for one occasion."""

    __tablename__ = "mails"
    __table_args__ = (
        one_of("status", MAIL_STATUSES, "status"),
        sa.Index(
            "ix_mails_waiting",
            "next_attempt_at",
            postgresql_where=sa.text("status = 'waiting'"),
            sqlite_where=sa.text("status = 'waiting'"),
        ),
    )

    id: Mapped[uuid_pk]
    key: Mapped[str] = mapped_column(sa.String(120), unique=True)
    template: Mapped[str] = mapped_column(sa.String(40))
    language: Mapped[str] = mapped_column(sa.String(5))
    recipient: Mapped[str] = mapped_column(sa.String(254))
    sender: Mapped[str] = mapped_column(sa.String(20))  # which of the firm's addresses: notices, confirmations
    data: Mapped[Any] = mapped_column(JsonText)
    status: Mapped[str] = mapped_column(sa.String(10))
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None] = mapped_column(sa.String(300))
    created_at: Mapped[datetime]
    next_attempt_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
