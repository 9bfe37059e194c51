"""Events of providers: stored once, worked off once, tried again where the handler fails."""

from __future__ import annotations

from datetime import datetime
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import ManualClock
from app.core.errors import Unavailable
from app.core.transaction import Database
from app.models import ProviderEvent
from app.services import provider_events


def receive(database: Database, clock: ManualClock, external_id: str, provider: str = "bank") -> bool:
    return database.run(
        partial(
            provider_events.receive,
            provider=provider,
            external_id=external_id,
            type_="paid",
            body=f"body of {external_id}",
            now=clock.now(),
        )
    )


def stored(database: Database) -> list[ProviderEvent]:
    query = sa.select(ProviderEvent).order_by(ProviderEvent.id)
    return database.read(lambda session: list(session.scalars(query)))


class Handler:
    """Remembers the events it was given, and fails for those named."""

    def __init__(self, *failing: str) -> None:
        self.seen: list[str] = []
        self.failing = set(failing)

    def __call__(self, session: Session, event: ProviderEvent, now: datetime) -> str:
        self.seen.append(event.external_id)
        if event.external_id in self.failing:
            raise ValueError("not now")
        return f"did {event.external_id}"


def test_an_event_is_stored_once_per_provider(database: Database, clock: ManualClock) -> None:
    assert [receive(database, clock, "a"), receive(database, clock, "a"), receive(database, clock, "b")] == [
        True,
        False,
        True,
    ]
    assert receive(database, clock, "a", "another bank")
    assert [event.external_id for event in stored(database)] == ["a", "b", "a"]


def test_each_is_worked_off_once_and_others_do_not_wait_for_one_that_fails(
    database: Database, clock: ManualClock
) -> None:
    for external_id in ("a", "b", "c"):
        receive(database, clock, external_id)
    receive(database, clock, "d", "nobody's")
    handler = Handler("b")
    for _ in range(2):
        assert not provider_events.work_off(database, {"bank": handler}, clock.now())
    assert handler.seen == ["a", "b", "c"]
    assert [(event.outcome, event.processed_at is not None) for event in stored(database)] == [
        ("did a", True),
        ("failed: ValueError('not now')", False),
        ("did c", True),
        (None, False),
    ]
    clock.advance(6)
    handler.failing.clear()
    provider_events.work_off(database, {"bank": handler}, clock.now())
    assert handler.seen == ["a", "b", "c", "b"]
    assert (stored(database)[1].outcome, stored(database)[1].attempts) == ("did b", 2)


def test_what_a_handler_did_before_it_failed_is_undone(database: Database, clock: ManualClock) -> None:
    receive(database, clock, "a")

    def handler(session: Session, event: ProviderEvent, now: datetime) -> str:
        event.type = "changed"
        session.flush()
        raise ValueError

    provider_events.work_off(database, {"bank": handler}, clock.now())
    assert [event.type for event in stored(database)] == ["paid"]


def test_a_database_that_is_away_costs_no_event_an_attempt(database: Database, clock: ManualClock) -> None:
    receive(database, clock, "a")

    def handler(session: Session, event: ProviderEvent, now: datetime) -> str:
        raise Unavailable

    with pytest.raises(Unavailable):
        provider_events.work_off(database, {"bank": handler}, clock.now())
    assert [(event.attempts, event.next_attempt_at) for event in stored(database)] == [(0, None)]


def test_a_full_batch_says_that_there_may_be_more(
    database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_events, "AT_ONCE", 2)
    for external_id in ("a", "b", "c"):
        receive(database, clock, external_id)
    handler = Handler()
    assert provider_events.work_off(database, {"bank": handler}, clock.now())
    assert not provider_events.work_off(database, {"bank": handler}, clock.now())
    assert handler.seen == ["a", "b", "c"]
