"""The phases of a round: book, trigger, send. Each has short transactions of its own and its own memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from app.adapters.venues.base import Gateway
from app.core.clock import Clock, Seconds
from app.core.errors import Locked
from app.domain.instruments import SymbolTable
from app.domain.orders import OrderStatus
from app.domain.positions import PositionState
from app.domain.reports import (
    Canceled,
    CancelRejected,
    Fill,
    OrderSnapshot,
    Replaced,
    ReplaceRejected,
    Report,
    Unanswered,
)
from app.domain.requests import UNANSWERED
from app.domain.triggers import Fired
from app.models import ORDER_IS_LIVE, Order, table_of
from app.services import faults
from app.services.access import is_uuid
from app.services.quotes import QuoteBook

from .booking import Booked, Booking
from .exits import Exits
from .requests import ask_again, doubt_all, requests
from .sending import Claimed, Sending, Which, to_send
from .transactions import Transactions
from .waiting import Waiting
from .watch import Watch

log = structlog.get_logger("engine")
orders = table_of(Order)
A_FEW = 16  # reports that nobody notices waiting behind
REPORTS_PER_STEP = 96  # short steps: a cancel is looked at between two of them
ANSWERS = (Canceled, CancelRejected, Replaced, ReplaceRejected)  # to what a person has asked
ASK_AGAIN_SECONDS = 5  # how often the venue is asked about orders of which nobody knows what became of them
_is_unknown = orders.c.status == OrderStatus.UNKNOWN.value


class Deadlines:
    """When a request that was handed over is late: durations are the monotonic clock's."""

    def __init__(self, gateways: Mapping[str, Gateway], clock: Clock) -> None:
        self._gateways, self._clock = gateways, clock
        self.clear()

    def clear(self) -> None:
        # by venue and request: when, order, ClOrdID; the first handed over is looked at first
        self._due: dict[str, dict[str, tuple[Seconds, str, str]]] = {name: {} for name in self._gateways}

    def __len__(self) -> int:
        return sum(len(found) for found in self._due.values())

    def add(self, venue: str, request_id: str, order_id: str, cl_ord_id: str) -> None:
        due = self._clock.monotonic() + self._gateways[venue].answers_within.total_seconds()
        self._due[venue][request_id] = (due, order_id, cl_ord_id)

    def drop(self, request_ids: list[str]) -> None:
        for found in self._due.values():
            for request_id in request_ids:
                found.pop(request_id, None)

    def seconds_until_due(self) -> Seconds | None:
        dues = [next(iter(found.values()))[0] for found in self._due.values() if found]
        return min(dues) - self._clock.monotonic() if dues else None

    def take_late(self, now: datetime) -> list[Report]:
        late: list[Report] = []
        for found in self._due.values():
            while found:
                request_id, (due, order_id, name) = next(iter(found.items()))
                if due > self._clock.monotonic():
                    break
                del found[request_id]
                late.append(Unanswered(order_id=order_id, cl_ord_id=name, at=now))
        return late


