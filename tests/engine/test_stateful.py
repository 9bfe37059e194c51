"""Random orders, quotes, faults, crashes and restarts, of several wallets: every invariant holds at every moment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.adapters.venues.simulated import Behaviour
from app.core.clock import ManualClock
from app.core.errors import AppError, OutcomeUnknown, Unavailable
from app.core.ids import new_id
from app.core.permissions import SYSTEM
from app.core.transaction import Database
from app.domain.orders import OrderSource
from app.domain.positions import PositionState
from app.domain.protection import Protection
from app.engine.booking import Booking
from app.engine.exits import Exits
from app.engine.lease import LeaseLost
from app.models import Client, Execution, LedgerAccount, Order, Position, Posting, Wallet, exact_sum, table_of
from app.services import faults
from tests.conftest import _administrate
from tests.databases import open_database
from tests.firm import Firm

START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "0"))  # more of them for whoever looks for trouble
REST = {"OPEN", "PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED", "FAILED"}
VENUE_FAULTS: list[dict[str, Any]] = [
    {},
    {},
    {"lost_ack_rate": D("0.5")},
    {"duplicate_rate": D("0.5")},
    {"late_rate": D("0.5")},
    {"disconnected": True},
]
Open = Callable[[], tuple[Database, Callable[[], None]]]


class Poison(Exception):
    """What a row that nobody foresaw raises."""


class Trading(RuleBasedStateMachine):
    """The model is tiny: money in = money in the wallet + what the house got for it - what is owed."""

    def __init__(self, open_database: Open) -> None:
        super().__init__()
        self.open_database = open_database
        self.poisoned: set[str] = set()
        self.was_poisoned = False
        self.trouble: tuple[str, int] | None = None
        self.patched: list[tuple[Any, str, Any]] = []

    @initialize(
        partial=st.sampled_from([0, 1]), reject=st.sampled_from(["0", "0.2"]), latency=st.sampled_from([0, 300])
    )
    def begin(self, partial: int, reject: str, latency: int) -> None:
        self.database, self.close_database = self.open_database()
        behaviour = Behaviour(
            latency=timedelta(milliseconds=latency), partial_rate=D(partial), reject_rate=D(reject), slippage_bps=D(5)
        )
        self.firm = Firm(self.database, ManualClock(START), behaviour).start()
        self.wallets = [self.firm.client(USDT="100000", BTC="0.5") for _ in range(3)]
        self.mid = D(50000)
        self.accepted: set[str] = set()
        self._patch(Booking, "_book_fill", self._poison_fill)
        self._patch(Exits, "_exit_order", self._poison_exit)
        self._patch(self.database, "run", self._troubled_run)
        self.firm.quote("BTC/USDT", "49995", "50005")

    # -- what goes wrong -----------------------------------------------------------------------------------

    def _patch(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        original = getattr(owner, name)
        self.patched.append((owner, name, original))
        setattr(owner, name, wrap(original))

    def _poison_fill(self, original: Any) -> Any:
        def fill(booking: Any, before: Any, order: Any, report: Any) -> Any:
            if order.id in self.poisoned:
                raise Poison(order.id)
            return original(booking, before, order, report)

        return fill

    def _poison_exit(self, original: Any) -> Any:
        def exit_order(monitor: Any, journal: Any, free: Any, row: Any, *args: Any) -> Any:
            if row.id in self.poisoned:
                raise Poison(row.id)
            return original(monitor, journal, free, row, *args)

        return exit_order

    def _troubled_run(self, run: Any) -> Any:
        def troubled(work: Any, **options: Any) -> Any:
            if self.trouble is None or options.get("write") is False:
                return run(work, **options)
            kind, left = self.trouble
            if left:
                self.trouble = (kind, left - 1)
                return run(work, **options)
            self.trouble = None
            if kind == "connection":
                raise Unavailable("the connection was lost before anything was stored")
            run(work, **options)
            raise OutcomeUnknown("the connection was lost during COMMIT")

        return troubled

    def drive(self, work: Callable[[], Any]) -> None:
        """The engine at work; what it stumbles over it takes up again in its next step, as its loop does."""
        try:
            work()
        except (Unavailable, OutcomeUnknown):
            self.trouble = None
            self.firm.settle()

    @rule(kind=st.sampled_from(["connection", "reply"]), after=st.integers(0, 4))
    def the_database_fails(self, kind: str, after: int) -> None:
        self.trouble = (kind, after)
        self.drive(self.firm.settle)
        self.trouble = None

    @rule(fault=st.sampled_from(VENUE_FAULTS))
    def the_venue_changes(self, fault: dict[str, Any]) -> None:
        clean = replace(
            self.firm.behaviour, lost_ack_rate=D(0), duplicate_rate=D(0), late_rate=D(0), disconnected=False
        )
        self.firm.behaviour = self.firm.venue.behaviour = replace(clean, **fault)

    @rule(number=st.integers(0, 50), model=st.sampled_from([Order, Position]))
    def a_row_is_poisoned(self, number: int, model: Any) -> None:
        live = [r for r in self.firm.all(model) if r["status"] not in ("FILLED", "CANCELED", "REJECTED", "CLOSED")]
        row = self._pick(live, number)
        if row is not None:
            self.poisoned.add(row["id"])
            self.was_poisoned = True

    @rule(mended=st.booleans())
    def somebody_retries(self, mended: bool) -> None:
        if mended:
            self.poisoned.clear()
        for fault in self.database.read(faults.open_faults):
            ask = partial(faults.ask_retry, fault_id=fault["id"], principal=SYSTEM, now=self.firm.clock.now())
            self.database.run(ask)
        self.drive(self.firm.settle)

    @rule(seconds=st.sampled_from([0.5, 3, 8]))
    def the_engine_pauses(self, seconds: float) -> None:
        self.firm.clock.advance(seconds)
        self.drive(self.firm.settle)

    @rule()
    def another_engine_takes_over(self) -> None:
        stale = self.firm.engine
        epoch = stale.lease.epoch
        stale.lease.release()
        self.firm.engine = self.firm.new_engine()
        self.firm.start()
        stale.lease.epoch = epoch
        stale.wake()
        self.firm.clock.advance(1)
        with pytest.raises(LeaseLost):
            stale.step(self.firm.clock.now())

    # -- what people and markets do ------------------------------------------------------------------------

    @rule(move=st.integers(-60, 60), seconds=st.sampled_from([0.1, 0.5, 2]))
    def quote(self, move: int, seconds: float) -> None:
        self.mid = max(self.mid + move * 10, D(20000))
        self.drive(lambda: self._quote(seconds))

    def _quote(self, seconds: float) -> None:
        self.firm.quote("BTC/USDT", str(self.mid - 5), str(self.mid + 5), seconds)

    @rule(
        side=st.sampled_from(["BUY", "SELL"]),
        lots=st.integers(1, 40),
        away=st.integers(-30, 30),
        tif=st.sampled_from(["GTC", "GTC", "IOC", "FOK", "DAY"]),
        market=st.booleans(),
        legs=st.sampled_from([{}, {"stop": 1}, {"target": 1}, {"stop": 1, "target": 1, "trail": 1}]),
        who=st.integers(0, 2),
    )
    def order(self, side: str, lots: int, away: int, tif: str, market: bool, legs: dict[str, int], who: int) -> None:
        fields: dict[str, Any] = {"side": side, "qty": str(D(lots) / 100)}
        if market:
            fields["type"] = "MARKET"
        else:
            fields.update(type="LIMIT", price=str(self.mid + away * 10), time_in_force=tif)
        reference = D(fields.get("price", self.mid))
        if side == "BUY" and legs:
            if "stop" in legs:
                fields["stop_loss"] = str(reference - 200)
            if "target" in legs:
                fields["take_profit"] = str(reference + 250)
            if "trail" in legs:
                fields["trailing_stop"] = {"type": "amount", "value": "150"}
        try:
            self.accepted.add(self.firm.send(self.wallets[who][1], **fields)["id"])
        except AppError:
            return

    def _pick(self, rows: list[dict[str, Any]], number: int) -> dict[str, Any] | None:
        return rows[number % len(rows)] if rows else None

    @rule(number=st.integers(0, 50))
    def cancel(self, number: int) -> None:
        row = self._pick(self.firm.all(Order), number)
        if row is not None:
            try:
                self.database.run(lambda s: self.firm.orders.cancel(s, row["id"], actor="t", now=self.firm.clock.now()))
            except AppError:
                return
            self.firm.engine.wake()

    @rule(number=st.integers(0, 50), lots=st.integers(1, 60), away=st.integers(-30, 30))
    def amend(self, number: int, lots: int, away: int) -> None:
        row = self._pick([o for o in self.firm.all(Order) if o["type"] == "LIMIT"], number)
        if row is None:
            return

        def work(session: Any) -> None:
            wallet, client = session.get_one(Wallet, row["wallet_id"]), session.get_one(Client, row["client_id"])
            self.firm.orders.amend(
                session,
                client,
                wallet,
                row["id"],
                D(lots) / 100,
                self.mid + away * 10,
                actor="t",
                now=self.firm.clock.now(),
            )

        try:
            self.database.run(work)
        except AppError:
            return
        self.firm.engine.wake()

    @rule(part=st.sampled_from([None, "0.01"]), number=st.integers(0, 2))
    def close(self, part: str | None, number: int) -> None:
        row = self._pick([p for p in self.firm.all(Position) if p["status"] != "CLOSED"], number)
        if row is None:
            return

        def work(session: Any) -> None:
            wallet, client = session.get_one(Wallet, row["wallet_id"]), session.get_one(Client, row["client_id"])
            qty = D(part) if part else None
            self.firm.positions.close(
                session,
                client,
                wallet,
                PositionState.of(row),
                qty,
                None,
                actor="t",
                source=OrderSource.API,
                now=self.firm.clock.now(),
            )

        try:
            self.database.run(work)
        except AppError:
            return
        self.firm.engine.wake()

    @rule(below=st.integers(1, 50), number=st.integers(0, 2))
    def protect(self, below: int, number: int) -> None:
        row = self._pick([p for p in self.firm.all(Position) if p["status"] in ("OPENING", "OPEN")], number)
        if row is None:
            return
        protection = Protection(stop_loss=self.mid - 5 - below * 10)
        try:
            self.database.run(
                lambda s: self.firm.positions.protect(
                    s, PositionState.of(row), protection, actor="t", now=self.firm.clock.now()
                )
            )
        except AppError:
            return
        self.firm.engine.wake()

    @rule()
    def time_passes(self) -> None:
        self.drive(lambda: self.firm.run_for(0.5, step=0.25))

    @rule()
    def crash(self) -> None:
        self.firm.crash()
        self.drive(lambda: self._quote(0.1))

    # -- what is true at every moment ----------------------------------------------------------------------

    @invariant()
    def books_agree(self) -> None:
        if not hasattr(self, "firm"):
            return
        self.firm.reconciled()
        assert self.was_poisoned or self.database.read(faults.open_faults) == []
        assert self.accepted <= {order["id"] for order in self.firm.all(Order)}
        executions = self.firm.all(Execution)
        for _, wallet in self.wallets:
            spent = sum(
                (
                    e["value"] + e["fee"] if e["side"] == "BUY" else e["fee"] - e["value"]
                    for e in executions
                    if e["wallet_id"] == wallet
                ),
                D(0),
            )
            owed = self._owed(wallet)
            assert self.firm.balance(wallet, "USDT", "total") == D(100000) - spent + owed

    def _owed(self, wallet: str) -> D:
        query = (
            sa.select(exact_sum(table_of(Posting).c.amount))
            .join(table_of(LedgerAccount), LedgerAccount.id == Posting.account_id)
            .where(LedgerAccount.owner == f"house:{wallet}", LedgerAccount.currency == "USDT")
        )
        return -(self.database.read(lambda session: session.scalar(query)) or D(0))

    def teardown(self) -> None:
        try:
            if hasattr(self, "firm"):
                self._comes_to_rest()
                self.firm.engine.lease.release()
        finally:
            for owner, name, original in reversed(self.patched):
                setattr(owner, name, original)
            if hasattr(self, "database"):
                self.close_database()

    def _comes_to_rest(self) -> None:
        """In the end, venue and rows mended and faults retried, nothing hangs between two states."""
        self.the_venue_changes({})
        self.poisoned.clear()
        self._quote(1)
        for _ in range(4):
            self.somebody_retries(mended=True)
            self._quote(1)
            self.firm.run_for(5, step=1)
        self._quote(1)
        self.firm.run_for(2, step=1)
        hanging = {order["id"]: order["status"] for order in self.firm.all(Order) if order["status"] not in REST}
        assert hanging == {}
        assert self.database.read(faults.open_faults) == []
        self.books_agree()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_trading(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    def sqlite() -> tuple[Database, Callable[[], None]]:
        path = tmp_path / f"{new_id()}.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        database = open_database(f"sqlite:///{path}")
        return database, database.dispose

    def postgres() -> tuple[Database, Callable[[], None]]:
        server, template = request.getfixturevalue("postgres_server"), request.getfixturevalue("postgres_template")
        name = f"test_{new_id().replace('-', '')}"
        _administrate(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        database = open_database(server.set(database=name).render_as_string(hide_password=False))

        def close() -> None:
            database.dispose()
            _administrate(server, f"DROP DATABASE {name} WITH (FORCE)")

        return database, close

    run_state_machine_as_test(
        partial(Trading, {"sqlite": sqlite, "postgres": postgres}[kind]),
        settings=settings(
            max_examples=EXAMPLES or (6 if kind == "sqlite" else 3),
            stateful_step_count=20,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],  # shrinking one of these runs for minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
