"""Recorded prices in CSV, plain or gzip: every row parsed exactly, or named with the reason it was not."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Final

from app.domain.instruments import Instrument, symbol_forms
from app.domain.money import InvalidAmount, decimals, parse_decimal
from app.domain.quotes import BadQuote, Quote, check_quote

from .base import FatalFeedError

MAX_BYTES: Final = 1 << 30  # unpacked: two orders above a month of ticks, and it bounds a gzip bomb
MAX_REVERSED_BYTES: Final = 1 << 26  # newest-first files are turned round in memory
MAX_LINE_BYTES: Final = 10_000
MAX_NAMED: Final = 1_000  # malformed rows kept by name; all of them are counted
_PRICE_DECIMALS: Final = 10

_COLUMNS: Final[dict[str, str]] = {
    "timestamp": "time",
    "time": "time",
    "datetime": "time",
    "date": "time",
    "ts": "time",
    "bid": "bid",
    "ask": "ask",
    "price": "price",
    "last": "price",
    "open": "open",
    "high": "high",
    "low": "low",
    "close": "close",
    "volume": "size",
    "size": "size",
    "qty": "size",
    "quantity": "size",
    "symbol": "symbol",
}
_TIME = re.compile(
    r"(\d{4})[-/](\d{2})(?:[-/](\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(Z|[+-]\d{2}:?\d{2})?)?)?", re.ASCII
)
_EPOCH = re.compile(r"\d{10}(\d{3}|\d{6}|\d{9})?", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", re.ASCII)


class ReplayError(FatalFeedError):
    """The file as a whole cannot be replayed.

    Codes: ``not_found``, ``unreadable``, ``corrupt``, ``too_large``, ``encoding``, ``empty``,
    ``unknown_columns``, ``ambiguous_columns``, ``no_quotes``.
    """


class _Malformed(ValueError):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that was not used. ``line`` counts from 1, the header included."""

    line: int
    reason: str
    text: str


@dataclass(slots=True)
class ReplayReport:
    """``rows`` read so far = quotes + malformed + other_symbols, blank lines not counted."""

    rows: int = 0
    quotes: int = 0
    malformed_count: int = 0
    other_symbols: int = 0
    malformed: list[Malformed] = field(default_factory=list)

    def reject(self, line: int, reason: str, text: str) -> None:
        self.malformed_count += 1
        if len(self.malformed) < MAX_NAMED:
            self.malformed.append(Malformed(line, reason, text[:200]))


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """One usable row. ``at`` is market time in UTC; ``size`` in base, None when the file has none."""

    line: int
    at: datetime
    bid: Decimal
    ask: Decimal
    last: Decimal | None
    size: Decimal | None
    text: str

    def quote(self, symbol: str, received_at: datetime, source: str) -> Quote:
        return Quote(symbol, self.bid, self.ask, self.last, self.at, received_at, source)


