"""What the quote book believes, what it quarantines, and how processes share it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

import pytest

from app.core.clock import ManualClock
from app.domain.calendars import Calendar
from app.domain.instruments import Instrument, InstrumentStatus, Market, SymbolTable, UnknownSymbol
from app.domain.quotes import BadQuote, Quote
from app.services.quotes import QuoteBook

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
TABLE = SymbolTable([BTC])


def quote(
    clock: ManualClock, bid: str, ask: str | None = None, last: str | None = None, symbol: str = "BTC/USDT"
) -> Quote:
    now = clock.now()
    return Quote(symbol, D(bid), D(ask or bid), D(last) if last else None, now, now, "test")


@pytest.fixture
def book(clock: ManualClock) -> QuoteBook:
    return QuoteBook(clock, TABLE)


def refused(book: QuoteBook, bad: Quote) -> str:
    with pytest.raises(BadQuote) as caught:
        book.put(bad)
    return caught.value.code


def test_the_latest_quote_is_found_under_the_canonical_symbol(book: QuoteBook, clock: ManualClock) -> None:
    book.put(quote(clock, "100", "101"))
    newest = book.put(quote(clock, "102", "103", symbol="BTCUSDT"))
    assert newest.symbol == "BTC/USDT"
    assert book.get("BTC/USDT") == newest
    assert book.snapshot() == {"BTC/USDT": newest}


def test_a_snapshot_does_not_change_later(book: QuoteBook, clock: ManualClock) -> None:
    first = book.put(quote(clock, "100"))
    kept = book.snapshot()
    book.put(quote(clock, "101"))
    assert kept == {"BTC/USDT": first}


@pytest.mark.parametrize(
    ("bid", "ask", "last", "code"),
    [
        ("101", "100", None, "crossed"),
        ("0", "100", None, "non_positive_price"),
        ("-1", "100", None, "non_positive_price"),
        ("NaN", "100", None, "non_positive_price"),
        ("100", "Infinity", None, "non_positive_price"),
        ("100", "100", "0", "non_positive_price"),
        ("100.00000000001", "101", None, "precision"),
        ("100", "101", "100.00000000001", "precision"),
        ("1e20", "1e20", None, "out_of_range"),
        ("111", "111", None, "jump"),
        ("89", "89", None, "jump"),
    ],
)
def test_a_bad_quote_is_counted_kept_for_display_and_changes_nothing(
    book: QuoteBook, clock: ManualClock, bid: str, ask: str, last: str | None, code: str
) -> None:
    good = book.put(quote(clock, "100"))
    bad = quote(clock, bid, ask, last)
    assert refused(book, bad) == code
    assert book.get("BTC/USDT") == good
    assert book.quarantined == {("BTC/USDT", code): 1}
    sample = book.last_quarantined["BTC/USDT"]
    assert (sample.quote, sample.code, sample.at) == (bad, code, clock.now())


def test_ten_decimals_and_a_move_of_exactly_the_band_are_believed(book: QuoteBook, clock: ManualClock) -> None:
    book.put(quote(clock, "100.0000000001", "100.0000000001"))
    book.put(quote(clock, "100"))
    assert book.put(quote(clock, "110")).bid == 110


def test_unknown_symbols_share_one_counter(book: QuoteBook, clock: ManualClock) -> None:
    for number in range(50):
        assert refused(book, quote(clock, "1", symbol=f"NO{number}")) == "unknown_symbol"
    assert book.quarantined == {("?", "unknown_symbol"): 50}
    assert list(book.last_quarantined) == ["?"]


def test_the_third_quote_that_agrees_beyond_a_gap_is_the_new_level(book: QuoteBook, clock: ManualClock) -> None:
    book.put(quote(clock, "100"))
    assert refused(book, quote(clock, "150")) == "jump"
    assert refused(book, quote(clock, "151")) == "jump"
    assert book.put(quote(clock, "149")).bid == 149
    assert book.put(quote(clock, "152")).bid == 152
    assert book.quarantined["BTC/USDT", "jump"] == 2


@pytest.mark.parametrize("between", ["100", "crossed", "200"], ids=["old level", "crossed", "third level"])
def test_quotes_beyond_a_gap_must_follow_each_other(book: QuoteBook, clock: ManualClock, between: str) -> None:
    book.put(quote(clock, "100"))
    refused(book, quote(clock, "150"))
    refused(book, quote(clock, "150"))
    if between == "100":
        book.put(quote(clock, "100"))
    elif between == "crossed":
        refused(book, quote(clock, "151", "150"))
    else:
        assert refused(book, quote(clock, "200")) == "jump"
    assert refused(book, quote(clock, "150")) == "jump"
    assert refused(book, quote(clock, "150")) == "jump"
    assert book.put(quote(clock, "150")).bid == 150


def test_quotes_that_drift_apart_beyond_the_gap_do_not_agree(book: QuoteBook, clock: ManualClock) -> None:
    book.put(quote(clock, "100"))
    refused(book, quote(clock, "150"))
    refused(book, quote(clock, "160"))  # agrees with 150
    assert refused(book, quote(clock, "170")) == "jump"  # with 160, but no longer with 150


def test_a_quote_is_fresh_until_the_instruments_limit(book: QuoteBook, clock: ManualClock) -> None:
    put = book.put(quote(clock, "100"))
    assert book.get_fresh("BTC/USDT", clock.now() + timedelta(seconds=15)) == put
    assert book.get_fresh("BTC/USDT", clock.now() + timedelta(seconds=15, microseconds=1)) is None
    with pytest.raises(UnknownSymbol):
        book.get_fresh("DOGE", clock.now())


def test_a_symbol_without_a_quote_has_none(book: QuoteBook, clock: ManualClock) -> None:
    assert book.get("BTC/USDT") is None
    assert book.get_fresh("BTC/USDT", clock.now()) is None


def test_threads_lose_no_count(book: QuoteBook, clock: ManualClock) -> None:
    bad = quote(clock, "2", "1")

    def hammer() -> None:
        for _ in range(500):
            refused(book, bad)

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert book.quarantined["BTC/USDT", "crossed"] == 2000


class SharedCache:
    """A cache in this process's memory that counts how often it is asked."""

    def __init__(self) -> None:
        self.errors = 0
        self.fetches = 0
        self.quotes: dict[str, Quote] = {}

    def publish(self, quote: Quote) -> None:
        self.quotes[quote.symbol] = quote

    def fetch(self, symbols: Iterable[str]) -> dict[str, Quote]:
        self.fetches += 1
        return {symbol: self.quotes[symbol] for symbol in symbols if symbol in self.quotes}


