"""The replay feed: a recording delivered quote by quote, at the market's own pace or any other."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final, Literal

from app.core.clock import Clock

from .base import FeedState, Sink, Sleep, offer
from .recordings import Malformed, ReplayError, ReplayFile, ReplayReport, ReplayRow, parse_time

__all__ = ["Malformed", "ReplayError", "ReplayFeed", "ReplayFile", "ReplayReport", "ReplayRow", "parse_time"]

Speed = Literal["max"] | float
_SLICE_SECONDS: Final = 0.25  # longest sleep, so that stop() is heard during a weekend in the recording
_CLOCK_SECONDS: Final = 1e-6  # what a datetime can tell apart
_YIELD_ROWS: Final = 100


class ReplayFeed:
    """Delivers every quote of a recording in order, then ends.

    ``speed`` multiplies market time; ``max`` waits for nothing. Quotes carry market time in ``at`` and the
    clock's in ``received_at``, so that they are as fresh as live ones. Stopped or crashed, the next
    ``start`` goes on with the first row not yet delivered. A recording without one usable row raises
    ``ReplayError("no_quotes")`` instead of ending well.
    """

    lossless = True

    def __init__(
        self, file: ReplayFile, clock: Clock, sleep: Sleep, *, speed: Speed = "max", name: str = "replay"
    ) -> None:
        if speed != "max" and not speed > 0:
            raise ValueError("the speed must be positive or max")
        self.name = name
        self.file = file
        self.speed = speed
        self._clock = clock
        self._sleep = sleep
        self._stop = threading.Event()
        self._state = FeedState.STOPPED
        self._rows: Iterator[ReplayRow] | None = None
        self._next: ReplayRow | None = None
        self._delivered = 0
        self._market_time: datetime | None = None

    def start(self, sink: Sink) -> None:
        self._state = FeedState.LIVE
        try:
            finished = self._deliver(sink)
        except BaseException:
            self._state = FeedState.FAILED
            raise
        finally:
            self._stop.clear()
        self._state = FeedState.FINISHED if finished else FeedState.STOPPED

    def _deliver(self, sink: Sink) -> bool:
        """True at the end of the recording, False when stopped before it."""
        if self._rows is None:
            self._rows = self.file.rows()
            self._next = next(self._rows, None)
        origin: tuple[datetime, float] | None = None  # market time and our time where this run began
        while self._next is not None:
            row = self._next
            if origin is None:
                origin = row.at, self._clock.monotonic()
            if not self._wait(row.at, origin):
                return False
            offer(sink, row.quote(self.file.instrument.symbol, self._clock.now(), self.name))
            self._delivered += 1
            self._market_time = row.at
            self._next = next(self._rows, None)
        if not self._delivered:
            raise ReplayError("no_quotes", f"{self.file.path.name} has no usable row for {self.file.instrument.symbol}")
        return True

    def _wait(self, at: datetime, origin: tuple[datetime, float]) -> bool:
        """Until the row is due; False when stopped meanwhile."""
        if self.speed == "max":
            if self._delivered % _YIELD_ROWS == _YIELD_ROWS - 1:
                self._sleep(0)
            return not self._stop.is_set()
        began_at, began = origin
        due = began + (at - began_at).total_seconds() / self.speed
        while not self._stop.is_set():
            missing = due - self._clock.monotonic()
            if missing < _CLOCK_SECONDS:
                return True
            self._sleep(min(missing, _SLICE_SECONDS))
        return False

    def stop(self) -> None:
        self._stop.set()

    def subscribe(self, symbols: Iterable[str]) -> None:
        """Nothing to do: a recording holds one instrument."""

    def unsubscribe(self, symbols: Iterable[str]) -> None:
        """Nothing to do: a recording holds one instrument."""

    def status(self) -> dict[str, Any]:
        report = self.file.report
        done = self._state is FeedState.FINISHED
        return {
            "state": self._state,
            "file": self.file.path.name,
            "symbol": self.file.instrument.symbol,
            "speed": self.speed,
            "fraction": 1.0 if done else report.rows / self.file.total_rows,
            "rows_done": report.rows,
            "rows_total": self.file.total_rows,
            "quotes": self._delivered,
            "malformed": report.malformed_count,
            "other_symbols": report.other_symbols,
            "market_time": self._market_time,
        }
