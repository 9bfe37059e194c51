"""What providers report is stored once, answered at once, and worked off later from the stored row.

A handler changes our rows in the transaction that marks the event as worked off: a crash before its commit leaves
the event waiting, and nothing happens twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.core.errors import Unavailable
from app.core.ids import new_id
from app.core.transaction import Database
from app.models import ProviderEvent, table_of

log = structlog.get_logger("provider_events")
WORKED_OFF_AT_ONCE: Final = 50
FIRST_RETRY: Final = timedelta(seconds=5)
LAST_RETRY: Final = timedelta(hours=1)
table = table_of(ProviderEvent)


class Handler(Protocol):
    """Works off the events of one provider."""

    def __call__(self, session: Session, event: ProviderEvent, now: datetime) -> str:
        """Do what the event asks for and say in a few words what that was. What it raises is tried again later."""


def receive(session: Session, provider: str, external_id: str, type_: str, body: str, now: datetime) -> bool:
    """Store an event whose signature was right; False where it is stored already.

    ``external_id``: the provider's own id of the event, or the SHA-256 of the body where it has none.
    """
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(
        id=new_id(),
        provider=provider,
        external_id=external_id,
        type=type_[:80],
        body=body,
        received_at=now,
        attempts=0,
    )
    stored = session.execute(
        statement.on_conflict_do_nothing(index_elements=["provider", "external_id"]).returning(table.c.id)
    )
    return stored.first() is not None


def work_off(database: Database, handlers: Mapping[str, Handler], now: datetime) -> bool:
    """Work off what waits of the providers there are handlers for, each event in a transaction of its own.

    One that fails is tried again later and later, and holds up no other. Returns whether there is more to do at once.
    """
    waiting = database.read(partial(_waiting, providers=list(handlers), now=now))
    for event_id in waiting:
        try:
            database.run(partial(_work_off_one, event_id=event_id, handlers=handlers, now=now))
        except Unavailable:
            raise  # the database, not the event
        except Exception as error:
            log.exception("provider_event.failed", event_id=event_id)
            database.run(partial(_postpone, event_id=event_id, error=repr(error), now=now))
    return len(waiting) == WORKED_OFF_AT_ONCE


def _waiting(session: Session, providers: list[str], now: datetime) -> list[str]:
    query = sa.select(ProviderEvent.id).where(
        ProviderEvent.processed_at.is_(None),
        ProviderEvent.provider.in_(providers),
        sa.or_(ProviderEvent.next_attempt_at.is_(None), ProviderEvent.next_attempt_at <= now),
    )
    return list(session.scalars(query.order_by(ProviderEvent.received_at, ProviderEvent.id).limit(WORKED_OFF_AT_ONCE)))


def _work_off_one(session: Session, event_id: str, handlers: Mapping[str, Handler], now: datetime) -> None:
    event = _locked(session, event_id)
    if event is None:
        return
    outcome = handlers[event.provider](session, event, now)
    event.processed_at, event.outcome, event.next_attempt_at = now, outcome[:300], None
    event.attempts += 1


def _postpone(session: Session, event_id: str, error: str, now: datetime) -> None:
    event = _locked(session, event_id)
    if event is None:
        return
    event.attempts += 1
    event.outcome = error[:300]
    event.next_attempt_at = now + min(FIRST_RETRY * 2 ** min(event.attempts - 1, 20), LAST_RETRY)


def _locked(session: Session, event_id: str) -> ProviderEvent | None:
    """The event where nobody else has worked it off, nor is about to."""
    query = sa.select(ProviderEvent).where(ProviderEvent.id == event_id, ProviderEvent.processed_at.is_(None))
    return session.scalars(query.with_for_update(skip_locked=True)).one_or_none()
