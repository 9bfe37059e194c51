"""The engine: one loop that books what venues report, watches levels and sends orders.

``step(now)`` does one round and can be called by a test, a replay or the loop. A round is a few phases,
each with short transactions of its own: book, trigger, send. The database is the truth: what is in memory
can be rebuilt by ``recover``, and is, whenever the outcome of a commit is not known or anything raises
after one. Starting after ``kill -9`` is the ordinary start.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from app.adapters.venues.base import Gateway
from app.core.clock import Clock, iso
from app.core.errors import Unavailable
from app.core.transaction import Database
from app.domain.instruments import SymbolTable
from app.domain.orders import TERMINAL, OrderStatus
from app.domain.quotes import BadQuote, Quote
from app.domain.reports import Report, Unanswered
from app.domain.requests import UNANSWERED
from app.domain.triggers import Fired
from app.models import Order, Position, table_of
from app.services import faults
from app.services.quotes import QuoteBook

from .booking import Booked, Booking
from .inbox import Inbox
from .lease import Lease, LeaseLost
from .monitor import Monitor, Move
from .relay import Publisher, Relay
from .requests import ask_again, doubt_all, requests
from .sending import Claimed, Sending, waiting

log = structlog.get_logger("engine")
orders, positions = table_of(Order), table_of(Position)
REPORTS_PER_STEP = 200  # short steps: a cancel is looked at between two of them
POLL_SECONDS = 1.0
BEAT_SECONDS = 1.0
ASK_AGAIN_SECONDS = 5.0  # how often the venue is asked about orders of which nobody knows what became of them
Schedule = tuple[str, timedelta, Callable[["Engine", datetime], None]]
T = TypeVar("T")


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
        schedules: tuple[Schedule, ...] = (),
    ) -> None:
        """``on_quote`` hears every good quote, ``on_recover`` rebuilds what else lives by the database.

        ``take_turns`` lets other green threads run; ``on_lead`` is told when this engine begins or ceases to
        lead.
        """
        self.database, self.clock, self.instruments, self.quotes = database, clock, instruments, quotes
        self.gateways: Mapping[str, Gateway] = {gateway.name: gateway for gateway in gateways}
        self.inbox, self.lease = Inbox(), Lease(database)
        self.relay = Relay(database, self.lease, publisher, clock)
        self.monitor = Monitor(instruments, quotes)
        self.sending = Sending(instruments, self.gateways)
        self.open_positions: dict[str, dict[str, Any]] = {}
        self.counts: Counter[str] = Counter()
        self.running = False
        self._on_quote, self._on_recover, self._on_lead = tuple(on_quote), tuple(on_recover), on_lead
        self._take_turns, self._schedules = take_turns, schedules
        self._next_run: dict[str, float] = {}
        self._next_poll = self._next_beat = self._next_ask = float("-inf")
        self._looked_at: float | None = None
        self._beaten_at: float | None = None
        self._leads_not_since = iso(clock.now())
        self._doubtful = False  # memory may not be what the database says
        self._stopping = threading.Event()
        self._fresh_quotes: dict[str, Quote] = {}
        # all that follows is rebuilt by recover()
        self._reports: deque[Report] = deque()
        self._fired: list[tuple[str, Fired]] = []
        self._moves: list[Move] = []
        self._judge_later: set[int] = set()  # instruments of positions whose exit the venue has just refused
        self._handed: set[tuple[str, int]] = set()  # requests (id, attempt) on their way
        # by venue and request: when, order, ClOrdID; the first handed over is the first due
        self._deadlines: dict[str, dict[str, tuple[float, str, str]]] = {name: {} for name in self.gateways}
        self._parked: dict[str, dict[str, str]] = {}  # stage: object id: fault id
        self._work_left = False  # the database has more to do than the last round took

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
                self._stumbled(error)
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

    def _stumbled(self, error: Exception) -> None:
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
        self._fired, self._moves = [], []  # another engine may have led since
        try:
            self.recover(now)
        except BaseException:
            self.lease.release()  # or this process would stand in its own way for ever
            raise
        self.running = True
        self._on_lead(True)
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
        self._store_moves()  # before positions are read: what is armed again has the newest extreme
        self._reports.clear()
        self._handed.clear()
        self._deadlines = {name: {} for name in self.gateways}
        self._judge_later = set()
        self.monitor.forget()
        self.open_positions.clear()
        self.relay.forget()
        for rebuild in self._on_recover:
            rebuild()
        self._parked = {}
        for fault in self.database.read(faults.open_faults):
            if fault["stage"] not in faults.OF_THE_RELAY:
                self._parked.setdefault(fault["stage"], {})[fault["object_id"]] = fault["id"]
        self._run(partial(self._ask_about_doubtful, now=now))
        self._watch(self.database.read(_open_positions), now)
        self.counts["recoveries"] += 1
        self._doubtful = False
        self._next_poll = float("-inf")
        self.relay.wake()

    def _ask_about_doubtful(self, session: Session, now: datetime) -> None:
        doubt_all(session)
        alone = [gateway.name for gateway in self.gateways.values() if gateway.works_alone]
        doubtful = sa.select(requests.c.order_id).where(requests.c.state.in_([state.value for state in UNANSWERED]))
        live = orders.c.status.not_in([OrderStatus.NEW.value, *_TERMINAL])
        which = sa.or_(orders.c.id.in_(doubtful), orders.c.venue.in_(alone), _is_unknown)
        parked = self._parked.get("booking", {})
        query = sa.select(orders.c.id, orders.c.venue).where(live, which).order_by(orders.c.id)
        ask_again(session, now, [(row.id, row.venue) for row in session.execute(query) if row.id not in parked])

    def _idle_seconds(self) -> float:
        waits = [self._next_poll - self.clock.monotonic()]
        waits += [
            due - self.clock.monotonic() for found in self._deadlines.values() for due, *_ in [*found.values()][:1]
        ]
        waits += [due for gateway in self.gateways.values() if (due := gateway.seconds_until_due()) is not None]
        return max(min(waits), 0.001)

    # -- one round ---------------------------------------------------------------------------------------

    def step(self, now: datetime) -> bool:
        """One round; True when there is more to do at once."""
        for quote in self.inbox.take_quotes():
            self._show(quote)
        worked = self._round(now)
        ordered = self.inbox.take_in_order()
        if ordered is not None:
            self.take_quote(ordered, now)
            self.settle(now)
            worked = True
        if self._fresh_quotes:
            quotes, self._fresh_quotes = self._fresh_quotes, {}
            self.relay.show(quotes=quotes.values())
        self._beat_when_due()
        self._run_schedules(now)
        self._looked_at = self.clock.monotonic()
        return worked

    def settle(self, now: datetime) -> None:
        """Work until nothing is due: a replayed quote's consequences precede the next quote."""
        while self._round(now):
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
            self._show(self.quotes.put(quote))

    def _show(self, quote: Quote) -> None:
        """Show one good quote to whoever listens and to the armed levels."""
        self.counts["quotes"] += 1
        for hear in self._on_quote:
            hear(quote)
        self._judge(quote)
        self._fresh_quotes[quote.symbol] = quote

    def _judge(self, quote: Quote) -> None:
        fired, move = self.monitor.on_quote(quote)
        self._fired += fired
        if move is not None:
            self._moves.append(move)

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
        polls = self.clock.monotonic() >= self._next_poll
        look = self.inbox.take_wake() or polls
        if look:
            self._next_poll = self.clock.monotonic() + POLL_SECONDS
            self._retry_faults(now)
        if polls:
            waited, self._judge_later = self._judge_later, set()
            self._judge_now(waited, now)
        self._store_moves()
        booked = self._book(now)
        fired = self._fire(now)
        exited = sent = False
        if look or fired or self._work_left:
            self._work_left = False
            exited = self._exit(now)
            sent = self._send(now)
        if look or booked or fired or exited:
            self.relay.wake()
        return bool(booked or fired or exited or sent or self._fired or self._work_left)

    def _run(self, work: Callable[[Session], T]) -> T:
        """One transaction of a phase, under this engine's epoch."""

        def proven(session: Session) -> T:
            self.lease.prove(session)
            return work(session)

        self.counts["transactions"] += 1
        return self.database.run(proven)

    # -- book --------------------------------------------------------------------------------------------

    def _book(self, now: datetime) -> bool:
        """What gateways reported becomes orders, executions, positions, postings and events."""
        for gateway in self.gateways.values():
            try:
                self._reports += gateway.reports()
            except Exception:
                # one venue's way must not block the others'; its requests run into their deadlines
                log.exception("engine.gateway_failed", venue=gateway.name)
                self.counts["failed_gateways"] += 1
        self._reports += self._overdue(now)
        if not self._reports:
            return False
        batch = list(self._reports)[:REPORTS_PER_STEP]
        self._wait_behind_faults(batch)
        mine = [report for report in batch if report.order_id not in self._parked.get("booking", {})]
        if mine:
            try:
                booked = self._run(lambda session: self._apply(session, mine, now))
            except (LeaseLost, Unavailable):
                raise
            except Exception as error:  # noqa: BLE001 (whatever it is, the orders are tried one by one)
                log.warning("engine.batch_failed", error=repr(error), reports=len(mine))
                self.counts["failed_batches"] += 1
                self._book_one_by_one(mine, now)
            else:
                self._booked(booked, now)
        for _ in batch:  # only now: they are booked, or wait in a stored fault
            self._reports.popleft()
        return True

    def _apply(self, session: Session, reports: list[Report], now: datetime) -> Booked:
        return Booking(session, self.instruments, self.quotes, now).apply(reports)

    def _booked(self, booked: Booked, now: datetime) -> None:
        self._parked.setdefault("booking", {}).update(booked.strangers)
        for deadlines in self._deadlines.values():
            for request_id in booked.answered:
                deadlines.pop(request_id, None)
        self._handed -= booked.confirmed
        self._work_left = self._work_left or booked.work
        self.counts["fills"] += booked.fills
        self.counts["faults"] += len(booked.strangers)
        self._watch(booked.positions, now, refused=booked.refused)

    def _book_one_by_one(self, reports: list[Report], now: datetime) -> None:
        """A batch failed: each order alone; one that still fails is parked with its reports."""
        by_order: dict[str, list[Report]] = {}
        for report in reports:
            by_order.setdefault(report.order_id, []).append(report)
        for order_id, own in by_order.items():
            booked = self._alone("booking", "order", order_id, partial(self._apply, reports=own, now=now), now, own)
            if booked is not None:
                self._booked(booked, now)

    def _wait_behind_faults(self, reports: list[Report]) -> None:
        """Reports about a parked order are kept with its fault: nothing overtakes what could not be booked."""
        behind: dict[str, list[Report]] = {}
        for report in reports:
            fault_id = self._parked.get("booking", {}).get(report.order_id)
            if fault_id is not None:
                behind.setdefault(fault_id, []).append(report)
        if not behind:
            return

        def keep(session: Session) -> set[str]:
            return {id_ for id_, more in sorted(behind.items()) if not faults.wait_behind(session, id_, more)}

        gone = self._run(keep)
        if gone:  # somebody has resolved them meanwhile: these reports are booked like any other
            parked = self._parked["booking"]
            self._parked["booking"] = {key: fault_id for key, fault_id in parked.items() if fault_id not in gone}

    def _overdue(self, now: datetime) -> list[Report]:
        """Requests without an answer by their deadline; durations are the monotonic clock's."""
        late: list[Report] = []
        for deadlines in self._deadlines.values():
            while deadlines:
                request_id, (due, order_id, name) = next(iter(deadlines.items()))
                if due > self.clock.monotonic():
                    break
                del deadlines[request_id]
                late.append(Unanswered(order_id=order_id, cl_ord_id=name, at=now))
        return late

    # -- trigger -----------------------------------------------------------------------------------------

    def _store_moves(self) -> None:
        """Trailing extremes, before any position is read: what is armed again has the newest one."""
        moves = self._moves
        if moves:
            self._run(lambda session: self.monitor.store_moves(session, moves))
            self._moves = []

    def _fire(self, now: datetime) -> bool:
        """Levels that were reached become closing positions, moved stops, trails that begin."""
        parked = self._parked.get("trigger", {})
        fired = self._fired = [item for item in self._fired if item[0] not in parked]
        if not fired:
            return False
        try:
            touched = self._run(lambda session: self.monitor.act(session, fired, now))
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:  # noqa: BLE001 (each level alone)
            log.warning("engine.triggers_failed", error=repr(error), fired=len(fired))
            self.counts["failed_batches"] += 1
            self._fire_one_by_one(fired, now)
            return True
        self._fired = []
        self._watch(touched, now)
        return True

    def _fire_one_by_one(self, fired: list[tuple[str, Fired]], now: datetime) -> None:
        for item in fired:
            act = partial(self.monitor.act, fired=[item], now=now)
            touched = self._alone("trigger", "position", item[0], act, now)
            self._fired = self._fired[1:]  # its consequence is stored, or its fault
            self._watch(touched or [], now)

    def _exit(self, now: datetime) -> bool:
        """Arm what requests have changed, give closing positions their orders, end what has nothing to reduce."""
        changed, closing = self.database.read(self.monitor.waiting)
        parked = set(self._parked.get("arm", {}))
        if set(changed) - parked:
            self._watch(self._together("arm", changed, partial(self.monitor.attend), now), now)
        parked = set(self._parked.get("exit", {}))
        done = False
        if set(closing) - parked:
            touched = self._together("exit", closing, partial(self.monitor.exits, now=now), now)
            self._watch(touched, now)
            done = any(row["exit_order_id"] is not None for row in touched)
        useless = partial(self.monitor.reducing_nothing, parked=set(self._parked.get("reduce_only", {})))
        for order_id in self.database.read(useless):
            cancel = partial(self.monitor.cancel_reducing, now=now, order_ids=[order_id])
            self._alone("reduce_only", "order", order_id, cancel, now)
            done = True
        return done

    def _together(
        self, stage: str, ids: list[str], work: Callable[..., list[dict[str, Any]]], now: datetime
    ) -> list[dict[str, Any]]:
        """Work on positions in one transaction; if that fails one by one, and what fails alone is parked."""
        parked = set(self._parked.get(stage, {}))
        try:
            return self._run(lambda session: work(session, parked=parked))
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:  # noqa: BLE001 (each position alone)
            log.warning("engine.batch_failed", stage=stage, error=repr(error))
            self.counts["failed_batches"] += 1
        touched: list[dict[str, Any]] = []
        for position_id in ids:
            if position_id not in parked:
                alone = partial(work, parked=parked, only=position_id)
                touched += self._alone(stage, "position", position_id, alone, now) or []
        return touched

    # -- send --------------------------------------------------------------------------------------------

    def _send(self, now: datetime) -> bool:
        """What waits becomes requests; once they are committed they are handed to the gateways."""
        if self.clock.monotonic() >= self._next_ask:
            self._next_ask = self.clock.monotonic() + ASK_AGAIN_SECONDS
            self._ask_about_unknown(now)
        parked = set(self._parked.get("send", {})) | set(self._parked.get("booking", {}))
        try:
            claimed = self._run(lambda session: self.sending.claim(session, now, self._handed, parked))
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:  # noqa: BLE001 (each order alone)
            log.warning("engine.send_failed", error=repr(error))
            self.counts["failed_batches"] += 1
            claimed = self._claim_one_by_one(now, parked)
        self._hand_over(claimed)
        self._work_left = self._work_left or claimed.more
        return bool(claimed.handovers)

    def _claim_one_by_one(self, now: datetime, parked: set[str]) -> Claimed:
        together = Claimed()
        for order_id in self.database.read(waiting):
            if order_id in parked:
                continue
            work = partial(self.sending.claim, now=now, handed=self._handed, parked=parked, only=order_id)
            claimed = self._alone("send", "order", order_id, work, now)
            if claimed is not None:
                together.handovers += claimed.handovers
        return together

    def _hand_over(self, claimed: Claimed) -> None:
        for handover in claimed.handovers:
            request = handover.request
            gateway = self.gateways[request.venue]
            due = self.clock.monotonic() + gateway.answers_within.total_seconds()
            self._handed.add((request.id, request.attempt))
            self._deadlines[request.venue][request.id] = (due, request.order_id, request.cl_ord_id)
            try:
                handover.to(gateway)
            except Exception:
                # whether the venue has it nobody knows: its deadline finds out, and everybody else's is sent
                log.exception("engine.handover_failed", venue=request.venue, order_id=request.order_id)
                self.counts["failed_handovers"] += 1
        self.counts["sent"] += len(claimed.handovers)

    def _ask_about_unknown(self, now: datetime) -> None:
        """Orders of which nobody knows what became of them are asked about until somebody does."""
        parked = self._parked.get("booking", {})
        query = sa.select(orders.c.id, orders.c.venue).where(_is_unknown).order_by(orders.c.id)
        unknown = self.database.read(lambda session: [(row.id, row.venue) for row in session.execute(query)])
        wanted = [(order_id, venue) for order_id, venue in unknown if order_id not in parked]
        if wanted:
            self._run(lambda session: ask_again(session, now, wanted))

    # -- faults ------------------------------------------------------------------------------------------

    def _alone(
        self,
        stage: str,
        object_type: str,
        object_id: str,
        work: Callable[[Session], T],
        now: datetime,
        reports: Iterable[Report] = (),
    ) -> T | None:
        """One object's work in a transaction of its own; if it fails it is parked, and None comes back."""
        try:
            return self._run(work)
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:
            log.exception("engine.parked", stage=stage, object_id=object_id)
            said = repr(error)
        self.counts["faults"] += 1
        fault_id = self._run(lambda session: faults.park(session, now, stage, object_type, object_id, said, reports))
        self._parked.setdefault(stage, {})[object_id] = fault_id
        return None

    def _retry_faults(self, now: datetime) -> None:
        """Take up again what somebody has asked to be retried, and forget what somebody has resolved."""
        if not any(self._parked.values()):
            return
        open_ = {fault["id"]: fault for fault in self.database.read(faults.open_faults)}
        for stage, parked in list(self._parked.items()):
            for object_id, fault_id in list(parked.items()):
                fault = open_.get(fault_id)
                if fault is None:
                    del parked[object_id]
                    self._work_left = True
                elif fault["retry_at"] is not None:
                    self._retry(stage, object_id, fault, now)

    def _retry(self, stage: str, object_id: str, fault: dict[str, Any], now: datetime) -> None:
        reports = [faults.report_of(found) for found in fault["reports"] or ()]

        def work(session: Session) -> tuple[Booked, list[dict[str, Any]]]:
            booked = self._apply(session, reports, now) if reports else Booked()
            rows = _open_positions(session, object_id) if stage == "trigger" else []
            faults.retried(session, fault["id"], now)
            return booked, rows

        try:
            booked, rows = self._run(work)
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:
            log.exception("engine.retry_failed", stage=stage, object_id=object_id)
            said = repr(error)
            self._run(lambda session: faults.failed_again(session, fault["id"], said))
            return
        self._parked[stage].pop(object_id, None)
        self._booked(booked, now)
        self._watch(rows, now)
        self._work_left = True

    # -- what is watched ---------------------------------------------------------------------------------

    def _watch(self, rows: Iterable[dict[str, Any]], now: datetime, refused: Container[str] = frozenset()) -> None:
        """Arm positions as their rows say; what is armed is judged at once against the newest fresh quote.

        A position whose exit was ``refused`` waits for the next quote or poll: a venue that refuses
        everything is not asked a thousand times a second.
        """
        instrument_ids: set[int] = set()
        for row in rows:
            try:
                self.monitor.arm(row)
            except Exception as error:
                log.exception("engine.not_watched", position_id=row["id"])
                # one position that cannot be watched must not stop everybody's trading; somebody has to know
                if row["id"] not in self._parked.get("trigger", {}):
                    said, id_ = repr(error), row["id"]
                    park = partial(
                        faults.park, now=now, stage="trigger", object_type="position", object_id=id_, error=said
                    )
                    self._parked.setdefault("trigger", {})[id_] = self._run(park)
                    self.counts["faults"] += 1
            if row["status"] == "CLOSED":
                self.open_positions.pop(row["id"], None)
            else:
                self.open_positions[row["id"]] = row
                judged = self._judge_later if row["id"] in refused else instrument_ids
                judged.add(row["instrument_id"])
        self._judge_now(instrument_ids, now)

    def _judge_now(self, instrument_ids: Iterable[int], now: datetime) -> None:
        for instrument_id in instrument_ids:
            quote = self.quotes.get_fresh(self.instruments.by_id(instrument_id).symbol, now)
            if quote is not None:
                self._judge(quote)

    # -- the clock ---------------------------------------------------------------------------------------

    def _beat_when_due(self) -> None:
        if self.clock.monotonic() >= self._next_beat:
            self._next_beat = self.clock.monotonic() + BEAT_SECONDS
            self.lease.beat(self.status())
            self._beaten_at = self.clock.monotonic()

    def _run_schedules(self, now: datetime) -> None:
        for name, every, act in self._schedules:
            moment = self.clock.monotonic()
            if moment >= self._next_run.get(name, float("-inf")):
                self._next_run[name] = moment + every.total_seconds()
                try:
                    act(self, now)
                except (LeaseLost, Unavailable):
                    raise
                except Exception:
                    # a schedule that fails is tried again at its next time; it must not stop the trading
                    log.exception("engine.schedule_failed", schedule=name)
                    self.counts["failed_schedules"] += 1

    def status(self) -> dict[str, Any]:
        """Figures for the heartbeat, the system page, ``/ready`` and the metrics."""
        moment = self.clock.monotonic()

        def age(since: float | None) -> float | None:
            return None if since is None else round(moment - since, 3)

        return {
            "running": self.running,
            "epoch": self.lease.epoch,
            "holder": self.lease.holder,
            "last_step_age_seconds": age(self._looked_at),
            "heartbeat_age_seconds": age(self._beaten_at),
            "not_leading_since": None if self.running else self._leads_not_since,
            "venues": sorted(self.gateways),
            "armed_positions": self.monitor.armed(),
            "open_positions": len(self.open_positions),
            "pending_reports": len(self._reports),
            "unanswered_requests": sum(len(deadlines) for deadlines in self._deadlines.values()),
            "parked": sum(len(parked) for parked in self._parked.values()),
            "conflated_quotes": self.inbox.conflated,
            **self.counts,
            **{f"relay_{name}": value for name, value in self.relay.counts.items()},
        }


_TERMINAL = [status.value for status in TERMINAL]
_is_unknown = orders.c.status == OrderStatus.UNKNOWN.value


def _open_positions(session: Session, position_id: str | None = None) -> list[dict[str, Any]]:
    query = sa.select(positions).where(positions.c.status != "CLOSED")
    if position_id is not None:
        query = query.where(positions.c.id == position_id)
    return [dict(row) for row in session.execute(query).mappings()]
