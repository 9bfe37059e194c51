"""Market: instruments, quotes, bars and feeds as the API shows them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StrictBool

from app.core.clock import iso
from app.domain.bars import Bar
from app.domain.instruments import Instrument
from app.domain.money import ZERO, text

from .base import AmountOut, PositiveAmount, QueryInt, Request, Response, Text, Time, TimeOut


class QuoteIn(Request):
    symbol: Text = Field(max_length=32, description="The instrument, in any known form")
    bid: PositiveAmount = Field(description="What buyers pay, above 0, in quote currency, on the tick")
    ask: PositiveAmount = Field(description="What sellers want, above bid, in quote currency, on the tick")
    last: PositiveAmount | None = Field(None, description="Price of the last trade, in quote currency")
    confirm: StrictBool = Field(False, description="Asked for where the quote leaves the instrument's band")


class QuotesQuery(Request):
    symbols: Annotated[str, Field(max_length=2000, description="Comma separated; all when left out")] | None = None


class BarsQuery(Request):
    symbol: Annotated[str, Field(max_length=32)] = Field(description="The instrument, in any known form")
    interval: Annotated[str, Field(max_length=4)] = Field("1m", description="1s, 1m, 5m, 15m, 1h, 4h or 1d")
    limit: Annotated[QueryInt, Field(ge=1, le=1000)] = Field(300, description="Most bars, 1 to 1,000")
    before: Time | None = Field(None, description="Only bars that begin earlier")


class InstrumentOut(Response):
    symbol: str = Field(description="As we write it, base/quote")
    name: str = Field(description="For people")
    market: str = Field(description="crypto, stocks, forex or commodities")
    base: str = Field(description="What is bought and sold")
    quote: str = Field(description="What is paid with")
    tick_size: AmountOut = Field(description="Prices are multiples of it, in quote currency")
    lot_size: AmountOut = Field(description="Quantities are multiples of it, in base currency")
    min_qty: AmountOut = Field(description="Smallest quantity of an order, in base currency")
    max_qty: AmountOut = Field(description="Largest quantity of an order, in base currency")
    min_notional: AmountOut = Field(description="Smallest value of an order, in quote currency")
    price_band: AmountOut = Field(description="How far a limit may lie from the market, part of it: 0.1 is 10 %")
    calendar: str = Field(description="24x7, 24x5 (Sunday to Friday, 17:00 New York) or us_stocks")
    status: str = Field(description="trading; halted or delisted: no orders")
    stale_after_seconds: int = Field(
        description="After so long without a newer one a quote is old, and market orders are rejected"
    )
    forms: dict[str, str] = Field(description="How others write it")


class QuoteOut(Response):
    symbol: str = Field(description="The instrument")
    bid: AmountOut = Field(description="What buyers pay, in quote currency")
    ask: AmountOut = Field(description="What sellers want, in quote currency")
    last: AmountOut | None = Field(description="Price of the last trade, else null")
    mid: AmountOut = Field(description="Middle of bid and ask")
    spread: AmountOut = Field(description="ask minus bid")
    at: TimeOut = Field(description="Market time")
    received_at: TimeOut = Field(description="When we got it")
    source: str = Field(description="The feed it came from")
    stale: bool = Field(description="true: too old to trade on")


class BarOut(Response):
    start: TimeOut = Field(description="When it begins; it lasts one interval")
    open: AmountOut = Field(description="First mid, in quote currency")
    high: AmountOut = Field(description="Highest mid")
    low: AmountOut = Field(description="Lowest mid")
    close: AmountOut = Field(description="Last mid")
    volume: AmountOut = Field(description="In base currency; 0 where the feed tells none")
    ticks: int = Field(description="How many quotes it was made of")


class BarsOut(Response):
    symbol: str = Field(description="The instrument")
    interval: str = Field(description="As asked for")
    items: list[BarOut] = Field(description="Oldest first; the last one may still be growing")


class DayOut(Response):
    symbol: str = Field(description="The instrument, such as BTC/USDT")
    open: AmountOut = Field(description="Mid of 24 hours ago, or the first one known since, in quote currency")
    high: AmountOut = Field(description="Highest price, in quote currency")
    low: AmountOut = Field(description="Lowest price, in quote currency")
    close: AmountOut = Field(description="Newest price, in quote currency")
    change: AmountOut = Field(description="close less open, in quote currency")
    change_percent: AmountOut = Field(description="change in percent of open")
    volume: AmountOut = Field(description="What was traded, in base currency")
    closes: list[AmountOut] = Field(description="By hour, oldest first, in quote currency")


class FeedOut(Response):
    name: str = Field(description="simulated, replay or manual")
    state: str = Field(description="stopped, connecting, live, degraded, failed or finished")
    messages: int = Field(description="Received since it started")
    quotes: int = Field(description="Taken of these")
    quarantined: int = Field(description="Refused of these: crossed, out of band or out of order")
    errors: int = Field(description="Failures since it started")
    restarts: int = Field(description="How often its supervisor started it again")
    last_error: str | None = Field(description="The newest failure, else null")
    last_message_at: TimeOut | None = Field(description="Time of the newest message, else null")
    lag_ms: int | None = Field(description="From market time to us, in milliseconds; null: not known")
    detail: dict[str, Any] = Field(description="Figures of its own")


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
