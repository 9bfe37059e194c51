"""The relay: gives committed events their numbers, and pushes them after the commit that stored those.

It is a reader with a cursor of its own, beside the engine's phases: a slow socket, mail server or webhook
never delays a fill. It runs where the lease is.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from app.core.bulk import BulkInsert, BulkUpdate
from app.core.clock import Clock
from app.core.errors import Unavailable
from app.core.transaction import Database
from app.domain.quotes import Quote
from app.models import Event, EventStream, table_of
from app.services import audit, faults
from app.services.events import event_json

from .lease import Lease, LeaseLost

log = structlog.get_logger("relay")
events, streams = table_of(Event), table_of(EventStream)
ALL = "*all"  # pseudo streams, beside client ids and "firm"
PUSHED = "*pushed"
BATCH = 1_000
POLL_SECONDS = 1.0
_NUMBER = BulkUpdate(events, ("seq", "ordinal"))
_COUNT = BulkUpdate(streams, ("last_seq",), key="stream")
_BEGIN = BulkInsert(streams)
_UNNUMBERED = sa.select(events).where(events.c.ordinal.is_(None)).order_by(events.c.id).limit(BATCH)
_WORK = sa.select(sa.exists().where(events.c.ordinal.is_(None)), audit.UNCHAINED)
_LAST = sa.select(streams.c.stream, streams.c.last_seq).where(
    streams.c.stream.in_(sa.bindparam("names", expanding=True))
)


class Publisher(Protocol):
    """Where events and quotes go after the commit."""

    def events(self, events: list[dict[str, Any]]) -> None: ...
    def quotes(self, quotes: list[Quote]) -> None: ...
    def samples(self, samples: list[dict[str, Any]]) -> None: ...


class Relay:
    """Numbers, chains and pushes, oldest first."""

    def __init__(self, database: Database, lease: Lease, publisher: Publisher, clock: Clock) -> None:
        self.database, self.lease, self.publisher, self.clock = database, lease, publisher, clock
        self.counts: Counter[str] = Counter()
        self._pushed: int | None = None  # the cursor of the newest event pushed; None: as the database says
        self._behind = True  # whether numbered events may be owed that this relay has not numbered itself
        self._forgotten = 0  # how often it was told to start anew, which may be in the middle of a step
        self._parked: dict[str, str] = {}  # audit records and events that cannot be read, with their faults
        self._quotes: dict[str, Quote] = {}  # the newest of each instrument that was not pushed yet
        self._samples: dict[str, dict[str, Any]] = {}  # the same by position
        self._woken = threading.Event()

    def wake(self) -> None:
        """There may be new events."""
        self._woken.set()

    def show(self, quotes: Iterable[Quote] = (), samples: Iterable[dict[str, Any]] = ()) -> None:
        """Push these soon; a newer one of the same instrument or position takes the place of one that waits."""
        self._quotes.update({quote.symbol: quote for quote in quotes})
        self._samples.update({sample["id"]: sample for sample in samples})
        self.wake()

    def forget(self) -> None:
        """Start from what the database says: another relay may have been at work."""
        self._pushed, self._behind = None, True
        self._forgotten += 1

    def run(self, stopping: threading.Event, take_turns: Callable[[], None]) -> None:
        """Step until told to stop, whatever happens."""
        while not stopping.is_set():
            try:
                if self.lease.epoch is not None and self.step():
                    take_turns()
                    continue
            except (LeaseLost, Unavailable) as error:
                log.warning("relay.interrupted", error=str(error))
                self.forget()
                stopping.wait(0.2)
            except Exception:
                log.exception("relay.failed")
                self.counts["failed_pushes"] += 1
                self.forget()
                stopping.wait(0.2)
            self._woken.wait(POLL_SECONDS)
            self._woken.clear()

    def step(self) -> bool:
        """Number what has none, chain the audit trail, push what is owed; True when there is more."""
        quotes, self._quotes = self._quotes, {}
        if quotes:
            self.publisher.quotes(list(quotes.values()))
        samples, self._samples = self._samples, {}
        if samples:
            self.publisher.samples(list(samples.values()))
        forgotten = self._forgotten
        if self._pushed is None:
            self._pushed = self.database.read(_pushed)
            self._look_at_faults()
        elif self._parked:
            self._look_at_faults()
        unnumbered, unchained = self.database.look_up(_work)
        pushed, behind = self._pushed, self._behind
        if pushed is None:
            return True
        self._behind = True  # until what is numbered now is pushed
        numbered = self.database.run(self._number) if unnumbered else []
        owed = self.database.read(partial(unpushed, after=pushed)) if behind else numbered
        self._push(owed)
        if forgotten != self._forgotten:
            return True  # meanwhile another relay may have been at work: from what the database says
        self._pushed = owed[-1]["ordinal"] if owed else pushed
        self._behind = behind and len(owed) == BATCH
        chained = self._chain() if unchained else 0
        return len(numbered) == BATCH or chained == audit.CHAINED_AT_ONCE or self._behind

    def _number(self, session: Session) -> list[Mapping[str, Any]]:
        """Every event gets its place in its stream and over all streams; returns them with it."""
        rows = session.execute(_UNNUMBERED).mappings().all()
        if not rows:
            return []
        self.lease.prove(session)
        names = {row["stream"] for row in rows} | {ALL, PUSHED}
        known = {row.stream: row.last_seq for row in session.execute(_LAST, {"names": list(names)})}
        last = {name: known.get(name, 0) for name in names}
        numbered: list[Mapping[str, Any]] = []
        for row in rows:
            last[row["stream"]] += 1
            last[ALL] += 1
            numbered.append({**row, "seq": last[row["stream"]], "ordinal": last[ALL]})
        last[PUSHED] = max(last[PUSHED], self._pushed or 0)  # a start pushes again what came after it
        _NUMBER.run(session, numbered)
        _store(session, last, known)
        return numbered

    def _chain(self) -> int:
        """Audit records get their place in the chain; one that cannot be read is parked and the rest goes on."""

        def work(session: Session) -> int:
            self.lease.prove(session)
            return audit.chain(session, skip=list(self._parked))

        try:
            return self.database.run(work)
        except audit.Unreadable as error:
            self._park("audit", "audit_record", error.record_id, str(error))
            return audit.CHAINED_AT_ONCE
        except (LeaseLost, Unavailable):
            raise
        except Exception:  # the next round tries again; what was pushed before it stays pushed
            log.exception("relay.chain_failed")
            self.counts["failed_chains"] += 1
            return 0

    # -- what cannot be read -----------------------------------------------------------------------------

    def _park(self, stage: str, object_type: str, object_id: str, error: str) -> None:
        now = self.clock.now()

        def work(session: Session) -> str:
            self.lease.prove(session)
            return faults.park(session, now, stage, object_type, object_id, error)

        self._parked[object_id] = self.database.run(work)
        self.counts["faults"] += 1

    def _look_at_faults(self) -> None:
        """Take up what somebody has asked to be retried, forget what somebody has resolved."""
        open_ = [fault for fault in self.database.read(faults.open_faults) if fault["stage"] in faults.OF_THE_RELAY]
        self._parked = {fault["object_id"]: fault["id"] for fault in open_}
        for fault in open_:
            if fault["retry_at"] is not None:
                self._retry(fault)

    def _retry(self, fault: dict[str, Any]) -> None:
        now = self.clock.now()

        def work(session: Session) -> None:
            self.lease.prove(session)
            if fault["stage"] == "audit":
                audit.chain(session, only=fault["object_id"])
            faults.retried(session, fault["id"], now)

        try:
            if fault["stage"] == "relay":
                # before it is said to be done: readers know events by their ids and take one that comes twice once
                self.publisher.events([self.database.read(partial(_readable, event_id=fault["object_id"]))])
            self.database.run(work)
        except (LeaseLost, Unavailable):
            raise
        except Exception as error:
            log.exception("relay.retry_failed", stage=fault["stage"], object_id=fault["object_id"])
            said = str(error) if isinstance(error, audit.Unreadable) else repr(error)
            self._failed_again(fault["id"], said)
            return
        del self._parked[fault["object_id"]]

    def _failed_again(self, fault_id: str, error: str) -> None:
        def work(session: Session) -> None:
            self.lease.prove(session)
            faults.failed_again(session, fault_id, error, self.clock.now())

        self.database.run(work)

    def _push(self, owed: Sequence[Mapping[Any, Any]]) -> None:
        shown = []
        for row in owed:
            try:
                shown.append(event_json(row))
            except Exception as error:
                # one event nobody can read must not stop everybody's: it has its number, and a fault
                log.exception("relay.unreadable", event_id=row["event_id"])
                if row["event_id"] not in self._parked:
                    self._park("relay", "event", row["event_id"], repr(error))
        if shown:
            self.publisher.events(shown)  # if it fails they are owed still
            self.counts["events"] += len(shown)


def _work(session: Session) -> tuple[bool, bool]:
    """Whether events have no number yet, and audit records no place in the chain."""
    unnumbered, unchained = session.execute(_WORK).one()
    return unnumbered, unchained


def _store(session: Session, values: dict[str, int], known: dict[str, int]) -> None:
    rows = [{"stream": name, "last_seq": value} for name, value in values.items()]
    _BEGIN.run(session, [row for row in rows if row["stream"] not in known])
    _COUNT.run(session, [row for row in rows if row["stream"] in known])


def _pushed(session: Session) -> int:
    return session.scalar(sa.select(streams.c.last_seq).where(streams.c.stream == PUSHED)) or 0


def _readable(session: Session, event_id: str) -> dict[str, Any]:
    query = sa.select(events).where(events.c.event_id == event_id)
    return event_json(session.execute(query).mappings().one())


def unpushed(session: Session, after: int) -> list[Any]:
    """Numbered events after a cursor, oldest first; a bounded number."""
    query = sa.select(events).where(events.c.ordinal > after).order_by(events.c.ordinal).limit(BATCH)
    return list(session.execute(query).mappings())
