"""Random orders, fills, cancels, quotes, crashes and restarts: every invariant holds at every moment."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from app.adapters.venues.simulated import Behaviour
from app.core.clock import ManualClock
from app.core.errors import AppError
from app.core.migrations import upgrade
from app.core.transaction import Database
from app.domain.orders import OrderSource
from app.domain.protection import Protection
from app.models import Client, Execution, Order, Position, Wallet
from tests.firm import Firm

START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
_TEMPLATE: list[Path] = []


def fresh_database(folder: Path) -> Database:
    if not _TEMPLATE:
        template = Path(tempfile.mkdtemp(prefix="cambista-model-")) / "template.db"
        upgrade(f"sqlite:///{template}")
        _TEMPLATE.append(template)
    shutil.copyfile(_TEMPLATE[0], folder / "model.db")
    return Database(f"sqlite:///{folder / 'model.db'}")


class Trading(RuleBasedStateMachine):
    """The model is tiny: money in = money in the wallet + what the house got for it."""

    @initialize(
        partial=st.sampled_from([0, 1]), reject=st.sampled_from(["0", "0.2"]), latency=st.sampled_from([0, 300])
    )
    def begin(self, partial: int, reject: str, latency: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cambista-run-"))
        self.database = fresh_database(self.folder)
        behaviour = Behaviour(
            latency=timedelta(milliseconds=latency), partial_rate=D(partial), reject_rate=D(reject), slippage_bps=D(5)
        )
        self.firm = Firm(self.database, ManualClock(START), behaviour).start()
        self.client_id, self.wallet = self.firm.client(USDT="100000", BTC="0.5")
        self.mid = D(50000)
        self.accepted: set[str] = set()
        self.firm.quote("BTC/USDT", "49995", "50005")

    @rule(move=st.integers(-60, 60), seconds=st.sampled_from([0.1, 0.5, 2]))
    def quote(self, move: int, seconds: float) -> None:
        self.mid = max(self.mid + move * 10, D(20000))
        self.firm.quote("BTC/USDT", str(self.mid - 5), str(self.mid + 5), seconds)

    @rule(
        side=st.sampled_from(["BUY", "SELL"]), lots=st.integers(1, 40), away=st.integers(-30, 30),
        tif=st.sampled_from(["GTC", "GTC", "IOC", "FOK", "DAY"]), market=st.booleans(),
        legs=st.sampled_from([{}, {"stop": 1}, {"target": 1}, {"stop": 1, "target": 1, "trail": 1}]),
    )  # fmt: skip
    def order(self, side: str, lots: int, away: int, tif: str, market: bool, legs: dict[str, int]) -> None:
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
            self.accepted.add(self.firm.send(self.wallet, **fields)["id"])
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
            wallet = session.get_one(Wallet, self.wallet)
            client = session.get_one(Client, self.client_id)
            self.firm.orders.amend(session, client, wallet, row["id"], D(lots) / 100, self.mid + away * 10,
                                   actor="t", now=self.firm.clock.now())  # fmt: skip

        try:
            self.database.run(work)
        except AppError:
            return
        self.firm.engine.wake()

    @rule(part=st.sampled_from([None, "0.01"]))
    def close(self, part: str | None) -> None:
        row = self._pick([p for p in self.firm.all(Position) if p["status"] != "CLOSED"], 0)
        if row is None:
            return

        def work(session: Any) -> None:
            wallet = session.get_one(Wallet, self.wallet)
            client = session.get_one(Client, self.client_id)
            self.firm.positions.close(session, client, wallet, row, D(part) if part else None, None, actor="t",
                                      source=OrderSource.API, now=self.firm.clock.now())  # fmt: skip

        try:
            self.database.run(work)
        except AppError:
            return
        self.firm.engine.wake()

    @rule(below=st.integers(1, 50))
    def protect(self, below: int) -> None:
        row = self._pick([p for p in self.firm.all(Position) if p["status"] in ("OPENING", "OPEN")], 0)
        if row is None:
            return
        protection = Protection(stop_loss=self.mid - 5 - below * 10)
        try:
            self.database.run(
                lambda s: self.firm.positions.protect(s, row, protection, actor="t", now=self.firm.clock.now())
            )
        except AppError:
            return
        self.firm.engine.wake()

    @rule()
    def time_passes(self) -> None:
        self.firm.run_for(0.5, step=0.25)

    @rule()
    def crash(self) -> None:
        self.firm.crash()
        self.firm.quote("BTC/USDT", str(self.mid - 5), str(self.mid + 5), 0.1)

    @invariant()
    def books_agree(self) -> None:
        if not hasattr(self, "firm"):
            return
        self.firm.reconciled()
        assert self.firm.engine.counts["faults"] == 0
        assert self.accepted <= {order["id"] for order in self.firm.all(Order)}
        spent = sum((e["value"] + e["fee"] if e["side"] == "BUY" else e["fee"] - e["value"]
                     for e in self.firm.all(Execution)), D(0))  # fmt: skip
        assert self.firm.balance(self.wallet, "USDT", "total") == D(100000) - spent

    def teardown(self) -> None:
        if hasattr(self, "firm"):
            # in the end everything comes to rest: nothing hangs between two states
            self.firm.quote("BTC/USDT", str(self.mid - 5), str(self.mid + 5), 1)
            self.firm.run_for(4, step=0.5)
            resting = {"NEW", "OPEN", "PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED"}
            assert {order["status"] for order in self.firm.all(Order)} <= resting - {"NEW"}
            self.firm.engine.lease.release()
            self.database.dispose()
            shutil.rmtree(self.folder, ignore_errors=True)


TestTrading = Trading.TestCase
TestTrading.settings = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking one of these runs for minutes
    suppress_health_check=list(HealthCheck),
)
