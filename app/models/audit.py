"""The audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import db

from .base import JsonText, uuid_pk


class AuditRecord(db.Model):
    """Who did what to what. Written without a place in the chain; the relay numbers and chains it."""

    __tablename__ = "audit_records"

    id: Mapped[uuid_pk]
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(sa.String(60))
    actor_label: Mapped[str | None] = mapped_column(sa.String(254))
    ip: Mapped[str | None] = mapped_column(sa.String(45))
    action: Mapped[str] = mapped_column(sa.String(60), index=True)
    object_type: Mapped[str] = mapped_column(sa.String(30))
    object_id: Mapped[str] = mapped_column(sa.String(60))
    details: Mapped[Any] = mapped_column(JsonText)
    seq: Mapped[int | None] = mapped_column(sa.BigInteger, unique=True)
    previous_hash: Mapped[str | None] = mapped_column(sa.String(64))
    hash: Mapped[str | None] = mapped_column(sa.String(64))
