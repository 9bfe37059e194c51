"""Bars: open, high, low and close of the mid price over fixed intervals in UTC."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from .money import ZERO
from .quotes import Quote

INTERVALS: Final[dict[str, timedelta]] = {
    "1s": timedelta(seconds=1),
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Bar:
    """Prices are mids in the quote currency; ``volume`` in base, 0 when unknown; ``ticks`` counts quotes."""

    symbol: str
    interval: str
    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    ticks: int

    @property
    def end(self) -> datetime:
        return self.start + INTERVALS[self.interval]

    def then(self, later: Bar) -> Bar:
        """This bar continued by ``later``, which lies within its interval; the result keeps ours."""
        return Bar(
            self.symbol,
            self.interval,
            self.start,
            self.open,
            max(self.high, later.high),
            min(self.low, later.low),
            later.close,
            self.volume + later.volume,
            self.ticks + later.ticks,
        )

    def widen(self, interval: str) -> Bar:
        """The bar of a longer interval with nothing but this one in it."""
        return Bar(
            self.symbol,
            interval,
            interval_start(self.start, interval),
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.ticks,
        )


def interval_start(at: datetime, interval: str) -> datetime:
    """When the interval that contains ``at`` began; intervals are counted from midnight UTC."""
    step = INTERVALS[interval]
    return _EPOCH + (at - _EPOCH) // step * step


def aggregate(bars: Iterable[Bar], interval: str) -> list[Bar]:
    """Bars of a longer interval from shorter ones of one instrument, in time order."""
    result: list[Bar] = []
    for bar in bars:
        wide = bar.widen(interval)
        if result and result[-1].start == wide.start:
            result[-1] = result[-1].then(wide)
        else:
            result.append(wide)
    return result


class BarBuilder:
    """Builds the bars of one interval, for any number of instruments.

    Time alone decides where a quote belongs: one from before the forming bar closes that bar and opens
    its own, and whoever keeps bars merges the two bars of the same start (``Bar.then``).
    """

    def __init__(self, interval: str) -> None:
        self.interval = interval
        self._step = INTERVALS[interval]
        self._forming: dict[str, Bar] = {}

    def forming(self, symbol: str) -> Bar | None:
        return self._forming.get(symbol)

    def add(self, quote: Quote, *, source_time: bool = False, volume: Decimal = ZERO) -> list[Bar]:
        """Take a quote, by our time or by its source's, and return the bars it closed."""
        at = quote.at if source_time else quote.received_at
        mid = quote.mid
        bar = self._forming.get(quote.symbol)
        if bar is not None and bar.start <= at < bar.start + self._step:
            self._forming[quote.symbol] = Bar(
                bar.symbol,
                bar.interval,
                bar.start,
                bar.open,
                max(bar.high, mid),
                min(bar.low, mid),
                mid,
                bar.volume + volume,
                bar.ticks + 1,
            )
            return []
        start = interval_start(at, self.interval)
        self._forming[quote.symbol] = Bar(quote.symbol, self.interval, start, mid, mid, mid, mid, volume, 1)
        return [] if bar is None else [bar]
