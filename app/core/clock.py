"""Time, passed in: nothing below the entry points asks the machine what time it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

Seconds = float  # durations of the monotonic clock
NEVER: Seconds = float("-inf")  # a moment before all others


class Clock(Protocol):
    def now(self) -> datetime:
        """The current time, aware, in UTC."""

    def monotonic(self) -> float:
        """Seconds for measuring durations; never goes back."""


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves when told to: for tests and for replays that run in market time."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._origin = start
        self._set_back = timedelta(0)

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now + self._set_back - self._origin).total_seconds()

    def set(self, moment: datetime) -> None:
        """Move to ``moment``; going back is refused."""
        if moment < self._now:
            raise ValueError(f"the clock stands at {self._now}, it cannot go back to {moment}")
        self._now = moment

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def set_back(self, seconds: float) -> None:
        """What a machine's clock does when it is corrected: durations go on, the time of day is earlier."""
        self._now -= timedelta(seconds=seconds)
        self._set_back += timedelta(seconds=seconds)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds and ``Z``."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
