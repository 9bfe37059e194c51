"""Bars kept, stored and served, on both databases and across restarts."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.adapters.marketdata.replay import ReplayFile
from app.core.errors import Invalid
from app.core.transaction import Database
from app.domain.bars import INTERVALS, Bar
from app.domain.instruments import SymbolTable, UnknownSymbol
from app.domain.quotes import Quote
from app.models.market import Bar as BarRow
from app.services.bars import MEMORY_SECONDS, BarService
from app.services.market import load_instruments, seed_instruments
from tests.data import shared_data

D = Decimal
START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


def quote(seconds: float, price: Decimal | int, symbol: str = "BTC/USDT", spread: str = "0.02") -> Quote:
    at = START + timedelta(seconds=seconds)
    half = D(spread) / 2
    return Quote(symbol, D(price) - half, D(price) + half, None, at, at, "test")


def walk(count: int, step: float, seed: int = 1) -> list[Quote]:
    rng = random.Random(seed)
    level, quotes = 10_000, []
    for number in range(count):
        level += rng.randint(-50, 50)
        quotes.append(quote(number * step, D(level) / 100))
    return quotes


def independent(quotes: list[Quote], interval: str) -> list[tuple[object, ...]]:
    """Open, high, low, close and count by grouping on epoch seconds."""
    seconds = int(INTERVALS[interval].total_seconds())
    groups: dict[int, list[Decimal]] = {}
    for one in quotes:
        groups.setdefault(int(one.received_at.timestamp()) // seconds, []).append((one.bid + one.ask) / 2)
    return [
        (datetime.fromtimestamp(group * seconds, UTC), mids[0], max(mids), min(mids), mids[-1], len(mids))
        for group, mids in sorted(groups.items())
    ]


def shapes(bars: list[Bar]) -> list[tuple[object, ...]]:
    return [(bar.start, bar.open, bar.high, bar.low, bar.close, bar.ticks) for bar in bars]


@pytest.fixture
def table(database: Database) -> SymbolTable:
    database.run(seed_instruments)
    return database.read(load_instruments)


@pytest.fixture
def service(table: SymbolTable) -> BarService:
    return BarService(table)


def served(
    database: Database, service: BarService, interval: str, limit: int = 1000, before: datetime | None = None
) -> list[Bar]:
    return database.read(lambda session: service.bars(session, "BTC/USDT", interval, limit, before))


@pytest.mark.parametrize("every", [1, 37, 10_000], ids=["flush often", "flush at times", "flush never"])
def test_what_is_served_equals_an_independent_computation_whenever_it_is_flushed(
    database: Database, service: BarService, every: int
) -> None:
    quotes = walk(400, 97.0) if every > 1 else walk(60, 97.0)
    for number, one in enumerate(quotes, 1):
        service.add(one)
        if number % every == 0:
            database.run(service.flush)
    for interval in ("1m", "5m", "15m", "1h", "4h", "1d"):
        assert shapes(served(database, service, interval)) == independent(quotes, interval), interval


def test_a_process_without_an_engine_serves_what_was_flushed(
    database: Database, service: BarService, table: SymbolTable
) -> None:
    quotes = walk(300, 20.0)
    for one in quotes:
        service.add(one)
    database.run(service.flush)
    web = BarService(table)
    for interval in ("1m", "5m", "15m", "1h", "4h", "1d"):
        assert shapes(served(database, web, interval)) == independent(quotes, interval), interval


def test_a_restart_in_the_middle_of_a_minute_goes_on_with_what_is_stored(
    database: Database, service: BarService, table: SymbolTable
) -> None:
    quotes = walk(40, 5.0)
    for one in quotes[:17]:  # 80 seconds: in the middle of the second minute
        service.add(one)
        database.run(service.flush)
    restarted = BarService(table)
    for one in quotes[17:]:
        restarted.add(one)
        assert shapes(served(database, restarted, "1m"))[-1][4] == one.mid  # right before its first flush too
    for interval in ("1m", "1d"):
        assert shapes(served(database, restarted, interval)) == independent(quotes, interval)
    database.run(restarted.flush)
    database.run(restarted.flush)
    for interval in ("1m", "1d"):
        assert shapes(served(database, BarService(table), interval)) == independent(quotes, interval)


def test_a_flush_that_is_rolled_back_or_run_twice_counts_once(
    database: Database, service: BarService, table: SymbolTable
) -> None:
    quotes = walk(30, 7.0)

    def flush_twice_then_fail(session: Session) -> None:
        service.flush(session)
        service.flush(session)
        raise RuntimeError("power cut")

    for number, one in enumerate(quotes):
        service.add(one)
        if number % 5 == 0:
            with pytest.raises(RuntimeError):
                database.run(flush_twice_then_fail)
        if number % 7 == 0:
            database.run(service.flush)
    database.run(lambda session: (service.flush(session), service.flush(session)))
    assert shapes(served(database, BarService(table), "1m")) == independent(quotes, "1m")


def test_only_what_changed_is_written_and_complete_bars_are_forgotten(database: Database, service: BarService) -> None:
    for one in walk(50, 60.0):
        service.add(one)
    assert database.run(service.flush) == 50 + 2 + 1  # minutes, hours, the day
    assert database.run(service.flush) == 0
    service.add(quote(50 * 60, 100))
    assert database.run(service.flush) == 3
    service.add(quote(51 * 60, 100))
    database.run(service.flush)
    for memory in (service._ours, service._base, service._written):
        assert len(memory) <= 6


def test_the_stored_rows_are_minutes_hours_and_days(database: Database, service: BarService) -> None:
    service.add(quote(0, 100))
    service.add(quote(1, 102))
    database.run(service.flush)
    rows = database.read(lambda s: s.execute(sa.select(BarRow.interval, BarRow.start, BarRow.high, BarRow.ticks)).all())
    assert sorted(map(tuple, rows)) == [
        ("1d", START.replace(hour=0, minute=0), D(102), 2),
        ("1h", START.replace(minute=0), D(102), 2),
        ("1m", START, D(102), 2),
    ]


def test_a_new_leader_forgets_what_it_knew_before_another_led(
    database: Database, service: BarService, table: SymbolTable
) -> None:
    service.add(quote(0, 100))
    database.run(service.flush)
    other = BarService(table)
    other.add(quote(10, 120))
    database.run(other.flush)
    service.forget()
    service.add(quote(20, 110))
    database.run(service.flush)
    [minute] = served(database, BarService(table), "1m")
    assert (minute.open, minute.high, minute.close, minute.ticks) == (100, 120, 110, 3)


def test_a_clock_that_steps_back_merges_into_the_stored_minute(
    database: Database, service: BarService, table: SymbolTable
) -> None:
    for seconds, price in ((0, 100), (60, 101), (120, 102)):
        service.add(quote(seconds, price))
        database.run(service.flush)
    service.add(quote(30, 90))
    database.run(service.flush)
    service.add(quote(130, 103))
    database.run(service.flush)
    for reader in (service, BarService(table)):
        bars = served(database, reader, "1m")
        assert [(bar.low, bar.close, bar.ticks) for bar in bars] == [(90, 90, 2), (101, 101, 1), (102, 103, 2)]


@pytest.mark.parametrize("interval", ["1m", "5m", "15m", "1h", "4h", "1d"])
def test_pages_walk_back_through_all_bars_without_gap_or_double(
    database: Database, service: BarService, interval: str
) -> None:
    quotes = walk(700, 311.0)  # two and a half days, with empty minutes
    for one in quotes:
        service.add(one)
    database.run(service.flush)
    pages: list[Bar] = []
    before: datetime | None = None
    while page := served(database, service, interval, 7, before):
        assert len(page) <= 7
        pages = page + pages
        before = page[0].start
    assert shapes(pages) == independent(quotes, interval)


def test_before_excludes_its_own_start_and_may_lie_anywhere(database: Database, service: BarService) -> None:
    for one in walk(30, 60.0):
        service.add(one)
    for before, expected in (
        (START + timedelta(minutes=10), START + timedelta(minutes=5)),
        (START + timedelta(minutes=10, microseconds=1), START + timedelta(minutes=10)),
        (datetime.max.replace(tzinfo=UTC), START + timedelta(minutes=25)),
    ):
        assert served(database, service, "5m", 1, before)[0].start == expected
    assert served(database, service, "5m", 1, datetime.min.replace(tzinfo=UTC)) == []


def test_seconds_are_kept_for_an_hour_with_the_forming_one(sqlite_database: Database) -> None:
    sqlite_database.run(seed_instruments)
    service = BarService(sqlite_database.read(load_instruments))
    quotes = walk(MEMORY_SECONDS + 100, 1.0)
    for one in quotes:
        service.add(one)
    bars = served(sqlite_database, service, "1s")
    assert shapes(bars) == independent(quotes[-1000:], "1s")
    assert len(service._closed["BTC/USDT"]) == MEMORY_SECONDS
    oldest = quotes[-1].received_at - timedelta(seconds=MEMORY_SECONDS)
    assert served(sqlite_database, service, "1s", 5, oldest + timedelta(seconds=2))[0].start == oldest


def test_instruments_are_kept_apart(database: Database, service: BarService) -> None:
    service.add(quote(0, 100))
    service.add(quote(0, 50, symbol="AAPL"))
    database.run(service.flush)
    assert served(database, service, "1m")[0].close == 100
    assert database.read(lambda session: service.bars(session, "AAPL", "1m"))[0].close == 50


@pytest.mark.parametrize(
    ("interval", "limit", "field"),
    [("2m", 10, "interval"), ("1m", 0, "limit"), ("1m", 10**9, "limit"), ("1s", -1, "limit")],
)
def test_a_request_that_makes_no_sense_is_refused_by_field(
    sqlite_database: Database, interval: str, limit: int, field: str
) -> None:
    sqlite_database.run(seed_instruments)
    service = BarService(sqlite_database.read(load_instruments))
    with pytest.raises(Invalid) as caught:
        served(sqlite_database, service, interval, limit)
    assert [error.field for error in caught.value.errors] == [field]
    with pytest.raises(UnknownSymbol):
        sqlite_database.read(lambda session: service.bars(session, "DOGE", "1m"))


@pytest.mark.skipif(not (shared_data / "market").is_dir(), reason="no recordings here")
def test_a_recorded_market_in_its_own_time(database: Database, table: SymbolTable) -> None:
    recording = ReplayFile(shared_data / "market" / "usdjpy_ticks_2013-01-01_truefx.csv", table.resolve("USDJPY"))
    quotes = [row.quote("USD/JPY", START, "replay") for row in recording.rows()]
    service = BarService(table, source_time=True)
    for one in quotes:
        service.add(one)
    database.run(service.flush)
    by_source = [Quote(q.symbol, q.bid, q.ask, q.last, q.at, q.at, q.source) for q in quotes]
    for interval in ("1m", "15m", "1d"):
        bars = database.read(lambda session, interval=interval: service.bars(session, "USD/JPY", interval, 1000))
        assert shapes(bars) == independent(by_source, interval)
        assert {bar.volume for bar in bars} == {D(0)}
