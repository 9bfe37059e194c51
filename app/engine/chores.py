"""What is done outside after commits, beside the phases and the relay: mail, webhooks, sweeps, late approvals.

It runs where the lease is, in a loop of its own: a slow mail server or provider delays no fill. Every chore is
isolated from the others; what it does is in the database, so that the next start goes on where this one stopped.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

import structlog

from app.core.clock import NEVER, Clock, Seconds
from app.core.errors import Unavailable

log = structlog.get_logger("chores")
POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Chore:
    """``work`` returns whether there is more to do at once; it opens transactions of its own."""

    name: str
    every_seconds: Seconds
    work: Callable[[datetime], bool]


class Chores:
    """One loop, stepped by tests."""

    def __init__(self, chores: Iterable[Chore], leads: Callable[[], bool], clock: Clock) -> None:
        self.chores, self._leads, self.clock = tuple(chores), leads, clock
        self.counts: Counter[str] = Counter()  # failures by chore
        self._due: dict[str, Seconds] = {}
        self._woken = threading.Event()

    def wake(self) -> None:
        """A commit may have left work."""
        self._woken.set()

    def run(self, stopping: threading.Event, take_turns: Callable[[], None]) -> None:
        """Step until told to stop, whatever happens."""
        while not stopping.is_set():
            if self._leads() and self.step():
                take_turns()
                continue
            self._woken.wait(POLL_SECONDS)
            if self._woken.is_set():
                self._woken.clear()
                self._due.clear()

    def step(self) -> bool:
        """Do what is due; True when a chore has more to do at once."""
        more = False
        for chore in self.chores:
            if self.clock.monotonic() < self._due.get(chore.name, NEVER):
                continue
            again = False
            try:
                again = chore.work(self.clock.now())
            except Unavailable as error:
                log.warning("chore.interrupted", chore=chore.name, error=str(error))
            except Exception:
                log.exception("chore.failed", chore=chore.name)
                self.counts[chore.name] += 1
            self._due[chore.name] = self.clock.monotonic() + (0 if again else chore.every_seconds)
            more = more or again
        return more