class ReplayFile:
    """A recording of one instrument.

    Three kinds, known by their header whatever the order of columns: bid/ask ticks (``bid`` and
    ``ask``), OHLC bars (``close``; other prices and the volume are checked when present) and trades
    (``price`` or ``last``). ``AAPL.Close`` counts as ``close``. A bar becomes one quote at the time
    written in the row with bid = ask = last = close; a trade likewise at its price: such recordings hold
    no spread. Times without a zone are UTC, a month stands for its first day.

    The constructor reads the file through once, so that what makes it unusable as a whole is known before
    the first quote; raises ``ReplayError``. A file that runs newest first is replayed backwards.
    """

    def __init__(self, path: str | Path, instrument: Instrument, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = Path(path)
        self.instrument = instrument
        self._max_bytes = max_bytes
        written = {instrument.symbol, *symbol_forms(instrument.symbol, instrument.market).values()}
        self._names = written | {instrument.symbol.replace("/", "-"), instrument.symbol.replace("/", "")}
        self._columns: dict[str, int] = {}
        self.kind = ""
        self.total_rows = 0
        self.total_bytes = 0
        self.newest_first = False
        self.report = ReplayReport()
        self._inspect()

    def rows(self) -> Iterator[ReplayRow]:
        """The usable rows in time order; the report starts anew and follows the reading."""
        self.report = ReplayReport()
        waiting: deque[ReplayRow] = deque()
        reached: datetime | None = None
        for row in self._parsed():
            waiting.append(row)
            if len(waiting) == 3:
                reached, due = self._due(waiting, reached)
                if due:
                    yield due
        while waiting:
            reached, due = self._due(waiting, reached)
            if due:
                yield due

    def _due(self, waiting: deque[ReplayRow], reached: datetime | None) -> tuple[datetime | None, ReplayRow | None]:
        """Decide on the oldest waiting row: back in time is out of order, and so is one far ahead.

        A single wrong time in the future would make every row after it look late; two rows that follow
        each other behind it, but not behind what was delivered, show that it is the wrong one.
        """
        row = waiting.popleft()
        late = reached is not None and row.at < reached
        ahead = (
            len(waiting) == 2
            and all(other.at < row.at and (reached is None or other.at >= reached) for other in waiting)
            and waiting[0].at <= waiting[1].at
        )
        if late or ahead:
            self.report.reject(row.line, "out_of_order", row.text)
            return reached, None
        self.report.quotes += 1
        return row.at, row

    def _parsed(self) -> Iterator[ReplayRow]:
        lines = self._lines()
        next(lines)  # the header
        ordered = reversed(list(lines)) if self.newest_first else lines
        for number, text in ordered:
            if not text.strip():
                continue
            self.report.rows += 1
            try:
                row = self._parse(number, text)
            except _Malformed as error:
                self.report.reject(number, error.reason, text)
                continue
            if row is None:
                self.report.other_symbols += 1
            else:
                yield row

    def _parse(self, number: int, text: str) -> ReplayRow | None:
        """None for a row of another instrument. Raises ``_Malformed``."""
        cells = _cells(text)
        if len(cells) != self._width:
            raise _Malformed("column_count")
        found = {name: cells[index].strip() for name, index in self._columns.items()}
        if "symbol" in found and found["symbol"].upper() not in self._names:
            return None
        at = parse_time(found["time"])
        numbers = {name: _number(value, name) for name, value in found.items() if name not in ("time", "symbol")}
        size = numbers.pop("size", None)
        if size is not None and size < 0:
            raise _Malformed("bad_size")
        for price in numbers.values():
            if price <= 0:
                raise _Malformed("non_positive_price")
            if decimals(price) > _PRICE_DECIMALS:
                raise _Malformed("precision")
        bid, ask, last = self._prices(numbers)
        row = ReplayRow(number, at, bid, ask, last, size, text)
        try:
            check_quote(row.quote(self.instrument.symbol, at, "replay"), None, None)
        except BadQuote as error:
            raise _Malformed(error.code) from error
        return row

    def _prices(self, numbers: dict[str, Decimal]) -> tuple[Decimal, Decimal, Decimal | None]:
        if self.kind == "ticks":
            return numbers["bid"], numbers["ask"], numbers.get("price")
        if self.kind == "trades":
            return numbers["price"], numbers["price"], numbers["price"]
        prices = [numbers[name] for name in ("open", "close", "high", "low") if name in numbers]
        if numbers.get("high", max(prices)) < max(prices) or numbers.get("low", min(prices)) > min(prices):
            raise _Malformed("bar_range")
        return numbers["close"], numbers["close"], numbers["close"]

    def _inspect(self) -> None:
        lines = self._lines()
        first = next(lines, None)
        if first is None:
            raise ReplayError("empty", f"{self.path.name} is empty")
        self._read_header(first[1])
        up = down = 0
        previous: datetime | None = None
        for _, text in lines:
            if not text.strip():
                continue
            self.total_rows += 1
            at = self._time_of(text)
            if at is not None:
                up += previous is not None and at > previous
                down += previous is not None and at < previous
                previous = at
        if not self.total_rows:
            raise ReplayError("empty", f"{self.path.name} has a header and no rows")
        self.newest_first = down > up
        if self.newest_first and self.total_bytes > MAX_REVERSED_BYTES:
            raise ReplayError("too_large", f"{self.path.name} runs newest first, over {MAX_REVERSED_BYTES} bytes")

    def _time_of(self, text: str) -> datetime | None:
        try:
            return parse_time(_cells(text)[self._columns["time"]].strip())
        except (_Malformed, IndexError):
            return None

    def _read_header(self, header: str) -> None:
        try:
            names = [cell.strip().rpartition(".")[2].lower() for cell in _cells(header)]
        except _Malformed as error:
            raise ReplayError("unknown_columns", f"the header of {self.path.name} cannot be read") from error
        self._width = len(names)
        for index, name in enumerate(names):
            meaning = _COLUMNS.get(name)
            if meaning is None:
                continue
            if meaning in self._columns:
                raise ReplayError(
                    "ambiguous_columns", f"{self.path.name} has two columns for {meaning}: {header[:200]}"
                )
            self._columns[meaning] = index
        has = self._columns.keys()
        if "time" in has:
            self.kind = "ticks" if has >= {"bid", "ask"} else "bars" if "close" in has else "trades"
        if not self.kind or (self.kind == "trades" and "price" not in has):
            raise ReplayError("unknown_columns", f"{self.path.name} has no time and price columns: {header[:200]}")

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Numbered lines, decoded strictly; raises ``ReplayError`` for whatever spoils the file."""
        self.total_bytes = 0
        number = 0
        try:
            with self._open() as stream:
                while line := stream.readline(MAX_LINE_BYTES + 1):
                    number += 1
                    self.total_bytes += len(line)
                    if self.total_bytes > self._max_bytes:
                        raise ReplayError("too_large", f"{self.path.name} unpacks to over {self._max_bytes} bytes")
                    if len(line) > MAX_LINE_BYTES:
                        raise ReplayError(
                            "too_large", f"line {number} of {self.path.name} is over {MAX_LINE_BYTES} bytes"
                        )
                    yield number, line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ReplayError("encoding", f"line {number} of {self.path.name} is not UTF-8") from error
        except FileNotFoundError as error:
            raise ReplayError("not_found", f"there is no file {self.path}") from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ReplayError("corrupt", f"{self.path.name} is no whole gzip file: {error}") from error
        except OSError as error:
            raise ReplayError("unreadable", f"{self.path} cannot be read: {error.strerror}") from error

    def _open(self) -> IO[bytes] | gzip.GzipFile:
        stream = self.path.open("rb")
        magic = stream.read(2)
        stream.seek(0)
        if magic != b"\x1f\x8b":
            return stream
        stream.close()
        return gzip.open(self.path, "rb")


def parse_time(text: str) -> datetime:
    """An aware UTC time from ISO 8601, ``YYYY/MM/DD``, ``YYYY-MM`` or epoch digits (s, ms, us, ns).

    Fractions beyond the microsecond are cut off.
    """
    if _EPOCH.fullmatch(text):
        micros = int(text) * 10**6 // 10 ** (len(text) - 10)
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    match = _TIME.fullmatch(text)
    if match is None:
        raise _Malformed("bad_time")
    year, month, day, clock, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{year}-{month}-{day or '01'}T{clock or '00:00'}{zone or '+00:00'}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _Malformed("bad_time") from error


def _cells(text: str) -> list[str]:
    # line by line: an unclosed quotation mark spoils its own row and no other
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise _Malformed("bad_csv") from error


def _number(text: str, name: str) -> Decimal:
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    try:
        return parse_decimal(text)
    except InvalidAmount as error:
        raise _Malformed("bad_size" if name == "size" else "bad_number") from error
