"""``flask market``: replaying recordings through the engine."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import click
import sqlalchemy as sa
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from app.adapters.marketdata.recordings import ReplayError, ReplayFile, ReplayRow
from app.background import build_engine
from app.core.clock import ManualClock, SystemClock, iso
from app.core.errors import Conflict, Invalid
from app.engine.engine import Engine
from app.models import Order
from app.realtime.publisher import SilentPublisher

from .answers import prints_json, services

AFTERWARDS = timedelta(seconds=5)  # market time given to what the venue still owes after the last quote


@click.group("market")
def group() -> None:
    """Market data."""


def _speed(_context: click.Context, _parameter: click.Parameter, value: str) -> float | None:
    if value == "max":
        return None
    try:
        speed = float(value)  # ok: a pace, not a price
    except ValueError:
        speed = 0
    if not 0 < speed < 1e6:
        raise click.BadParameter("must be max or a positive number")
    return speed


@group.command("replay")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--instrument", required=True, help="Canonical or any known form, e.g. BTC/USDT.")
@click.option("--speed", default="max", callback=_speed, help="max, or a multiple of market time.")
@with_appcontext
@prints_json
def replay(file: str, instrument: str, speed: float | None) -> dict[str, Any]:
    """Run a recording through the engine, in market time: the same fills at every speed.

    FILE is CSV, plain or gzip, with a header. Columns: time and either bid and ask, or price, or close; size, open,
    high, low, volume and symbol may be there too. Times are ISO 8601 (UTC without a zone) or seconds since 1970.
    """
    parts = services()
    try:
        recording = ReplayFile(file, parts.orders.resolve(instrument))
        rows = recording.rows()
        first = next(rows, None)
        if first is None:
            raise ReplayError("no_quotes", f"{file} has no usable row")
    except ReplayError as error:
        raise Invalid(str(error), code=error.code) from error
    clock = ManualClock(first.at)
    engine = build_engine(parts, parts.database, SilentPublisher(), clock)
    if not engine.start():
        raise Conflict("an engine is running on this database; stop the server first", code="engine_running")
    try:
        _play(engine, clock, recording, itertools.chain([first], rows), speed)
        _settle(engine, clock)
        parts.database.run(parts.bars.flush)
    finally:
        engine.lease.release()
    report = recording.report
    return {
        "file": recording.path.name,
        "instrument": recording.instrument.symbol,
        "rows": report.rows,
        "quotes": engine.counts["quotes"],
        "malformed": report.malformed_count,
        "from": iso(first.at),
        "to": iso(clock.now()),
        "fills": engine.counts["fills"],
        "orders": parts.database.read(_orders_by_status),
        "quarantined": sum(parts.quotes.quarantined.values()),
    }


def _play(
    engine: Engine, clock: ManualClock, recording: ReplayFile, rows: Iterable[ReplayRow], speed: float | None
) -> None:
    """Every quote in its turn, with all that follows from it before the next."""
    pace = SystemClock()
    began, first_at = pace.monotonic(), clock.now()
    progress: Any = click.progressbar(length=recording.total_rows, label="replay", file=sys.stderr)
    with progress as bar:
        for row in rows:
            if speed is not None:
                early = (row.at - first_at).total_seconds() / speed - (pace.monotonic() - began)
                if early > 0:
                    engine.inbox.pause(early)
            clock.set(max(row.at, clock.now()))
            engine.inbox.put_in_order(row.quote(recording.instrument.symbol, clock.now(), "replay"))
            engine.step(clock.now())
            bar.update(1)


def _settle(engine: Engine, clock: ManualClock) -> None:
    """Let the venue finish what it owes, but not wait for the end of a trading day."""
    end = clock.now() + AFTERWARDS
    gateways = list(engine.gateways.values())
    while True:
        dues = [due for gateway in gateways if (due := gateway.seconds_until_due()) is not None]
        if not dues or clock.now() + timedelta(seconds=min(dues)) > end:
            break
        clock.advance(min(dues))
        engine.step(clock.now())
        engine.run_until_idle(clock.now())
    engine.run_until_idle(clock.now())
    while engine.relay.step():
        pass


def _orders_by_status(session: Session) -> dict[str, int]:
    rows = session.execute(sa.select(Order.status, sa.func.count().label("total")).group_by(Order.status))
    return {row.status: row.total for row in rows}
