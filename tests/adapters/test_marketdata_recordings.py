"""Recordings: real files read exactly, and every bad row or file named."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from app.adapters.marketdata.replay import Malformed, ReplayError, ReplayFile, ReplayRow
from app.domain.calendars import Calendar
from app.domain.instruments import Instrument, InstrumentStatus, Market
from tests.data import shared_data

D = Decimal
MARKET_DATA = shared_data / "market"
recorded = pytest.mark.skipif(not MARKET_DATA.is_dir(), reason=f"{MARKET_DATA} is not here")


def instrument(symbol: str, market: Market) -> Instrument:
    base, _, quote = symbol.partition("/")
    return Instrument(
        1,
        symbol,
        symbol,
        market,
        base,
        quote or "USD",
        8,
        2,
        D("0.01"),
        D(1),
        D(1),
        D(1000),
        D(1),
        D("0.1"),
        Calendar.ALWAYS,
        InstrumentStatus.TRADING,
        timedelta(seconds=15),
    )


BTC = instrument("BTC/USDT", Market.CRYPTO)
GBP = instrument("GBP/USD", Market.FOREX)
TSLA = instrument("TSLA", Market.STOCKS)


def written(folder: Path, text: str | bytes, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path: Path, of: Instrument = BTC) -> tuple[list[ReplayRow], list[Malformed]]:
    file = ReplayFile(path, of)
    rows = list(file.rows())
    return rows, file.report.malformed


def reasons(path: Path, of: Instrument = BTC) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in read(path, of)[1]]


@recorded
@pytest.mark.parametrize(
    ("name", "of", "kind", "price", "rows"),
    [
        ("aapl_daily_2015-2017_plotly.csv", instrument("AAPL", Market.STOCKS), "bars", "AAPL.Close", 506),
        ("gbpusd-m1-bid-2012_fxcm.csv.gz", GBP, "bars", "close", 30_117),
        ("gold_usd_monthly_1833-2026.csv", instrument("XAU/USD", Market.COMMODITIES), "trades", "Price", 2322),
    ],
)
def test_every_row_of_a_clean_recording_is_read_exactly(
    name: str, of: Instrument, kind: str, price: str, rows: int
) -> None:
    path = MARKET_DATA / name
    file = ReplayFile(path, of)
    found = list(file.rows())
    with gzip.open(path, "rt") if name.endswith("gz") else path.open() as stream:
        expected = [row[price] for row in csv.DictReader(stream)]
    assert file.kind == kind
    assert [str(row.bid) for row in found] == expected  # as written, to the last zero
    assert all(row.bid == row.ask == row.last for row in found)
    assert (len(found), file.total_rows, file.report.rows, file.report.malformed_count) == (rows, rows, rows, 0)
    assert [row.at for row in found] == sorted(row.at for row in found)


@recorded
@pytest.mark.parametrize(
    ("name", "of", "rows"),
    [
        ("btcusdt_quotes_2021-01-08.csv", BTC, 451),
        ("usdjpy_ticks_2013-01-01_truefx.csv", instrument("USD/JPY", Market.FOREX), 1000),
    ],
)
def test_recorded_ticks_keep_their_bid_ask_and_time(name: str, of: Instrument, rows: int) -> None:
    found, malformed = read(MARKET_DATA / name, of)
    with (MARKET_DATA / name).open() as stream:
        expected = [
            (datetime.fromisoformat(row["timestamp"]), Decimal(row["bid"]), Decimal(row["ask"]))
            for row in csv.DictReader(stream)
        ]
    assert [(row.at, row.bid, row.ask) for row in found] == expected
    assert (len(found), malformed) == (rows, [])


@recorded
def test_the_dirty_tsla_row_is_named_and_the_newest_first_file_turned_round() -> None:
    file = ReplayFile(MARKET_DATA / "tsla_daily_2015-2018_plotly.csv", TSLA)
    rows = list(file.rows())
    assert file.newest_first
    assert file.report.malformed == [
        Malformed(2, "bad_time", '"11:34","270.49","4,787,699","264.50","273.88","262.24"')
    ]
    assert (rows[0].at, rows[0].line, rows[0].bid) == (datetime(2015, 10, 15, tzinfo=UTC), 758, D("221.31"))
    assert (rows[-1].at, rows[-1].line, rows[-1].bid) == (datetime(2018, 10, 15, tzinfo=UTC), 3, D("259.59"))
    assert (file.report.rows, file.report.quotes) == (757, 756) == (file.total_rows, len(rows))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("11:34,1,2", "bad_time"),
        ("2021-02-30,1,2", "bad_time"),
        ("2021-01-01T25:00:00Z,1,2", "bad_time"),
        ("٢٠٢١-01-01,1,2", "bad_time"),
        ("0001-01-01T00:00:00+14:00,1,2", "bad_time"),
        ("2021-01-02,abc,2", "bad_number"),
        ("2021-01-02,,2", "bad_number"),
        ("2021-01-02,NaN,2", "bad_number"),
        ("2021-01-02,1e400,2", "bad_number"),
        ("2021-01-02,٣,4", "bad_number"),
        ('2021-01-02,"1,23",200', "bad_number"),
        ("2021-01-02,0,2", "non_positive_price"),
        ("2021-01-02,-1,2", "non_positive_price"),
        ("2021-01-02,3,2", "crossed"),
        ("2021-01-02,1.00000000001,2", "precision"),
        ("2021-01-02,1", "column_count"),
        ("2021-01-02,1,2,3", "column_count"),
        ('2021-01-02,"1,2', "bad_csv"),
    ],
)
def test_a_malformed_row_is_named_and_its_neighbours_are_used(tmp_path: Path, row: str, reason: str) -> None:
    path = written(tmp_path, f"time,bid,ask\n2021-01-01,1,2\n{row}\n\n2021-01-03,5,6\n")
    rows, malformed = read(path)
    assert [found.bid for found in rows] == [1, 5]
    assert malformed == [Malformed(3, reason, row)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2021-01-02,10,9,8,9.5,x", "bad_size"),
        ("2021-01-02,10,9,8,9.5,-1", "bad_size"),
        ("2021-01-02,10,9,8,9.5,1", "bar_range"),
        ("2021-01-02,9,10,9.6,9.5,1", "bar_range"),
        ("2021-01-02,x,10,9,9.5,1", "bad_number"),
    ],
)
def test_a_bar_that_contradicts_itself_is_not_used(tmp_path: Path, row: str, reason: str) -> None:
    assert reasons(written(tmp_path, f"date,open,high,low,close,volume\n{row}\n2021-01-03,1,1,1,1,1\n")) == [
        (2, reason)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2021-01-08T00:00:01.076000Z", datetime(2021, 1, 8, 0, 0, 1, 76_000, tzinfo=UTC)),
        ("2021-01-08 00:00:01.123456789+00:00", datetime(2021, 1, 8, 0, 0, 1, 123_456, tzinfo=UTC)),
        ("2021-01-08 02:00-05:00", datetime(2021, 1, 8, 7, tzinfo=UTC)),
        ("2021-01-08 02:00:00", datetime(2021, 1, 8, 2, tzinfo=UTC)),
        ("2018/10/15", datetime(2018, 10, 15, tzinfo=UTC)),
        ("1833-01", datetime(1833, 1, 1, tzinfo=UTC)),
        ("1610064001", datetime(2021, 1, 8, 0, 0, 1, tzinfo=UTC)),
        ("1610064001076", datetime(2021, 1, 8, 0, 0, 1, 76_000, tzinfo=UTC)),
        ("1610064001076123", datetime(2021, 1, 8, 0, 0, 1, 76_123, tzinfo=UTC)),
        ("1610064001076123999", datetime(2021, 1, 8, 0, 0, 1, 76_123, tzinfo=UTC)),
    ],
)
def test_times_are_understood_as_written(tmp_path: Path, text: str, expected: datetime) -> None:
    rows, malformed = read(written(tmp_path, f"timestamp,price\n{text},5\n"))
    assert malformed == []
    assert rows[0].at == expected


def test_columns_come_in_any_order_case_and_company(tmp_path: Path) -> None:
    text = '\ufeffAsk,BTC.BID,note,"Timestamp"\r\n"1,234.50","1,234.25",hello,2021-01-01\r\n'
    rows, malformed = read(written(tmp_path, text))
    assert malformed == []
    assert (rows[0].bid, rows[0].ask, rows[0].last) == (D("1234.25"), D("1234.50"), None)


def test_trades_have_their_price_on_both_sides(tmp_path: Path) -> None:
    rows, _ = read(written(tmp_path, "timestamp,price,size\n2021-01-01,5.5,0.3\n"))
    quote = rows[0].quote("BTC/USDT", datetime(2026, 1, 1, tzinfo=UTC), "replay")
    assert (quote.bid, quote.ask, quote.last, rows[0].size) == (D("5.5"), D("5.5"), D("5.5"), D("0.3"))
    assert (quote.at, quote.received_at) == (datetime(2021, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))


def test_rows_of_other_instruments_are_left_out_and_counted(tmp_path: Path) -> None:
    text = "time,symbol,price\n2021-01-01,BTCUSDT,1\n2021-01-02,ETHUSDT,2\n2021-01-03,btc-usdt,3\n"
    file = ReplayFile(written(tmp_path, text), BTC)
    assert [row.bid for row in file.rows()] == [1, 3]
    assert (file.report.rows, file.report.quotes, file.report.other_symbols, file.report.malformed_count) == (
        3,
        2,
        1,
        0,
    )


@pytest.mark.parametrize(
    ("days", "used", "rejected_lines"),
    [
        ("1 2 3", "1 2 3", []),
        ("1 2 2 3", "1 2 2 3", []),
        ("1 5 3 6 7", "1 5 6 7", [4]),
        ("1 28 3 4 5", "1 3 4 5", [3]),  # a date far ahead must not make all that follows look late
        ("28 2 3 4", "2 3 4", [2]),
        ("4 3 2 1", "1 2 3 4", []),
        ("9 8 2 7 6", "6 7 8 9", [4]),
        ("9 8 28 7 6", "6 7 8 9", [4]),
    ],
)
def test_a_single_row_out_of_order_is_named(tmp_path: Path, days: str, used: str, rejected_lines: list[int]) -> None:
    text = "time,price\n" + "".join(f"2021-01-{int(day):02},{day}\n" for day in days.split())
    path = written(tmp_path, text)
    assert [str(row.bid) for row in read(path)[0]] == used.split()
    assert reasons(path) == [(line, "out_of_order") for line in rejected_lines]


def test_reading_twice_gives_the_same_and_counts_once(tmp_path: Path) -> None:
    file = ReplayFile(written(tmp_path, "time,price\n2021-01-01,1\nbad,2\n2021-01-03,3\n"), BTC)
    assert list(file.rows()) == list(file.rows())
    assert (file.report.rows, file.report.quotes, file.report.malformed_count) == (3, 2, 1)


def test_only_the_first_thousand_bad_rows_are_kept_by_name(tmp_path: Path) -> None:
    file = ReplayFile(written(tmp_path, "time,price\n" + "bad,1\n" * 1500 + "2021-01-01,1\n"), BTC)
    assert len(list(file.rows())) == 1
    assert (file.report.malformed_count, len(file.report.malformed)) == (1500, 1000)


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    packed = gzip.compress(b"time,price\n2021-01-01,7\n")
    assert read(written(tmp_path, packed, "plain-looking.csv"))[0][0].bid == 7


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"time,bid,ask\n", "empty"),
        (b"time,bid,ask\n\n  \n", "empty"),
        (b"a,b,c\n1,2,3\n", "unknown_columns"),
        (b"bid,ask\n1,2\n", "unknown_columns"),
        (b"time,bid\n2021-01-01,2\n", "unknown_columns"),
        (b'time,"bid\n2021-01-01,2\n', "unknown_columns"),
        (b"20210101,39433.62,39432.99\n", "unknown_columns"),
        (b"date,AAPL.Close,MSFT.Close\n2021-01-01,1,2\n", "ambiguous_columns"),
        (b"time,price\n2021-01-01,1\n2021-01-02,\xff\n", "encoding"),
        ("time,price\n2021-01-01,1\n".encode("utf-16"), "encoding"),
        (gzip.compress(b"time,price\n2021-01-01,1\n" * 99, mtime=0)[:-9], "corrupt"),
        (b"\x1f\x8bnot gzip at all", "corrupt"),
        (gzip.compress(b"time,price\n" + bytes(10_000_000), mtime=0), "too_large"),
        (gzip.compress(b"time,price\n" + b"2021-01-01,1\n" * 100_000, mtime=0), "too_large"),
    ],
)
def test_a_file_that_is_unusable_as_a_whole_says_why_before_the_first_quote(
    tmp_path: Path, content: bytes, code: str
) -> None:
    with pytest.raises(ReplayError) as caught:
        ReplayFile(written(tmp_path, content), BTC, max_bytes=1_000_000)
    assert caught.value.code == code


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path, code in ((tmp_path / "none.csv", "not_found"), (tmp_path, "unreadable")):
        with pytest.raises(ReplayError) as caught:
            ReplayFile(path, BTC)
        assert caught.value.code == code


def test_a_newest_first_file_too_big_to_turn_round_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.adapters.marketdata.recordings.MAX_REVERSED_BYTES", 30)
    ReplayFile(written(tmp_path, "time,price\n2021-01-01,1\n2021-01-02,2\n"), BTC)
    with pytest.raises(ReplayError, match="newest first"):
        ReplayFile(written(tmp_path, "time,price\n2021-01-02,1\n2021-01-01,2\n"), BTC)
