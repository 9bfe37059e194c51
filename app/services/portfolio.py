"""What a client's wallets are worth and how that came about: the equity curve, profit by period, trading figures.

Amounts in USD, to the cent. A past value is what the journal says was held then at the closes of the stored bars,
the present one what is held at the current quotes; an asset without a price is named, not guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import GenericFunction

from app.core.clock import iso
from app.domain.bars import INTERVALS, interval_start
from app.domain.instruments import SymbolTable
from app.domain.ledger import AccountKind
from app.domain.money import ZERO, text
from app.domain.positions import PositionState, PositionStatus
from app.domain.quotes import Quote
from app.domain.risk import usd_rate
from app.models import (
    Bar,
    Execution,
    JournalEntry,
    LedgerAccount,
    Position,
    PositionUpdate,
    Posting,
    exact_sum,
    table_of,
)

accounts, postings, entries = table_of(LedgerAccount), table_of(Posting), table_of(JournalEntry)
executions, positions, updates, bars = (
    table_of(Execution),
    table_of(Position),
    table_of(PositionUpdate),
    table_of(Bar),
)
# how far back, and the bars whose closes value what was held
PERIODS: Final[dict[str, tuple[timedelta, str]]] = {
    "1d": (timedelta(days=1), "1h"),
    "1w": (timedelta(days=7), "1h"),
    "1m": (timedelta(days=30), "1h"),
    "3m": (timedelta(days=90), "1d"),
    "1y": (timedelta(days=365), "1d"),
}
CLOSED_MOST: Final = 20_000  # closed positions that statistics look at, newest first
POINTS_MOST: Final = 300  # of a position's curve
ALL_SAMPLES: Final = timedelta(hours=1)  # what is longer is read by the minute
CENTS: Final = 2
Holdings = dict[str, Decimal]  # by asset


class hour_of(GenericFunction[str]):
    """The hour a stored time lies in, as ``YYYY-MM-DD HH`` in UTC."""

    type = sa.String()
    inherit_cache = True


class minute_of(GenericFunction[str]):
    """The minute a stored time lies in, as ``YYYY-MM-DD HH:MM`` in UTC."""

    type = sa.String()
    inherit_cache = True


class day_of(GenericFunction[str]):
    """The day a stored time lies in, as ``YYYY-MM-DD`` in UTC."""

    type = sa.String()
    inherit_cache = True


@compiles(hour_of, "sqlite")
def _hour_sqlite(element: hour_of, compiler: Any, **kw: Any) -> str:
    return f"substr({compiler.process(element.clauses, **kw)}, 1, 13)"


@compiles(hour_of, "postgresql")
def _hour_postgresql(element: hour_of, compiler: Any, **kw: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **kw)} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24')"


@compiles(minute_of, "sqlite")
def _minute_sqlite(element: minute_of, compiler: Any, **kw: Any) -> str:
    return f"substr({compiler.process(element.clauses, **kw)}, 1, 16)"


@compiles(minute_of, "postgresql")
def _minute_postgresql(element: minute_of, compiler: Any, **kw: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **kw)} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')"


@compiles(day_of, "sqlite")
def _day_sqlite(element: day_of, compiler: Any, **kw: Any) -> str:
    return f"substr({compiler.process(element.clauses, **kw)}, 1, 10)"


@compiles(day_of, "postgresql")
def _day_postgresql(element: day_of, compiler: Any, **kw: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **kw)} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


@dataclass(frozen=True, slots=True)
class Point:
    """What the wallets were worth at a moment, and what had been paid in, less out, since the curve began."""

    at: datetime
    equity: Decimal
    deposits: Decimal


@dataclass(slots=True)
class Curve:
    points: list[Point] = field(default_factory=list)
    unpriced: set[str] = field(default_factory=set)

    def gained(self) -> tuple[Decimal, Decimal, Decimal, Decimal | None]:
        """What it began with, what was paid in, the profit, and that in percent of both; None without either."""
        if not self.points:
            return ZERO, ZERO, ZERO, None
        start, deposits = self.points[0].equity, self.points[-1].deposits - self.points[0].deposits
        profit = self.points[-1].equity - start - deposits
        base = start + max(deposits, ZERO)
        return start, deposits, profit, round(profit * 100 / base, 2) if base > 0 else None


class Portfolio:
    """Reads one client's wallets; ``quotes`` are the newest ones by symbol."""

    def __init__(
        self,
        session: Session,
        instruments: SymbolTable,
        quotes: Mapping[str, Quote],
        now: datetime,
        wallet_ids: Sequence[str],
    ) -> None:
        self.session, self.instruments, self.quotes, self.now = session, instruments, dict(quotes), now
        self.wallet_ids = list(wallet_ids)
        self.unpriced: set[str] = set()

    def show(self, period: str) -> dict[str, Any]:
        """Everything about ``period``, a key of ``PERIODS``, and about today (UTC) as the API shows it."""
        length, interval = PERIODS[period]
        since = interval_start(self.now - length, interval)
        midnight = interval_start(self.now, "1d")
        curve, today = self.curve(since, interval), self.curve(midnight, "1h")
        self.unpriced |= curve.unpriced | today.unpriced
        by_day, by_instrument = self.realized(since)
        return {
            "currency": "USD",
            "at": iso(self.now),
            "equity": text(curve.points[-1].equity if curve.points else ZERO),
            "unrealized_pnl": text(self.unrealized()),
            "day": {**_gained(today, midnight), **_realized(self.realized(midnight)[0])},
            "period": {"name": period, **_gained(curve, since), **_realized(by_day)},
            "curve": [
                {
                    "at": iso(point.at),
                    "equity": text(point.equity),
                    "deposits": text(point.deposits - curve.points[0].deposits),
                }
                for point in curve.points
            ],
            "realized": [{"day": day, **figures.show()} for day, figures in sorted(by_day.items())],
            "instruments": [{"symbol": symbol, **figures.show()} for symbol, figures in sorted(by_instrument.items())],
            "statistics": self.statistics(since),
            "unpriced": sorted(self.unpriced),
        }

    # -- equity ------------------------------------------------------------------------------------------

    def curve(self, since: datetime, interval: str) -> Curve:
        """Values at the end of each interval from ``since`` (its start) to now, the present one last.

        It begins where the wallets first held something. What was paid in counts at the closes of the
        interval it came in.
        """
        curve, step = Curve(), INTERVALS[interval]
        held = self._held_before(since)
        moved, paid = self._moved_since(since, interval)
        prices = self._closes_before(since, interval)
        closes = self._closes_since(since, interval)
        deposits, at = ZERO, since
        if held:
            curve.points.append(Point(since, self._worth(held, prices, curve.unpriced), ZERO))
        while at + step <= self.now:
            prices.update(closes.get(at, {}))
            _add(held, moved.get(at, {}))
            deposits += self._worth(paid.get(at, {}), prices, curve.unpriced)
            at += step
            if held:
                curve.points.append(Point(at, self._worth(held, prices, curve.unpriced), deposits))
        _add(held, moved.get(at, {}))
        if held:
            unpriced: set[str] = set()
            deposits += self._worth(paid.get(at, {}), self.quotes, unpriced)
            curve.points.append(Point(self.now, self._worth(held, self.quotes, unpriced), deposits))
            curve.unpriced |= unpriced
        return curve

    def _worth(self, held: Mapping[str, Decimal], quotes: dict[str, Quote], unpriced: set[str]) -> Decimal:
        """Each asset to the cent, so that a total is the sum of what is shown."""
        total = ZERO
        for asset, amount in held.items():
            rate = usd_rate(asset, quotes) if amount else ZERO
            if rate is None:
                unpriced.add(asset)
            else:
                total += round(amount * rate, CENTS)
        return total

    def _of_wallets(self) -> sa.ColumnElement[bool]:
        return accounts.c.wallet_id.in_(self.wallet_ids)

    def _held_before(self, moment: datetime) -> Holdings:
        query = (
            sa.select(postings.c.currency, exact_sum(postings.c.amount).label("amount"))
            .join(accounts, accounts.c.id == postings.c.account_id)
            .where(self._of_wallets(), postings.c.posted_at < moment)
            .group_by(postings.c.currency)
        )
        return {row.currency: row.amount for row in self.session.execute(query) if row.amount}

    def _moved_since(self, since: datetime, interval: str) -> tuple[dict[datetime, Holdings], dict[datetime, Holdings]]:
        """By start of interval: what was added to the wallets, and how much of it came from outside the firm."""
        hour = hour_of(postings.c.posted_at)
        from_outside = sa.exists().where(
            _other.c.entry_id == postings.c.entry_id,
            _other.c.account_id == _outside.c.id,
            _outside.c.kind == AccountKind.EXTERNAL.value,
        )
        query = (
            sa.select(
                hour.label("hour"),
                postings.c.currency,
                exact_sum(postings.c.amount).label("amount"),
                from_outside.label("outside"),
            )
            .join(accounts, accounts.c.id == postings.c.account_id)
            .where(self._of_wallets(), postings.c.posted_at >= since)
            .group_by(hour, postings.c.currency, from_outside)
        )
        moved: dict[datetime, Holdings] = defaultdict(dict)
        paid: dict[datetime, Holdings] = defaultdict(dict)
        for row in self.session.execute(query):
            at = interval_start(datetime.fromisoformat(f"{row.hour}:00:00+00:00"), interval)
            for found in (moved, paid) if row.outside else (moved,):
                _add(found[at], {row.currency: row.amount})
        return moved, paid

    # -- past prices -------------------------------------------------------------------------------------

    def _priced(self, rows: Iterable[Any]) -> Iterator[tuple[datetime, str, Quote]]:
        for row in rows:
            symbol = self.instruments.by_id(row.instrument_id).symbol
            yield row.start, symbol, Quote(symbol, row.close, row.close, None, row.start, row.start, "bars")

    def _closes_since(self, since: datetime, interval: str) -> dict[datetime, dict[str, Quote]]:
        query = sa.select(bars.c.instrument_id, bars.c.start, bars.c.close).where(
            bars.c.interval == interval, bars.c.start >= since, bars.c.start < self.now
        )
        found: dict[datetime, dict[str, Quote]] = defaultdict(dict)
        for start, symbol, quote in self._priced(self.session.execute(query)):
            found[start][symbol] = quote
        return found

    def _closes_before(self, moment: datetime, interval: str) -> dict[str, Quote]:
        newest = (
            sa.select(bars.c.instrument_id, sa.func.max(bars.c.start).label("start"))
            .where(bars.c.interval == interval, bars.c.start < moment)
            .group_by(bars.c.instrument_id)
            .subquery()
        )
        query = sa.select(bars.c.instrument_id, bars.c.start, bars.c.close).join(
            newest,
            sa.and_(
                bars.c.instrument_id == newest.c.instrument_id,
                bars.c.start == newest.c.start,
                bars.c.interval == interval,
            ),
        )
        return {symbol: quote for _, symbol, quote in self._priced(self.session.execute(query))}

    # -- trading -----------------------------------------------------------------------------------------

    def usd(self, amount: Decimal, currency: str) -> Decimal:
        """At the current rate, to the cent; what cannot be priced counts nothing and is named."""
        rate = usd_rate(currency, self.quotes) if amount else ZERO
        if rate is None:
            self.unpriced.add(currency)
            return ZERO
        return round(amount * rate, CENTS)

    def unrealized(self) -> Decimal:
        """Of all open positions, each at the side of the quote it would be closed at."""
        query = sa.select(positions).where(
            positions.c.wallet_id.in_(self.wallet_ids), positions.c.status != PositionStatus.CLOSED.value
        )
        total = ZERO
        for row in self.session.execute(query).mappings():
            position = PositionState.of(row)
            instrument, holding = self.instruments.by_id(position.instrument_id), position.holding
            quote = self.quotes.get(instrument.symbol)
            if quote is None:
                self.unpriced.add(instrument.symbol)
                continue
            mark = quote.bid if holding.qty >= 0 else quote.ask
            total += self.usd(round(holding.unrealized(mark), 8), instrument.quote)
        return total

    def realized(self, since: datetime) -> tuple[dict[str, Figures], dict[str, Figures]]:
        """What executions realized, cost and turned over, by day (UTC) and by instrument."""
        day = day_of(executions.c.executed_at)
        query = (
            sa.select(
                day.label("day"),
                executions.c.instrument_id,
                sa.func.count().label("fills"),
                *(exact_sum(executions.c[name]).label(name) for name in ("realized_pnl", "fee", "value")),
            )
            .where(executions.c.wallet_id.in_(self.wallet_ids), executions.c.executed_at >= since)
            .group_by(day, executions.c.instrument_id)
        )
        by_day: dict[str, Figures] = defaultdict(Figures)
        by_instrument: dict[str, Figures] = defaultdict(Figures)
        for row in self.session.execute(query):
            instrument = self.instruments.by_id(row.instrument_id)
            found = Figures(
                self.usd(row.realized_pnl, instrument.quote),
                self.usd(row.fee, instrument.quote),
                self.usd(row.value, instrument.quote),
                row.fills,
            )
            by_day[row.day].add(found)
            by_instrument[instrument.symbol].add(found)
        return by_day, by_instrument

    def statistics(self, since: datetime) -> dict[str, Any]:
        """Of the positions closed since; a win made more than nothing, a loss less."""
        closed = sa.and_(
            positions.c.wallet_id.in_(self.wallet_ids),
            positions.c.status == PositionStatus.CLOSED.value,
            positions.c.closed_at >= since,
        )
        query = sa.select(
            positions.c.instrument_id, positions.c.realized_pnl, positions.c.opened_at, positions.c.closed_at
        )
        rows = self.session.execute(query.where(closed).order_by(positions.c.closed_at.desc()).limit(CLOSED_MOST)).all()
        results = [self.usd(row.realized_pnl, self.instruments.by_id(row.instrument_id).quote) for row in rows]
        wins, losses = [r for r in results if r > 0], [r for r in results if r < 0]
        held = sum(((row.closed_at - row.opened_at) for row in rows), timedelta(0))
        return {
            "trades": len(rows),
            "wins": len(wins),
            "losses": len(losses),
            "win_rate": text(round(Decimal(len(wins) * 100) / len(rows), 2)) if rows else None,
            "average_win": text(round(sum(wins, ZERO) / len(wins), CENTS)) if wins else None,
            "average_loss": text(round(sum(losses, ZERO) / len(losses), CENTS)) if losses else None,
            "profit_factor": text(round(sum(wins, ZERO) / -sum(losses, ZERO), 2)) if losses else None,
            "best": text(max(results)) if results else None,
            "worst": text(min(results)) if results else None,
            "average_minutes": int(held / len(rows) / timedelta(minutes=1)) if rows else None,
        }


