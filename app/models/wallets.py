"""Wallets: a client's account at a platform. Balances live in the ledger."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.extensions import db

from .base import JsonText, Uuid, one_of, uuid_pk

WALLET_STATUSES = ("active", "paused", "suspended")


class Wallet(db.Model):
    __tablename__ = "wallets"
    __table_args__ = (one_of("status", WALLET_STATUSES, "status"),)

    id: Mapped[uuid_pk]
    client_id: Mapped[str] = mapped_column(Uuid, sa.ForeignKey("clients.id"), index=True)
    platform: Mapped[str] = mapped_column(sa.String(40), default="paper")
    name: Mapped[str] = mapped_column(sa.String(100))
    status: Mapped[str] = mapped_column(sa.String(20), default="active")
    stopped_by: Mapped[str | None] = mapped_column(sa.String(10))  # who may lift the stop: client, firm
    is_default: Mapped[bool] = mapped_column(default=False)
    maker_rate: Mapped[Decimal]  # fraction of the traded value
    taker_rate: Mapped[Decimal]
    default_stop_loss_percent: Mapped[Decimal | None]
    default_take_profit_percent: Mapped[Decimal | None]
    close_signal_confidence: Mapped[int] = mapped_column(default=70)  # 0-100: a close signal acts from here
    max_position_usd: Mapped[Decimal | None]
    max_exposure_usd: Mapped[Decimal | None]
    max_open_positions: Mapped[int | None]
    daily_loss_usd: Mapped[Decimal | None]
    daily_loss_percent: Mapped[Decimal | None]
    max_drawdown_percent: Mapped[Decimal | None]
    allowed_symbols: Mapped[Any | None] = mapped_column(JsonText)
    blocked_symbols: Mapped[Any | None] = mapped_column(JsonText)
    respect_market_hours: Mapped[bool] = mapped_column(default=False)
    peak_equity_usd: Mapped[Decimal | None]
    day_start_equity_usd: Mapped[Decimal | None]
    day_start_on: Mapped[str | None] = mapped_column(sa.String(10))
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
