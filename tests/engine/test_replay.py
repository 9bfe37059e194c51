"""The same engine on recorded quotes: fills equal to what a few lines over the file give."""

from __future__ import annotations

import csv
from datetime import datetime
from decimal import ROUND_FLOOR
from decimal import Decimal as D
from typing import Any

import pytest

from app.adapters.marketdata.recordings import ReplayFile
from app.core.clock import ManualClock
from app.core.transaction import Database
from app.models import Execution
from tests.data import shared_data
from tests.firm import AT_ONCE, Firm

FILE = shared_data / "market" / "btcusdt_quotes_2021-01-08.csv"
ENTERED_AFTER = 45  # quotes; the market stands above the limit then
LIMIT, STOP, TARGET = D("39470.00"), D("39455.00"), D("39545.00")
TRAIL_BPS = D(12)


def recorded() -> list[tuple[datetime, D, D]]:
    with FILE.open() as file:
        rows = [(datetime.fromisoformat(r["timestamp"]), D(r["bid"]), D(r["ask"])) for r in csv.DictReader(file)]
    return sorted(rows, key=lambda row: row[0])


def expected(limit: D, stop: D | None, target: D | None, trail_bps: D | None) -> list[tuple[str, D, datetime]]:
    """A limit buy that rests from the second quote on, then the first exit it meets. No engine in sight."""
    fills: list[tuple[str, D, datetime]] = []
    best = None
    for number, (at, bid, ask) in enumerate(recorded()):
        if not fills:
            if number > ENTERED_AFTER and ask <= limit:
                fills.append(("BUY", limit, at))
                best = bid
            continue
        assert best is not None
        if target is not None and bid >= target:
            return [*fills, ("take_profit", bid, at)]
        best = max(best, bid)
        trail = best * (1 - trail_bps / 10000) if trail_bps is not None else None
        levels = [(level, name) for level, name in ((stop, "stop_loss"), (trail, "trailing_stop")) if level is not None]
        hit = max((level, name) for level, name in levels) if levels else None
        if hit is not None and bid <= hit[0]:
            return [*fills, (hit[1], bid, at)]
    return fills


def replay(database: Database, legs: dict[str, Any], pace: str) -> tuple[list[tuple[str, D, datetime]], D]:
    """Run the file through an engine; ``pace``: quotes one by one, or handed over in lumps."""
    rows = list(ReplayFile(FILE, _btc(database)).rows())
    clock = ManualClock(rows[0].at)
    firm = Firm(database, clock, AT_ONCE).start()
    _, wallet = firm.client(USDT="100000")
    engine = firm.engine
    for number, row in enumerate(rows):
        clock.set(max(row.at, clock.now()))
        engine.inbox.put_in_order(row.quote("BTC/USDT", clock.now(), "replay"))
        if number == ENTERED_AFTER:
            while engine.step(clock.now()):
                pass
            firm.send(wallet, type="LIMIT", qty="0.1", price=str(LIMIT), **legs)
            firm.settle()
        elif pace == "one by one" or number % 37 == 0:
            while engine.step(clock.now()):
                pass
    while engine.step(clock.now()):
        pass
    firm.reconciled()
    engine.lease.release()
    fills = []
    for execution in firm.all(Execution):
        reason = firm.order(execution["order_id"])["exit_reason"] or "BUY"
        fills.append((reason, execution["price"], execution["executed_at"]))
    return fills, firm.balance(wallet, "USDT")


def _btc(database: Database) -> Any:
    from app.services import market

    database.run(market.seed_instruments)
    return database.read(market.load_instruments).resolve("BTC/USDT")


LEGS = [
    pytest.param({"stop_loss": str(STOP)}, (STOP, None, None), id="stop"),
    pytest.param({"take_profit": str(TARGET)}, (None, TARGET, None), id="target"),
    pytest.param({"trailing_stop": {"type": "bps", "value": "12"}}, (None, None, TRAIL_BPS), id="trailing"),
    pytest.param(
        {"stop_loss": str(STOP), "take_profit": str(TARGET), "trailing_stop": {"type": "bps", "value": "12"}},
        (STOP, TARGET, TRAIL_BPS),
        id="all",
    ),
]


@pytest.mark.parametrize(("legs", "independent"), LEGS)
def test_recorded_quotes_give_exactly_the_fills_of_an_independent_computation(
    database: Database, legs: dict[str, Any], independent: tuple[D | None, D | None, D | None]
) -> None:
    fills, _ = replay(database, legs, "one by one")
    wanted = expected(LIMIT, *independent)
    assert len(wanted) == 2, "the recording must reach the limit and an exit"
    assert [(reason, price) for reason, price, _ in fills] == [(reason, price) for reason, price, _ in wanted]
    # FIX times have milliseconds
    assert [at.replace(microsecond=at.microsecond // 1000 * 1000) for *_, at in wanted] == [at for *_, at in fills]


def test_twice_the_same_whatever_the_pace(
    sqlite_url: str, open_database: Any, tmp_path: Any, sqlite_template: Any
) -> None:
    import shutil

    results = []
    for number, pace in enumerate(("one by one", "one by one", "in lumps")):
        path = tmp_path / f"run{number}.db"
        shutil.copyfile(sqlite_template, path)
        results.append(replay(open_database(f"sqlite:///{path}"), LEGS[3].values[0], pace))
    assert [[fill[:2] for fill in fills] for fills, _ in results] == [[fill[:2] for fill in results[0][0]]] * 3
    assert results[0][1] == results[1][1] == results[2][1]


def test_the_trail_distance_is_exact() -> None:
    """The trigger of the independent computation is not on the tick: rounding it down would fire a tick late."""
    best = max(bid for _, bid, _ in recorded())
    trigger = best * (1 - TRAIL_BPS / 10000)
    assert trigger != trigger.quantize(D("0.01"), ROUND_FLOOR)
