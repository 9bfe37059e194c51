"""Market: instruments, quotes, bars and feeds as the API shows them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StrictBool

from app.core.clock import iso
from app.domain.bars import Bar
from app.domain.instruments import Instrument
from app.domain.money import ZERO, text
from app.domain.quotes import Quote

from .base import AmountOut, PositiveAmount, QueryInt, Request, Response, Text, Time, TimeOut


class QuoteIn(Request):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"symbol": "BTC/USDT", "bid": "67000.00", "ask": "67000.50"}]}
    )

    symbol: Text = Field(max_length=32)
    bid: PositiveAmount
    ask: PositiveAmount
    last: PositiveAmount | None = None
    confirm: StrictBool = Field(False, description="Asked for where the quote leaves the instrument's band")


class QuotesQuery(Request):
    symbols: Annotated[str, Field(max_length=2000, description="Comma separated; all when left out")] | None = None


class BarsQuery(Request):
    symbol: Annotated[str, Field(max_length=32)]
    interval: Annotated[str, Field(max_length=4)] = "1m"
    limit: Annotated[QueryInt, Field(ge=1, le=1000)] = 300
    before: Time | None = None


class InstrumentOut(Response):
    symbol: str
    name: str
    market: str
    base: str
    quote: str
    tick_size: AmountOut
    lot_size: AmountOut
    min_qty: AmountOut
    max_qty: AmountOut
    min_notional: AmountOut
    price_band: AmountOut
    calendar: str
    status: str
    stale_after_seconds: int
    forms: dict[str, str]


class QuoteOut(Response):
    symbol: str
    bid: AmountOut
    ask: AmountOut
    last: AmountOut | None
    mid: AmountOut
    spread: AmountOut
    at: TimeOut
    received_at: TimeOut
    source: str
    stale: bool


class BarOut(Response):
    start: TimeOut
    open: AmountOut
    high: AmountOut
    low: AmountOut
    close: AmountOut
    volume: AmountOut
    ticks: int


class BarsOut(Response):
    symbol: str
    interval: str
    items: list[BarOut]


class DayOut(Response):
    symbol: str
    open: AmountOut = Field(description="Mid of 24 hours ago, or the first one known since")
    high: AmountOut
    low: AmountOut
    close: AmountOut
    change: AmountOut
    change_percent: AmountOut
    volume: AmountOut
    closes: list[AmountOut] = Field(description="By hour, oldest first")


class FeedOut(Response):
    name: str
    state: str
    messages: int
    quotes: int
    quarantined: int
    errors: int
    restarts: int
    last_error: str | None
    last_message_at: TimeOut | None
    lag_ms: int | None
    detail: dict[str, Any]


def instrument_json(instrument: Instrument, forms: dict[str, str]) -> dict[str, Any]:
    return {
        "symbol": instrument.symbol,
        "name": instrument.name,
        "market": instrument.market.value,
        "base": instrument.base,
        "quote": instrument.quote,
        "tick_size": text(instrument.tick_size),
        "lot_size": text(instrument.lot_size),
        "min_qty": text(instrument.min_qty),
        "max_qty": text(instrument.max_qty),
        "min_notional": text(instrument.min_notional),
        "price_band": text(instrument.price_band),
        "calendar": instrument.calendar.value,
        "status": instrument.status.value,
        "stale_after_seconds": int(instrument.stale_after.total_seconds()),
        "forms": forms,
    }


def quote_json(quote: Quote, now: datetime, stale_after: timedelta) -> dict[str, Any]:
    return {
        "symbol": quote.symbol,
        "bid": text(quote.bid),
        "ask": text(quote.ask),
        "last": None if quote.last is None else text(quote.last),
        "mid": text(quote.mid),
        "spread": text(quote.spread),
        "at": iso(quote.at),
        "received_at": iso(quote.received_at),
        "source": quote.source,
        "stale": quote.is_stale(now, stale_after),
    }


def bar_json(bar: Bar) -> dict[str, Any]:
    return {
        "start": iso(bar.start),
        "open": text(bar.open),
        "high": text(bar.high),
        "low": text(bar.low),
        "close": text(bar.close),
        "volume": text(bar.volume),
        "ticks": bar.ticks,
    }


def day_json(hours: list[Bar]) -> dict[str, Any]:
    """The last 24 hours of an instrument from its hourly bars, of which there is one at least."""
    first, last = hours[0].open, hours[-1].close
    return {
        "symbol": hours[0].symbol,
        "open": text(first),
        "high": text(max(bar.high for bar in hours)),
        "low": text(min(bar.low for bar in hours)),
        "close": text(last),
        "change": text(last - first),
        "change_percent": text(round((last - first) * 100 / first, 2)),
        "volume": text(sum((bar.volume for bar in hours), ZERO)),
        "closes": [text(bar.close) for bar in hours],
    }


def feed_json(status: dict[str, Any]) -> dict[str, Any]:
    at = status["last_message_at"]
    return {**status, "state": str(status["state"]), "last_message_at": None if at is None else iso(at)}
