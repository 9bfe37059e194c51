"""The demo's past: a week made by the services themselves, once, the same for the same seed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app import create_app
from app.adapters.marketdata import simulated_past
from app.adapters.marketdata.simulated import PROFILES
from app.adapters.marketdata.simulated_past import PastWalk
from app.cli.demo_past import Past, begin_of
from app.config import TestingConfig
from app.core.clock import ManualClock
from app.domain.bars import INTERVALS, aggregate
from app.models import Bar, Client, Execution, InstrumentRow, Order, Position, PositionUpdate
from app.services import demo, demo_past
from app.services.reconcile import reconcile

NOW = datetime(2026, 3, 4, 15, 7, 31, tzinfo=UTC)
HASHES = {person.email: f"hash of {person.email}" for person in demo.PEOPLE}


@pytest.fixture(autouse=True)
def _short_past(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day instead of a week: the same work, seven times as fast."""
    monkeypatch.setattr(demo_past, "LENGTH", timedelta(days=1))
    monkeypatch.setattr(simulated_past, "MINUTES", timedelta(days=1))


@contextmanager
def empty_app(folder: Path, template: Path, **settings: Any) -> Iterator[Flask]:
    folder.mkdir(parents=True)
    path = folder / "cambista.db"
    path.write_bytes(template.read_bytes())
    chosen = {"market_feed": "simulated", **settings}
    app = create_app(TestingConfig(database_url=f"sqlite:///{path}", **chosen), clock=ManualClock(NOW))
    yield app
    app.extensions["services"].database.dispose()


def play(app: Flask, until: datetime = NOW) -> dict[str, Any]:
    parts = app.extensions["services"]
    parts.database.run(lambda session: demo.load(session, HASHES, begin_of(until)))
    return Past(parts, until).play()


def told(app: Flask) -> list[Any]:
    """Everything about the orders and what came of them that is not an id."""

    def read(session: Any) -> list[Any]:
        orders = sa.select(Order.created_at, Order.side, Order.qty, Order.price, Order.status, Order.avg_px, Order.fees)
        closed = sa.select(Position.opened_at, Position.closed_at, Position.exit_reason, Position.realized_pnl)
        return [
            tuple(row)
            for query in (orders.order_by(Order.id), closed.order_by(Position.id))
            for row in session.execute(query)
        ]

    return app.extensions["services"].database.read(read)


def test_the_past_is_traded_priced_and_reconciled(tmp_path: Path, sqlite_template: Path) -> None:
    with empty_app(tmp_path / "a", sqlite_template) as app:
        made = play(app)
        parts = app.extensions["services"]

        def check(session: Any) -> None:
            assert reconcile(session, parts.instruments)["breaks"] == []
            traders = set(session.scalars(sa.select(Client.code).join(Order, Order.client_id == Client.id)))
            assert traders == set(demo_past.HABITS)
            orders = session.scalars(sa.select(Order)).all()
            assert all(begin_of(NOW) < order.created_at < NOW for order in orders)
            assert {"FILLED", "OPEN", "REJECTED"} <= {order.status for order in orders}
            assert session.scalar(sa.select(sa.func.count(Execution.id))) == made["fills"] > 20
            assert {row.status for row in session.scalars(sa.select(Position))} == {"OPEN", "CLOSED"}
            assert session.scalar(sa.select(sa.func.count(PositionUpdate.id))) > 20
            for symbol in session.scalars(sa.select(InstrumentRow.symbol)):
                for interval in set(INTERVALS) - {"1s"}:
                    assert len(parts.bars.bars(session, symbol, interval, 50)) == 50, (symbol, interval)
            closes = parts.bars.last_closes(session)
            assert closes == {symbol: profile.start for symbol, profile in PROFILES.items()}

        parts.database.read(check)


def test_the_same_seed_makes_the_same_past_and_another_seed_another(
    tmp_path: Path, sqlite_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated_past, "HOURS", timedelta(days=3))  # nobody trades on what lies further back
    monkeypatch.setattr(simulated_past, "DAYS", timedelta(days=5))
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        with empty_app(tmp_path / name, sqlite_template, sim_feed_seed=seed) as app:
            play(app)
            found.append(told(app))
    assert found[0] == found[1] != found[2]