class Book:
    """What gateways report becomes orders, executions, positions, postings and events."""

    def __init__(
        self,
        transactions: Transactions,
        gateways: Mapping[str, Gateway],
        deadlines: Deadlines,
        watch: Watch,
        instruments: SymbolTable,
        quotes: QuoteBook,
    ) -> None:
        self.transactions, self.gateways, self.deadlines, self.watch = transactions, gateways, deadlines, watch
        self.instruments, self.quotes = instruments, quotes
        self.confirmed: set[tuple[str, int]] = set()  # requests that were handed over, for the send phase
        self.work_left = False  # what was booked leaves the other phases something to do
        self.reports: deque[tuple[Report, bool]] = deque()  # with whether no recovery would bring it back
        self._locked: set[str] = set()  # orders of the batch that others have locked for too long

    def recover(self) -> None:
        """Keep what a venue that works alone has said: it may concern an order that nobody asks about any more."""
        self.reports = deque((report, lasting) for report, lasting in self.reports if lasting)
        self.confirmed.clear()
        self.deadlines.clear()

    def collect(self, now: datetime) -> None:
        """Take what gateways have to report, and note what they should have answered by now."""
        for gateway in self.gateways.values():
            try:
                self.reports += [(report, gateway.works_alone) for report in gateway.reports()]
            except Exception:
                # one venue's way must not block the others'; its requests run into their deadlines
                log.exception("engine.gateway_failed", venue=gateway.name)
                self.transactions.counts["failed_gateways"] += 1
        self.reports += [(report, False) for report in self.deadlines.take_late(now)]

    @property
    def is_crowded(self) -> bool:
        """Whether what waits takes long enough to be noticed."""
        return len(self.reports) > A_FEW

    def run(self, now: datetime) -> bool:
        """Book a batch of what was collected; True when there was one."""
        if not self.reports:
            return False
        count = self._let_answers_ahead() or REPORTS_PER_STEP
        batch = [report for report, _ in islice(self.reports, count)]
        self._wait_behind_faults(batch)
        mine = [report for report in batch if report.order_id not in self.transactions.parked("booking")]
        self._locked.clear()
        if mine:
            booked = self.transactions.together(
                "booking", partial(self.apply, reports=mine, now=now), partial(self._one_by_one, mine, now)
            )
            if booked is not None:
                self.booked(booked, now)
        # only now: they are booked, or wait in a stored fault; what others have locked stays first
        done = [self.reports.popleft() for _ in batch]
        kept = [item for item in done if item[0].order_id in self._locked]
        self.reports.extendleft(reversed(kept))
        return len(kept) < len(done)

    def _let_answers_ahead(self) -> int:
        """Put what answers people before a crowd of fills; returns how many reports that are.

        With all that came before about the same orders, and never an order that has been filled meanwhile: the
        fills of a wallet are booked as they came.
        """
        if not self.is_crowded:
            return 0
        filled = {report.order_id for report, _ in self.reports if isinstance(report, Fill | OrderSnapshot)}
        answered = {report.order_id for report, _ in self.reports if isinstance(report, ANSWERS)} - filled
        ahead = [item for item in self.reports if item[0].order_id in answered]
        self.reports = deque(ahead + [item for item in self.reports if item[0].order_id not in answered])
        return min(len(ahead), REPORTS_PER_STEP)

    def apply(self, session: Session, reports: list[Report], now: datetime) -> Booked:
        return Booking(session, self.instruments, self.quotes, now).apply(reports)

    def booked(self, booked: Booked, now: datetime) -> None:
        """After the commit: what memory learns from a batch."""
        for order_id, fault_id in booked.strangers.items():
            self.transactions.park("booking", order_id, fault_id)
        self.deadlines.drop(booked.answered)
        self.confirmed |= booked.confirmed
        self.work_left = self.work_left or booked.work
        self.transactions.counts["fills"] += booked.fills
        self.transactions.counts["faults"] += len(booked.strangers)
        self.watch.arm(booked.positions, now, refused=booked.refused)

    def _one_by_one(self, reports: list[Report], now: datetime) -> None:
        """Each order alone; one that still fails is parked with its reports, one that is locked waits."""
        by_order: dict[str, list[Report]] = {}
        for report in reports:
            by_order.setdefault(report.order_id, []).append(report)
        for order_id, own in by_order.items():
            work = partial(self.apply, reports=own, now=now)
            try:
                booked = self.transactions.alone("booking", "order", order_id, work, own)
            except Locked:
                self._locked.add(order_id)
                continue
            if booked is not None:
                self.booked(booked, now)

    def _wait_behind_faults(self, reports: list[Report]) -> None:
        """Reports about a parked order are kept with its fault: nothing overtakes what could not be booked.

        A fault that somebody has resolved in this very moment holds nothing back any more.
        """
        parked = self.transactions.parked("booking")
        behind: dict[tuple[str, str], list[Report]] = {}
        for report in reports:
            if report.order_id in parked:
                behind.setdefault((parked[report.order_id], report.order_id), []).append(report)
        if behind:

            def keep(session: Session) -> list[str]:
                return [
                    order_id
                    for (fault_id, order_id), more in sorted(behind.items(), key=lambda item: item[0])
                    if not faults.wait_behind(session, fault_id, more)
                ]

            for order_id in self.transactions.run(keep):
                parked.pop(order_id, None)


