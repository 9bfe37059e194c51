"""The engine's transactions: each under its epoch, and what fails even alone is parked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog
from sqlalchemy.orm import Session

from app.core.clock import Clock
from app.core.errors import Locked, Unavailable
from app.core.transaction import Database
from app.domain.reports import Report
from app.services import faults
from app.services.locks import Locks

from .lease import Lease, LeaseLost

log = structlog.get_logger("engine")
STOPPING = (LeaseLost, Unavailable)  # no object's fault: the round ends, and memory is rebuilt
ALONE_WAIT_MS = 100
T = TypeVar("T")


class Transactions:
    """``parked`` is what waits for a person: stage, object id, fault id; ``recover`` reads it again."""

    def __init__(self, database: Database, lease: Lease, clock: Clock, counts: Counter[str]) -> None:
        self.database, self.lease, self.clock, self.counts = database, lease, clock, counts
        self._parked: dict[str, dict[str, str]] = {}
        self.between: Callable[[], None] = lambda: None  # called before work that may wait for a lock

    def run(self, work: Callable[[Session], T]) -> T:
        """One transaction under this engine's epoch. Raises ``LeaseLost`` when another engine leads."""

        def proven(session: Session) -> T:
            self.lease.prove(session)
            return work(session)

        self.counts["transactions"] += 1
        return self.database.run(proven)

    def read(self, work: Callable[[Session], T]) -> T:
        return self.database.read(work)

    def look_up(self, work: Callable[[Session], T]) -> T:
        return self.database.look_up(work)

    # -- what is parked ----------------------------------------------------------------------------------

    def recover(self) -> None:
        self._parked = {}
        for fault in self.read(faults.open_faults):
            if fault["stage"] not in faults.OF_THE_RELAY:
                self.park(fault["stage"], fault["object_id"], fault["id"])

    def parked(self, stage: str) -> dict[str, str]:
        """Object ids of a stage with the faults they are parked as."""
        return self._parked.setdefault(stage, {})

    def park(self, stage: str, object_id: str, fault_id: str) -> None:
        self.parked(stage)[object_id] = fault_id

    def all_parked(self) -> list[tuple[str, str, str]]:
        """(stage, object id, fault id) of everything that is parked."""
        return [
            (stage, object_id, fault_id)
            for stage, found in self._parked.items()
            for object_id, fault_id in found.items()
        ]

    def together(self, what: str, work: Callable[[Session], T], one_by_one: Callable[[], T]) -> T:
        """Work in one transaction; where that fails or others hold its rows, each of its objects alone."""
        self.between()
        try:
            return self.run(work)
        except Locked:
            log.warning("engine.batch_locked", stage=what)
            self.counts["locked_batches"] += 1
        except STOPPING:
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, one by one it is found out whose)
            log.warning("engine.batch_failed", stage=what, error=repr(error))
            self.counts["failed_batches"] += 1
        return one_by_one()

    def alone(
        self,
        stage: str,
        object_type: str,
        object_id: str,
        work: Callable[[Session], T],
        reports: Iterable[Report] = (),
    ) -> T | None:
        """One object's work in a transaction of its own; if it fails it is parked, and None comes back.

        Raises ``Locked`` where others have its rows for too long: that is no fault of the object.
        """

        def impatient(session: Session) -> T:
            Locks.of(session).wait_at_most(ALONE_WAIT_MS)  # whoever comes after it waits too
            return work(session)

        self.between()
        try:
            return self.run(impatient)
        except STOPPING:
            raise
        except Exception as error:
            log.exception("engine.parked", stage=stage, object_id=object_id)
            said = repr(error)
        self.store_fault(stage, object_type, object_id, said, reports)
        return None

    def store_fault(
        self, stage: str, object_type: str, object_id: str, error: str, reports: Iterable[Report] = ()
    ) -> None:
        """Park something with its error and raise an alert."""
        now, waiting = self.clock.now(), list(reports)
        fault_id = self.run(lambda session: faults.park(session, now, stage, object_type, object_id, error, waiting))
        self.park(stage, object_id, fault_id)
        self.counts["faults"] += 1
