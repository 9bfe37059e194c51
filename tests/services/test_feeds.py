"""The supervisor: counting, restarting with backoff, giving up, stopping cleanly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.adapters.marketdata.base import FatalFeedError, FeedState, Sink
from app.core.clock import ManualClock
from app.domain.quotes import BadQuote, Quote
from app.services.feeds import FAILED_AFTER, FeedSupervisor


class ScriptedFeed:
    """Each ``start`` runs the next step of a script."""

    lossless = False

    def __init__(self, *script: Callable[[Sink], None], name: str = "scripted") -> None:
        self.name = name
        self.script = list(script)
        self.starts = 0
        self.stopped = False
        self.state = FeedState.STOPPED

    def start(self, sink: Sink) -> None:
        self.starts += 1
        self.state = FeedState.LIVE
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        try:
            step(sink)
        finally:
            self.state = FeedState.FINISHED

    def stop(self) -> None:
        self.stopped = True

    def subscribe(self, symbols: Iterable[str]) -> None: ...

    def unsubscribe(self, symbols: Iterable[str]) -> None: ...

    def status(self) -> dict[str, Any]:
        return {"state": self.state}


class Stage:
    """A supervisor whose time passes only while it sleeps; ``spawn`` runs the feed to its end."""

    def __init__(self, clock: ManualClock, *feeds: ScriptedFeed, sink: Sink = lambda quote: None) -> None:
        self.clock = clock
        self.slept = 0.0
        self.stop_after: float | None = None
        self.supervisor = FeedSupervisor(feeds, sink, clock, lambda run: run(), self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.clock.advance(seconds)
        if self.stop_after is not None and self.slept >= self.stop_after:
            self.supervisor._stopping = True  # what stop() says first; it would wait for us

    def status(self) -> dict[str, Any]:
        return self.supervisor.status()[0]


def quote(clock: ManualClock, lag: float = 0) -> Quote:
    now = clock.now()
    return Quote("BTC/USDT", Decimal(1), Decimal(1), None, now - timedelta(seconds=lag), now, "test")


def crash(sink: Sink) -> None:
    raise ConnectionError("lost")


def end(sink: Sink) -> None:
    """Finish at once."""


def test_quotes_are_routed_and_counted(clock: ManualClock) -> None:
    taken: list[Quote] = []

    def sink(quote: Quote) -> None:
        if len(taken) == 2:
            raise BadQuote("crossed", "no")
        taken.append(quote)

    def three(sink: Sink) -> None:
        sink(quote(clock))
        sink(quote(clock, lag=0.25))
        with pytest.raises(BadQuote):  # the feed hears of it
            sink(quote(clock, lag=1))

    stage = Stage(clock, ScriptedFeed(three), sink=sink)
    stage.supervisor.start()
    status = stage.status()
    assert (status["messages"], status["quotes"], status["quarantined"], status["errors"]) == (3, 2, 1, 0)
    assert (status["lag_ms"], status["last_message_at"]) == (1000, clock.now())
    assert (status["state"], status["name"]) == (FeedState.FINISHED, "scripted")


def test_a_crashed_feed_is_restarted_after_1_2_4_seconds(clock: ManualClock) -> None:
    feed = ScriptedFeed(crash, crash, crash, end)
    stage = Stage(clock, feed)
    stage.supervisor.start()
    assert feed.starts == 4
    assert stage.slept == pytest.approx(7, abs=0.5)
    status = stage.status()
    assert (status["errors"], status["restarts"], status["last_error"]) == (3, 3, "ConnectionError: lost")
    assert status["state"] is FeedState.FINISHED


def test_the_pause_grows_to_a_minute_and_the_feed_shows_as_failed(clock: ManualClock) -> None:
    seen: list[FeedState] = []

    def look_and_crash(sink: Sink) -> None:
        seen.append(stage.status()["state"])
        crash(sink)

    feed = ScriptedFeed(look_and_crash)
    stage = Stage(clock, feed)
    stage.stop_after = 63 + 60 * 8
    stage.supervisor.start()
    assert feed.starts == 6 + 8
    assert seen[0] is FeedState.LIVE
    assert set(seen[1:FAILED_AFTER]) == {FeedState.DEGRADED}
    assert set(seen[FAILED_AFTER:]) == {FeedState.FAILED}


def test_a_minute_without_a_crash_forgives_the_earlier_ones(clock: ManualClock) -> None:
    def crash_late(sink: Sink) -> None:
        clock.advance(60)
        raise ConnectionError("lost")

    stage = Stage(clock, ScriptedFeed(crash, crash, crash_late, end))
    stage.supervisor.start()
    assert stage.slept == pytest.approx(1 + 2 + 1, abs=0.5)


def test_a_fatal_error_ends_the_feed(clock: ManualClock) -> None:
    def wrong_key(sink: Sink) -> None:
        raise FatalFeedError("bad_key", "the key is wrong")

    feed = ScriptedFeed(wrong_key)
    stage = Stage(clock, feed)
    stage.supervisor.start()
    assert (feed.starts, stage.slept) == (1, 0)
    assert (stage.status()["state"], stage.status()["last_error"]) == (FeedState.FAILED, "bad_key: the key is wrong")


def test_one_feeds_crash_leaves_the_other_alone(clock: ManualClock) -> None:
    taken: list[Quote] = []
    stage = Stage(
        clock, ScriptedFeed(crash, end), ScriptedFeed(lambda sink: sink(quote(clock)), name="b"), sink=taken.append
    )
    stage.supervisor.start()
    assert len(taken) == 1
    assert [status["errors"] for status in stage.supervisor.status()] == [1, 0]


def test_two_feeds_of_one_name_are_refused(clock: ManualClock) -> None:
    with pytest.raises(ValueError, match="two feeds are named a"):
        Stage(clock, ScriptedFeed(end, name="a"), ScriptedFeed(end, name="a"))


def test_stop_waits_for_the_feed_and_start_begins_again(clock: ManualClock) -> None:
    told, threads = threading.Event(), []

    def run_until_told(sink: Sink) -> None:
        assert told.wait(10)

    def spawn(run: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=run))
        threads[-1].start()

    feed = ScriptedFeed(run_until_told)
    feed.stop = told.set  # type: ignore[method-assign]
    supervisor = FeedSupervisor([feed], lambda quote: None, clock, spawn, lambda seconds: threads[-1].join(10))
    supervisor.start()
    supervisor.start()  # already running: nothing
    assert len(threads) == 1
    assert supervisor.stop()
    assert not threads[0].is_alive()
    supervisor.start()
    threads[1].join(10)
    assert feed.starts == 2


def test_stop_does_not_wait_for_ever(clock: ManualClock) -> None:
    release = threading.Event()
    feed = ScriptedFeed(lambda sink: release.wait(10) and None)
    threads: list[threading.Thread] = []

    def spawn(run: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=run))
        threads[-1].start()

    supervisor = FeedSupervisor([feed], lambda quote: None, clock, spawn, lambda seconds: clock.advance(seconds))
    supervisor.start()
    assert not supervisor.stop(timeout=1)
    release.set()
    threads[0].join(10)
    assert supervisor.stop(timeout=1)
