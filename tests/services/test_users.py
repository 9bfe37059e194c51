from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from argon2 import PasswordHasher

from app.core import blocking
from app.core.clock import ManualClock
from app.core.errors import Conflict, Invalid, NotFound, RateLimited, Unauthenticated
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Role
from app.core.transaction import Database
from app.models import AuditRecord, SignInAttempt, User, UserSession
from app.services import clients, passwords, users

EMAIL, PASSWORD = "mia@firm.example", "violin-otter-47"
HOME, AWAY = "192.0.2.1", "198.51.100.7"


@pytest.fixture
def mia(database: Database, clock: ManualClock) -> User:
    hashed = users.hash_password(EMAIL, PASSWORD)
    return database.run(
        lambda session: users.create(
            session, email=EMAIL, name="Mia", role=Role.TRADER, password_hash=hashed, principal=SYSTEM, now=clock.now()
        )
    )


def sign_in(database: Database, clock: ManualClock, password: str = PASSWORD, ip: str = HOME, **other: Any) -> Any:
    return users.sign_in(database, other.get("email", EMAIL), password, ip, "a browser", clock.now())


def actions(database: Database) -> list[str]:
    return database.read(lambda session: list(session.scalars(sa.select(AuditRecord.action).order_by(AuditRecord.id))))


def find(database: Database, token: str, clock: ManualClock) -> Any:
    return database.read(lambda session: users.principal_of_session(session, token, clock.now()))


# passwords


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short-otter", "password_length"),
        ("x7" * 65, "password_length"),
        ("Password1234", "password_common"),
        ("CONTRASEÑA123", "password_common"),
        ("abababababab", "password_common"),
        ("I-am-MIA-since-1999", "password_contains_email"),
    ],
)
def test_weak_password_is_refused(password: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        users.hash_password(EMAIL, password)
    assert refused.value.code == code
    assert password not in str(refused.value.errors), "a password is not repeated"


@pytest.mark.parametrize("password", [PASSWORD, "x7-otter" * 16, "ñandú y quinua 🦙"])
def test_good_password_is_kept_as_argon2id_with_the_recommended_cost(password: str) -> None:
    hashed = users.hash_password(EMAIL, password)
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert users.verify_password(hashed, password)
    assert not users.verify_password(hashed, password + "x")
    assert not users.verify_password(None, password)


def test_password_typed_on_another_keyboard_is_the_same() -> None:
    composed, decomposed = "contrase\u00f1a-segura", "contrasen\u0303a-segura"
    assert users.verify_password(users.hash_password(EMAIL, composed), decomposed)


def test_hashing_runs_where_the_entry_point_says(database: Database, clock: ManualClock, mia: User) -> None:
    ran: list[Any] = []

    def runner(work: Any, *args: Any) -> Any:
        ran.append(work)
        return work(*args)

    blocking.install(runner)
    try:
        sign_in(database, clock)
        assert ran
    finally:
        blocking.install(None)


# people


def test_user_is_created_with_a_normalized_email_and_an_audit_record(database: Database, clock: ManualClock) -> None:
    user = database.run(
        lambda session: users.create(
            session,
            email="  Mia@FIRM.example ",
            name=" Mia ",
            role=Role.MASTER,
            password_hash="-",
            principal=SYSTEM,
            now=clock.now(),
        )
    )
    assert (user.email, user.name) == ("mia@firm.example", "Mia")
    assert actions(database) == ["user.create"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"email": "mia"}, "invalid_email"),
        ({"email": "mia@firm"}, "invalid_email"),
        ({"email": "mia@firm.example\r\nBcc: x@y.zz"}, "invalid_email"),
        ({"email": "a" * 250 + "@firm.example"}, "invalid_email"),
        ({"name": "  "}, "invalid_name"),
        ({"name": "Mia\u202egnp.exe"}, "invalid_name"),
        ({"role": Role.CLIENT}, "client_of_client"),
    ],
)
def test_bad_user_is_refused(sqlite_database: Database, clock: ManualClock, change: dict[str, Any], code: str) -> None:
    values: dict[str, Any] = {"email": "m@firm.example", "name": "Mia", "role": Role.TRADER, **change}
    with pytest.raises(Invalid) as refused:
        sqlite_database.run(
            lambda session: users.create(session, password_hash="-", principal=SYSTEM, now=clock.now(), **values)
        )
    assert refused.value.code == code


