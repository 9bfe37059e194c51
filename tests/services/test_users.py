from __future__ import annotations

from typing import Any

import pytest

from app.core.clock import ManualClock
from app.core.errors import Conflict, Invalid
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Role
from app.core.transaction import Database
from app.models import User
from app.services import clients, user_sessions, users
from tests.services.people import actions


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
    assert user_sessions.principal_of(user).client_id == user.client_id is not None


@pytest.mark.parametrize("preference", [{"language": "xx"}, {"theme": "pink"}])
def test_unknown_preference_is_refused(sqlite_database: Database, preference: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        sqlite_database.run(lambda session: users.set_preference(session, new_id(), **preference))
