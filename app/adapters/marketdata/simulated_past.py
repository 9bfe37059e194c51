"""The past of the simulated market: bars that lead to where the live walk begins, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import isqrt
from typing import Final

from app.domain.bars import INTERVALS, Bar, aggregate, interval_start
from app.domain.calendars import is_open
from app.domain.instruments import Instrument
from app.domain.quotes import Quote

from .simulated import PROFILES, Profile

# how far back each stored interval is made bar by bar; what is longer is put together from the shorter
MINUTES: Final = timedelta(days=7)
HOURS: Final = timedelta(days=90)
DAYS: Final = timedelta(days=400)
SOURCE: Final = "simulated"
CLOSED: Final = 1  # percent of the usual movement and turnover while the market is closed
# percent of the usual movement and turnover by the hour of the day in UTC: quiet nights, busy openings
_BUSY: Final = (
    60,
    55,
    55,
    60,
    65,
    70,
    85,
    105,
    120,
    115,
    105,
    100,
    110,
    140,
    170,
    160,
    145,
    135,
    125,
    120,
    105,
    90,
    75,
    65,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One bar's worth of the walk, in ticks of the mid and lots traded."""

    start: datetime
    open: int
    high: int
    low: int
    close: int
    lots: int


class PastWalk:
    """One instrument's past, walked backwards from ``end``, where the live walk takes over at the profile's start.

    A random walk turned round is a random walk. Steps are integers of ticks, so nothing is rounded.
    """

    def __init__(self, instrument: Instrument, seed: int, end: datetime) -> None:
        self.instrument = instrument
        self._profile: Profile = PROFILES[instrument.symbol]
        self._random = random.Random(f"{seed}:{instrument.symbol}:past")
        self._end = interval_start(end, "1m")
        self._level = self._anchor = int(self._profile.start / instrument.tick_size)

    def bars(self) -> dict[str, list[Bar]]:
        """By stored interval, oldest first; a bar of each interval may still be forming at the end."""
        whole_hour = interval_start(self._end - MINUTES, "1h")
        whole_day = interval_start(self._end - HOURS, "1d")
        minutes = self._walk("1m", self._end, whole_hour)
        hours = [*self._walk("1h", whole_hour, whole_day), *aggregate(minutes, "1h")]
        days = [*self._walk("1d", whole_day, interval_start(self._end - DAYS, "1d")), *aggregate(hours, "1d")]
        return {"1m": minutes, "1h": hours, "1d": days}

    def quote(self, bar: Bar, now: datetime) -> Quote:
        """The market as a bar of this walk has left it."""
        half = self._profile.half_spread * self.instrument.tick_size
        bid, ask = bar.close - half, bar.close + half
        return Quote(self.instrument.symbol, bid, ask, bid, now, now, SOURCE)

    def _walk(self, interval: str, until: datetime, since: datetime) -> list[Bar]:
        found = [self._bar(interval, step) for step in self._steps(interval, until, since)]
        found.reverse()
        return found

    def _steps(self, interval: str, until: datetime, since: datetime) -> Iterator[Step]:
        """Backwards from ``until``, each step with the movement that so many seconds of the live walk have."""
        length = INTERVALS[interval]
        seconds = length // timedelta(seconds=1)
        # two uniform halves of a step: variance of 2 · move · (move + 1) / 3, twice a second
        usual = max(isqrt(2 * self._profile.move * (self._profile.move + 1) * 2 * seconds * 10_000 // 3), 1)
        lots = self._profile.lots * seconds // 60
        start = until
        while start > since:
            start -= length
            busy = self._busy(start) if seconds < 86_400 else 100
            scale = max(usual * busy * max(self._level, 1) // (100 * self._anchor), 1)
            moved = (self._spread(scale) + 50) // 100
            close, opened = self._level, max(self._level - moved, self._profile.half_spread + 2)
            wick = max(scale // 100, 1)
            high = max(opened, close) + self._below(wick + 1) * self._below(100) // 150
            low = min(opened, close) - self._below(wick + 1) * self._below(100) // 150
            traded = lots * busy * (30 + self._below(90) + min(abs(moved) * 10_000 // scale, 250)) // 16_000
            yield Step(start, opened, high, max(low, self._profile.half_spread + 1), close, max(traded, 1))
            self._level = opened

    def _busy(self, start: datetime) -> int:
        return _BUSY[start.hour] if is_open(self.instrument.calendar, start) else CLOSED

    def _spread(self, deviation: int) -> int:
        """A draw with this standard deviation; four uniform ones are near enough to a normal."""
        most = deviation * 866 // 1000  # a uniform draw within ±m has the variance m²/3
        below = self._below
        span = 2 * most + 1
        return below(span) + below(span) + below(span) + below(span) - 4 * most

    def _below(self, limit: int) -> int:
        """A whole number from 0 to below ``limit``; three times as fast as ``randrange``, and as good here."""
        return int(self._random.random() * limit)

    def _bar(self, interval: str, step: Step) -> Bar:
        tick = self.instrument.tick_size
        length = INTERVALS[interval] // timedelta(minutes=1)
        return Bar(
            self.instrument.symbol,
            interval,
            step.start,
            step.open * tick,
            step.high * tick,
            step.low * tick,
            step.close * tick,
            Decimal(step.lots) * self.instrument.lot_size,
            120 * length,
        )