def test_email_is_taken_once_in_whatever_case(database: Database, clock: ManualClock, mia: User) -> None:
    with pytest.raises(Conflict) as refused:
        database.run(
            lambda session: users.create(
                session,
                email="MIA@firm.example",
                name="M",
                role=Role.TRADER,
                password_hash="-",
                principal=SYSTEM,
                now=clock.now(),
            )
        )
    assert refused.value.code == "email_taken"


def test_client_user_speaks_for_its_client(database: Database, clock: ManualClock) -> None:
    def work(session: Any) -> Any:
        client = clients.create(session, "C-1", "Ana", SYSTEM, clock.now())
        return users.create(
            session,
            email="a@b.example",
            name="Ana",
            role=Role.CLIENT,
            password_hash="-",
            principal=SYSTEM,
            now=clock.now(),
            client=client,
        )

    user = database.run(work)
    assert users.principal_of(user).client_id == user.client_id is not None


# signing in


def test_sign_in_opens_a_session_whose_token_is_not_stored(database: Database, clock: ManualClock, mia: User) -> None:
    signed_in = sign_in(database, clock, email=" MIA@firm.example")
    row = database.read(lambda session: session.scalars(sa.select(UserSession)).one())
    assert signed_in.token not in (row.id, row.token_hash) and len(signed_in.token) >= 43
    assert row.user_agent == "a browser" and row.ip == HOME
    found = find(database, signed_in.token, clock)
    assert (found.actor, found.role) == (f"user:{mia.id}", Role.TRADER)
    assert actions(database)[-1] == "user.sign_in"
    assert sign_in(database, clock).token != signed_in.token


@pytest.mark.parametrize("token", ["", "x", "ñ", "\ud800", "a" * 10_000])
def test_made_up_token_is_nobody(sqlite_database: Database, clock: ManualClock, token: str) -> None:
    assert find(sqlite_database, token, clock) is None


def test_wrong_unknown_and_disabled_get_the_same_answer(database: Database, clock: ManualClock, mia: User) -> None:
    answers = []
    for email, password in ((EMAIL, "wrong-password-1"), ("nobody@firm.example", PASSWORD), ("\x00\ud800", PASSWORD)):
        with pytest.raises(Unauthenticated) as refused:
            sign_in(database, clock, password, email=email)
        answers.append((refused.value.code, refused.value.detail))
    database.run(lambda session: users.disable(session, users.by_email(session, EMAIL), SYSTEM, clock.now()))
    with pytest.raises(Unauthenticated) as refused:
        sign_in(database, clock)
    answers.append((refused.value.code, refused.value.detail))
    assert len(set(answers)) == 1
    assert database.read(lambda session: session.scalar(sa.select(sa.func.count(UserSession.id)))) == 0


