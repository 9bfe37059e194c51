"""Users: made with a one-time password, changed, disabled, and never without a Master."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from app.core.errors import Conflict
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Principal, Role
from app.models import AuditRecord, IdempotencyRecord, User
from app.services import users

from .conftest import Firm

EVA = {"email": "Eva@Firm.example", "name": "Eva Rojas", "role": "trader"}


def created(firm: Firm, **fields: Any) -> Any:
    """A new user, whom a second Master has let in."""
    answer = firm.call("master", "POST", "/api/v1/users", json={**EVA, **fields})
    assert answer.status_code == 201, answer.get_json()
    made = answer.get_json()
    if made["approval_id"] is not None:
        agree(firm, made["approval_id"])
    return made


def agree(firm: Firm, approval_id: str) -> None:
    """As another Master, who has no account: the tests count the firm's."""

    def decide(session: Any) -> str:
        second = Principal("user", new_id(), "second", role=Role.MASTER)
        return approvals.decide(session, approval_id, True, None, second, firm.clock.now()).status

    approvals = firm.app.extensions["services"].approvals
    assert firm.run(decide) == "approved"
    assert firm.run(lambda session: approvals.carry_out(session, approval_id, firm.clock.now()))


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
    answer = firm.call("master", "PATCH", f"/api/v1/users/{made['id']}", json={"name": "Eva R."})
    assert answer.headers["ETag"] == '"v3"'  # let in, and named anew
    record = audited(firm, "user.update")[1]
    assert record.actor == f"user:{firm.ids['master']}" and record.ip == "127.0.0.1"
    assert record.details["previous"] == {"name": "Eva Rojas"}
    assert record.details["changed"] == {"name": "Eva R."}
    stale = firm.call(
        "master", "PATCH", f"/api/v1/users/{made['id']}", json={"name": "E"}, headers={"If-Match": '"v1"'}
    )
    assert stale.status_code == 412


def state(firm: Firm, user_id: str) -> tuple[str, bool]:
    user = firm.call("master", "GET", f"/api/v1/users/{user_id}").get_json()
    return user["role"], user["active"]


def test_new_staff_comes_in_when_a_second_master_agrees(firm: Firm) -> None:
    made = firm.call("master", "POST", "/api/v1/users", json=EVA).get_json()
    assert made["active"] is False
    proposal = firm.call("master", "GET", f"/api/v1/approvals/{made['approval_id']}").get_json()
    assert (proposal["kind"], proposal["object_id"], proposal["may_decide"]) == ("staff", made["id"], False)
    assert proposal["content"]["before"] == {"role": "trader", "active": False}
    assert proposal["content"]["after"] == {"role": "trader", "active": True}
    own = firm.call("master", "POST", f"/api/v1/approvals/{proposal['id']}/approve", json={})
    assert (own.status_code, own.get_json()["code"]) == (403, "own_proposal")
    enabled = firm.call("master", "PATCH", f"/api/v1/users/{made['id']}", json={"active": True})
    assert (enabled.status_code, enabled.get_json()["code"]) == (409, "approval_pending")
    assert state(firm, made["id"]) == ("trader", False)
    agree(firm, proposal["id"])
    assert state(firm, made["id"]) == ("trader", True)
    signed_in(firm, made["email"], made["one_time_password"])


def test_a_role_changes_when_a_second_master_agrees_and_its_bearer_signs_in_again(firm: Firm) -> None:
    trader = firm.ids["trader"]
    answer = firm.call("master", "PATCH", f"/api/v1/users/{trader}", json={"role": "operator", "name": "Tomás"})
    changed = answer.get_json()
    assert (answer.status_code, changed["role"], changed["name"]) == (202, "trader", "Tomás")
    assert firm.call("trader", "GET", "/api/v1/orders").status_code == 200
    agree(firm, changed["approval_id"])
    assert state(firm, trader) == ("operator", True)
    assert firm.call("trader", "GET", "/api/v1/orders").status_code == 401


def test_a_proposal_about_a_role_that_has_changed_since_has_no_effect(firm: Firm) -> None:
    trader, approvals = firm.ids["trader"], firm.app.extensions["services"].approvals
    waiting = firm.call("master", "PATCH", f"/api/v1/users/{trader}", json={"role": "master"}).get_json()
    firm.run(
        lambda session: users.change(
            session, users.by_id(session, trader, lock=True), {"role": "operator"}, SYSTEM, firm.clock.now()
        )
    )
    second = Principal("user", new_id(), "second", role=Role.MASTER)
    firm.run(lambda s: approvals.decide(s, waiting["approval_id"], True, None, second, firm.clock.now()).status)
    assert not firm.run(lambda s: approvals.carry_out(s, waiting["approval_id"], firm.clock.now()))
    proposal = firm.call("master", "GET", f"/api/v1/approvals/{waiting['approval_id']}").get_json()
    assert (proposal["status"], state(firm, trader)) == ("failed", ("operator", True))


def test_disabling_needs_nobody_else_and_ends_what_waits(firm: Firm) -> None:
    trader = firm.ids["trader"]
    waiting = firm.call("master", "PATCH", f"/api/v1/users/{trader}", json={"role": "master"}).get_json()
    disabled = firm.call("master", "PATCH", f"/api/v1/users/{trader}", json={"active": False})
    assert (disabled.status_code, disabled.get_json()["approval_id"]) == (200, None)
    proposal = firm.call("master", "GET", f"/api/v1/approvals/{waiting['approval_id']}").get_json()
    assert (proposal["status"], proposal["reason"]) == ("voided", "the user was disabled")
    assert state(firm, trader) == ("trader", False)


def test_whoever_becomes_a_master_does_not_decide_on_it(firm: Firm) -> None:
    """Nor does anybody who is no Master, whatever else they may approve."""
    second = created(firm, role="master", email="second@firm.example")
    trader = firm.ids["trader"]
    waiting = firm.call("master", "PATCH", f"/api/v1/users/{trader}", json={"role": "master"}).get_json()
    path = f"/api/v1/approvals/{waiting['approval_id']}/approve"
    for who, status in (("trader", 403), ("middle_office", 404), ("operator", 404), ("client", 403)):
        assert firm.call(who, "POST", path, json={}).status_code == status, who
    assert state(firm, second["id"]) == ("master", True) and state(firm, trader) == ("trader", True)


def test_disabling_ends_every_session_at_once(firm: Firm) -> None:
    trader = firm.ids["trader"]
    assert firm.call("trader", "GET", "/api/v1/orders").status_code == 200
    assert len(firm.call("master", "GET", f"/api/v1/users/{trader}/sessions").get_json()["items"]) == 1
    answer = firm.call("master", "PATCH", f"/api/v1/users/{trader}", json={"active": False})
    assert answer.get_json()["active"] is False
    assert firm.call("trader", "GET", "/api/v1/orders").status_code == 401
    assert audited(firm, "user.disable")[0].details["sessions_ended"] == 1
    enabled = firm.call("master", "PATCH", f"/api/v1/users/{trader}", json={"active": True})
    assert (enabled.status_code, enabled.get_json()["active"]) == (202, False)
    agree(firm, enabled.get_json()["approval_id"])
    assert firm.call("master", "GET", f"/api/v1/users/{trader}").get_json()["active"] is True
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
