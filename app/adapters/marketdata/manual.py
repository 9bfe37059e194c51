"""A feed whose quotes are set by hand or by a program: nothing moves unless told to."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from app.core.clock import Clock
from app.domain.quotes import Quote

from .base import FeedState, Sink, Sleep

_POLL_SECONDS = 0.2


class FeedNotRunning(RuntimeError):
    """A quote was set while nobody listens."""


class ManualFeed:
    """Delivers a quote in the caller's own thread, so that a refusal reaches whoever set it."""

    lossless = True

    def __init__(self, clock: Clock, sleep: Sleep, *, name: str = "manual") -> None:
        self.name = name
        self._clock = clock
        self._sleep = sleep
        self._stop = threading.Event()
        self._sink: Sink | None = None

    def set_quote(self, symbol: str, bid: Decimal, ask: Decimal, last: Decimal | None = None) -> Quote:
        """Make this the market; prices in the quote currency.

        Raises ``BadQuote`` when the quote book refuses it, ``FeedNotRunning`` before ``start``.
        """
        sink = self._sink
        if sink is None:
            raise FeedNotRunning(f"the {self.name} feed is not running")
        now = self._clock.now()
        quote = Quote(symbol, bid, ask, last, now, now, self.name)
        sink(quote)
        return quote

    def start(self, sink: Sink) -> None:
        self._sink = sink
        try:
            while not self._stop.is_set():
                self._sleep(_POLL_SECONDS)
        finally:
            self._sink = None
            self._stop.clear()

    def stop(self) -> None:
        self._stop.set()

    def subscribe(self, symbols: Iterable[str]) -> None:
        """Nothing to do: whatever is set is delivered."""

    def unsubscribe(self, symbols: Iterable[str]) -> None:
        """Nothing to do: whatever is set is delivered."""

    def status(self) -> dict[str, Any]:
        return {"state": FeedState.LIVE if self._sink else FeedState.STOPPED}
