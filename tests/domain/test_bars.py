"""Bars from quotes, against a computation that keeps everything and sorts afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.bars import INTERVALS, Bar, BarBuilder, aggregate, interval_start
from app.domain.quotes import Quote

D = Decimal
START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


def quote(at: datetime, bid: str, ask: str | None = None, received_at: datetime | None = None) -> Quote:
    return Quote("AAPL", D(bid), D(ask or bid), None, at, received_at or at, "test")


def independent(quotes: list[Quote], interval: str) -> list[tuple[datetime, Decimal, Decimal, Decimal, Decimal, int]]:
    """Bars by grouping on epoch seconds."""
    seconds = int(INTERVALS[interval].total_seconds())
    groups: dict[int, list[Decimal]] = {}
    for one in quotes:
        groups.setdefault(int(one.at.timestamp()) // seconds, []).append((one.bid + one.ask) / 2)
    return [
        (datetime.fromtimestamp(group * seconds, UTC), mids[0], max(mids), min(mids), mids[-1], len(mids))
        for group, mids in sorted(groups.items())
    ]


def shape(bar: Bar) -> tuple[datetime, Decimal, Decimal, Decimal, Decimal, int]:
    return bar.start, bar.open, bar.high, bar.low, bar.close, bar.ticks


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ("1s", datetime(2026, 1, 5, 14, 37, 42, tzinfo=UTC)),
        ("1m", datetime(2026, 1, 5, 14, 37, tzinfo=UTC)),
        ("5m", datetime(2026, 1, 5, 14, 35, tzinfo=UTC)),
        ("15m", datetime(2026, 1, 5, 14, 30, tzinfo=UTC)),
        ("1h", datetime(2026, 1, 5, 14, tzinfo=UTC)),
        ("4h", datetime(2026, 1, 5, 12, tzinfo=UTC)),
        ("1d", datetime(2026, 1, 5, tzinfo=UTC)),
    ],
)
def test_intervals_are_counted_from_midnight_utc(interval: str, expected: datetime) -> None:
    at = datetime(2026, 1, 5, 14, 37, 42, 999_999, tzinfo=UTC)
    assert interval_start(at, interval) == expected
    assert interval_start(expected, interval) == expected
    assert interval_start(expected + INTERVALS[interval], interval) == expected + INTERVALS[interval]


def test_intervals_before_1970_begin_before_what_they_contain() -> None:
    assert interval_start(datetime(1833, 1, 1, 5, tzinfo=UTC), "4h") == datetime(1833, 1, 1, 4, tzinfo=UTC)


@given(
    st.lists(st.tuples(st.integers(0, 90_000), st.integers(1, 10**6), st.integers(0, 50)), min_size=1, max_size=60),
    st.sampled_from(list(INTERVALS)),
)
def test_bars_equal_an_independent_computation(raw: list[tuple[int, int, int]], interval: str) -> None:
    quotes = [
        quote(START + timedelta(seconds=at), str(D(bid) / 100), str(D(bid + spread) / 100))
        for at, bid, spread in sorted(raw, key=lambda one: one[0])
    ]
    builder = BarBuilder(interval)
    bars = [bar for one in quotes for bar in builder.add(one)]
    forming = builder.forming("AAPL")
    assert forming is not None
    assert [shape(bar) for bar in [*bars, forming]] == independent(quotes, interval)
    seconds = BarBuilder("1s")
    closed = [bar for one in quotes for bar in seconds.add(one)]
    last = seconds.forming("AAPL")
    assert last is not None
    assert [shape(bar) for bar in aggregate([*closed, last], interval)] == independent(quotes, interval)


def test_a_bar_ends_where_the_next_begins() -> None:
    builder = BarBuilder("1m")
    assert builder.add(quote(START + timedelta(seconds=59, microseconds=999_999), "10")) == []
    [closed] = builder.add(quote(START + timedelta(seconds=60), "11"))
    assert (closed.start, closed.end, closed.close) == (START, START + timedelta(minutes=1), 10)


def test_instruments_do_not_mix() -> None:
    builder = BarBuilder("1m")
    builder.add(quote(START, "10"))
    other = Quote("TSLA", D(20), D(20), None, START, START, "test")
    assert builder.add(other) == []
    assert (first := builder.forming("AAPL")) and first.high == 10
    assert builder.forming("MSFT") is None


def test_live_bars_go_by_our_time_and_replayed_ones_by_the_sources() -> None:
    late = quote(START - timedelta(hours=1), "10", received_at=START)
    live, replayed = BarBuilder("1m"), BarBuilder("1m")
    live.add(late)
    replayed.add(late, source_time=True)
    assert (bar := live.forming("AAPL")) and bar.start == START
    assert (bar := replayed.forming("AAPL")) and bar.start == START - timedelta(hours=1)


def test_a_step_back_in_time_opens_its_own_bar_to_be_merged() -> None:
    builder = BarBuilder("1m")
    builder.add(quote(START, "10"))
    [first] = builder.add(quote(START + timedelta(minutes=1), "20"))
    [second] = builder.add(quote(START + timedelta(seconds=30), "8"))
    assert second.close == 20
    late = builder.forming("AAPL")
    assert late is not None
    merged = first.then(late)
    assert (merged.start, merged.open, merged.high, merged.low, merged.close, merged.ticks) == (START, 10, 10, 8, 8, 2)


def test_volume_is_added_up() -> None:
    builder = BarBuilder("1m")
    builder.add(quote(START, "10"), volume=D("0.5"))
    builder.add(quote(START, "10"), volume=D("0.25"))
    bar = builder.forming("AAPL")
    assert bar is not None
    assert bar.volume == D("0.75")
    assert bar.then(bar).volume == D("1.5")
