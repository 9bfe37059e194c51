from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from app.core import blocking
from app.core.clock import ManualClock
from app.core.errors import Invalid, RateLimited, Unauthenticated
from app.core.permissions import SYSTEM, Role
from app.core.transaction import Database
from app.models import SignInAttempt, User, UserSession
from app.services import passwords, sign_in, users
from tests.services.people import AWAY, EMAIL, HOME, PASSWORD, actions, find, open_session


def test_hashing_runs_where_the_entry_point_says(database: Database, clock: ManualClock, mia: User) -> None:
    ran: list[Any] = []

    def runner(work: Any, *args: Any) -> Any:
        ran.append(work)
        return work(*args)

    blocking.install(runner)
    try:
        open_session(database, clock)
        assert ran
    finally:
        blocking.install(None)


def test_sign_in_opens_a_session_whose_token_is_not_stored(database: Database, clock: ManualClock, mia: User) -> None:
    signed_in = open_session(database, clock, email=" MIA@firm.example")
    row = database.read(lambda session: session.scalars(sa.select(UserSession)).one())
    assert signed_in.token not in (row.id, row.token_hash) and len(signed_in.token) >= 43
    assert row.user_agent == "a browser" and row.ip == HOME
    found = find(database, signed_in.token, clock)
    assert (found.actor, found.role) == (f"user:{mia.id}", Role.TRADER)
    assert actions(database)[-1] == "user.sign_in"
    assert open_session(database, clock).token != signed_in.token


@pytest.mark.parametrize("token", ["", "x", "ñ", "\ud800", "a" * 10_000])
def test_made_up_token_is_nobody(sqlite_database: Database, clock: ManualClock, token: str) -> None:
    assert find(sqlite_database, token, clock) is None


def test_wrong_unknown_and_disabled_get_the_same_answer(database: Database, clock: ManualClock, mia: User) -> None:
    answers = []
    for email, password in ((EMAIL, "wrong-password-1"), ("nobody@firm.example", PASSWORD), ("\x00\ud800", PASSWORD)):
        with pytest.raises(Unauthenticated) as refused:
            open_session(database, clock, password, email=email)
        answers.append((refused.value.code, refused.value.detail))
    database.run(lambda session: users.disable(session, users.by_email(session, EMAIL), SYSTEM, clock.now()))
    with pytest.raises(Unauthenticated) as refused:
        open_session(database, clock)
    answers.append((refused.value.code, refused.value.detail))
    assert len(set(answers)) == 1
    assert database.read(lambda session: session.scalar(sa.select(sa.func.count(UserSession.id)))) == 0


def test_unknown_user_costs_as_much_hashing_as_a_known_one(
    sqlite_database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = passwords.hash_password(EMAIL, PASSWORD)
    sqlite_database.run(
        lambda session: users.create(
            session, email=EMAIL, name="M", role=Role.TRADER, password_hash=hashed, principal=SYSTEM, now=clock.now()
        )
    )
    verified: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: Any, password: Any) -> Any:
            verified.append(hash.rsplit("$", 2)[0])
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "HASHER", Counting(time_cost=2, memory_cost=19_456, parallelism=1))
    for email in (EMAIL, "nobody@firm.example"):
        with pytest.raises(Unauthenticated):
            open_session(sqlite_database, clock, "wrong-password-1", email=email)
    assert len(verified) == 2 and verified[0] == verified[1], "the same parameters for both"


def test_waiting_doubles_and_ends(database: Database, clock: ManualClock, mia: User) -> None:
    for _ in range(sign_in.FREE_ATTEMPTS):
        with pytest.raises(Unauthenticated):
            open_session(database, clock, "wrong-password-1")
    waits = []
    for _ in range(3):
        with pytest.raises(RateLimited) as refused:
            open_session(database, clock)  # even the right password waits
        waits.append(refused.value.retry_after)
        clock.advance(float(refused.value.retry_after or 0))
        with pytest.raises(Unauthenticated):
            open_session(database, clock, "wrong-password-1")
    assert waits == [2, 3, 5]
    clock.advance(60)
    assert open_session(database, clock)


def test_stranger_elsewhere_does_not_lock_the_owner_out(database: Database, clock: ManualClock, mia: User) -> None:
    for _ in range(sign_in.FREE_ATTEMPTS):
        with pytest.raises(Unauthenticated):
            open_session(database, clock, "wrong-password-1", AWAY)
    with pytest.raises(RateLimited):
        open_session(database, clock, ip=AWAY)
    assert open_session(database, clock, ip=HOME)


