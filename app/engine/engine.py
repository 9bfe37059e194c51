"""The engine: one loop that books what venues report, watches levels and sends orders.

``step(now)`` does one round and can be called by a test, a replay or the loop. A round is a few phases,
each with short transactions of its own: book, trigger, send. The database is the truth: what is in memory
can be rebuilt by ``recover``, and is, whenever the outcome of a commit is not known or anything raises
after one. Starting after ``kill -9`` is the ordinary start.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog

from app.adapters.venues.base import Gateway
from app.core.clock import NEVER, Clock, Seconds, iso
from app.core.errors import Locked, Unavailable
from app.core.transaction import Database
from app.domain.instruments import SymbolTable
from app.domain.positions import PositionState
from app.domain.quotes import BadQuote, Quote
from app.services import commands
from app.services.oversight import SILENT_SECONDS
from app.services.quotes import QuoteBook

from .exits import Exits
from .inbox import Inbox
from .lease import Lease, LeaseLost
from .levels import ArmedLevels
from .phases import Book, Deadlines, Send, Trigger
from .relay import Publisher, Relay
from .retries import Retries
from .sending import Sending
from .transactions import Transactions
from .waiting import Waiting
from .watch import Watch

log = structlog.get_logger("engine")
POLL_SECONDS = 1
BEAT_SECONDS = 1
Schedule = tuple[str, timedelta, Callable[["Engine", datetime], None]]


class Engine:
    """One per database; ``lease`` sees to that."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        instruments: SymbolTable,
        quotes: QuoteBook,
        gateways: Iterable[Gateway],
        publisher: Publisher,
        *,
        on_quote: Iterable[Callable[[Quote], None]] = (),
        on_recover: Iterable[Callable[[], None]] = (),
        on_lead: Callable[[bool], None] = lambda leads: None,
        take_turns: Callable[[], None] = lambda: None,
        on_command: Mapping[str, Callable[[dict[str, Any]], None]] | None = None,
        more_status: Callable[[], dict[str, Any]] = dict,
        schedules: tuple[Schedule, ...] = (),
    ) -> None:
        """``on_quote`` hears every good quote, ``on_recover`` rebuilds what else lives by the database.

        ``take_turns`` lets other green threads run; ``on_lead`` is told when this engine begins or ceases to
        lead. ``on_command`` does by kind what other processes hand over; ``more_status`` adds to ``status``.
        """
        self.database, self.clock, self.instruments, self.quotes = database, clock, instruments, quotes
        self.gateways: Mapping[str, Gateway] = {gateway.name: gateway for gateway in gateways}
        self.inbox, self.lease, self.counts = Inbox(), Lease(database), Counter[str]()
        self.relay = Relay(database, self.lease, publisher, clock)
        self.levels = ArmedLevels(instruments)
        self.sending = Sending(instruments, self.gateways)
        self.transactions = Transactions(database, self.lease, clock, self.counts)
        self.watch = Watch(self.transactions, self.levels, instruments, quotes)
        self.deadlines = Deadlines(self.gateways, clock)
        self.book = Book(self.transactions, self.gateways, self.deadlines, self.watch, instruments, quotes)
        self.trigger = Trigger(self.transactions, Exits(instruments, quotes), self.watch)
        self.send = Send(self.transactions, self.sending, self.gateways, self.deadlines)
        self.transactions.between = self._beat_when_due
        self.retries = Retries(self.transactions, self.book, self.trigger, self.send)
        self.running = False
        self._on_quote, self._on_recover, self._on_lead = tuple(on_quote), tuple(on_recover), on_lead
        self._take_turns, self._schedules = take_turns, schedules
        self._on_command, self._more_status = on_command or {}, more_status
        self._next_run: dict[str, Seconds] = {}
        self._next_poll = self._next_beat = NEVER
        self._looked_at: Seconds | None = None
        self._beaten_at: Seconds | None = None
        self._leads_not_since = iso(clock.now())
        self._untold = False  # something was stored that the relay has not been woken for
        self._doubtful = False  # memory may not be what the database says
        self._stopping = threading.Event()
        self._fresh_quotes: dict[str, Quote] = {}

    @property
    def open_positions(self) -> dict[str, PositionState]:
        return self.watch.positions

    # -- life --------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Tell the engine that a commit may have left it work."""
        self.inbox.wake()

    def run(self) -> None:
        """Step until ``stop``, whatever is raised; lead whenever the lease is free."""
        while not self._stopping.is_set():
            try:
                busy = self._turn()
            except Exception as error:  # noqa: BLE001 (nothing may end the loop; what caused it is in the database)
                busy = False
                self._after_failure(error)
            if busy:
                self._take_turns()
        self._stand_down()

    def _turn(self) -> bool:
        """One round of the loop; True when there is more to do at once."""
        now = self.clock.now()
        if not self.running and not self.start():
            self._beat_when_due()
            self._stopping.wait(1)
            return False
        if self.step(now):
            return True
        self.inbox.wait(self._idle_seconds())
        return False

    def _after_failure(self, error: Exception) -> None:
        """After an exception nobody expected here. Never raises."""
        self.counts["failed_steps"] += 1
        if isinstance(error, LeaseLost):
            log.warning("engine.lease_lost", error=str(error))
            self._stand_down()
        elif isinstance(error, Unavailable):
            log.warning("engine.database_unavailable", error=str(error))
            if self.running and not self.lease.is_held():
                self._stand_down()
        else:
            log.error("engine.step_failed", exc_info=error)
        self._stopping.wait(0.2)

    def start(self) -> bool:
        """Take the lease and recover; False when another engine holds it."""
        now = self.clock.now()
        if not self.lease.acquire(now):
            return False
        # another engine may have led since: what quotes said and did before is over
        self.watch.drop_fired()
        self.inbox.forget_quotes()
        self._fresh_quotes = {}
        try:
            self.recover(now)
        except BaseException:
            self.lease.release()  # or this process would stand in its own way for ever
            raise
        self.running = True
        # the others learn at once that it leads, and not only that it is about to
        self._next_beat = self.clock.monotonic()
        try:
            self._on_lead(True)
        except BaseException:
            self._stand_down()  # or it would lead without feeds
            raise
        log.info("engine.started", epoch=self.lease.epoch, holder=self.lease.holder)
        return True

    def stop(self) -> None:
        """Ask the loop to end after the step it is in."""
        self._stopping.set()
        self.inbox.wake()
        self.relay.wake()

    @property
    def stopping(self) -> threading.Event:
        return self._stopping

    def _stand_down(self) -> None:
        """Give the lease up. Never raises."""
        if self.running:
            self.running = False
            self._leads_not_since = iso(self.clock.now())
            try:
                self._on_lead(False)
            except Exception:
                log.exception("engine.stand_down_failed")
        self.lease.release()

    def recover(self, now: datetime) -> None:
        """Drop memory and rebuild it from the database: the one rule after any doubt.

        Venues are asked about every order of which it is not known what became of a request; nothing is
        sent a second time blindly. What quotes have done and is not stored yet stays: no database knows it.
        """
        self.trigger.store_moves()  # before positions are read: what is armed again has the newest extreme
        self.book.recover()
        self.relay.forget()
        for rebuild in self._on_recover:
            rebuild()
        self.transactions.recover()
        self.send.recover(now)
        self.watch.recover(now)
        self.counts["recoveries"] += 1
        self._doubtful = False
        self._next_poll = NEVER
        self.relay.wake()

    def _idle_seconds(self) -> Seconds:
        waits = [self._next_poll - self.clock.monotonic()]
        dues = [gateway.seconds_until_due() for gateway in self.gateways.values()]
        waits += [due for due in (*dues, self.deadlines.seconds_until_due()) if due is not None]
        return max(min(waits), 0.001)

    # -- one round ---------------------------------------------------------------------------------------

    def step(self, now: datetime) -> bool:
        """One round; True when there is more to do at once."""
        self._beat_when_due()  # whatever becomes of the round
        for quote in self.inbox.take_quotes():
            self._show(quote)
        worked = self._round(now)
        ordered = self.inbox.take_in_order()
        if ordered is not None:
            self.take_quote(ordered, now)
            self.run_until_idle(now)
            worked = True
        if self._fresh_quotes:
            quotes, self._fresh_quotes = self._fresh_quotes, {}
            self.relay.show(quotes=quotes.values())
        self._beat_when_due()
        self._run_schedules(now)
        self._looked_at = self.clock.monotonic()
        return worked

    def run_until_idle(self, now: datetime) -> None:
        """Work until nothing is due: a replayed quote's consequences precede the next quote."""
        while self._round(now):
            pass

    def offer_quote(self, quote: Quote) -> None:
        """A live quote, from a feed's thread. Raises ``BadQuote`` for one that must not trigger anything."""
        if self._is_heard():
            self.inbox.put(self.quotes.put(quote))

    def offer_in_order(self, quote: Quote) -> None:
        """The same for a feed whose every quote counts."""
        if self._is_heard():
            self.inbox.put_in_order(self.quotes.put(quote))

    def _is_heard(self) -> bool:
        """Whether the heartbeat is fresh: one that hung for longer must not show its prices to anybody."""
        return self._beaten_at is None or self.clock.monotonic() - self._beaten_at <= SILENT_SECONDS

    def take_quote(self, quote: Quote, now: datetime) -> None:
        """A quote of a replay, at its turn; a bad one is counted in the book and triggers nothing."""
        with suppress(BadQuote):
            self._show(self.quotes.put(quote))

    def _show(self, quote: Quote) -> None:
        """Show one good quote to whoever listens and to the armed levels."""
        self.counts["quotes"] += 1
        for listener in self._on_quote:
            try:
                listener(quote)
            except Exception:  # the levels are judged all the same
                log.exception("engine.listener_failed", symbol=quote.symbol)
                self.counts["failed_listeners"] += 1
        self.watch.judge(quote)
        self._fresh_quotes[quote.symbol] = quote

    def _round(self, now: datetime) -> bool:
        """The phases once; True when something was done that may have consequences at once."""
        if self._doubtful:
            self.recover(now)
        try:
            return self._phases(now)
        except BaseException:
            self._doubtful = True  # whatever it was: what memory holds may not be what was stored
            raise

    def _phases(self, now: datetime) -> bool:
        self.trigger.store_moves()
        polls = self.clock.monotonic() >= self._next_poll
        look = self.inbox.take_wake() or polls
        if look:
            self._next_poll = self.clock.monotonic() + POLL_SECONDS
            self.retries.run(now)
        if polls:
            self.watch.judge_refused(now)
        self.book.collect(now)
        if look and self.book.is_crowded:
            self._send_asked(now)
        booked = self.book.run(now)
        self.send.handed -= self.book.confirmed
        self.book.confirmed.clear()
        fired = self.trigger.fire(now)
        self._untold = self._untold or look or booked or fired
        if booked or fired:
            self._tell()  # what has happened is told before what follows from it is looked for
        exited = sent = False
        if look or fired or self.book.work_left or self.send.more:
            # only what was booked or entered can leave an order without a position to reduce
            reduce = self.book.work_left or look
            self.book.work_left = False
            waiting = self.transactions.look_up(partial(Waiting.read, parked=self.send.parked, reduce=reduce))
            if waiting.command:
                self._take_commands(now)
            exited = self.trigger.exit(now, waiting)
            # an exit may also have asked the venue to cancel what rests on the asset
            sent = self.send.run(now, waiting, exited=exited or bool(waiting.exit))
            self._untold = self._untold or exited or sent
        more = bool(booked or fired or exited or sent or self.watch.fired or self.book.work_left or self.send.more)
        if not more:
            self._tell()  # what was sent is told with what came of it, where that comes at once
        return more

    def _send_asked(self, now: datetime) -> None:
        """What people want of their orders does not wait behind a crowd of bookings."""
        waiting = self.transactions.look_up(partial(Waiting.read, parked=self.send.parked, reduce=False))
        if waiting.asked:
            self.send.run(now, waiting, new=False)

    def _tell(self) -> None:
        """Let the relay push what was stored since it was woken last."""
        if self._untold:
            self._untold = False
            self.relay.wake()

    def _take_commands(self, now: datetime) -> None:
        """Do what requests in any process have handed over, oldest first; each once, whatever comes of it."""
        for command in self.transactions.read(commands.waiting):
            error = None
            try:
                self._on_command[command["kind"]](command["payload"])
            except Exception as refused:  # noqa: BLE001 (no command may stop the trading; its error is kept)
                log.warning("engine.command_refused", kind=command["kind"], error=repr(refused))
                error = repr(refused)
            self.transactions.run(partial(commands.taken, command_id=command["id"], now=now, error=error))

    # -- the clock ---------------------------------------------------------------------------------------

    def _beat_when_due(self) -> None:
        if self.clock.monotonic() >= self._next_beat:
            self._next_beat = self.clock.monotonic() + BEAT_SECONDS
            if self.running and not self.lease.is_held():
                raise LeaseLost("the connection that holds the lock is gone")
            self.lease.beat(self.status())
            self._beaten_at = self.clock.monotonic()

    def _run_schedules(self, now: datetime) -> None:
        for name, every, act in self._schedules:
            moment = self.clock.monotonic()
            if moment >= self._next_run.get(name, NEVER):
                self._next_run[name] = moment + every.total_seconds()
                try:
                    act(self, now)
                except Locked:
                    self.counts["locked_schedules"] += 1  # at its next time
                except (LeaseLost, Unavailable):
                    raise
                except Exception:
                    # a schedule that fails is tried again at its next time; it must not stop the trading
                    log.exception("engine.schedule_failed", schedule=name)
                    self.counts["failed_schedules"] += 1

    def status(self) -> dict[str, Any]:
        """Figures for the heartbeat, the system page, ``/ready`` and the metrics."""
        moment = self.clock.monotonic()

        def age(since: Seconds | None) -> Seconds | None:
            return None if since is None else round(moment - since, 3)

        return {
            "running": self.running,
            "epoch": self.lease.epoch,
            "holder": self.lease.holder,
            "last_step_age_seconds": age(self._looked_at),
            "heartbeat_age_seconds": age(self._beaten_at),
            "not_leading_since": None if self.running else self._leads_not_since,
            "venues": sorted(self.gateways),
            "armed_positions": len(self.levels),
            "open_positions": len(self.open_positions),
            "pending_reports": len(self.book.reports),
            "unanswered_requests": len(self.deadlines),
            "parked": len(self.transactions.all_parked()),
            "conflated_quotes": self.inbox.conflated,
            **self._more_status(),
            **self.counts,
            **{f"relay_{name}": value for name, value in self.relay.counts.items()},
        }