def test_clients_win_some_and_lose_some(tmp_path: Path, sqlite_template: Path) -> None:
    with empty_app(tmp_path / "a", sqlite_template, sim_feed_seed=2) as app:
        play(app)
        closed = sa.select(Position.realized_pnl).where(Position.status == "CLOSED")
        results = app.extensions["services"].database.read(lambda session: list(session.scalars(closed)))
        won = sum(result > 0 for result in results)
        assert won * 5 > 2 * len(results) and won < len(results)


def test_nobody_trades_while_a_market_is_closed(tmp_path: Path, sqlite_template: Path) -> None:
    sunday = datetime(2026, 3, 8, 21, 0, tzinfo=UTC)  # an hour before currencies and metals open again
    with empty_app(tmp_path / "a", sqlite_template) as app:
        play(app, sunday)
        symbols = sa.select(InstrumentRow.symbol).join(Execution, Execution.instrument_id == InstrumentRow.id)
        traded = app.extensions["services"].database.read(lambda session: set(session.scalars(symbols)))
        assert traded and all(symbol.endswith("/USDT") for symbol in traded), traded
        bars = PastWalk(app.extensions["services"].instruments.resolve("XAU/USD"), 1, sunday).bars()["1m"]
        assert max(bar.high for bar in bars) - min(bar.low for bar in bars) < 1, "it hardly moves meanwhile"


def test_loading_twice_makes_one_past(tmp_path: Path, sqlite_template: Path) -> None:
    with empty_app(tmp_path / "a", sqlite_template) as app:
        runner = app.test_cli_runner()
        loaded = runner.invoke(args=["demo", "load", "--if-empty"])
        first = json.loads(loaded.stdout)
        told_of = [line.strip() for line in loaded.stderr.splitlines() if line.endswith("%")]
        for what in ("Prices of the past", "A week of trading"):
            moves = [line for line in told_of if what in line]
            assert (moves[0], moves[-1], len(moves)) == (f"{what}: 0 %", f"{what}: 100 %", 5)
        before = told(app)
        assert first["past"]["fills"] > 0
        for arguments in (["demo", "load"], ["demo", "load", "--if-empty"], ["demo", "load", "--past"]):
            again = json.loads(runner.invoke(args=arguments).stdout)
            assert "past" not in again
        assert told(app) == before


def test_a_firm_without_a_simulated_market_has_no_past(tmp_path: Path, sqlite_template: Path) -> None:
    with empty_app(tmp_path / "a", sqlite_template, market_feed="manual") as app:
        answer = json.loads(app.test_cli_runner().invoke(args=["demo", "load"]).stdout)
        assert answer["loaded"] and "past" not in answer
        assert app.extensions["services"].database.read(lambda s: s.scalar(sa.select(sa.func.count(Bar.start)))) == 0


def test_minutes_hours_and_days_tell_the_same_story(tmp_path: Path, sqlite_template: Path) -> None:
    with empty_app(tmp_path / "a", sqlite_template) as app:
        for instrument in app.extensions["services"].instruments:
            bars = PastWalk(instrument, 1, NOW).bars()
            for interval, source in (("1h", "1m"), ("1d", "1h")):
                known = {bar.start: bar for bar in bars[interval]}
                for wide in aggregate(bars[source], interval):
                    assert known[wide.start] == wide
                starts = [bar.start for bar in bars[interval]]
                assert starts == [starts[0] + INTERVALS[interval] * index for index in range(len(starts))]
            assert bars["1m"][-1].close == PROFILES[instrument.symbol].start
            for bar in bars["1m"] + bars["1h"] + bars["1d"]:
                assert Decimal(0) < bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
                assert all(price % instrument.tick_size == 0 for price in (bar.open, bar.high, bar.low, bar.close))
                assert bar.volume > 0 and bar.volume % instrument.lot_size == 0
