"""A feed whose quotes are set by hand or by a program: nothing moves unless told to."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from app.core.clock import Clock
from app.domain.quotes import Quote

from .base import FeedNotRunning, FeedState, Sink, Sleep, offer

_POLL_SECONDS = 0.2
_REPEAT_SECONDS = 5.0


class ManualFeed:
    """Delivers a quote in the caller's own thread, so that a refusal reaches whoever set it.

    A price set by hand stands until it is changed: it is delivered again every few seconds, so that it
    does not grow stale.
    """

    lossless = True

    def __init__(self, clock: Clock, sleep: Sleep, *, name: str = "manual") -> None:
        self.name = name
        self._clock = clock
        self._sleep = sleep
        self._stop = threading.Event()
        self._sink: Sink | None = None
        self._standing: dict[str, Quote] = {}
        self._lock = threading.Lock()

    def set_quote(self, symbol: str, bid: Decimal, ask: Decimal, last: Decimal | None = None) -> Quote:
        """Make this the market; prices in the quote currency.

        Raises ``BadQuote`` when the quote book refuses it, ``FeedNotRunning`` before ``start``.
        """
        sink = self._sink
        if sink is None:
            raise FeedNotRunning(f"the {self.name} feed is not running")
        now = self._clock.now()
        quote = Quote(symbol, bid, ask, last, now, now, self.name, by_hand=True)
        with self._lock:
            sink(quote)
            self._standing[symbol] = quote
        return quote

    def stand(self, quote: Quote) -> None:
        """Repeat this one from now on; whoever calls has delivered it."""
        with self._lock:
            self._standing[quote.symbol] = quote

    def start(self, sink: Sink) -> None:
        with self._lock:
            self._standing.clear()  # another process may have set others since
        self._sink = sink
        try:
            repeat_at = self._clock.monotonic() + _REPEAT_SECONDS
            while not self._stop.is_set():
                self._sleep(_POLL_SECONDS)
                if self._clock.monotonic() >= repeat_at:
                    repeat_at = self._clock.monotonic() + _REPEAT_SECONDS
                    self._repeat(sink)
        finally:
            self._sink = None
            self._stop.clear()

    def _repeat(self, sink: Sink) -> None:
        now = self._clock.now()
        with self._lock:  # a price set meanwhile must not be followed by the one before it
            for quote in self._standing.values():
                offer(sink, replace(quote, at=now, received_at=now))

    def stop(self) -> None:
        self._stop.set()

    def subscribe(self, symbols: Iterable[str]) -> None:
        """Nothing to do: whatever is set is delivered."""

    def unsubscribe(self, symbols: Iterable[str]) -> None:
        """Nothing to do: whatever is set is delivered."""

    def status(self) -> dict[str, Any]:
        return {"state": FeedState.LIVE if self._sink else FeedState.STOPPED}
