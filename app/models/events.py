"""Events: facts about a client's objects, numbered per stream by the relay."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import db

from .base import Uuid, serial_pk


class Event(db.Model):
    """``stream`` is a client id or ``firm``.

    ``seq`` (per stream, gapless) and ``ordinal`` (over all streams; the cursor) are NULL until the relay
    has numbered the event.
    """

    __tablename__ = "events"
    __table_args__ = (
        sa.UniqueConstraint("stream", "seq"),
        sa.Index(
            "ix_events_unnumbered",
            "id",
            postgresql_where=sa.text("ordinal IS NULL"),
            sqlite_where=sa.text("ordinal IS NULL"),
        ),
        sa.Index(None, "object_id", "object_version"),
    )

    id: Mapped[serial_pk]
    event_id: Mapped[str] = mapped_column(Uuid, unique=True)
    stream: Mapped[str] = mapped_column(sa.String(36))
    type: Mapped[str] = mapped_column(sa.String(40))
    object_type: Mapped[str] = mapped_column(sa.String(20))
    object_id: Mapped[str] = mapped_column(Uuid)
    object_version: Mapped[int | None]
    payload: Mapped[str] = mapped_column(sa.Text)  # JSON, as it will be pushed
    at: Mapped[datetime]
    seq: Mapped[int | None] = mapped_column(sa.BigInteger)
    ordinal: Mapped[int | None] = mapped_column(sa.BigInteger, unique=True)


class EventStream(db.Model):
    """The last number given in each stream; only the relay writes it."""

    __tablename__ = "event_streams"

    stream: Mapped[str] = mapped_column(sa.String(36), primary_key=True)
    last_seq: Mapped[int] = mapped_column(sa.BigInteger)
