"""Clients of the firm, and the trading limits set for them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import db

from .base import Uuid, uuid_pk


class Client(db.Model):
    """``code`` is unique whatever its capitals: people read them out to each other."""

    __tablename__ = "clients"
    __table_args__ = (sa.Index("uq_clients_code_lower", sa.text("lower(code)"), unique=True),)

    id: Mapped[uuid_pk]
    code: Mapped[str] = mapped_column(sa.String(32), unique=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    email: Mapped[str | None] = mapped_column(sa.String(254))
    active: Mapped[bool] = mapped_column(default=True)
    trader_id: Mapped[str | None] = mapped_column(
        Uuid, sa.ForeignKey("users.id", use_alter=True, name="fk_clients_trader_id_users"), index=True
    )
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ClientLimit(db.Model):
    """``instrument_id`` NULL is the client's general limit; a specific one goes before it."""

    __tablename__ = "client_limits"
    __table_args__ = (sa.UniqueConstraint("client_id", "instrument_id"),)

    id: Mapped[uuid_pk]
    client_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("clients.id"))
    instrument_id: Mapped[int | None] = mapped_column(sa.ForeignKey("instruments.id"))
    blocked: Mapped[bool] = mapped_column(default=False)
    max_order_qty: Mapped[Decimal | None]
    max_notional_usd: Mapped[Decimal | None]
    hours: Mapped[str | None] = mapped_column(sa.String(11))  # HH:MM-HH:MM
    time_zone: Mapped[str | None] = mapped_column(sa.String(64))
