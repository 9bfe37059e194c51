"""The engine: one loop that sends orders, books what the venue reports, watches levels, pushes events.

``step(now)`` does one round and can be called by a test, a replay or the loop. The database is the truth:
starting after ``kill -9`` is the ordinary start.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from app.adapters.venues.base import Report, Venue
from app.core.clock import Clock, iso
from app.core.errors import Unavailable
from app.core.ids import new_id
from app.core.transaction import Database
from app.domain.instruments import SymbolTable
from app.domain.quotes import BadQuote, Quote
from app.domain.triggers import Fired
from app.models import EngineFault, Position, table_of
from app.services import audit
from app.services.events import FIRM, Events
from app.services.quotes import QuoteBook

from . import relay
from .booking import Booked, Booking
from .inbox import Inbox
from .intake import Claimed, Intake
from .lease import Lease, LeaseLost
from .monitor import Monitor, Move

log = structlog.get_logger("engine")
positions = table_of(Position)
REPORTS_PER_STEP = 200  # short steps: a cancel is looked at between two of them
UNSENT_MAX = 10_000
NOBODY = "00000000-0000-0000-0000-000000000000"
Schedule = tuple[str, timedelta, Callable[["Engine", datetime], None]]


class Publisher(Protocol):
    """Where events and quotes go after the commit."""

    def events(self, events: list[dict[str, Any]]) -> None: ...
    def quotes(self, quotes: list[Quote]) -> None: ...
    def samples(self, samples: list[dict[str, Any]]) -> None: ...


class Engine:
    """One per database; ``lease`` sees to that."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        instruments: SymbolTable,
        quotes: QuoteBook,
        venue: Venue,
        publisher: Publisher,
        *,
        on_quote: Callable[[Quote], None] = lambda quote: None,
        on_lease: Callable[[], None] = lambda: None,
        breathe: Callable[[], None] = lambda: None,
        schedules: tuple[Schedule, ...] = (),
        poll: timedelta = timedelta(seconds=1),
        batch: int = 64,
    ) -> None:
        self.database, self.clock, self.instruments, self.quotes = database, clock, instruments, quotes
        self.venue, self.publisher = venue, publisher
        self.inbox, self.lease = Inbox(), Lease(database)
        self.monitor = Monitor(instruments, quotes, venue.name)
        self.intake = Intake(instruments, venue, batch)
        self.open_positions: dict[str, dict[str, Any]] = {}
        self.counts: Counter[str] = Counter()
        self._on_quote, self._on_lease, self._breathe = on_quote, on_lease, breathe
        self._schedules, self._poll = schedules, poll
        self._next_run = {name: datetime.min.replace(tzinfo=clock.now().tzinfo) for name, _, _ in schedules}
        self._reports: list[Report] = []
        self._fired: list[tuple[str, Fired]] = []
        self._moves: list[Move] = []
        self._requested: set[tuple[str, str]] = set()
        self._parked: set[str] = set()
        self._resend: list[str] = []
        self._fresh_quotes: dict[str, Quote] = {}
        self._next_poll = datetime.min.replace(tzinfo=clock.now().tzinfo)
        self._looked_at: datetime | None = None
        self._pushed = 0
        self._ask = False
        self._unsent: list[dict[str, Any]] = []
        self._stopping = threading.Event()
        self.running = False

    # -- life --------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Tell the engine that a commit may have left it work."""
        self.inbox.wake()

    def run(self) -> None:
        """Step until ``stop``; take the lease when it is free, give it up when it is lost."""
        while not self._stopping.is_set():
            try:
                if not self.running and not self.start():
                    self._stopping.wait(1)
                    continue
                if self.step(self.clock.now()):
                    self._breathe()  # a busy engine must not starve the other green threads
                else:
                    self.inbox.wait(self._idle_seconds())
            except LeaseLost as error:
                log.warning("engine.lease_lost", error=str(error))
                self._stand_down()
            except Unavailable as error:
                log.warning("engine.database_unavailable", error=str(error))
                if not self.lease.is_held():
                    self._stand_down()
                self._stopping.wait(0.5)
            except Exception:
                # nothing may end the loop; what caused it stays in the database and is looked at again
                log.exception("engine.step_failed")
                self.counts["failed_steps"] += 1
                self._stopping.wait(0.2)
        self._stand_down()

    def start(self) -> bool:
        """Take the lease and recover; False when another engine holds it."""
        now = self.clock.now()
        if not self.lease.acquire(now):
            return False
        try:
            self._on_lease()
            self.recover(now)
        except BaseException:
            self.lease.release()  # or this process would stand in its own way for ever
            raise
        self.running = True
        log.info("engine.started", epoch=self.lease.epoch, holder=self.lease.holder)
        return True

    def stop(self) -> None:
        """Ask the loop to end after the step it is in."""
        self._stopping.set()
        self.inbox.wake()

    def _stand_down(self) -> None:
        self.running = False
        self.lease.release()

    def recover(self, now: datetime) -> None:
        """Rebuild from the database: the venue's orders, the armed levels, the pushes that are owed.

        Orders that may not have reached the venue are asked about, not sent blindly.
        """
        known, unsure = self.database.read(self.intake.unfinished)
        self.venue.restore(known, now)
        self.monitor.forget()
        self.open_positions.clear()
        self.venue.send([self.venue.status(order, now) for order in unsure], now)
        self._reports, self._fired, self._moves, self._resend, self._unsent = [], [], [], [], []
        self._requested.clear()
        self._parked = self.database.read(_parked_orders)
        for row in self.database.read(self._all_open):
            self._watch(row)
        missed = self.database.read(relay.unpushed)
        while missed:
            self._publish_events(missed)
            missed = self.database.read(partial(relay.unpushed, after=self._pushed))
        self.counts["recovered_orders"] = len(known) + len(unsure)
        self.inbox.wake()

    @staticmethod
    def _all_open(session: Session) -> list[dict[str, Any]]:
        query = sa.select(positions).where(positions.c.status != "CLOSED")
        return [dict(row) for row in session.execute(query).mappings()]

    def _idle_seconds(self) -> float:
        due = self.venue.next_due()
        wait = self._poll.total_seconds()
        if due is not None:
            wait = min(wait, max((due - self.clock.now()).total_seconds(), 0.0))
        return max(wait, 0.001)

    # -- one round ---------------------------------------------------------------------------------------

    def step(self, now: datetime) -> bool:
        """One round; True when there is more to do at once."""
        for quote in self.inbox.take_quotes():
            self._judge(quote, now)
        worked = self._work(now)
        ordered = self.inbox.take_in_order()
        if ordered is not None:
            self.take_quote(ordered, now)
            self.settle(now)
            worked = True
        if self._fresh_quotes:
            self.publisher.quotes(list(self._fresh_quotes.values()))
            self._fresh_quotes = {}
        self._run_schedules(now)
        self._looked_at = now
        return worked

    def settle(self, now: datetime) -> None:
        """Work until nothing is due at ``now``: a replayed quote's consequences precede the next quote."""
        while self._work(now):
            pass

    def offer_quote(self, quote: Quote) -> None:
        """A live quote, from a feed's thread. Raises ``BadQuote`` for one that must not trigger anything."""
        self.inbox.put(self.quotes.put(quote))

    def offer_in_order(self, quote: Quote) -> None:
        """The same for a feed whose every quote counts."""
        self.inbox.put_in_order(self.quotes.put(quote))

    def take_quote(self, quote: Quote, now: datetime) -> None:
        """A quote of a replay, at its turn; a bad one is counted in the book and triggers nothing."""
        with suppress(BadQuote):
            self._judge(self.quotes.put(quote), now)

    def _judge(self, quote: Quote, now: datetime) -> None:
        """Show one good quote to the venue and to the armed levels."""
        self.counts["quotes"] += 1
        self.venue.on_quote(quote, now)
        fired, move = self.monitor.on_quote(quote)
        self._fired += fired
        if move is not None:
            self._moves.append(move)
        self._fresh_quotes[quote.symbol] = quote
        self._on_quote(quote)

    def _work(self, now: datetime) -> bool:
        """Everything that needs the database, in one transaction; True when something was done."""
        look = self.inbox.take_wake() or now >= self._next_poll
        if self._ask:
            self._ask_about_unsent(now)
        self._reports += self.venue.reports(now)
        if not (look or self._reports or self._fired or self._moves or self._resend):
            return False
        if look:
            self._next_poll = now + self._poll
        reports, self._reports = self._reports[:REPORTS_PER_STEP], self._reports[REPORTS_PER_STEP:]
        sent = self.counts["sent"]
        try:
            self._batch(reports, now, look=look)
        except (LeaseLost, Unavailable):
            self._reports = reports + self._reports
            self._ask = True  # the commit may have happened without its answer reaching us
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, the orders are tried one by one)
            log.warning("engine.batch_failed", error=repr(error), reports=len(reports))
            self.counts["failed_batches"] += 1
            self._one_by_one(reports, now)
        # what was sent may be answered at once
        return bool(reports or self._reports) or self.counts["sent"] != sent

    def _batch(self, reports: list[Report], now: datetime, only: str | None = None, look: bool = True) -> None:
        """Book, fire, send: one transaction, then what follows a commit.

        ``look``: see what requests have left in the database; without it only what this batch itself caused.
        """
        fired, moves, resend = self._fired, self._moves, self._resend

        def work(session: Session) -> tuple[Booked, list[dict[str, Any]], Claimed, list[dict[str, Any]]]:
            self.lease.prove(session)
            # before any position is read: what is armed again afterwards has the newest extreme
            self.monitor.store_moves(session, moves)
            booked = Booking(session, self.instruments, self.quotes, now).apply(reports) if reports else Booked()
            touched = list(booked.positions)
            touched += self.monitor.act(session, fired, now)
            self.monitor.cancel_reducing(session, booked.positions, now)
            claimed = Claimed()
            if look or fired or resend or booked.resend or booked.ended:  # an end may leave sales to cancel
                touched += self.monitor.exits(session, now)
                claimed = self.intake.claim(session, now, self._requested, resend + booked.resend, only, self._parked)
            if look:
                touched += _attend(session)
                audit.chain(session)
            for order_id in booked.late_fills:
                _alert(session, now, "late_fill", f"order {order_id} was filled after its end", order_id)
            events = relay.number(session, self._pushed)
            return booked, touched, claimed, events

        booked, touched, claimed, events = self.database.run(work)
        self._fired, self._moves, self._resend, self._pushed = [], [], [], 0
        self.venue.send(claimed.messages, now)
        self._reports += [Report("sent", order_id, b"", now) for order_id in claimed.new]
        for row in touched:
            self._watch(row)
        self._requested.update(claimed.requests)
        self._forget_requests(reports)
        if claimed.more or len(events) == relay.BATCH:
            self.inbox.wake()
        self.counts["fills"] += booked.fills
        self.counts["sent"] += len(claimed.messages)
        self.counts["commits"] += 1
        self._publish_events(events)

    def _ask_about_unsent(self, now: datetime) -> None:
        """After a lost answer of a commit: ask the venue about orders that may not have been sent."""
        ours = {report.order_id for report in self._reports if report.kind == "sent"}
        _, unsure = self.database.read(self.intake.unfinished)
        self.venue.send([self.venue.status(order, now) for order in unsure if order.id not in ours], now)
        self._ask = False

    def _forget_requests(self, reports: list[Report]) -> None:
        done = {r.order_id for r in reports if r.kind in {"canceled", "replaced", "cancel_rejected",
                                                           "replace_rejected", "rejected", "expired"}}  # fmt: skip
        if done:
            self._requested = {request for request in self._requested if request[0] not in done}

    def _one_by_one(self, reports: list[Report], now: datetime) -> None:
        """A batch failed: each order alone; one that still fails is parked and the rest goes on."""
        fired, self._fired = self._fired, []
        moves, self._moves = self._moves, []
        by_order: dict[str, list[Report]] = {}
        for report in reports:
            by_order.setdefault(report.order_id, []).append(report)
        for order_id, own in by_order.items():
            context = "\n".join(report.raw.decode("ascii", "replace") for report in own)
            self._alone("booking", order_id, partial(self._batch, own, now, only=order_id), now, context)
        for item in fired:
            self._fired = [item]
            self._alone("trigger", item[0], partial(self._batch, [], now, only=NOBODY), now)
            self._fired = []
        self._moves = moves
        for order_id in self.database.read(self.intake.waiting):
            if order_id not in self._parked and not self._alone(
                "intake", order_id, partial(self._batch, [], now, only=order_id), now
            ):
                self._parked.add(order_id)  # it would fail every batch it is in

    def _alone(self, stage: str, order_id: str, act: Callable[[], None], now: datetime, context: str = "") -> bool:
        try:
            act()
            return True
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:
            log.exception("engine.parked", stage=stage, order_id=order_id)
            self.counts["faults"] += 1
            message = repr(error)

            def park(session: Session) -> None:
                fault = EngineFault(
                    id=new_id(),
                    at=now,
                    object_type="position" if stage == "trigger" else "order",
                    object_id=order_id,
                    stage=stage,
                    error=message,
                    context=context or None,
                )
                session.add(fault)
                _alert(session, now, "engine_fault", f"{stage}: {message}"[:300], order_id)

            self.database.run(park)
            return False

    # -- after the commit --------------------------------------------------------------------------------

    def _watch(self, row: dict[str, Any]) -> None:
        try:
            self.monitor.arm(row)
        except Exception:
            # one position that cannot be watched must not stop everybody's trading
            log.exception("engine.not_watched", position_id=row["id"])
            self.counts["unwatched_positions"] += 1
        if row["status"] == "CLOSED":
            self.open_positions.pop(row["id"], None)
        else:
            self.open_positions[row["id"]] = row

    def _publish_events(self, events: list[dict[str, Any]]) -> None:
        self._unsent += events
        if not self._unsent:
            return
        try:
            self.publisher.events(self._unsent)
        except Exception:
            # they are stored and numbered: pushed with the next ones, or by the next start
            log.exception("engine.push_failed", events=len(self._unsent))
            self.counts["failed_pushes"] += 1
            del self._unsent[:-UNSENT_MAX]
            return
        self._pushed = self._unsent[-1]["cursor"]
        self.counts["events"] += len(self._unsent)
        self._unsent = []

    def _run_schedules(self, now: datetime) -> None:
        for name, every, act in self._schedules:
            if now >= self._next_run[name]:
                self._next_run[name] = now + every
                try:
                    act(self, now)
                except (LeaseLost, Unavailable):
                    raise
                except Exception:
                    # a schedule that fails is tried again at its next time; it must not stop the trading
                    log.exception("engine.schedule_failed", schedule=name)
                    self.counts["failed_schedules"] += 1

    def status(self) -> dict[str, Any]:
        """Figures for the system page, ``/ready`` and the metrics."""
        now = self.clock.now()
        age = None if self._looked_at is None else (now - self._looked_at).total_seconds()
        return {
            "running": self.running,
            "epoch": self.lease.epoch,
            "holder": self.lease.holder,
            "last_step_at": None if self._looked_at is None else iso(self._looked_at),
            "last_step_age_seconds": age,
            "venue": self.venue.name,
            "armed_positions": self.monitor.armed(),
            "open_positions": len(self.open_positions),
            "pending_reports": len(self._reports),
            "conflated_quotes": self.inbox.conflated,
            **self.counts,
        }


def _attend(session: Session) -> list[dict[str, Any]]:
    """Positions whose protection was changed by a request: the engine arms them now."""
    query = (
        sa.select(positions)
        .where(positions.c.status != "CLOSED", positions.c.armed_version != positions.c.protection_version)
        .limit(500)
        .with_for_update()
    )
    rows = [dict(row) for row in session.execute(query).mappings()]
    if rows:
        session.execute(
            sa.update(positions)
            .where(positions.c.id.in_([row["id"] for row in rows]))
            .values(armed_version=positions.c.protection_version)
        )
    return rows


def _parked_orders(session: Session) -> set[str]:
    query = sa.select(EngineFault.object_id).where(EngineFault.stage == "intake", EngineFault.resolved_at.is_(None))
    return {order_id for order_id in session.scalars(query) if order_id is not None}


def _alert(session: Session, now: datetime, code: str, message: str, order_id: str | None) -> None:
    events = Events(now)
    object_id = order_id or new_id()
    events.add(FIRM, "alert.engine", "order", object_id, {"code": code, "message": message, "order_id": order_id})
    events.flush(session)
