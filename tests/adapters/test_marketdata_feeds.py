"""The feeds: what all of them promise, and what each adds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from app.adapters.marketdata.base import Feed, FeedNotRunning, FeedState, offer
from app.adapters.marketdata.manual import ManualFeed
from app.adapters.marketdata.replay import ReplayError, ReplayFeed, ReplayFile
from app.adapters.marketdata.simulated import PROFILES, SimulatedFeed
from app.core.clock import ManualClock
from app.core.transaction import Database
from app.domain.calendars import Calendar
from app.domain.instruments import Instrument, InstrumentStatus, Market
from app.domain.money import is_multiple
from app.domain.quotes import BadQuote, Quote, check_quote
from app.services.market import load_instruments, seed_instruments
from tests.data import shared_data

D = Decimal
BTC = Instrument(
    1,
    "BTC/USDT",
    "Bitcoin",
    Market.CRYPTO,
    "BTC",
    "USDT",
    8,
    8,
    D("0.01"),
    D("0.00001"),
    D("0.00001"),
    D(1000),
    D(5),
    D("0.10"),
    Calendar.ALWAYS,
    InstrumentStatus.TRADING,
    timedelta(seconds=15),
)
STOCK = Instrument(
    2,
    "AAPL",
    "Apple",
    Market.STOCKS,
    "AAPL",
    "USD",
    4,
    2,
    D("0.01"),
    D(1),
    D(1),
    D(1000),
    D(1),
    D("0.10"),
    Calendar.US_STOCKS,
    InstrumentStatus.TRADING,
    timedelta(seconds=15),
)


class Nap:
    """A sleep in which the clock moves on, and which may stop the feed."""

    def __init__(self, clock: ManualClock, stop_after: int | None = None) -> None:
        self.clock = clock
        self.stop_after = stop_after
        self.naps: list[float] = []
        self.feed: Feed | None = None

    def __call__(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.clock.advance(seconds)
        if self.feed is not None and len(self.naps) == self.stop_after:
            self.feed.stop()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "ticks.csv"
    path.write_text(
        "timestamp,bid,ask\n2021-01-08T00:00:00Z,100,101\nbad,1,2\n2021-01-08T00:00:10Z,102,103\n"
        "2021-01-08T00:01:00Z,104,105\n"
    )
    return path


@pytest.fixture
def instruments(sqlite_database: Database) -> list[Instrument]:
    sqlite_database.run(seed_instruments)
    return list(sqlite_database.read(load_instruments))


def _simulated(clock: ManualClock, nap: Nap, recording: Path) -> Feed:
    return SimulatedFeed([BTC], clock, nap)


def _replay(clock: ManualClock, nap: Nap, recording: Path) -> Feed:
    return ReplayFeed(ReplayFile(recording, BTC), clock, nap, speed=1.0)


def _manual(clock: ManualClock, nap: Nap, recording: Path) -> Feed:
    return ManualFeed(clock, nap)


EVERY_FEED = pytest.mark.parametrize("make", [_simulated, _replay, _manual])


@EVERY_FEED
def test_a_feed_runs_until_stopped_and_can_run_again(
    make: Callable[[ManualClock, Nap, Path], Feed], clock: ManualClock, recording: Path
) -> None:
    nap = Nap(clock, stop_after=3)
    nap.feed = feed = make(clock, nap, recording)
    states: list[FeedState] = []
    assert feed.status()["state"] is FeedState.STOPPED
    feed.start(lambda quote: states.append(feed.status()["state"]))
    assert set(states) <= {FeedState.LIVE}
    assert len(nap.naps) == 3
    assert feed.status()["state"] is FeedState.STOPPED
    nap.stop_after = 5
    feed.start(lambda quote: None)
    assert len(nap.naps) == 5


@EVERY_FEED
def test_a_feed_stopped_before_it_began_returns_at_once(
    make: Callable[[ManualClock, Nap, Path], Feed], clock: ManualClock, recording: Path
) -> None:
    feed = make(clock, Nap(clock), recording)
    taken: list[Quote] = []
    feed.stop()
    feed.start(taken.append)
    assert taken == []


@pytest.mark.parametrize("make", [_simulated, _replay])
def test_a_refused_quote_does_not_end_a_feed_and_another_error_does(
    make: Callable[[ManualClock, Nap, Path], Feed], clock: ManualClock, recording: Path
) -> None:
    nap = Nap(clock, stop_after=2)
    nap.feed = feed = make(clock, nap, recording)

    def refuse(quote: Quote) -> None:
        raise BadQuote("jump", "no")

    feed.start(refuse)
    assert len(nap.naps) == 2

    def fail(quote: Quote) -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        make(clock, nap, recording).start(fail)


def test_offer_says_whether_the_quote_was_taken(clock: ManualClock) -> None:
    def refuse(quote: Quote) -> None:
        raise BadQuote("jump", "no")

    quote = Quote("BTC/USDT", D(1), D(1), None, clock.now(), clock.now(), "test")
    assert offer(lambda quote: None, quote)
    assert not offer(refuse, quote)


# simulated


def test_the_same_seed_gives_the_same_quotes_and_another_seed_others(
    instruments: list[Instrument], clock: ManualClock
) -> None:
    def run(seed: int) -> list[Quote]:
        feed = SimulatedFeed(instruments, clock, Nap(clock), seed=seed)
        return [quote for _ in range(200) for quote in feed.step(clock.now())]

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_an_instruments_walk_does_not_depend_on_the_others(instruments: list[Instrument], clock: ManualClock) -> None:
    alone = SimulatedFeed([BTC], clock, Nap(clock), seed=3)
    among = SimulatedFeed(instruments, clock, Nap(clock), seed=3)
    among.unsubscribe(["EUR/USD"])
    for _ in range(50):
        [expected] = alone.step(clock.now())
        assert expected in among.step(clock.now())


def test_the_first_quotes_are_the_starting_prices_with_gold_at_1985(
    instruments: list[Instrument], clock: ManualClock
) -> None:
    quotes = {quote.symbol: quote for quote in SimulatedFeed(instruments, clock, Nap(clock)).step(clock.now())}
    assert quotes["XAU/USD"].mid == D("1985.00")
    assert {symbol: quote.mid for symbol, quote in quotes.items()} == {s: p.start for s, p in PROFILES.items()}
    assert all(quote.at == quote.received_at == clock.now() for quote in quotes.values())


def test_three_hours_of_quotes_are_believable_and_on_the_tick_grid(
    instruments: list[Instrument], clock: ManualClock
) -> None:
    feed = SimulatedFeed(instruments, clock, Nap(clock), seed=1)
    ticks = {instrument.symbol: instrument.tick_size for instrument in instruments}
    bands = {instrument.symbol: instrument.price_band for instrument in instruments}
    previous: dict[str, Quote] = {}
    seen: dict[str, set[Decimal]] = {symbol: set() for symbol in ticks}
    for step in range(20_000):
        for quote in feed.step(clock.now()):
            if step % 50 == 0:
                check_quote(quote, previous.get(quote.symbol), bands[quote.symbol] / 10)
                assert is_multiple(quote.bid, ticks[quote.symbol])
                assert is_multiple(quote.ask, ticks[quote.symbol])
                assert quote.last in (quote.bid, quote.ask)
                assert D(0) < quote.spread < quote.mid / 500
                seen[quote.symbol].add(quote.mid)
                previous[quote.symbol] = quote
    for symbol, quote in previous.items():
        assert abs(quote.mid / PROFILES[symbol].start - 1) < D("0.10"), symbol
        assert len(seen[symbol]) > 20, symbol


def test_the_walk_is_drawn_back_to_its_level(clock: ManualClock) -> None:
    feed = SimulatedFeed([BTC], clock, Nap(clock), seed=1)
    walk = feed._walks["BTC/USDT"]
    walk.level = walk.anchor * 2  # twice as high: about 0.17 of 6,725,000 ticks a step on average
    start = walk.level
    for _ in range(4_000):
        feed.step(clock.now())
    assert start - walk.level > walk.anchor // 20


def test_a_pushed_price_is_delivered_as_given_and_becomes_the_level(clock: ManualClock) -> None:
    nap = Nap(clock, stop_after=2)
    nap.feed = feed = SimulatedFeed([BTC], clock, nap)
    taken: list[Quote] = []

    def sink(quote: Quote) -> None:
        taken.append(quote)
        if len(taken) == 1:
            feed.push("BTC/USDT", D("60000.10"), D("60000.30"), D("60000.20"))

    feed.start(sink)
    assert [quote.mid for quote in taken[:2]] == [D(67250), D("60000.20")]
    assert (taken[1].bid, taken[1].last) == (D("60000.10"), D("60000.20"))
    assert abs(taken[2].mid - 60000) < 11
    assert feed._walks["BTC/USDT"].anchor == 6_000_020


def test_a_price_nobody_may_use_cannot_be_pushed(clock: ManualClock) -> None:
    feed = SimulatedFeed([BTC], clock, Nap(clock))
    with pytest.raises(BadQuote):
        feed.push("BTC/USDT", D(2), D(1))
    with pytest.raises(KeyError):
        feed.push("DOGE", D(1), D(2))
    assert feed.step(clock.now())[0].mid == 67250


def test_a_tiny_price_never_becomes_negative(clock: ManualClock) -> None:
    feed = SimulatedFeed([BTC], clock, Nap(clock))
    feed.push("BTC/USDT", D("0.01"), D("0.02"))
    for _ in range(500):
        check_quote(feed.step(clock.now())[0], None, None)


def test_speed_shortens_the_pause(clock: ManualClock) -> None:
    nap = Nap(clock, stop_after=1)
    nap.feed = feed = SimulatedFeed([BTC], clock, nap, interval=0.5, speed=10)
    feed.start(lambda quote: None)
    assert nap.naps == [0.05]
    for speed in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="positive"):
            feed.set_speed(speed)


def test_only_subscribed_instruments_are_quoted(clock: ManualClock) -> None:
    feed = SimulatedFeed([BTC, STOCK], clock, Nap(clock))
    feed.unsubscribe(["AAPL"])
    feed.subscribe(["DOGE"])
    assert [quote.symbol for quote in feed.step(clock.now())] == ["BTC/USDT"]
    feed.subscribe(["AAPL"])
    assert feed.status()["symbols"] == ["AAPL", "BTC/USDT"]


def test_with_sessions_a_closed_market_is_silent(clock: ManualClock) -> None:
    feed = SimulatedFeed([BTC, STOCK], clock, Nap(clock), sessions=True)
    assert len(feed.step(clock.now())) == 2  # Monday 14:30 UTC
    clock.advance(12 * 3600)
    assert [quote.symbol for quote in feed.step(clock.now())] == ["BTC/USDT"]


def test_an_unknown_instrument_needs_a_starting_price(clock: ManualClock) -> None:
    doge = Instrument(
        3,
        "DOGE/USDT",
        "Doge",
        Market.CRYPTO,
        "DOGE",
        "USDT",
        8,
        8,
        D("0.00001"),
        D(1),
        D(1),
        D(1000),
        D(1),
        D("0.1"),
        Calendar.ALWAYS,
        InstrumentStatus.TRADING,
        timedelta(seconds=15),
    )
    with pytest.raises(ValueError, match="no starting price for DOGE/USDT"):
        SimulatedFeed([doge], clock, Nap(clock))
    feed = SimulatedFeed([doge], clock, Nap(clock), start_prices={"DOGE/USDT": D("0.12")})
    assert feed.step(clock.now())[0].mid == D("0.12")


# replay


def test_a_replay_at_full_speed_delivers_every_row_in_order(clock: ManualClock, recording: Path) -> None:
    taken: list[Quote] = []
    feed = ReplayFeed(ReplayFile(recording, BTC), clock, Nap(clock))
    feed.start(taken.append)
    assert [quote.bid for quote in taken] == [100, 102, 104]
    assert [quote.at.minute * 60 + quote.at.second for quote in taken] == [0, 10, 60]
    assert {quote.received_at for quote in taken} == {clock.now()}
    assert feed.status() == {
        "state": FeedState.FINISHED,
        "file": "ticks.csv",
        "symbol": "BTC/USDT",
        "speed": "max",
        "fraction": 1.0,
        "rows_done": 4,
        "rows_total": 4,
        "quotes": 3,
        "malformed": 1,
        "other_symbols": 0,
        "market_time": datetime(2021, 1, 8, 0, 1, tzinfo=UTC),
    }


@pytest.mark.parametrize("speed", [1.0, 20.0])
def test_a_replay_keeps_the_markets_pace_times_its_speed(clock: ManualClock, recording: Path, speed: float) -> None:
    taken: list[tuple[Decimal, float]] = []
    began = clock.monotonic()
    feed = ReplayFeed(ReplayFile(recording, BTC), clock, Nap(clock), speed=speed)
    feed.start(lambda quote: taken.append((quote.bid, clock.monotonic() - began)))
    assert [bid for bid, _ in taken] == [100, 102, 104]
    assert [when for _, when in taken] == pytest.approx([0, 10 / speed, 60 / speed], abs=1e-3)


def test_a_stopped_replay_goes_on_where_it_stood_without_waiting_for_the_past(
    clock: ManualClock, recording: Path
) -> None:
    nap = Nap(clock, stop_after=1)
    nap.feed = feed = ReplayFeed(ReplayFile(recording, BTC), clock, nap, speed=1.0)
    taken: list[Decimal] = []
    feed.start(lambda quote: taken.append(quote.bid))
    assert taken == [100]
    assert feed.status()["state"] is FeedState.STOPPED
    assert 0 < feed.status()["fraction"] <= 1
    nap.stop_after = None
    feed.start(lambda quote: taken.append(quote.bid))
    assert taken == [100, 102, 104]


def test_a_replay_whose_consumer_failed_offers_the_same_row_again(clock: ManualClock, recording: Path) -> None:
    taken: list[Decimal] = []

    def sink(quote: Quote) -> None:
        if quote.bid == 102 and not broken:
            broken.append(True)
            raise ConnectionError("database")
        taken.append(quote.bid)

    broken: list[bool] = []
    feed = ReplayFeed(ReplayFile(recording, BTC), clock, Nap(clock))
    with pytest.raises(ConnectionError):
        feed.start(sink)
    assert feed.status()["state"] is FeedState.FAILED
    feed.start(sink)
    assert taken == [100, 102, 104]


def test_a_replay_without_a_usable_row_fails(clock: ManualClock, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("time,price\n11:34,1\n")
    feed = ReplayFeed(ReplayFile(path, BTC), clock, Nap(clock))
    with pytest.raises(ReplayError) as caught:
        feed.start(lambda quote: None)
    assert caught.value.code == "no_quotes"
    assert feed.status()["state"] is FeedState.FAILED


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_a_replay_cannot_stand_still(clock: ManualClock, recording: Path, speed: float) -> None:
    with pytest.raises(ValueError, match="positive or max"):
        ReplayFeed(ReplayFile(recording, BTC), clock, Nap(clock), speed=speed)


@pytest.mark.skipif(not (shared_data / "market").is_dir(), reason="no recordings here")
@pytest.mark.parametrize("speed", ["max", 1000.0])
def test_a_recorded_market_is_replayed_the_same_at_every_speed(clock: ManualClock, speed: float) -> None:
    path = shared_data / "market" / "btcusdt_quotes_2021-01-08.csv"
    nap = Nap(clock)
    taken: list[Quote] = []
    ReplayFeed(ReplayFile(path, BTC), clock, nap, speed=speed).start(taken.append)  # type: ignore[arg-type]
    assert len(taken) == 451
    assert [(quote.at, quote.bid, quote.ask) for quote in taken] == [
        (row.at, row.bid, row.ask) for row in ReplayFile(path, BTC).rows()
    ]
    if speed == "max":
        assert nap.naps == [0] * 4  # lets others run every hundred rows


# manual


def test_a_quote_set_by_hand_is_delivered_and_a_refusal_reaches_the_caller(clock: ManualClock) -> None:
    stop, taken = threading.Event(), []

    def sink(quote: Quote) -> None:
        if quote.bid > quote.ask:
            raise BadQuote("crossed", "no")
        taken.append(quote)

    running = threading.Event()

    def sleep(seconds: float) -> None:
        running.set()
        stop.wait(10)

    feed = ManualFeed(clock, sleep)
    with pytest.raises(FeedNotRunning):
        feed.set_quote("BTC/USDT", D(1), D(2))
    thread = threading.Thread(target=feed.start, args=(sink,))
    thread.start()
    try:
        assert running.wait(10)
        assert feed.status()["state"] is FeedState.LIVE
        quote = feed.set_quote("BTC/USDT", D(1), D(2), D("1.5"))
        assert taken == [quote] == [Quote("BTC/USDT", D(1), D(2), D("1.5"), clock.now(), clock.now(), "manual", True)]
        with pytest.raises(BadQuote):
            feed.set_quote("BTC/USDT", D(2), D(1))
    finally:
        feed.stop()
        stop.set()
        thread.join(10)
    with pytest.raises(FeedNotRunning):
        feed.set_quote("BTC/USDT", D(1), D(2))


def test_a_price_set_by_hand_stands_until_it_is_changed(clock: ManualClock) -> None:
    taken: list[Quote] = []
    feed: ManualFeed

    def sleep(seconds: float) -> None:
        if not taken:
            feed.set_quote("BTC/USDT", D(1), D(2))
        if len(taken) == 3:
            feed.stop()
        clock.advance(seconds)

    feed = ManualFeed(clock, sleep)
    feed.start(taken.append)
    assert [(q.bid, q.by_hand) for q in taken] == [(D(1), True)] * 3
    assert taken[2].received_at - taken[1].received_at >= timedelta(seconds=5)