def test_a_reader_sees_what_a_publisher_put_within_200_ms(clock: ManualClock) -> None:
    cache = SharedCache()
    writer, reader = QuoteBook(clock, TABLE, cache=cache), QuoteBook(clock, TABLE, cache=cache)
    writer.lead(True)
    first = writer.put(quote(clock, "100"))
    assert reader.get("BTC/USDT") == first
    second = writer.put(quote(clock, "101"))
    clock.advance(0.199)
    assert reader.get("BTC/USDT") == first
    assert cache.fetches == 1
    clock.advance(0.001)
    assert reader.snapshot() == {"BTC/USDT": second}
    assert writer.get("BTC/USDT") == second
    assert cache.fetches == 2  # the publisher never reads


def test_a_quarantined_quote_is_not_published(clock: ManualClock) -> None:
    cache = SharedCache()
    book = QuoteBook(clock, TABLE, cache=cache)
    book.lead(True)
    refused(book, quote(clock, "2", "1"))
    assert cache.quotes == {}


def test_a_reader_keeps_what_it_knows_when_the_cache_forgets_or_goes_back(clock: ManualClock) -> None:
    cache = SharedCache()
    reader = QuoteBook(clock, TABLE, cache=cache)
    old = quote(clock, "90")
    clock.advance(1)
    cache.publish(quote(clock, "100"))
    assert (found := reader.get("BTC/USDT")) and found.bid == 100
    cache.publish(old)
    clock.advance(1)
    assert (found := reader.get("BTC/USDT")) and found.bid == 100
    cache.quotes.clear()
    clock.advance(1)
    assert (found := reader.get("BTC/USDT")) and found.bid == 100


def test_two_who_ask_first_at_the_same_moment_both_get_the_price(clock: ManualClock) -> None:
    """Else the second one's order is rejected for want of a reference price."""
    asked, answer = threading.Event(), threading.Event()

    class Slow(SharedCache):
        def fetch(self, symbols: Iterable[str]) -> dict[str, Quote]:
            asked.set()
            answer.wait(5)
            return super().fetch(symbols)

    cache = Slow()
    cache.publish(quote(clock, "67000"))
    book = QuoteBook(clock, TABLE, cache=cache)
    found: list[Quote | None] = []
    first = threading.Thread(target=lambda: found.append(book.get("BTC/USDT")))
    second = threading.Thread(target=lambda: found.append(book.get("BTC/USDT")))
    first.start()
    assert asked.wait(5)
    second.start()
    second.join(0.1)
    answer.set()
    first.join(5), second.join(5)
    assert len(found) == 2
    assert None not in found
