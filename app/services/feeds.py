"""The feed supervisor: owns every price source, keeps it running and knows how it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from app.adapters.marketdata.base import FatalFeedError, Feed, FeedState, Sink, Sleep
from app.core.clock import Clock, Seconds
from app.domain.quotes import BadQuote, Quote

BACKOFF_FIRST_SECONDS: Final = 1.0
BACKOFF_MOST_SECONDS: Final = 60.0
FAILED_AFTER: Final = 10
_SLICE_SECONDS: Final = 0.1

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    """A feed with what the supervisor counts about it."""

    feed: Feed
    running: bool = False
    started_seconds: Seconds = 0
    messages: int = 0
    quotes: int = 0
    quarantined: int = 0
    errors: int = 0
    restarts: int = 0
    crashes_in_a_row: int = 0
    fatal: bool = False
    ending: bool = False  # told to stop, and not there yet
    again: bool = False  # started meanwhile
    last_error: str | None = None
    last_message_at: datetime | None = None
    lag_ms: int | None = None


class FeedSupervisor:
    """Starts feeds with ``spawn`` and hands their quotes to ``sink``.

    A feed that crashes is started again after 1, 2, 4 … 60 seconds; after ``FAILED_AFTER`` crashes in a
    row it is shown as failed, and the retries go on at the slowest pace. A ``FatalFeedError`` ends it. A
    minute without a crash forgives the earlier ones. The sink may raise ``BadQuote``; anything else it
    raises is a crash of the feed that called it.
    """

    def __init__(
        self,
        feeds: Iterable[Feed],
        sink: Sink,
        clock: Clock,
        spawn: Callable[[Callable[[], None]], Any],
        sleep: Sleep,
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._spawn = spawn
        self._sleep = sleep
        self._watched: dict[str, _Watched] = {}
        self._stopping = False
        for feed in feeds:
            if feed.name in self._watched:
                raise ValueError(f"two feeds are named {feed.name}")
            self._watched[feed.name] = _Watched(feed)

    def __getitem__(self, name: str) -> Feed:
        return self._watched[name].feed

    def start(self) -> None:
        """Start every feed that is not running; one that is just ending starts again when it has ended."""
        self._stopping = False
        for watched in self._watched.values():
            if watched.running:
                watched.again = watched.ending
            else:
                watched.running = True
                watched.fatal = False
                self._spawn(partial(self._keep_running, watched))

    def stop(self, timeout: Seconds = 5) -> bool:
        """Stop all feeds and wait for them; False when one is still running after ``timeout`` seconds."""
        self._stopping = True
        for watched in self._watched.values():
            watched.again = False
            if watched.running:
                watched.ending = True
                watched.feed.stop()
        deadline = self._clock.monotonic() + timeout
        while any(watched.running for watched in self._watched.values()):
            if self._clock.monotonic() >= deadline:
                return False
            self._sleep(_SLICE_SECONDS)
        return True

    def status(self) -> list[dict[str, Any]]:
        """One entry per feed: its own ``detail`` and what was counted here.

        ``lag_ms`` is our time less the source's on the last quote; None for a recording.
        """
        return [
            {
                "name": name,
                "state": self._state(watched),
                "messages": watched.messages,
                "quotes": watched.quotes,
                "quarantined": watched.quarantined,
                "errors": watched.errors,
                "restarts": watched.restarts,
                "last_error": watched.last_error,
                "last_message_at": watched.last_message_at,
                "lag_ms": watched.lag_ms,
                "detail": watched.feed.status(),
            }
            for name, watched in self._watched.items()
        ]

    def _state(self, watched: _Watched) -> FeedState:
        if watched.fatal or watched.crashes_in_a_row >= FAILED_AFTER:
            return FeedState.FAILED
        if watched.running and watched.crashes_in_a_row and not self._steady(watched):
            return FeedState.DEGRADED
        return FeedState(watched.feed.status()["state"])

    def _steady(self, watched: _Watched) -> bool:
        return self._clock.monotonic() - watched.started_seconds >= BACKOFF_MOST_SECONDS

    def _keep_running(self, watched: _Watched) -> None:
        try:
            while not self._stopping:
                if self._run_once(watched):
                    return
                self._pause(min(BACKOFF_FIRST_SECONDS * 2 ** (watched.crashes_in_a_row - 1), BACKOFF_MOST_SECONDS))
                watched.restarts += not self._stopping
        finally:
            watched.running = watched.ending = False
            if watched.again:
                self.start()

    def _run_once(self, watched: _Watched) -> bool:
        """True when the feed ended for good, False when it crashed."""
        watched.started_seconds = self._clock.monotonic()
        try:
            watched.feed.start(lambda quote: self._take(watched, quote))
        except FatalFeedError as error:
            watched.errors += 1
            watched.fatal = True
            watched.last_error = f"{error.code}: {error}"
            log.error("feed %s failed for good: %s", watched.feed.name, error)
            return True
        except Exception as error:
            watched.errors += 1
            watched.crashes_in_a_row = 1 if self._steady(watched) else watched.crashes_in_a_row + 1
            watched.last_error = f"{type(error).__name__}: {error}"
            log.warning("feed %s crashed: %s", watched.feed.name, watched.last_error, exc_info=True)
            return False
        watched.crashes_in_a_row = 0
        return True

    def _take(self, watched: _Watched, quote: Quote) -> None:
        watched.messages += 1
        watched.last_message_at = quote.received_at
        if not watched.feed.lossless:
            watched.lag_ms = int((quote.received_at - quote.at).total_seconds() * 1000)
        try:
            self._sink(quote)
        except BadQuote:
            watched.quarantined += 1
            raise
        watched.quotes += 1

    def _pause(self, seconds: Seconds) -> None:
        until = self._clock.monotonic() + seconds
        while not self._stopping and self._clock.monotonic() < until:
            self._sleep(min(_SLICE_SECONDS, seconds))
