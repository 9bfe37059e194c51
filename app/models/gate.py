"""What the gate was asked, and what it answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.gate import Act
from app.extensions import db

from .base import JsonText, Uuid, one_of, uuid_pk


class GateDecision(db.Model):
    """``inputs`` is all the answer depends on, so that it can be worked out again."""

    __tablename__ = "gate_decisions"
    __table_args__ = (
        one_of("act", Act, "act"),
        sa.Index(None, "client_id", "at"),
        sa.Index(None, "about_type", "about_id"),
    )

    id: Mapped[uuid_pk]
    client_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("clients.id"))
    act: Mapped[str] = mapped_column(sa.String(20))
    about_type: Mapped[str | None] = mapped_column(sa.String(20))
    about_id: Mapped[str | None] = mapped_column(Uuid)
    inputs: Mapped[Any] = mapped_column(JsonText)
    allowed: Mapped[bool]
    reasons: Mapped[Any] = mapped_column(JsonText)
    at: Mapped[datetime]