_other, _outside = postings.alias("other"), accounts.alias("outside")


@dataclass(slots=True)
class Figures:
    """Sums of executions in USD."""

    realized: Decimal = ZERO
    fees: Decimal = ZERO
    volume: Decimal = ZERO
    fills: int = 0

    def add(self, more: Figures) -> None:
        self.realized += more.realized
        self.fees += more.fees
        self.volume += more.volume
        self.fills += more.fills

    def show(self) -> dict[str, Any]:
        return {
            "realized_pnl": text(self.realized),
            "fees": text(self.fees),
            "volume": text(self.volume),
            "fills": self.fills,
        }


def _add(held: Holdings, more: Mapping[str, Decimal]) -> None:
    for asset, amount in more.items():
        held[asset] = held.get(asset, ZERO) + amount


def _gained(curve: Curve, since: datetime) -> dict[str, Any]:
    start, deposits, profit, percent = curve.gained()
    return {
        "from": iso(curve.points[0].at if curve.points else since),
        "start_equity": text(start),
        "deposits": text(deposits),
        "pnl": text(profit),
        "percent": None if percent is None else text(percent),
    }


def _realized(by_day: Mapping[str, Figures]) -> dict[str, Any]:
    total = Figures()
    for figures in by_day.values():
        total.add(figures)
    return total.show()


