"""Plays the demo firm's past: its prices, its clients' week, through an engine whose clock runs in that week."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from app.adapters.marketdata.simulated_past import PastWalk
from app.background import build_engine
from app.core.clock import ManualClock, iso
from app.core.errors import Conflict
from app.domain.bars import Bar, interval_start
from app.domain.calendars import is_open
from app.domain.quotes import Quote
from app.engine.engine import Engine
from app.engine.schedules import Sampler
from app.realtime.publisher import SilentPublisher
from app.services import demo_past
from app.services.bars import BarService
from app.services.container import Services
from app.services.orders import Orders
from app.services.positions import Positions
from app.services.quotes import QuoteBook

OPENED = timedelta(hours=1)  # accounts are open for so long before the first order
SAMPLED = timedelta(minutes=30)
ANSWER = timedelta(seconds=10)  # market time in which the venue says what it has to say about an order
MINUTE = timedelta(minutes=1)
KEPT_MINUTES = 3 * 24 * 60  # of bars; further back there are hours and days
TELLING = 2_000  # a move of less than one part in so many is not worth a quote
Progress = Callable[[str, int], object]  # what is being made, and how many percent of it there are
PRICES, TRADING = "Prices of the past", "A week of trading"


class _Unkept(BarService):
    """The week's quotes are the closes of bars that are stored already."""

    def add(self, quote: Quote) -> None: ...


def begin_of(now: datetime) -> datetime:
    """When the accounts of a past that ends now were opened."""
    return interval_start(now, "1m") - demo_past.LENGTH - OPENED


class Past:
    """One play of the week up to ``until``; ``parts`` lends its database, its settings and its instruments."""

    def __init__(self, parts: Services, until: datetime) -> None:
        self.until = interval_start(until, "1m")
        self.since = self.until - demo_past.LENGTH
        self.clock = ManualClock(self.since - OPENED)
        self.parts, self.database, self.instruments = parts, parts.database, parts.instruments
        seed = parts.settings.sim_feed_seed
        self.walks = {item.symbol: PastWalk(item, seed, self.until) for item in parts.instruments}
        self.seed = seed
        self.quotes = QuoteBook(self.clock, self.instruments)  # without a cache: nobody else may see these prices
        self.orders = Orders(self.instruments, self.quotes, parts.orders.rules)
        self.positions = Positions(self.orders, self.instruments, self.quotes)
        self.engine = self._engine()
        self.sampler = Sampler()
        self.minutes: dict[str, dict[datetime, Bar]] = {}
        self.watched: set[str] = set()  # symbols that somebody holds or has an order in

    def _engine(self) -> Engine:
        lent = replace(
            self.parts,
            clock=self.clock,
            quotes=self.quotes,
            orders=self.orders,
            positions=self.positions,
            bars=_Unkept(self.instruments),
            settings=replace(
                self.parts.settings,
                sim_venue_reject_rate=Decimal(0),
                sim_venue_partial_rate=Decimal(0),
                sim_venue_lost_ack_rate=Decimal(0),
                sim_venue_duplicate_rate=Decimal(0),
                sim_venue_late_rate=Decimal(0),
            ),
        )
        return build_engine(lent, self.database, SilentPublisher(), self.clock)

    def play(self, progress: Progress = lambda what, percent: None) -> dict[str, Any]:
        """Store prices, accounts and the week. Raises ``Conflict`` while an engine runs on this database."""
        if not self.engine.start():
            raise Conflict("an engine is running on this database; stop the server first", code="engine_running")
        try:
            bars = self._store_bars(progress)
            self.database.run(lambda session: demo_past.open_accounts(session, self.clock.now()))
            self._trade(progress)
            while self.engine.relay.step():
                pass
        finally:
            self.engine.lease.release()
        return {"bars": bars, "fills": self.engine.counts["fills"], "from": iso(self.since), "to": iso(self.until)}

    def _store_bars(self, progress: Progress) -> int:
        stored = 0
        for done, (symbol, walk) in enumerate(self.walks.items()):
            progress(PRICES, 100 * done // len(self.walks))
            made = walk.bars()
            self.minutes[symbol] = {bar.start: bar for bar in made["1m"]}
            made["1m"] = made["1m"][-KEPT_MINUTES:]
            for bars in made.values():
                stored += self.database.run(lambda session, bars=bars: self.parts.bars.fill(session, bars))  # type: ignore[misc]
        progress(PRICES, 100)
        return stored

    def _trade(self, progress: Progress) -> None:
        week = demo_past.Week(self.database, self.instruments, self.quotes, self.orders, self.positions)
        found = self.database.read(demo_past.accounts)
        waiting = demo_past.schedule(found, self.instruments, self.since, self.until, self.seed)
        waiting.reverse()
        sampled = minute = self.since
        while minute < self.until:
            due = waiting and waiting[-1].at <= minute
            samples = minute - sampled >= SAMPLED
            self._quote(minute, everything=bool(due) or samples)
            if due:
                week.keep(waiting.pop(), self.clock.now())
                self._answer()
            if samples:
                sampled = minute
                self.engine.trigger.store_moves()
                self.sampler(self.engine, self.clock.now())
            minute += MINUTE
            progress(TRADING, 100 * (minute - self.since) // (self.until - self.since))

    def _quote(self, minute: datetime, *, everything: bool) -> None:
        """The close of a minute, for the instruments in play, or for all; of a closed market only the first."""
        self.clock.set(max(minute + MINUTE - timedelta(seconds=20), self.clock.now()))
        now = self.clock.now()
        for symbol, walk in self.walks.items():
            bar, known = self.minutes[symbol][minute], self.quotes.get(symbol)
            if known is not None and not is_open(walk.instrument.calendar, minute):
                continue
            moved = known is None or abs(bar.close - known.mid) * TELLING > known.mid
            if everything or (moved and symbol in self.watched):
                self.engine.take_quote(walk.quote(bar, now), now)
        self.engine.book.collect(now)
        if self.engine.book.run(now) or self.engine.watch.fired:
            self._answer()

    def _answer(self) -> None:
        """Let the engine and the venue finish what they owe each other, and see what hangs on prices now."""
        self._finish()
        self.watched = {self.instruments.by_id(id_).symbol for id_ in self.database.read(demo_past.in_play)}

    def _finish(self) -> None:
        end = self.clock.now() + ANSWER
        self.engine.wake()
        self.engine.run_until_idle(self.clock.now())
        while True:
            known = [gateway.seconds_until_due() for gateway in self.engine.gateways.values()]
            dues = [due for due in known if due is not None]
            if not dues or self.clock.now() + timedelta(seconds=min(dues)) > end:
                return
            self.clock.advance(min(dues))
            self.engine.run_until_idle(self.clock.now())
