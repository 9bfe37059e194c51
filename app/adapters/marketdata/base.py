"""What the rest of the product knows of a price source: feeds that push quotes, and the shared cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Protocol

from app.domain.quotes import BadQuote, Quote

Sink = Callable[[Quote], None]
Sleep = Callable[[float], object]


class FeedState(StrEnum):
    STOPPED = "stopped"
    CONNECTING = "connecting"
    LIVE = "live"
    DEGRADED = "degraded"
    FAILED = "failed"
    FINISHED = "finished"


class FatalFeedError(Exception):
    """Starting the feed again cannot help (wrong key, unreadable file). ``code`` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class FeedNotRunning(RuntimeError):
    """A quote was set while nobody listens."""


class Feed(Protocol):
    """One source of quotes.

    ``lossless`` feeds want every quote processed in order; of the others only the newest quote per
    instrument matters to a consumer that falls behind.
    """

    name: str
    lossless: bool

    def start(self, sink: Sink) -> None:
        """Deliver quotes until ``stop`` is called or the source ends; blocks, so the caller spawns it.

        The sink raises ``BadQuote`` for a quote it refuses; a feed carries on after it. Raises
        ``FatalFeedError`` when a restart is pointless; any other exception is a crash worth a restart.
        """

    def stop(self) -> None:
        """Make ``start`` return soon; when it has not begun yet, make it return at once."""

    def subscribe(self, symbols: Iterable[str]) -> None: ...

    def unsubscribe(self, symbols: Iterable[str]) -> None: ...

    def status(self) -> dict[str, Any]:
        """``state`` and whatever else the source can tell about itself."""


class QuoteCache(Protocol):
    """Latest quotes shared between processes. An outage is counted in ``errors`` and never raised."""

    errors: int

    def publish(self, quote: Quote) -> None: ...

    def fetch(self, symbols: Iterable[str]) -> Mapping[str, Quote]: ...


def offer(sink: Sink, quote: Quote) -> bool:
    """Hand over a quote; False when the sink refused it, which the sink has counted."""
    try:
        sink(quote)
    except BadQuote:
        return False
    return True
