"""Users: made with a one-time password, changed, disabled, and never without a Master."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from app.core.errors import Conflict
from app.core.permissions import SYSTEM
from app.models import AuditRecord, IdempotencyRecord, User
from app.services import users

from .conftest import Firm

EVA = {"email": "Eva@Firm.example", "name": "Eva Rojas", "role": "trader"}


def created(firm: Firm, **fields: Any) -> Any:
    answer = firm.call("master", "POST", "/api/v1/users", json={**EVA, **fields})
    assert answer.status_code == 201, answer.get_json()
    return answer.get_json()


def csrf_token(page: str) -> str:
    return page.split('name="csrf-token" content="')[1].split('"')[0]


def signed_in(firm: Firm, email: str, password: str) -> FlaskClient:
    browser = firm.app.test_client()
    page = browser.get("/sign-in").get_data(as_text=True)
    token = csrf_token(page)
    answer = browser.post("/sign-in", data={"email": email, "password": password, "csrf_token": token})
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return browser


def choose(browser: FlaskClient, current: str, new: str) -> Any:
    page = browser.get("/account/password").get_data(as_text=True)
    token = csrf_token(page)
    form = {"current_password": current, "password": new, "csrf_token": token}
    return browser.post("/account/password", data=form)


def audited(firm: Firm, action: str) -> list[AuditRecord]:
    query = sa.select(AuditRecord).where(AuditRecord.action == action)
    return firm.run(lambda session: list(session.scalars(query)))


def test_a_one_time_password_opens_nothing_but_the_choice_of_another(firm: Firm) -> None:
    made = created(firm)
    assert (made["email"], made["must_change_password"]) == ("eva@firm.example", True)
    password = made["one_time_password"]
    browser = signed_in(firm, made["email"], password)
    for path in ("/", "/orders", "/account/keys", "/account/sessions"):
        answer = browser.get(path)
        assert (answer.status_code, answer.location) == (303, "/account/password"), path
    refused = browser.get("/api/v1/orders")
    assert (refused.status_code, refused.get_json()["code"]) == (403, "password_change_required")
    sockets = firm.app.extensions["socketio"].test_client(firm.app, flask_test_client=browser)
    assert not sockets.is_connected()

    short = choose(browser, password, "short")
    assert short.status_code == 422 and "current_password" in short.get_data(as_text=True)
    assert browser.get("/orders").status_code == 303
    done = choose(browser, password, "a longer word 41")
    assert (done.status_code, done.location) == (303, "/")
    assert browser.get("/orders").status_code == 200
    assert browser.get("/api/v1/orders").status_code == 200
    assert firm.run(lambda session: session.get_one(User, made["id"]).must_change_password) is False


def test_the_password_is_shown_once_and_kept_nowhere(firm: Firm, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"Idempotency-Key": "eva-1"}
    first = firm.call("master", "POST", "/api/v1/users", json=EVA, headers=headers).get_json()
    again = firm.call("master", "POST", "/api/v1/users", json=EVA, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.get_json() == {**first, "one_time_password": None}
    password = first["one_time_password"]
    kept = firm.run(lambda session: [row.body for row in session.scalars(sa.select(IdempotencyRecord))])
    trail = firm.run(lambda session: [repr(row.details) for row in session.scalars(sa.select(AuditRecord))])
    shown = firm.call("master", "GET", f"/api/v1/users/{first['id']}").get_data(as_text=True)
    for text in (*kept, *trail, caplog.text, shown):
        assert password not in text
    hashed = firm.run(lambda session: session.get_one(User, first["id"]).password_hash)
    assert hashed.startswith("$argon2id$")


def test_a_reset_ends_the_sessions_and_the_password_before(firm: Firm) -> None:
    made = created(firm)
    browser = signed_in(firm, made["email"], made["one_time_password"])
    choose(browser, made["one_time_password"], "a longer word 41")
    assert browser.get("/orders").status_code == 200
    reset = firm.call("master", "POST", f"/api/v1/users/{made['id']}/reset-password").get_json()
    assert reset["one_time_password"] != made["one_time_password"] and reset["must_change_password"]
    assert browser.get("/orders").location.startswith("/sign-in")
    signed_in(firm, made["email"], reset["one_time_password"])
    assert audited(firm, "user.password_reset")[0].details == {"sessions_ended": 1}


def test_a_user_of_a_client_names_the_client(firm: Firm) -> None:
    made = created(firm, role="client", client_id="C-2", email="luis2@firm.example")
    assert made["client_id"] == firm.ids["luis"]
    missing = firm.call("master", "POST", "/api/v1/users", json={**EVA, "role": "client"})
    assert (missing.status_code, missing.get_json()["code"]) == (422, "client_of_client")
    fixed = firm.call("master", "PATCH", f"/api/v1/users/{made['id']}", json={"role": "trader"})
    assert (fixed.status_code, fixed.get_json()["code"]) == (422, "role_of_client")


def test_changes_are_audited_with_before_and_after(firm: Firm) -> None:
    made = created(firm)
    answer = firm.call("master", "PATCH", f"/api/v1/users/{made['id']}", json={"role": "operator", "name": "Eva R."})
    assert answer.headers["ETag"] == '"v2"'
    record = audited(firm, "user.update")[0]
    assert record.actor == f"user:{firm.ids['master']}" and record.ip == "127.0.0.1"
    assert record.details["previous"] == {"role": "trader", "name": "Eva Rojas"}
    assert record.details["changed"] == {"role": "operator", "name": "Eva R."}
    stale = firm.call(
        "master", "PATCH", f"/api/v1/users/{made['id']}", json={"name": "E"}, headers={"If-Match": '"v1"'}
    )
    assert stale.status_code == 412


def test_disabling_ends_every_session_at_once(firm: Firm) -> None:
    trader = firm.ids["trader"]
    assert firm.call("trader", "GET", "/api/v1/orders").status_code == 200
    assert len(firm.call("master", "GET", f"/api/v1/users/{trader}/sessions").get_json()["items"]) == 1
    answer = firm.call("master", "PATCH", f"/api/v1/users/{trader}", json={"active": False})
    assert answer.get_json()["active"] is False
    assert firm.call("trader", "GET", "/api/v1/orders").status_code == 401
    assert audited(firm, "user.disable")[0].details["sessions_ended"] == 1
    enabled = firm.call("master", "PATCH", f"/api/v1/users/{trader}", json={"active": True})
    assert enabled.get_json()["active"] is True
    assert firm.call("trader", "GET", "/api/v1/orders").status_code == 401  # and signs in again


def test_sessions_are_ended_from_afar(firm: Firm) -> None:
    trader = firm.ids["trader"]
    assert firm.call("master", "POST", f"/api/v1/users/{trader}/end-sessions").get_json() == {"ended": 1}
    assert firm.call("trader", "GET", "/api/v1/orders").status_code == 401
    assert firm.call("master", "GET", f"/api/v1/users/{trader}/sessions").get_json()["items"] == []


@pytest.mark.parametrize("change", [{"active": False}, {"role": "trader"}])
def test_a_master_neither_disables_nor_demotes_themselves(firm: Firm, change: dict[str, Any]) -> None:
    created(firm, role="master", email="second@firm.example")
    answer = firm.call("master", "PATCH", f"/api/v1/users/{firm.ids['master']}", json=change)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "own_account")


@pytest.mark.parametrize("change", [{"active": False}, {"role": "trader"}])
def test_the_last_master_stays(firm: Firm, change: dict[str, Any]) -> None:
    second = created(firm, role="master", email="second@firm.example")["id"]
    firm.run(lambda session: setattr(session.get_one(User, firm.ids["master"]), "active", False))

    def work(session: Any) -> None:
        users.change(session, users.by_id(session, second, lock=True), dict(change), SYSTEM, firm.clock.now())

    with pytest.raises(Conflict) as refused:
        firm.run(work)
    assert refused.value.code == "last_master"


def test_an_address_belongs_to_one_user(firm: Firm) -> None:
    created(firm)
    again = firm.call("master", "POST", "/api/v1/users", json={**EVA, "email": "EVA@firm.example"})
    assert (again.status_code, again.get_json()["code"]) == (409, "email_taken")


def test_users_are_found_by_name_role_and_state(firm: Firm) -> None:
    def found(query: str) -> list[str]:
        items = firm.call("master", "GET", f"/api/v1/users?{query}").get_json()["items"]
        return [item["name"] for item in items]

    assert found("role=trader") == ["trader"]
    assert found("q=MASTER@") == ["master"]
    assert found("active=false") == []
    assert found("q=%25") == []


def test_no_key_reaches_users(firm: Firm) -> None:
    assert firm.call("key:firm", "POST", "/api/v1/users", json=EVA).status_code == 403


def test_the_pages_show_them(firm: Firm) -> None:
    page = firm.call("master", "GET", "/users").get_data(as_text=True)
    assert 'id="new-user"' in page
    one = firm.call("master", "GET", f"/users/{firm.ids['trader']}").get_data(as_text=True)
    assert 'id="switch-user"' in one and "trader@firm.example" in one
    own = firm.call("master", "GET", f"/users/{firm.ids['master']}").get_data(as_text=True)
    assert 'id="switch-user"' not in own
