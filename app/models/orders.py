"""Orders, their executions, and the FIX messages exchanged about them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.orders import TERMINAL, OrderSource, OrderStatus, OrderType, Side, TimeInForce
from app.extensions import db

from .base import JsonText, Uuid, one_of, serial_pk, uuid_pk

_TO_SEND = "'NEW', 'PENDING_CANCEL', 'PENDING_REPLACE'"  # what waits for the engine
_TERMINAL = ", ".join(f"'{status}'" for status in sorted(TERMINAL))
# queries say them as the indexes do: SQLite takes a partial index only where it finds its very condition
ORDER_TO_SEND = sa.text(f"orders.status IN ({_TO_SEND})")
ORDER_IS_LIVE = sa.text(f"orders.status NOT IN ({_TERMINAL})")


class Order(db.Model):
    """``held`` is what is still set aside for it, in ``hold_currency``; zero once terminal."""

    __tablename__ = "orders"
    __table_args__ = (
        sa.UniqueConstraint("wallet_id", "client_order_id"),
        one_of("side", Side, "side"),
        one_of("type", OrderType, "type"),
        one_of("time_in_force", TimeInForce, "time_in_force"),
        one_of("status", OrderStatus, "status"),
        one_of("source", OrderSource, "source"),
        sa.Index(
            "ix_orders_live",
            "id",
            postgresql_where=sa.text(f"status NOT IN ({_TERMINAL})"),
            sqlite_where=sa.text(f"status NOT IN ({_TERMINAL})"),
        ),
        sa.Index(
            "ix_orders_to_send",
            "id",
            postgresql_where=sa.text(f"status IN ({_TO_SEND})"),
            sqlite_where=sa.text(f"status IN ({_TO_SEND})"),
        ),
        sa.Index(None, "client_id", "id"),
        sa.Index(None, "wallet_id", "id"),
    )

    id: Mapped[uuid_pk]
    client_order_id: Mapped[str | None] = mapped_column(sa.String(48))
    body_hash: Mapped[str | None] = mapped_column(sa.String(64))  # of the request that named client_order_id
    client_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("clients.id"))
    wallet_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("wallets.id"))
    instrument_id: Mapped[int] = mapped_column(sa.ForeignKey("instruments.id"))
    side: Mapped[str] = mapped_column(sa.String(4))
    type: Mapped[str] = mapped_column(sa.String(20))
    time_in_force: Mapped[str] = mapped_column(sa.String(3))
    qty: Mapped[Decimal]
    quote_qty: Mapped[Decimal | None]  # a market buy that named an amount of quote currency
    price: Mapped[Decimal | None]
    protection_px: Mapped[Decimal | None]  # worst price a market order may execute at
    expires_at: Mapped[datetime | None]
    reduce_only: Mapped[bool] = mapped_column(default=False)
    post_only: Mapped[bool] = mapped_column(default=False)
    protection: Mapped[Any | None] = mapped_column(JsonText)
    position_id: Mapped[str | None] = mapped_column(Uuid, sa.ForeignKey("positions.id"), index=True)
    exit_reason: Mapped[str | None] = mapped_column(sa.String(20))
    trigger_key: Mapped[str | None] = mapped_column(sa.String(80), unique=True)  # a trigger fires once
    status: Mapped[str] = mapped_column(sa.String(20))
    version: Mapped[int] = mapped_column(default=1)
    cum_qty: Mapped[Decimal]
    leaves_qty: Mapped[Decimal]
    avg_px: Mapped[Decimal | None]
    cum_value: Mapped[Decimal]
    fees: Mapped[Decimal]
    hold_currency: Mapped[str] = mapped_column(sa.String(12))
    held: Mapped[Decimal]
    pending_qty: Mapped[Decimal | None]  # what a replace asks for while it travels
    pending_price: Mapped[Decimal | None]
    reject_code: Mapped[str | None] = mapped_column(sa.String(40))
    reject_reason: Mapped[str | None] = mapped_column(sa.String(300))
    reject_values: Mapped[Any | None] = mapped_column(JsonText)
    venue: Mapped[str] = mapped_column(sa.String(20))
    venue_order_id: Mapped[str | None] = mapped_column(sa.String(60))
    source: Mapped[str] = mapped_column(sa.String(10))
    created_by: Mapped[str] = mapped_column(sa.String(60))
    strategy: Mapped[Any | None] = mapped_column(JsonText)
    created_at: Mapped[datetime]
    submitted_at: Mapped[datetime | None]
    first_fill_at: Mapped[datetime | None]
    last_fill_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]


class Execution(db.Model):
    __tablename__ = "executions"
    __table_args__ = (
        sa.UniqueConstraint("venue", "wallet_id", "instrument_id", "trade_id"),
        sa.Index(None, "client_id", "id"),
    )

    id: Mapped[uuid_pk]
    order_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("orders.id"), index=True)
    client_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("clients.id"))
    wallet_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("wallets.id"))
    instrument_id: Mapped[int] = mapped_column(sa.ForeignKey("instruments.id"))
    position_id: Mapped[str | None] = mapped_column(Uuid, sa.ForeignKey("positions.id"), index=True)
    position_qty: Mapped[Decimal]  # signed part that changed the position
    entry_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("journal_entries.id"), unique=True)
    venue: Mapped[str] = mapped_column(sa.String(20))
    trade_id: Mapped[str] = mapped_column(sa.String(60))
    side: Mapped[str] = mapped_column(sa.String(4))
    qty: Mapped[Decimal]
    price: Mapped[Decimal]
    value: Mapped[Decimal]  # quote currency, rounded
    fee: Mapped[Decimal]
    fee_currency: Mapped[str] = mapped_column(sa.String(12))
    liquidity: Mapped[str] = mapped_column(sa.String(5))  # maker or taker
    realized_pnl: Mapped[Decimal]
    executed_at: Mapped[datetime]
    booked_at: Mapped[datetime]


class FixMessage(db.Model):
    """A message as it travelled, SOH-separated."""

    __tablename__ = "fix_messages"

    id: Mapped[serial_pk]
    order_id: Mapped[str | None] = mapped_column(Uuid, sa.ForeignKey("orders.id"), index=True)
    direction: Mapped[str] = mapped_column(sa.String(3))  # out: to the venue
    msg_type: Mapped[str] = mapped_column(sa.String(2))
    raw: Mapped[str] = mapped_column(sa.Text)
    at: Mapped[datetime]