class Trigger:
    """Levels that were reached become closing positions, and those get their exit orders."""

    def __init__(self, transactions: Transactions, exits: Exits, watch: Watch) -> None:
        self.transactions, self.exits, self.watch = transactions, exits, watch

    def store_moves(self) -> None:
        """Trailing extremes, before any position is read: what is armed again has the newest one."""
        moves = self.watch.moves
        if moves:
            # what is locked ends the round: armed by an older extreme a trail would stop too late
            self.transactions.run(lambda session: self.exits.store_moves(session, moves))
            self.watch.moves = []

    def fire(self, now: datetime) -> bool:
        """Store what the reached levels cause; True when there were some."""
        parked = self.transactions.parked("trigger")
        waiting = self.watch.locked + self.watch.fired
        fired = self.watch.fired = [item for item in waiting if item[0] not in parked]
        self.watch.locked = []
        if not fired:
            return False
        locked: list[tuple[str, Fired]] = []
        act = partial(self.exits.act, fired=fired, now=now)
        touched = self.transactions.together("trigger", act, partial(self._fire_one_by_one, fired, now, locked))
        self.watch.fired, self.watch.locked = self.watch.fired[len(fired) :], locked
        self.watch.arm(touched, now)
        return len(locked) < len(fired)

    def _fire_one_by_one(
        self, fired: list[tuple[str, Fired]], now: datetime, locked: list[tuple[str, Fired]]
    ) -> list[PositionState]:
        """What others have locked for too long is added to ``locked``."""
        touched: list[PositionState] = []
        for item in fired:
            act = partial(self.exits.act, fired=[item], now=now)
            try:
                touched += self.transactions.alone("trigger", "position", item[0], act) or []
            except Locked:
                locked.append(item)
        return touched

    def exit(self, now: datetime, waiting: Waiting) -> bool:
        """Arm what requests have changed, give closing positions their orders, end what has nothing to reduce.

        True when something waits to be sent.
        """
        self.watch.arm(self._positions("arm", waiting.arm, self.exits.attend), now)
        touched = self._positions("exit", waiting.exit, partial(self.exits.exit, now=now))
        self.watch.arm(touched, now)
        done = any(position.exit_order_id is not None for position in touched)
        parked = self.transactions.parked("reduce_only")
        for order_id in waiting.reduce:
            if order_id in parked:
                continue
            cancel = partial(self.exits.cancel_reducing, now=now, order_ids=[order_id])
            with suppress(Locked):  # the next round looks again
                self.transactions.alone("reduce_only", "order", order_id, cancel)
                done = True
        return done

    def _positions(self, stage: str, ids: list[str], work: Callable[..., list[PositionState]]) -> list[PositionState]:
        """Work on positions together; if that fails one by one, and what fails alone is parked."""
        parked = set(self.transactions.parked(stage))
        wanted = [position_id for position_id in ids if position_id not in parked]

        def one_by_one() -> list[PositionState]:
            touched: list[PositionState] = []
            for position_id in wanted:
                alone = partial(work, parked=parked, only=position_id)
                with suppress(Locked):  # the next round looks again
                    touched += self.transactions.alone(stage, "position", position_id, alone) or []
            return touched

        return self.transactions.together(stage, partial(work, parked=parked), one_by_one) if wanted else []