# -- one position ------------------------------------------------------------------------------------------


def position_curve(session: Session, position: PositionState) -> list[dict[str, Any]]:
    """A position's profit over time in its quote currency: what was realized by then and what was open.

    At most ``POINTS_MOST`` of its samples, evenly spread over its time and with the newest, and its end.
    """
    realized = _realized_steps(session, position.id)
    points = []
    for sample in _samples(session, position.id):
        done = sum((amount for at, amount in realized if at <= sample.at), ZERO)
        points.append(
            {
                "at": iso(sample.at),
                "price": text(sample.mark_px),
                "realized_pnl": text(done),
                "unrealized_pnl": text(sample.unrealized_pnl),
                "pnl": text(done + sample.unrealized_pnl),
            }
        )
    if position.closed_at is not None and position.exit_qty:
        total = text(position.realized_pnl)
        points.append(
            {
                "at": iso(position.closed_at),
                "price": text(round(position.exit_value / position.exit_qty, 10)),
                "realized_pnl": total,
                "unrealized_pnl": "0",
                "pnl": total,
            }
        )
    return points


def _samples(session: Session, position_id: str) -> list[Any]:
    """The last sample of each stretch of time, oldest first."""
    own = updates.c.position_id == position_id
    first, last = session.execute(sa.select(sa.func.min(updates.c.at), sa.func.max(updates.c.at)).where(own)).one()
    if first is None:
        return []
    query = sa.select(updates.c.at, updates.c.mark_px, updates.c.unrealized_pnl)
    if last - first > ALL_SAMPLES:  # of a week there are half a million
        newest = sa.select(sa.func.max(updates.c.id)).where(own).group_by(minute_of(updates.c.at))
        query = query.where(updates.c.id.in_(newest))
    stretch = (last - first) / (POINTS_MOST - 1) or timedelta(seconds=1)
    kept = {(row.at - first) // stretch: row for row in session.execute(query.where(own).order_by(updates.c.id))}
    return list(kept.values())


def _realized_steps(session: Session, position_id: str) -> list[tuple[datetime, Decimal]]:
    query = sa.select(executions.c.booked_at, executions.c.realized_pnl).where(executions.c.position_id == position_id)
    return [(row.booked_at, row.realized_pnl) for row in session.execute(query) if row.realized_pnl]
