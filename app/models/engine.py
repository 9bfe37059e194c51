"""What the engine keeps: its lease, and the work it had to park."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from .base import Base, uuid_pk


class EngineLease(Base):
    """One row per shard. ``epoch`` grows with every engine that takes over; older ones may not write."""

    __tablename__ = "engine_leases"

    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int]
    holder: Mapped[str] = mapped_column(sa.String(100))
    acquired_at: Mapped[datetime]


class EngineFault(Base):
    """Work that failed even alone: kept with its error, out of the way of everything else."""

    __tablename__ = "engine_faults"

    id: Mapped[uuid_pk]
    at: Mapped[datetime]
    order_id: Mapped[str | None] = mapped_column(sa.String(36), index=True)
    stage: Mapped[str] = mapped_column(sa.String(30))
    error: Mapped[str] = mapped_column(sa.Text)
    context: Mapped[str | None] = mapped_column(sa.Text)
    resolved_at: Mapped[datetime | None]
