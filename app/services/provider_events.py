"""What providers report: stored once as it came, answered at once, and worked off later from the stored row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.core.errors import Unavailable
from app.core.ids import new_id
from app.core.transaction import Database
from app.models import ProviderEvent, table_of

from .events import FIRM, Events

log = structlog.get_logger("provider_events")
AT_ONCE: Final = 100
GIVES_UP_AFTER: Final = 12  # attempts: about two hours
LONGEST_WAIT: Final = timedelta(minutes=30)

table = table_of(ProviderEvent)
_INSERTS: Final[Mapping[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class NotYet(Exception):
    """It speaks of what has not been reported yet: it is worked off again later."""


class Handler(Protocol):
    """Works off the events of one provider."""

    def __call__(self, session: Session, event: ProviderEvent, now: datetime) -> str:
        """Do what the event says, and tell in a few words what that was. What it raises is tried again later.

        Raises ``NotYet`` for what waits for another event.
        """


def receive(session: Session, provider: str, external_id: str, type_: str, body: str, now: datetime) -> bool:
    """Store an event whose sender is known. False where it has been stored before; then nothing is done."""
    row = {
        "id": new_id(),
        "provider": provider,
        "external_id": external_id,
        "type": type_,
        "body": body,
        "received_at": now,
        "attempts": 0,
    }
    insert = _INSERTS[session.get_bind().dialect.name](table).values(row).on_conflict_do_nothing()
    return session.execute(insert.returning(table.c.id)).first() is not None


def work_off(database: Database, handlers: Mapping[str, Handler], now: datetime) -> bool:
    """Work off what waits, each event in a transaction of its own, the oldest first. True when there is more.

    One that fails is tried again later, and holds up nobody else's.
    """
    waiting = database.read(partial(_waiting, providers=list(handlers), now=now))
    for event_id in waiting:
        try:
            database.run(partial(_work_off_one, event_id=event_id, handlers=handlers, now=now))
        except Unavailable:
            raise
        except Exception as error:
            log.exception("provider_event.failed", event_id=event_id)
            database.run(partial(_put_off, event_id=event_id, error=error, now=now))
    return len(waiting) == AT_ONCE


def _waiting(session: Session, providers: list[str], now: datetime) -> list[str]:
    query = sa.select(table.c.id).where(
        table.c.processed_at.is_(None),
        table.c.provider.in_(providers),
        sa.or_(table.c.next_attempt_at.is_(None), table.c.next_attempt_at <= now),
    )
    return list(session.scalars(query.order_by(table.c.received_at, table.c.id).limit(AT_ONCE)))


def _locked(session: Session, event_id: str) -> ProviderEvent | None:
    """None where another process has worked it off meanwhile."""
    query = sa.select(ProviderEvent).where(ProviderEvent.id == event_id, ProviderEvent.processed_at.is_(None))
    return session.scalars(query.with_for_update()).one_or_none()


def _work_off_one(session: Session, event_id: str, handlers: Mapping[str, Handler], now: datetime) -> None:
    event = _locked(session, event_id)
    if event is not None:
        handle(session, event, handlers[event.provider], now)


def handle(session: Session, event: ProviderEvent, handler: Handler, now: datetime) -> None:
    """Work off one stored event in this transaction; what it waits for makes it wait too."""
    try:
        with session.begin_nested():
            outcome = handler(session, event, now)
    except NotYet as error:
        _wait(event, str(error), now)
    else:
        event.outcome, event.processed_at, event.next_attempt_at = outcome[:300], now, None
        event.attempts += 1
    session.flush()


def _wait(event: ProviderEvent, why: str, now: datetime) -> None:
    event.attempts += 1
    event.outcome = why[:300]
    event.next_attempt_at = now + min(timedelta(seconds=2**event.attempts), LONGEST_WAIT)


def _put_off(session: Session, event_id: str, error: Exception, now: datetime) -> None:
    """After a failure of ours: it waits, for good in the end, and the firm is told when that has gone on for long."""
    event = _locked(session, event_id)
    if event is None:
        return
    _wait(event, f"failed: {error!r}", now)
    if event.attempts == GIVES_UP_AFTER:
        events = Events(now)
        told = {"code": "provider_event_fails", "provider": event.provider, "type": event.type, "message": str(error)}
        events.add(FIRM, "alert.provider_event", "provider_event", event.id, told)
        events.flush(session)
    session.flush()


def is_last_attempt(event: ProviderEvent) -> bool:
    """Whether it has waited long enough for what it speaks of."""
    return event.attempts + 1 >= GIVES_UP_AFTER


def stored(session: Session, provider: str, external_id: str) -> ProviderEvent:
    """An event by its sender's id, locked."""
    named = sa.select(ProviderEvent).where(ProviderEvent.provider == provider, ProviderEvent.external_id == external_id)
    return session.scalars(named.with_for_update()).one()
