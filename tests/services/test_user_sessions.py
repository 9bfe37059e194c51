from __future__ import annotations

import pytest

from app.core.clock import ManualClock
from app.core.errors import NotFound
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Role
from app.core.transaction import Database
from app.models import User
from app.services import user_sessions, users
from tests.services.people import EMAIL, LIMITS, actions, find, open_session


def test_session_ends_when_idle_and_after_its_longest_time(database: Database, clock: ManualClock, mia: User) -> None:
    idle = open_session(database, clock)
    clock.advance(29 * 60)
    assert find(database, idle.token, clock)
    clock.advance(2 * 60)
    assert find(database, idle.token, clock) is None

    busy = open_session(database, clock)
    for _ in range(12 * 3 - 1):
        clock.advance(20 * 60)
        assert find(database, busy.token, clock)
        database.run(lambda session: user_sessions.touch(session, busy.session_id, clock.now()))
    clock.advance(20 * 60)
    assert find(database, busy.token, clock) is None


def test_use_is_noted_once_a_minute(database: Database, clock: ManualClock, mia: User) -> None:
    token = open_session(database, clock).token

    def due() -> bool:
        found = database.read(lambda session: user_sessions.find(session, token, clock.now(), LIMITS))
        assert found is not None
        return found.is_touch_due(clock.now())

    assert not due()
    clock.advance(60)
    assert due()


def test_disabled_user_is_signed_out_everywhere(database: Database, clock: ManualClock, mia: User) -> None:
    tokens = [open_session(database, clock).token for _ in range(2)]
    ended = database.run(lambda session: users.disable(session, users.by_email(session, EMAIL), SYSTEM, clock.now()))
    assert ended == 2
    assert [find(database, token, clock) for token in tokens] == [None, None]
    assert actions(database)[-1] == "user.disable"


def test_sign_out_ends_this_session_alone(database: Database, clock: ManualClock, mia: User) -> None:
    first, second = open_session(database, clock), open_session(database, clock)
    database.run(lambda session: user_sessions.sign_out(session, first, clock.now()))
    assert find(database, first.token, clock) is None
    assert find(database, second.token, clock)
    assert actions(database)[-1] == "user.sign_out"


def test_only_ones_own_sessions_can_be_ended(database: Database, clock: ManualClock, mia: User) -> None:
    other = database.run(
        lambda session: users.create(
            session,
            email="o@firm.example",
            name="O",
            role=Role.MASTER,
            password_hash="-",
            principal=SYSTEM,
            now=clock.now(),
        )
    )
    signed_in = open_session(database, clock)
    for session_id in (signed_in.session_id, new_id()):
        with pytest.raises(NotFound):
            database.run(
                lambda session, id_=session_id: user_sessions.end_own(
                    session, user_sessions.principal_of(other), id_, clock.now()
                )
            )
    assert find(database, signed_in.token, clock)
    database.run(lambda session: user_sessions.end_own(session, signed_in.principal, signed_in.session_id, clock.now()))
    assert find(database, signed_in.token, clock) is None


def test_all_other_sessions_end(database: Database, clock: ManualClock, mia: User) -> None:
    kept, other = open_session(database, clock), open_session(database, clock)
    database.run(
        lambda session: user_sessions.end_all(session, mia.id, kept.principal, clock.now(), keep=kept.session_id)
    )
    assert find(database, kept.token, clock) and find(database, other.token, clock) is None
    shown = database.read(lambda session: user_sessions.live(session, mia.id, clock.now(), LIMITS))
    assert [row.id for row in shown] == [kept.session_id]


def test_every_session_ends_where_none_is_kept(database: Database, clock: ManualClock, mia: User) -> None:
    tokens = [open_session(database, clock).token for _ in range(2)]
    ended = database.run(lambda session: user_sessions.end_all(session, mia.id, SYSTEM, clock.now()))
    assert ended == 2
    assert [find(database, token, clock) for token in tokens] == [None, None]
    assert actions(database)[-1] == "user.sessions_end"
