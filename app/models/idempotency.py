"""Stored answers of POST requests that carried an Idempotency-Key."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import db

from .base import uuid_pk


class IdempotencyRecord(db.Model):
    """The stored answer of one POST; unique per caller, route and key."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (sa.UniqueConstraint("caller", "route", "key"),)

    id: Mapped[uuid_pk]
    caller: Mapped[str] = mapped_column(sa.String(60))
    route: Mapped[str] = mapped_column(sa.String(120))
    key: Mapped[str] = mapped_column(sa.String(255))
    body_hash: Mapped[str] = mapped_column(sa.String(64))
    status: Mapped[int]
    body: Mapped[str] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(index=True)
