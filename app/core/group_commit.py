"""Group commit: callers that arrive together share one transaction.

Whoever gets the turn first takes everything that waits, runs it in one transaction and hands out the
results; those who waited find theirs ready. No thread of its own, no delay when nobody else is there.

What somebody else has locked is not waited for in the turn that all share: it is set aside into a lane of
its own, where only those wait who need it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy.orm import Session

from .errors import Locked, Unavailable
from .transaction import Database

Item = TypeVar("Item")
Result = TypeVar("Result")
LARGEST = 100
WAITING_MAX = 2_000
LANES_AT_ONCE = 8  # each holds a connection while it waits for its lock


@dataclass(eq=False, slots=True)
class _Queue:
    """What waits for one turn."""

    waiting: deque[Any] = field(default_factory=deque)
    turn: threading.Lock = field(default_factory=threading.Lock)


@dataclass(eq=False, slots=True)
class _Ticket(Generic[Item, Result]):
    item: Item
    lane: Hashable
    queue: _Queue
    result: Result | None = None
    error: Exception | None = None
    done: bool = False


class GroupCommit(Generic[Item, Result]):
    """``work`` gets the items of one transaction, in order of arrival, and returns a result for each.

    ``gather`` lets others arrive before a group is closed: one cooperative yield. ``lane_of`` names what an
    item has to lock, and ``lock_free`` locks what of that is free and returns it, without waiting; items of
    the rest go on in lanes of their own, where ``work`` itself locks and waits.
    """

    def __init__(
        self,
        database: Database,
        work: Callable[[Session, list[Item]], list[Result]],
        gather: Callable[[], None],
        *,
        lane_of: Callable[[Item], Hashable] = lambda item: None,
        lock_free: Callable[[Session, set[Any]], set[Any]] = lambda session, lanes: lanes,
    ) -> None:
        self._database, self._work, self._gather = database, work, gather
        self._lane_of, self._lock_free = lane_of, lock_free
        self._main = _Queue()
        self._lanes: dict[Hashable, _Queue] = {}
        self._changing = threading.Lock()  # the lanes, and who stands in which queue
        self._slots = threading.Semaphore(LANES_AT_ONCE)

    @property
    def waiting(self) -> int:
        """How many stand in line, in whatever lane."""
        return len(self._main.waiting) + sum(len(lane.waiting) for lane in list(self._lanes.values()))

    def run(self, item: Item) -> Result:
        """The result of one item, once its group is committed.

        Raises what its work raised, and ``Unavailable`` before anything is stored when too many wait.
        """
        ticket = self._enter(item)
        if ticket.queue is self._main:
            self._in_turn(ticket)
        if not ticket.done:  # in a lane from the start, or set aside by whoever had the turn
            self._in_lane(ticket)
        if ticket.error is not None:
            raise ticket.error
        assert ticket.result is not None
        return ticket.result

    def _enter(self, item: Item) -> _Ticket[Item, Result]:
        with self._changing:
            lane = self._lane_of(item)
            queue = self._lanes.get(lane, self._main)  # behind those who wait for the same already
            if len(queue.waiting) >= WAITING_MAX:
                raise Unavailable("too many requests are waiting to be stored", retry_after=1)
            ticket: _Ticket[Item, Result] = _Ticket(item, lane, queue)
            queue.waiting.append(ticket)
        return ticket

    def _in_turn(self, ticket: _Ticket[Item, Result]) -> None:
        with self._main.turn:
            if not ticket.done and ticket.queue is self._main:
                self._gather()
            while not ticket.done and ticket.queue is self._main:
                self._commit(self._next(self._main), wait=False)

    def _in_lane(self, ticket: _Ticket[Item, Result]) -> None:
        lane = ticket.queue
        with lane.turn:
            while not ticket.done:
                with self._slots:
                    self._commit(self._next(lane), wait=True)
        with self._changing:
            if not lane.waiting and self._lanes.get(ticket.lane) is lane:
                del self._lanes[ticket.lane]

    def _next(self, queue: _Queue) -> list[_Ticket[Item, Result]]:
        with self._changing:
            return [queue.waiting.popleft() for _ in range(min(len(queue.waiting), LARGEST))]

    def _set_aside(self, tickets: list[_Ticket[Item, Result]]) -> None:
        with self._changing:
            for ticket in tickets:
                ticket.queue = self._lanes.setdefault(ticket.lane, _Queue())
                ticket.queue.waiting.append(ticket)

    def _commit(self, group: list[_Ticket[Item, Result]], *, wait: bool) -> None:
        """Run a group in one transaction; one that fails is run again one by one."""

        def work(session: Session) -> tuple[list[_Ticket[Item, Result]], list[Result]]:
            lanes = {ticket.lane for ticket in group}
            free = lanes if wait else self._lock_free(session, lanes)
            taken = [ticket for ticket in group if ticket.lane in free]
            return taken, self._work(session, [ticket.item for ticket in taken]) if taken else []

        try:
            taken, results = self._database.run(work)
        except Exception as error:  # noqa: BLE001 (handed to the callers it belongs to)
            self._failed(group, error, wait=wait)
            return
        except BaseException:  # this thread is ended: the others must not wait for what it had taken
            self._failed(group, Unavailable("it was not stored in time", retry_after=1), wait=True)
            raise
        for ticket, result in zip(taken, results, strict=True):
            ticket.result, ticket.done = result, True
        self._set_aside([ticket for ticket in group if not ticket.done])

    def _failed(self, group: list[_Ticket[Item, Result]], error: Exception, *, wait: bool) -> None:
        if not wait and isinstance(error, Locked):
            self._set_aside(group)
        elif len(group) > 1 and not isinstance(error, Unavailable):
            for ticket in group:  # one of them spoils it for all: each on its own
                self._commit([ticket], wait=wait)
        else:
            for ticket in group:
                ticket.error, ticket.done = error, True
