"""Group commit: callers that arrive together share one transaction.

Whoever gets the turn first takes everything that waits, runs it in one transaction and hands out the
results; those who waited find theirs ready. No thread of its own, no delay when nobody else is there.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from sqlalchemy.orm import Session

from .errors import Unavailable
from .transaction import Database

Item = TypeVar("Item")
Result = TypeVar("Result")
LARGEST = 100
WAITING_MAX = 2_000


@dataclass(eq=False, slots=True)
class _Ticket(Generic[Item, Result]):
    item: Item
    result: Result | None = None
    error: Exception | None = None
    done: bool = False


class GroupCommit(Generic[Item, Result]):
    """``work`` gets the items of one transaction, in order of arrival, and returns a result for each.

    ``gather`` lets others arrive before a group is closed: one cooperative yield.
    """

    def __init__(
        self,
        database: Database,
        work: Callable[[Session, list[Item]], list[Result]],
        gather: Callable[[], None],
    ) -> None:
        self._database, self._work, self._gather = database, work, gather
        self._waiting: deque[_Ticket[Item, Result]] = deque()
        self._turn = threading.Lock()

    def run(self, item: Item) -> Result:
        """The result of one item, once its group is committed.

        Raises what its work raised, and ``Unavailable`` before anything is stored when too many wait.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise Unavailable("too many requests are waiting to be stored", retry_after=1)
        ticket: _Ticket[Item, Result] = _Ticket(item)
        self._waiting.append(ticket)
        with self._turn:
            if not ticket.done:
                self._gather()
            while not ticket.done and self._waiting:
                size = min(len(self._waiting), LARGEST)
                self._commit([self._waiting.popleft() for _ in range(size)])
        if ticket.error is not None:
            raise ticket.error
        assert ticket.result is not None
        return ticket.result

    def _commit(self, group: list[_Ticket[Item, Result]]) -> None:
        items = [ticket.item for ticket in group]
        try:
            results = self._database.run(lambda session: self._work(session, items))
            for ticket, result in zip(group, results, strict=True):
                ticket.result = result
        except Exception as error:  # noqa: BLE001 (handed to the callers it belongs to)
            if len(group) > 1 and not isinstance(error, Unavailable):
                for ticket in group:  # one of them spoils it for all: each on its own
                    self._commit([ticket])
                return
            for ticket in group:
                ticket.error = error
        for ticket in group:
            ticket.done = True
