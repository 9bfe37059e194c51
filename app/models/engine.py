"""What the engine keeps: its lease and heartbeat, its requests to venues, and the work it had to park."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.requests import UNANSWERED, RequestKind, RequestState
from app.extensions import db

from .base import JsonText, Uuid, one_of, uuid_pk

_STATES = ", ".join(f"'{state}'" for state in sorted(UNANSWERED))
_UNANSWERED = sa.text(f"state IN ({_STATES})")
REQUEST_IS_UNANSWERED = sa.text(f"venue_requests.state IN ({_STATES})")  # as queries say it, as the index does


class EngineLease(db.Model):
    """One row per shard. ``epoch`` grows with every engine that takes over; older ones may not write."""

    __tablename__ = "engine_leases"

    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int]
    holder: Mapped[str] = mapped_column(sa.String(100))
    acquired_at: Mapped[datetime]


class EngineHeartbeat(db.Model):
    """How an engine process is, as it said itself; ``at`` is the database's clock."""

    __tablename__ = "engine_heartbeats"

    holder: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    shard: Mapped[int]
    leading: Mapped[bool]
    epoch: Mapped[int | None]
    at: Mapped[datetime]
    status: Mapped[Any] = mapped_column(JsonText)


class VenueRequest(db.Model):
    """One message to a venue, stored before it is handed over. A query has no effect on the order itself."""

    __tablename__ = "venue_requests"
    __table_args__ = (
        one_of("kind", RequestKind, "kind"),
        one_of("state", RequestState, "state"),
        sa.Index("ix_venue_requests_unanswered", "id", postgresql_where=_UNANSWERED, sqlite_where=_UNANSWERED),
    )

    id: Mapped[uuid_pk]
    order_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("orders.id"), index=True)
    venue: Mapped[str] = mapped_column(sa.String(20))
    kind: Mapped[str] = mapped_column(sa.String(8))
    cl_ord_id: Mapped[str] = mapped_column(sa.String(60), unique=True)
    state: Mapped[str] = mapped_column(sa.String(8))
    attempt: Mapped[int]
    qty: Mapped[Decimal | None]  # what a replace asks for
    price: Mapped[Decimal | None]
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(sa.String(300))


class EngineFault(db.Model):
    """Work that failed even alone: kept with its error, out of the way of everything else.

    ``reports`` are the venue's reports that wait for it; ``retry_at`` is set by whoever asks for a retry.
    """

    __tablename__ = "engine_faults"
    __table_args__ = (
        sa.Index(
            "ix_engine_faults_open",
            "id",
            postgresql_where=sa.text("resolved_at IS NULL"),
            sqlite_where=sa.text("resolved_at IS NULL"),
        ),
    )

    id: Mapped[uuid_pk]
    at: Mapped[datetime]
    stage: Mapped[str] = mapped_column(sa.String(30))
    object_type: Mapped[str] = mapped_column(sa.String(20))
    object_id: Mapped[str] = mapped_column(sa.String(60), index=True)
    error: Mapped[str] = mapped_column(sa.Text)
    context: Mapped[str | None] = mapped_column(sa.Text)
    reports: Mapped[Any | None] = mapped_column(JsonText)
    attempts: Mapped[int] = mapped_column(default=1)
    retry_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[str | None] = mapped_column(sa.String(60))
    resolution: Mapped[str | None] = mapped_column(sa.String(300))


class EngineCommand(db.Model):
    """Something a request hands to the engine that leads, wherever it runs; ``payload`` depends on ``kind``."""

    __tablename__ = "engine_commands"
    __table_args__ = (
        sa.Index(
            "ix_engine_commands_waiting",
            "id",
            postgresql_where=sa.text("taken_at IS NULL"),
            sqlite_where=sa.text("taken_at IS NULL"),
        ),
    )

    id: Mapped[uuid_pk]
    kind: Mapped[str] = mapped_column(sa.String(20))
    payload: Mapped[Any] = mapped_column(JsonText)
    created_by: Mapped[str] = mapped_column(sa.String(60))
    created_at: Mapped[datetime]
    taken_at: Mapped[datetime | None]
    error: Mapped[str | None] = mapped_column(sa.String(300))
