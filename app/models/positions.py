"""Positions: the net result of executions in one wallet and instrument, from first fill to flat."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.positions import PositionStatus
from app.extensions import db

from .base import Uuid, one_of, serial_pk, uuid_pk

# what waits for the engine: protection it has not armed yet, exits that have no order yet
_TO_ATTEND = sa.text(
    "status <> 'CLOSED' AND (armed_version <> protection_version OR (status = 'CLOSING' AND exit_order_id IS NULL))"
)
# as queries say it; SQLite takes a partial index only where it finds its very condition
POSITION_TO_ATTEND = sa.text(
    "positions.status <> 'CLOSED' AND (positions.armed_version <> positions.protection_version "
    "OR (positions.status = 'CLOSING' AND positions.exit_order_id IS NULL))"
)


class Position(db.Model):
    """Money in the instrument's quote currency. ``version`` counts every stored change."""

    __tablename__ = "positions"
    __table_args__ = (
        one_of("status", PositionStatus, "status"),
        sa.Index(
            "uq_positions_open",
            "wallet_id",
            "instrument_id",
            unique=True,
            postgresql_where=sa.text("status <> 'CLOSED'"),
            sqlite_where=sa.text("status <> 'CLOSED'"),
        ),
        sa.Index("ix_positions_to_attend", "id", postgresql_where=_TO_ATTEND, sqlite_where=_TO_ATTEND),
        sa.Index(None, "client_id", "id"),
    )

    id: Mapped[uuid_pk]
    client_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("clients.id"))
    wallet_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("wallets.id"))
    instrument_id: Mapped[int] = mapped_column(sa.ForeignKey("instruments.id"), index=True)
    status: Mapped[str] = mapped_column(sa.String(10))
    version: Mapped[int] = mapped_column(default=1)
    qty: Mapped[Decimal]
    avg_entry_px: Mapped[Decimal]
    cost: Mapped[Decimal]
    open_fees: Mapped[Decimal]
    realized_pnl: Mapped[Decimal]
    entry_qty: Mapped[Decimal]
    entry_value: Mapped[Decimal]
    entry_fees: Mapped[Decimal]
    exit_qty: Mapped[Decimal]
    exit_value: Mapped[Decimal]
    exit_fees: Mapped[Decimal]
    entry_order_id: Mapped[str] = mapped_column(Uuid)
    entry_mark_px: Mapped[Decimal | None]  # what the quote asked when the entry filled, for slippage
    exit_order_id: Mapped[str | None] = mapped_column(Uuid)  # the live order that closes it
    exit_reason: Mapped[str | None] = mapped_column(sa.String(20))
    stop_loss_px: Mapped[Decimal | None]
    take_profit_px: Mapped[Decimal | None]
    trail_type: Mapped[str | None] = mapped_column(sa.String(10))
    trail_value: Mapped[Decimal | None]
    trail_activation_px: Mapped[Decimal | None]
    trail_extreme_px: Mapped[Decimal | None]  # best price since tracking began; only ever improves
    break_even_percent: Mapped[Decimal | None]
    break_even_px: Mapped[Decimal | None]  # the stop that the break-even set, once it has
    protection_version: Mapped[int] = mapped_column(default=0)
    armed_version: Mapped[int] = mapped_column(default=-1)  # the protection the engine watches; it lags until told
    stop_adjustments: Mapped[int] = mapped_column(default=0)
    high_px: Mapped[Decimal | None]
    low_px: Mapped[Decimal | None]
    price_moves: Mapped[int] = mapped_column(default=0)
    opened_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class PositionUpdate(db.Model):
    """A sample of a position's value; kept for seven days."""

    __tablename__ = "position_updates"
    __table_args__ = (sa.Index(None, "position_id", "at"),)

    id: Mapped[serial_pk]
    position_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("positions.id"))
    at: Mapped[datetime] = mapped_column(index=True)
    mark_px: Mapped[Decimal]
    unrealized_pnl: Mapped[Decimal]
    action: Mapped[str | None] = mapped_column(sa.String(30))


class Signal(db.Model):
    """What an outside strategy said about a position, and what came of it."""

    __tablename__ = "signals"

    id: Mapped[uuid_pk]
    position_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("positions.id"), index=True)
    action: Mapped[str] = mapped_column(sa.String(6))
    confidence: Mapped[int]
    urgency: Mapped[str | None] = mapped_column(sa.String(10))
    reasoning: Mapped[str | None] = mapped_column(sa.String(2000))
    order_id: Mapped[str | None] = mapped_column(Uuid)
    outcome: Mapped[str] = mapped_column(sa.String(40))
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(sa.String(60))