class Send:
    """What waits becomes requests; once they are committed they are handed to the gateways."""

    def __init__(
        self, transactions: Transactions, sending: Sending, gateways: Mapping[str, Gateway], deadlines: Deadlines
    ) -> None:
        self.transactions, self.sending, self.gateways, self.deadlines = transactions, sending, gateways, deadlines
        self.handed: set[tuple[str, int]] = set()  # requests (id, attempt) on their way
        self.more = False
        self._next_ask: Seconds | None = None

    def recover(self, now: datetime) -> None:
        """Nobody knows which requests have been handed over: the venues are asked, nothing is sent blindly."""
        self.handed.clear()
        self.transactions.run(partial(self._ask_about_doubtful, now=now))

    def _ask_about_doubtful(self, session: Session, now: datetime) -> None:
        doubt_all(session, now)
        alone = [gateway.name for gateway in self.gateways.values() if gateway.works_alone]
        doubtful = sa.select(requests.c.order_id).where(requests.c.state.in_([state.value for state in UNANSWERED]))
        live = sa.and_(ORDER_IS_LIVE, orders.c.status != OrderStatus.NEW.value)
        which = sa.or_(orders.c.id.in_(doubtful), orders.c.venue.in_(alone), _is_unknown)
        query = sa.select(orders.c.id, orders.c.venue).where(live, which).order_by(orders.c.id)
        ask_again(session, now, self._askable((row.id, row.venue) for row in session.execute(query)))

    def _askable(self, found: Any) -> list[tuple[str, str]]:
        parked = self.transactions.parked("booking")
        return [(order_id, venue) for order_id, venue in found if order_id not in parked]

    @property
    def parked(self) -> set[str]:
        """Orders that nothing is sent for. What a venue has named and is none of ours need not be an id at all."""
        named = self.transactions.parked("send").keys() | self.transactions.parked("booking").keys()
        return {order_id for order_id in named if is_uuid(order_id)}

    def run(self, now: datetime, waiting: Waiting, *, exited: bool = False, new: bool = True) -> bool:
        """Hand over what waits; True when there was something.

        ``exited``: orders or cancels came after ``waiting``; ``new``: new orders too.
        """
        moment = self.transactions.clock.monotonic()
        asked = False
        if self._next_ask is None or moment >= self._next_ask:
            self._next_ask = moment + ASK_AGAIN_SECONDS
            asked = self._ask_about_unknown(now)
        more_than_new = bool(exited or asked or waiting.asked or waiting.requests - self.handed)
        self.more = False
        if not (more_than_new or (new and waiting.new)):
            return False
        parked = self.parked
        which = Which.ASKED if not new else Which.ALL if more_than_new else Which.NEW
        claim = partial(self.sending.claim, now=now, handed=self.handed, parked=parked, which=which)
        claimed = self.transactions.together("send", claim, partial(self._one_by_one, claim, parked))
        self.hand_over(claimed)
        self.more = claimed.more
        return bool(claimed.handovers)

    def _one_by_one(self, claim: Callable[..., Claimed], parked: set[str]) -> Claimed:
        together = Claimed()
        for order_id in self.transactions.read(to_send):
            if order_id not in parked:
                with suppress(Locked):  # the next round looks again
                    claimed = self.transactions.alone("send", "order", order_id, partial(claim, only=order_id))
                    together.handovers += claimed.handovers if claimed is not None else []
        return together

    def hand_over(self, claimed: Claimed) -> None:
        """After the commit, outside of any transaction."""
        for handover in claimed.handovers:
            request = handover.request
            self.handed.add((request.id, request.attempt))
            self.deadlines.add(request.venue, request.id, request.order_id, request.cl_ord_id)
            try:
                handover.to(self.gateways[request.venue])
            except Exception:
                # whether the venue has it nobody knows: its deadline finds out, and everybody else's is sent
                log.exception("engine.handover_failed", venue=request.venue, order_id=request.order_id)
                self.transactions.counts["failed_handovers"] += 1
        self.transactions.counts["sent"] += len(claimed.handovers)

    def _ask_about_unknown(self, now: datetime) -> bool:
        """Orders of which nobody knows what became of them are asked about until somebody does.

        So are those that must have ended by now: the word of their end was lost. True when there are some.
        """
        patience = max(gateway.answers_within for gateway in self.gateways.values())
        at_once = sa.or_(orders.c.time_in_force.in_(("IOC", "FOK")), orders.c.type == "MARKET")
        overdue = sa.or_(sa.and_(at_once, orders.c.submitted_at < now - patience), orders.c.expires_at < now - patience)
        working = orders.c.status.in_((OrderStatus.OPEN.value, OrderStatus.PARTIALLY_FILLED.value))
        which = sa.and_(ORDER_IS_LIVE, sa.or_(_is_unknown, sa.and_(working, overdue)))
        query = sa.select(orders.c.id, orders.c.venue).where(which).order_by(orders.c.id)
        found = self.transactions.read(lambda session: [(row.id, row.venue) for row in session.execute(query)])
        wanted = self._askable(found)
        if wanted:
            self.transactions.run(lambda session: ask_again(session, now, wanted))
        return bool(wanted)
