"""Currencies, instruments and the bars built from their quotes."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.calendars import Calendar
from app.domain.instruments import InstrumentStatus, Market
from app.domain.money import MAX_SCALE
from app.extensions import db

from .base import one_of


class Currency(db.Model):
    """Money or any other asset that a wallet or the house may hold; ``scale`` is how many decimals its amounts have."""

    __tablename__ = "currencies"
    __table_args__ = (sa.CheckConstraint(f"scale BETWEEN 0 AND {MAX_SCALE}", name="scale"),)

    code: Mapped[str] = mapped_column(sa.String(12), primary_key=True)
    scale: Mapped[int]


class InstrumentRow(db.Model):
    __tablename__ = "instruments"
    __table_args__ = (
        one_of("market", Market, "market"),
        one_of("calendar", Calendar, "calendar"),
        one_of("status", InstrumentStatus, "status"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    symbol: Mapped[str] = mapped_column(sa.String(20), unique=True)
    name: Mapped[str] = mapped_column(sa.String(100))
    market: Mapped[str] = mapped_column(sa.String(20))
    base: Mapped[str] = mapped_column(sa.String(12), sa.ForeignKey("currencies.code"))
    quote: Mapped[str] = mapped_column(sa.String(12), sa.ForeignKey("currencies.code"))
    tick_size: Mapped[Decimal]
    lot_size: Mapped[Decimal]
    min_qty: Mapped[Decimal]
    max_qty: Mapped[Decimal]
    min_notional: Mapped[Decimal]
    price_band: Mapped[Decimal]
    calendar: Mapped[str] = mapped_column(sa.String(20))
    status: Mapped[str] = mapped_column(sa.String(20))
    stale_after_seconds: Mapped[int]


class Bar(db.Model):
    """OHLCV of one interval, mid prices; ``ticks`` counts the quotes in it."""

    __tablename__ = "bars"

    instrument_id: Mapped[int] = mapped_column(sa.ForeignKey("instruments.id"), primary_key=True)
    interval: Mapped[str] = mapped_column(sa.String(4), primary_key=True)
    start: Mapped[datetime] = mapped_column(primary_key=True)
    open: Mapped[Decimal]
    high: Mapped[Decimal]
    low: Mapped[Decimal]
    close: Mapped[Decimal]
    volume: Mapped[Decimal]
    ticks: Mapped[int]
