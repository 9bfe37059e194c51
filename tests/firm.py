"""A firm in miniature for tests: one database, one engine that is stepped, clients with paper wallets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.adapters.venues.base import Gateway
from app.adapters.venues.fix_gateway import FixGateway
from app.adapters.venues.simulated import Behaviour, SimulatedVenue
from app.core.clock import ManualClock
from app.core.ids import new_id
from app.core.permissions import SYSTEM
from app.core.transaction import Database
from app.domain.order_requests import OrderRules
from app.domain.orders import OrderSource
from app.domain.positions import PositionState
from app.domain.quotes import Quote
from app.engine import simulation
from app.engine.engine import Engine, Schedule
from app.models import Client, Order, Position, table_of
from app.schemas.base import validate
from app.schemas.orders import OrderIn
from app.services import ledger, market, wallets
from app.services.orders import Orders
from app.services.positions import Positions
from app.services.quotes import QuoteBook
from app.services.reconcile import reconcile

ANSWERS_WITHIN = timedelta(seconds=5)
AT_ONCE = Behaviour(latency=timedelta(0), slippage_bps=Decimal(0))


@dataclass
class Recorder:
    """A publisher that remembers."""

    pushed: list[dict[str, Any]] = field(default_factory=list)
    sampled: list[dict[str, Any]] = field(default_factory=list)

    def events(self, events: list[dict[str, Any]]) -> None:
        self.pushed += events

    def quotes(self, quotes: list[Quote]) -> None: ...

    def samples(self, samples: list[dict[str, Any]]) -> None:
        self.sampled += samples


class Firm:
    """Everything a test of the trading path needs, in one place."""

    def __init__(
        self,
        database: Database,
        clock: ManualClock,
        behaviour: Behaviour = AT_ONCE,
        rules: OrderRules | None = None,
        schedules: tuple[Schedule, ...] = (),
        gateways: tuple[Gateway, ...] = (),
    ) -> None:
        self.gateways = gateways
        self.database, self.clock, self.behaviour, self.schedules = database, clock, behaviour, schedules
        database.run(market.seed_instruments)
        self.instruments = database.read(market.load_instruments)
        self.quotes = QuoteBook(clock, self.instruments)
        self.rules = rules or OrderRules()
        self.orders = Orders(self.instruments, self.quotes, self.rules)
        self.positions = Positions(self.orders, self.instruments, self.quotes)
        self.recorder = Recorder()
        self.engine = self.new_engine()

    def new_engine(self) -> Engine:
        form = lambda symbol: self.instruments.form(symbol, "fix")  # noqa: E731
        self.venue = venue = SimulatedVenue(
            self.behaviour,
            self.clock,
            self.instruments.resolve,
            form,
            lambda quote, now: quote.is_stale(now, self.instruments.resolve(quote.symbol).stale_after),
        )
        gateway = FixGateway("SIM", venue, form, self.clock, answers_within=ANSWERS_WITHIN, works_alone=False)
        engine = Engine(
            self.database,
            self.clock,
            self.instruments,
            self.quotes,
            [gateway, *self.gateways],
            self.recorder,
            on_quote=[venue.on_quote],
            schedules=self.schedules,
            on_recover=[lambda: simulation.reload(self.database, engine.sending, venue.restore, "SIM")],
        )
        return engine

    def start(self) -> Firm:
        assert self.engine.start()
        return self

    def crash(self) -> None:
        """Lose everything in memory, as ``kill -9`` does, and start again."""
        self.engine.lease.release()
        self.quotes = QuoteBook(self.clock, self.instruments)
        self.orders = Orders(self.instruments, self.quotes, self.rules)
        self.positions = Positions(self.orders, self.instruments, self.quotes)
        self.engine = self.new_engine()
        self.start()

    def client(self, code: str | None = None, **balances: str) -> tuple[str, str]:
        """A client with a paper wallet; returns both ids."""

        def work(session: Session) -> tuple[str, str]:
            now = self.clock.now()
            client = Client(
                id=new_id(),
                code=code or f"C-{new_id()[-6:]}",
                name="Ana Quispe",
                active=True,
                version=1,
                created_at=now,
                updated_at=now,
            )
            session.add(client)
            session.flush()
            starting = {asset: Decimal(amount) for asset, amount in (balances or {"USDT": "100000"}).items()}
            return client.id, wallets.create(session, client, "Main", starting, SYSTEM, now).id

        return self.database.run(work)

    def quote(self, symbol: str, bid: str, ask: str, seconds: float = 1) -> None:
        """Time passes and a quote arrives, with all that follows from it."""
        self.clock.advance(seconds)
        now = self.clock.now()
        quote = Quote(symbol, Decimal(bid), Decimal(ask), None, now, now, "test")
        self.engine.take_quote(quote, now)
        self._settle()

    def run_for(self, seconds: float, step: float = 0.1) -> None:
        """Let the engine step through market time without new quotes."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            self.engine.step(self.clock.now())
            self._settle()

    def send(self, wallet_id: str, **fields: Any) -> dict[str, Any]:
        """Enter an order, as a request does; the engine has not looked at it yet."""
        request = validate(OrderIn, {"symbol": "BTC/USDT", "side": "BUY", "type": "MARKET", **fields})

        entry = request.order_request(wallet_id, "test", OrderSource.API)
        order, _ = self.database.run(lambda session: self.orders.submit(session, entry, self.clock.now()))
        self.engine.wake()
        return order

    def settle(self) -> None:
        self.engine.wake()
        self._settle()

    def _settle(self) -> None:
        self.engine.run_until_idle(self.clock.now())
        while self.engine.relay.step():
            pass

    def order(self, order_id: str) -> dict[str, Any]:
        return self._row(table_of(Order), order_id)

    def _row(self, table: sa.Table, row_id: str) -> dict[str, Any]:
        return self.database.read(
            lambda session: dict(session.execute(sa.select(table).where(table.c.id == row_id)).mappings().one())
        )

    def all(self, model: Any) -> list[dict[str, Any]]:
        table = table_of(model)
        return self.database.read(
            lambda session: [dict(row) for row in session.execute(sa.select(table).order_by(table.c.id)).mappings()]
        )

    def position(self, wallet_id: str) -> dict[str, Any]:
        """The newest position of a wallet."""
        return [row for row in self.all(Position) if row["wallet_id"] == wallet_id][-1]

    def held_position(self, wallet_id: str) -> PositionState:
        """The same as services and engine hold it."""
        return PositionState.of(self.position(wallet_id))

    def balance(self, wallet_id: str, asset: str, kind: str = "available") -> Decimal:
        balances = self.database.read(lambda session: ledger.balances(session, wallet_id))
        return balances[asset][kind] if asset in balances else Decimal(0)

    def reconciled(self) -> dict[str, Any]:
        """Assert that every invariant holds."""
        report = self.database.read(lambda session: reconcile(session, self.instruments))
        assert report["ok"], report["breaks"]
        return report