def test_unknown_user_costs_as_much_hashing_as_a_known_one(
    sqlite_database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = users.hash_password(EMAIL, PASSWORD)
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
            sign_in(sqlite_database, clock, "wrong-password-1", email=email)
    assert len(verified) == 2 and verified[0] == verified[1], "the same parameters for both"


def test_waiting_doubles_and_ends(database: Database, clock: ManualClock, mia: User) -> None:
    for _ in range(users.FREE_ATTEMPTS):
        with pytest.raises(Unauthenticated):
            sign_in(database, clock, "wrong-password-1")
    waits = []
    for _ in range(3):
        with pytest.raises(RateLimited) as refused:
            sign_in(database, clock)  # even the right password waits
        waits.append(refused.value.retry_after)
        clock.advance(float(refused.value.retry_after or 0))
        with pytest.raises(Unauthenticated):
            sign_in(database, clock, "wrong-password-1")
    assert waits == [2, 3, 5]
    clock.advance(60)
    assert sign_in(database, clock)


def test_stranger_elsewhere_does_not_lock_the_owner_out(database: Database, clock: ManualClock, mia: User) -> None:
    for _ in range(users.FREE_ATTEMPTS):
        with pytest.raises(Unauthenticated):
            sign_in(database, clock, "wrong-password-1", AWAY)
    with pytest.raises(RateLimited):
        sign_in(database, clock, ip=AWAY)
    assert sign_in(database, clock, ip=HOME)


@pytest.mark.parametrize(("one", "other"), [("2001:db8::1", "2001:db8::ffff:2"), ("::ffff:192.0.2.9", "192.0.2.9")])
def test_address_is_what_one_stranger_owns(sqlite_database: Database, clock: ManualClock, one: str, other: str) -> None:
    for _ in range(users.FREE_ATTEMPTS):
        with pytest.raises(Unauthenticated):
            sign_in(sqlite_database, clock, ip=one)
    with pytest.raises(RateLimited):
        sign_in(sqlite_database, clock, ip=other)


def test_one_address_cannot_try_many_accounts(
    sqlite_database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "FREE_ATTEMPTS_OF_ADDRESS", 6)
    for n in range(6):
        with pytest.raises(Unauthenticated):
            sign_in(sqlite_database, clock, email=f"user{n}@firm.example")
    with pytest.raises(RateLimited):
        sign_in(sqlite_database, clock, email="another@firm.example")


def test_right_password_forgives_the_attempts_before(database: Database, clock: ManualClock, mia: User) -> None:
    for _ in range(2):
        for _ in range(users.FREE_ATTEMPTS - 1):
            with pytest.raises(Unauthenticated):
                sign_in(database, clock, "wrong-password-1")
        assert sign_in(database, clock)
    assert database.read(lambda session: session.scalar(sa.select(sa.func.count(SignInAttempt.id)))) == 0


def test_many_guesses_at_once_do_not_slip_past_the_throttle(database: Database, clock: ManualClock, mia: User) -> None:
    outcomes: list[str] = []
    barrier = threading.Barrier(20)

    def guess() -> None:
        barrier.wait(10)
        try:
            sign_in(database, clock, "wrong-password-1")
        except (Unauthenticated, RateLimited) as refused:
            outcomes.append(type(refused).__name__)

    threads = [threading.Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 20
    assert outcomes.count("Unauthenticated") == users.FREE_ATTEMPTS


def test_waiting_grows_to_a_quarter_of_an_hour() -> None:
    waits = [users.wait_after(n, 5).total_seconds() for n in (0, 4, 5, 6, 10, 14, 15, 10_000)]
    assert waits == [0, 0, 1, 2, 32, 512, 900, 900]


def test_old_hash_is_renewed_at_sign_in(database: Database, clock: ManualClock, mia: User) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    database.run(lambda session: session.execute(sa.update(User).values(password_hash=old)))
    sign_in(database, clock)
    stored = database.read(lambda session: users.by_email(session, EMAIL).password_hash)
    assert "m=19456,t=2,p=1" in stored
    assert users.verify_password(stored, PASSWORD)


def test_user_disabled_while_the_password_is_checked_stays_out(
    database: Database, clock: ManualClock, mia: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = users.verify_password

    def verify_slowly(*args: Any) -> bool:
        database.run(lambda session: users.disable(session, users.by_email(session, EMAIL), SYSTEM, clock.now()))
        return verify(*args)

    monkeypatch.setattr(users, "verify_password", verify_slowly)
    with pytest.raises(Unauthenticated):
        sign_in(database, clock)


# sessions


def test_session_ends_when_idle_and_after_its_longest_time(database: Database, clock: ManualClock, mia: User) -> None:
    idle = sign_in(database, clock)
    clock.advance(29 * 60)
    assert find(database, idle.token, clock)
    clock.advance(2 * 60)
    assert find(database, idle.token, clock) is None

    busy = sign_in(database, clock)
    for _ in range(12 * 3 - 1):
        clock.advance(20 * 60)
        assert find(database, busy.token, clock)
        database.run(lambda session: users.touch(session, busy.session_id, clock.now()))
    clock.advance(20 * 60)
    assert find(database, busy.token, clock) is None


def test_use_is_noted_once_a_minute(database: Database, clock: ManualClock, mia: User) -> None:
    token = sign_in(database, clock).token

    def due() -> bool:
        found = database.read(lambda session: users.find_session(session, token, clock.now()))
        assert found is not None
        return found.is_touch_due(clock.now())

    assert not due()
    clock.advance(60)
    assert due()


def test_disabled_user_is_signed_out_everywhere(database: Database, clock: ManualClock, mia: User) -> None:
    tokens = [sign_in(database, clock).token for _ in range(2)]
    ended = database.run(lambda session: users.disable(session, users.by_email(session, EMAIL), SYSTEM, clock.now()))
    assert ended == 2
    assert [find(database, token, clock) for token in tokens] == [None, None]
    assert actions(database)[-1] == "user.disable"


def test_sign_out_ends_this_session_alone(database: Database, clock: ManualClock, mia: User) -> None:
    first, second = sign_in(database, clock), sign_in(database, clock)
    database.run(lambda session: users.sign_out(session, first, clock.now()))
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
    signed_in = sign_in(database, clock)
    for session_id in (signed_in.session_id, new_id()):
        with pytest.raises(NotFound):
            database.run(
                lambda session, id_=session_id: users.end_session(session, users.principal_of(other), id_, clock.now())
            )
    assert find(database, signed_in.token, clock)
    database.run(lambda session: users.end_session(session, signed_in.principal, signed_in.session_id, clock.now()))
    assert find(database, signed_in.token, clock) is None


def test_all_other_sessions_end(database: Database, clock: ManualClock, mia: User) -> None:
    kept, other = sign_in(database, clock), sign_in(database, clock)
    database.run(
        lambda session: users.end_all_sessions(session, mia.id, kept.principal, clock.now(), keep=kept.session_id)
    )
    assert find(database, kept.token, clock) and find(database, other.token, clock) is None
    shown = database.read(lambda session: users.live_sessions(session, mia.id, clock.now()))
    assert [row.id for row in shown] == [kept.session_id]


def test_new_password_ends_the_other_sessions(database: Database, clock: ManualClock, mia: User) -> None:
    here, there = sign_in(database, clock), sign_in(database, clock)
    clock.advance(timedelta(minutes=1).total_seconds())
    with pytest.raises(Invalid) as refused:
        users.change_password(database, here, "wrong-password-1", "quinua-llama-88", HOME, clock.now())
    assert refused.value.code == "wrong_password"
    with pytest.raises(Invalid) as refused:
        users.change_password(database, here, PASSWORD, "short", HOME, clock.now())
    assert refused.value.code == "password_length"
    token, ended = users.change_password(database, here, PASSWORD, "quinua-llama-88", HOME, clock.now())
    assert ended == 1 and find(database, token, clock).id == mia.id
    assert find(database, here.token, clock) is None and find(database, there.token, clock) is None
    with pytest.raises(Unauthenticated):
        sign_in(database, clock)
    assert sign_in(database, clock, "quinua-llama-88")
    assert "user.password_change" in actions(database)


def test_guessing_the_current_password_is_throttled(database: Database, clock: ManualClock, mia: User) -> None:
    for _ in range(users.FREE_ATTEMPTS):
        with pytest.raises(Invalid):
            users.confirm_password(database, mia.id, "wrong-password-1", HOME, clock.now())
    with pytest.raises(RateLimited):
        users.confirm_password(database, mia.id, PASSWORD, HOME, clock.now())


@pytest.mark.parametrize("preference", [{"language": "xx"}, {"theme": "pink"}])
def test_unknown_preference_is_refused(sqlite_database: Database, preference: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        sqlite_database.run(lambda session: users.set_preference(session, new_id(), **preference))
