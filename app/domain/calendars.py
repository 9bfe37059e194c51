"""Trading calendars: when a market is open and when its trading day ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
UTC = ZoneInfo("UTC")


class Calendar(StrEnum):
    ALWAYS = "24x7"
    FOREX = "24x5"
    US_STOCKS = "us_stocks"


# NYSE full-day holidays, https://www.nyse.com/markets/hours-calendars (2026 and 2027).
US_HOLIDAYS = frozenset(
    {
        "2026-01-01",
        "2026-01-19",
        "2026-02-16",
        "2026-04-03",
        "2026-05-25",
        "2026-06-19",
        "2026-07-03",
        "2026-09-07",
        "2026-11-26",
        "2026-12-25",
        "2027-01-01",
        "2027-01-18",
        "2027-02-15",
        "2027-03-26",
        "2027-05-31",
        "2027-06-18",
        "2027-07-05",
        "2027-09-06",
        "2027-11-25",
        "2027-12-24",
    }
)

_FOREX_CLOSE = time(17)
_STOCKS_OPEN, _STOCKS_CLOSE = time(9, 30), time(16)


def is_open(calendar: Calendar, now: datetime) -> bool:
    """Whether the market trades at ``now`` (an aware UTC time)."""
    if calendar is Calendar.ALWAYS:
        return True
    local = now.astimezone(NEW_YORK)
    if calendar is Calendar.FOREX:  # Sunday 17:00 to Friday 17:00 in New York
        weekday, clock = local.weekday(), local.time()
        return not (weekday == 5 or (weekday == 4 and clock >= _FOREX_CLOSE) or (weekday == 6 and clock < _FOREX_CLOSE))
    return _is_stock_day(local) and _STOCKS_OPEN <= local.time() < _STOCKS_CLOSE


def _is_stock_day(local: datetime) -> bool:
    return local.weekday() < 5 and local.date().isoformat() not in US_HOLIDAYS


def session_close(calendar: Calendar, now: datetime) -> datetime:
    """The next end of a trading day strictly after ``now``, in UTC; DAY orders expire there."""
    if calendar is Calendar.ALWAYS:
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + timedelta(days=1)
    close_at = _FOREX_CLOSE if calendar is Calendar.FOREX else _STOCKS_CLOSE
    local = now.astimezone(NEW_YORK)
    close = local.replace(hour=close_at.hour, minute=0, second=0, microsecond=0)
    while close <= local or (close.weekday() >= 5 if calendar is Calendar.FOREX else not _is_stock_day(close)):
        close += timedelta(days=1)  # wall-clock days: the close stays at 17:00 or 16:00 across DST
    return close.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class TradingHours:
    """A daily window ``HH:MM-HH:MM`` in a time zone; it may span midnight."""

    start: time
    end: time
    zone: ZoneInfo

    @classmethod
    def parse(cls, window: str, zone: str) -> TradingHours:
        """Raise ValueError when the window or the zone makes no sense."""
        try:
            if not re.fullmatch(r"[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}", window):
                raise ValueError(window)  # fromisoformat takes offsets and seconds too
            return cls(time.fromisoformat(window[:5]), time.fromisoformat(window[6:]), ZoneInfo(zone))
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(f"trading hours must be HH:MM-HH:MM in a known time zone: {window} {zone}") from error

    def contains(self, now: datetime) -> bool:
        """Start included, end excluded; equal ends mean the whole day."""
        clock = now.astimezone(self.zone).time()
        if self.start == self.end:
            return True
        if self.start < self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M} {self.zone.key}"
