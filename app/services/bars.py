"""Bars for charts: built from quotes in memory, stored by the engine, served to everybody."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.core.errors import Invalid
from app.core.transaction import after_commit
from app.domain.bars import INTERVALS, Bar, BarBuilder, aggregate, interval_start
from app.domain.instruments import SymbolTable
from app.domain.quotes import Quote
from app.models import table_of
from app.models.market import Bar as BarRow

MEMORY_SECONDS: Final = 3_600
STORED: Final = ("1m", "1h", "1d")
# Hours are stored beside minutes and days, or a chart of 4h bars would read 240 rows for each of them.
SOURCE: Final = {"1m": "1m", "5m": "1m", "15m": "1m", "1h": "1h", "4h": "1h", "1d": "1d"}
MAX_LIMIT: Final = 1_000
_CHUNK: Final = 500

Key = tuple[str, str, datetime]  # symbol, interval, start


class BarService:
    """Takes quotes beside the engine (``add``, ``flush``) and serves bars in any process (``bars``).

    Bars go by our receive time; with ``source_time`` by the source's, for recordings that run in market
    time.

    What is stored of a bar when this process first writes it is kept as the bar's *base*, and each flush
    writes base + ours. So a flush may be repeated, retried or rolled back, and a restart in the middle of
    a minute goes on with what the last process stored.
    """

    def __init__(self, instruments: SymbolTable, *, source_time: bool = False) -> None:
        self._instruments = instruments
        self._source_time = source_time
        self._lock = threading.Lock()
        self._seconds = BarBuilder("1s")
        self._closed: dict[str, dict[datetime, Bar]] = defaultdict(dict)
        self._ours: dict[Key, Bar] = {}
        self._base: dict[Key, Bar | None] = {}
        self._written: dict[Key, Bar] = {}

    def add(self, quote: Quote) -> None:
        with self._lock:
            for second in self._seconds.add(quote, source_time=self._source_time, volume=quote.volume):
                self._keep_second(second)
                for interval in STORED:
                    _fold(self._ours, second.widen(interval))

    def _keep_second(self, second: Bar) -> None:
        kept = self._closed[second.symbol]
        earlier = kept.get(second.start)
        kept[second.start] = earlier.then(second) if earlier else second
        if len(kept) > MEMORY_SECONDS:
            del kept[next(iter(kept))]

    def _current(self) -> dict[Key, Bar]:
        """All bars not yet stored for good, the forming second included."""
        with self._lock:
            bars = dict(self._ours)
            for instrument in self._instruments:
                second = self._seconds.forming(instrument.symbol)
                if second is not None:
                    for interval in STORED:
                        _fold(bars, second.widen(interval))
            return bars

    def flush(self, session: Session) -> int:
        """Write what changed since the last committed flush; returns how many rows that was."""
        current = self._current()
        due = {key: bar for key, bar in current.items() if self._written.get(key) != bar}
        self._load_bases(session, [key for key in due if key not in self._base])
        rows = []
        for key, ours in due.items():
            base = self._base[key]
            rows.append(self._columns(base.then(ours) if base else ours))
        for first in range(0, len(rows), _CHUNK):
            _upsert(session, rows[first : first + _CHUNK])
        written = self._written  # what ``forget`` has thrown away stays thrown away
        after_commit(session, lambda: self._committed(written, due))
        return len(rows)

    def _committed(self, written: dict[Key, Bar], stored: dict[Key, Bar]) -> None:
        """Remember what is stored and forget the bars that are complete."""
        with self._lock:
            written.update(stored)
            for key, bar in list(self._ours.items()):
                symbol, interval, start = key
                forming = self._seconds.forming(symbol)
                over = forming is None or interval_start(forming.start, interval) != start
                if over and self._written.get(key) == bar:
                    for memory in (self._ours, self._base, self._written):
                        memory.pop(key, None)

    def fill(self, session: Session, bars: Iterable[Bar]) -> int:
        """Store bars of a past in which no process listened; what is stored already stays. How many were given."""
        insert: Any = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        rows = [self._columns(bar) for bar in bars]
        if rows:
            session.connection().execute(insert(table_of(BarRow)).on_conflict_do_nothing(), rows)
        return len(rows)

    def forget(self) -> None:
        """Drop what is not stored yet; for an engine that leads again after another has led.

        Its bases are from before the other's writes, which the next flush would undo.
        """
        with self._lock:
            self._seconds = BarBuilder("1s")
            self._ours, self._base, self._written = {}, {}, {}

    def _load_bases(self, session: Session, keys: list[Key]) -> None:
        for first in range(0, len(keys), _CHUNK):
            chunk = keys[first : first + _CHUNK]
            found = self._read(session, chunk)
            self._base.update({key: found.get(key) for key in chunk})

    def _read(self, session: Session, keys: list[Key]) -> dict[Key, Bar]:
        if not keys:
            return {}
        ids = {self._instruments.resolve(symbol).id for symbol, _, _ in keys}
        wanted = sa.select(*_COLUMNS).where(
            BarRow.instrument_id.in_(ids),
            BarRow.interval.in_({interval for _, interval, _ in keys}),
            BarRow.start.in_({start for _, _, start in keys}),
        )
        bars = (self._bar(row) for row in session.execute(wanted))
        return {_key(bar): bar for bar in bars}

    def bars(
        self, session: Session, symbol: str, interval: str, limit: int = 300, before: datetime | None = None
    ) -> list[Bar]:
        """The last ``limit`` bars that begin before ``before``, oldest first, the forming one included.

        Intervals without a quote have no bar. ``1s`` goes back an hour and is known to the engine's
        process alone. Raises ``Invalid`` for an unknown interval or a limit outside 1 to 1,000, and
        ``UnknownSymbol``.
        """
        instrument = self._instruments.resolve(symbol)
        if interval not in INTERVALS:
            raise Invalid.field("interval", "unknown_interval", f"must be one of {', '.join(INTERVALS)}", interval)
        if not 1 <= limit <= MAX_LIMIT:
            raise Invalid.field("limit", "amount_out_of_range", f"must be between 1 and {MAX_LIMIT}", limit)
        if interval == "1s":
            return self._last_seconds(instrument.symbol, limit, before)
        source = SOURCE[interval]
        step = INTERVALS[interval]
        until = None if before is None else _end_before(before, interval)
        # memory first: a flush in between may then count a tick twice in this answer, but loses no bar
        current, bases = self._current(), dict(self._base)
        found = self._stored(session, instrument.id, source, until, (limit + 1) * (step // INTERVALS[source]))
        for key, bar in current.items():
            if key[:2] == (instrument.symbol, source) and (until is None or bar.start < until):
                base = bases[key] if key in bases else found.get(bar.start)
                found[bar.start] = base.then(bar) if base else bar
        return aggregate((found[start] for start in sorted(found)), interval)[-limit:]

    def last_closes(self, session: Session) -> dict[str, Decimal]:
        """The newest stored mid of each symbol; where a simulated market goes on after a restart."""
        newest = (
            sa.select(BarRow.instrument_id, sa.func.max(BarRow.start).label("start"))
            .where(BarRow.interval == "1m")
            .group_by(BarRow.instrument_id)
            .subquery()
        )
        query = sa.select(BarRow.instrument_id, BarRow.close).join(
            newest,
            sa.and_(
                BarRow.instrument_id == newest.c.instrument_id,
                BarRow.start == newest.c.start,
                BarRow.interval == "1m",
            ),
        )
        return {self._instruments.by_id(row.instrument_id).symbol: row.close for row in session.execute(query)}

    def days(self, session: Session, now: datetime) -> dict[str, list[Bar]]:
        """By symbol the hours of the last day, oldest first, the forming one included.

        The first begins where the price of a day ago is: its open is that of the minute 24 hours ago, as near
        as it was kept.
        """
        since = interval_start(now - INTERVALS["1d"], "1m")
        hour = interval_start(since, "1h")
        rows = sa.select(*_COLUMNS).where(BarRow.interval == "1h", BarRow.start >= hour).order_by(BarRow.start)
        found: dict[str, dict[datetime, Bar]] = defaultdict(dict)
        current, bases = self._current(), dict(self._base)
        for row in session.execute(rows):
            bar = self._bar(row)
            found[bar.symbol][bar.start] = bar
        for key, bar in current.items():
            if key[1] == "1h" and bar.start >= hour:
                base = bases[key] if key in bases else found[bar.symbol].get(bar.start)
                found[bar.symbol][bar.start] = base.then(bar) if base else bar
        for symbol, minutes in self._minutes(session, since, hour + INTERVALS["1h"]).items():
            found[symbol][hour] = aggregate(minutes, "1h")[0]
        return {symbol: [hours[start] for start in sorted(hours)] for symbol, hours in found.items()}

    def _minutes(self, session: Session, since: datetime, until: datetime) -> dict[str, list[Bar]]:
        rows = sa.select(*_COLUMNS).where(BarRow.interval == "1m", BarRow.start >= since, BarRow.start < until)
        found: dict[str, list[Bar]] = defaultdict(list)
        for row in session.execute(rows.order_by(BarRow.start)):
            bar = self._bar(row)
            found[bar.symbol].append(bar)
        return found

    def _last_seconds(self, symbol: str, limit: int, before: datetime | None) -> list[Bar]:
        with self._lock:
            bars = dict(self._closed.get(symbol, {}))
            forming = self._seconds.forming(symbol)
        if forming is not None:
            earlier = bars.get(forming.start)
            bars[forming.start] = earlier.then(forming) if earlier else forming
        return [bars[start] for start in sorted(bars) if before is None or start < before][-limit:]

    def _stored(
        self, session: Session, instrument_id: int, interval: str, until: datetime | None, count: int
    ) -> dict[datetime, Bar]:
        """The newest ``count`` rows before ``until``; more than enough for every bar they make up."""
        rows = (
            sa.select(*_COLUMNS)
            .where(BarRow.instrument_id == instrument_id, BarRow.interval == interval)
            .order_by(BarRow.start.desc())
            .limit(count)
        )
        if until is not None:
            rows = rows.where(BarRow.start < until)
        return {bar.start: bar for bar in map(self._bar, session.execute(rows))}

    def _bar(self, row: Any) -> Bar:
        instrument_id, *rest = row
        return Bar(self._instruments.by_id(instrument_id).symbol, *rest)

    def _columns(self, bar: Bar) -> dict[str, Any]:
        return {
            "instrument_id": self._instruments.resolve(bar.symbol).id,
            "interval": bar.interval,
            "start": bar.start,
            "open": bar.open,
            "high": bar.high,
            "low": bar.low,
            "close": bar.close,
            "volume": bar.volume,
            "ticks": bar.ticks,
        }


_COLUMNS: Final = (
    BarRow.instrument_id,
    BarRow.interval,
    BarRow.start,
    BarRow.open,
    BarRow.high,
    BarRow.low,
    BarRow.close,
    BarRow.volume,
    BarRow.ticks,
)


def _end_before(before: datetime, interval: str) -> datetime | None:
    """The end of the last interval that begins before ``before``; None beyond the calendar."""
    start = interval_start(before, interval)
    try:
        return start if start == before else start + INTERVALS[interval]
    except OverflowError:
        return None


def _key(bar: Bar) -> Key:
    return bar.symbol, bar.interval, bar.start


def _fold(bars: dict[Key, Bar], bar: Bar) -> None:
    key = _key(bar)
    earlier = bars.get(key)
    bars[key] = earlier.then(bar) if earlier else bar


def _upsert(session: Session, rows: Iterable[dict[str, Any]]) -> None:
    insert: Any = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement = insert(BarRow).values(list(rows))
    changed = {name: statement.excluded[name] for name in ("open", "high", "low", "close", "volume", "ticks")}
    session.execute(
        statement.on_conflict_do_update(index_elements=["instrument_id", "interval", "start"], set_=changed)
    )