@pytest.mark.parametrize(("one", "other"), [("2001:db8::1", "2001:db8::ffff:2"), ("::ffff:192.0.2.9", "192.0.2.9")])
def test_address_is_what_one_stranger_owns(sqlite_database: Database, clock: ManualClock, one: str, other: str) -> None:
    for _ in range(sign_in.FREE_ATTEMPTS):
        with pytest.raises(Unauthenticated):
            open_session(sqlite_database, clock, ip=one)
    with pytest.raises(RateLimited):
        open_session(sqlite_database, clock, ip=other)


def test_one_address_cannot_try_many_accounts(
    sqlite_database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "FREE_ATTEMPTS_OF_ADDRESS", 6)
    for n in range(6):
        with pytest.raises(Unauthenticated):
            open_session(sqlite_database, clock, email=f"user{n}@firm.example")
    with pytest.raises(RateLimited):
        open_session(sqlite_database, clock, email="another@firm.example")


def test_right_password_forgives_the_attempts_before(database: Database, clock: ManualClock, mia: User) -> None:
    for _ in range(2):
        for _ in range(sign_in.FREE_ATTEMPTS - 1):
            with pytest.raises(Unauthenticated):
                open_session(database, clock, "wrong-password-1")
        assert open_session(database, clock)
    assert database.read(lambda session: session.scalar(sa.select(sa.func.count(SignInAttempt.id)))) == 0


def test_many_guesses_at_once_do_not_slip_past_the_throttle(database: Database, clock: ManualClock, mia: User) -> None:
    outcomes: list[str] = []
    barrier = threading.Barrier(20)

    def guess() -> None:
        barrier.wait(10)
        try:
            open_session(database, clock, "wrong-password-1")
        except (Unauthenticated, RateLimited) as refused:
            outcomes.append(type(refused).__name__)

    threads = [threading.Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 20
    assert outcomes.count("Unauthenticated") == sign_in.FREE_ATTEMPTS


def test_waiting_grows_to_a_quarter_of_an_hour() -> None:
    waits = [sign_in.wait_after(n, 5).total_seconds() for n in (0, 4, 5, 6, 10, 14, 15, 10_000)]
    assert waits == [0, 0, 1, 2, 32, 512, 900, 900]


def test_old_hash_is_renewed_at_sign_in(database: Database, clock: ManualClock, mia: User) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    database.run(lambda session: session.execute(sa.update(User).values(password_hash=old)))
    open_session(database, clock)
    stored = database.read(lambda session: users.by_email(session, EMAIL).password_hash)
    assert "m=19456,t=2,p=1" in stored
    assert passwords.verify_password(stored, PASSWORD)


def test_user_disabled_while_the_password_is_checked_stays_out(
    database: Database, clock: ManualClock, mia: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = passwords.verify_password

    def verify_slowly(*args: Any) -> bool:
        database.run(lambda session: users.disable(session, users.by_email(session, EMAIL), SYSTEM, clock.now()))
        return verify(*args)

    monkeypatch.setattr(sign_in, "verify_password", verify_slowly)
    with pytest.raises(Unauthenticated):
        open_session(database, clock)


def test_new_password_ends_the_other_sessions(database: Database, clock: ManualClock, mia: User) -> None:
    here, there = open_session(database, clock), open_session(database, clock)
    clock.advance(timedelta(minutes=1).total_seconds())
    with pytest.raises(Invalid) as refused:
        sign_in.change_password(database, here, "wrong-password-1", "quinua-llama-88", HOME, clock.now())
    assert refused.value.code == "wrong_password"
    with pytest.raises(Invalid) as refused:
        sign_in.change_password(database, here, PASSWORD, "short", HOME, clock.now())
    assert refused.value.code == "password_length"
    token, ended = sign_in.change_password(database, here, PASSWORD, "quinua-llama-88", HOME, clock.now())
    assert ended == 1 and find(database, token, clock).id == mia.id
    assert find(database, here.token, clock) is None and find(database, there.token, clock) is None
    with pytest.raises(Unauthenticated):
        open_session(database, clock)
    assert open_session(database, clock, "quinua-llama-88")
    assert "user.password_change" in actions(database)


def test_guessing_the_current_password_is_throttled(database: Database, clock: ManualClock, mia: User) -> None:
    for _ in range(sign_in.FREE_ATTEMPTS):
        with pytest.raises(Invalid):
            sign_in.confirm_password(database, mia.id, "wrong-password-1", HOME, clock.now())
    with pytest.raises(RateLimited):
        sign_in.confirm_password(database, mia.id, PASSWORD, HOME, clock.now())
