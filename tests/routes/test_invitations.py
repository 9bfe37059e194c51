"""Invitations and forgotten passwords: a link that works once, and tells strangers nothing."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from app.core.errors import NotFound
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Principal, Role
from app.letters import LetterWriter
from app.models import AuditRecord, Mail, User, UserToken
from app.services import invitations, mails, passwords, users

from .conftest import Firm

NORA = {"email": "Nora@Firm.example", "name": "Nora Díaz", "role": "client", "client_id": "C-2"}
CHOSEN = "a longer word 41"


def invited(firm: Firm, **fields: Any) -> dict[str, Any]:
    answer = firm.call("master", "POST", "/api/v1/users/invite", json={**NORA, **fields})
    assert answer.status_code == 201, answer.get_json()
    found: dict[str, Any] = answer.get_json()
    return found


def mailed(firm: Firm) -> list[Mail]:
    return firm.run(lambda session: list(session.scalars(sa.select(Mail).order_by(Mail.id))))  # type: ignore[no-any-return]


def link_of(firm: Firm, mail: Mail) -> str:
    """As its recipient finds it in the letter."""
    attempt = mails.Attempt(mail.id, mail.template, mail.language, mail.recipient, mail.sender, mail.data)
    found = re.search(r"https?://\S+(/password/choose\?token=\S+)", LetterWriter(firm.app).write(attempt).text)
    assert found is not None
    return found[1]


def csrf(page: str) -> str:
    return page.split('name="csrf-token" content="')[1].split('"')[0]


def choose(browser: FlaskClient, link: str, password: str = CHOSEN, again: str | None = None) -> Any:
    page = browser.get(link).text
    token = link.partition("token=")[2]
    form = {"token": token, "password": password, "again": password if again is None else again}
    return browser.post("/password/choose", data={"csrf_token": csrf(page), **form})


def sign_in(firm: Firm, email: str, password: str) -> Any:
    browser = firm.app.test_client()
    form = {"csrf_token": csrf(browser.get("/sign-in").text), "email": email, "password": password}
    return browser.post("/sign-in", data=form)


def forget(firm: Firm, email: str, ip: str = "192.0.2.1") -> Any:
    browser = firm.app.test_client()
    form = {"csrf_token": csrf(browser.get("/password/forgotten").text), "email": email}
    return browser.post("/password/forgotten", data=form, environ_base={"REMOTE_ADDR": ip})


def audited(firm: Firm) -> list[str]:
    query = sa.select(AuditRecord.action).order_by(AuditRecord.id)
    return firm.run(lambda session: list(session.scalars(query)))  # type: ignore[no-any-return]


def test_an_invitation_lets_somebody_choose_the_only_password_there_is(firm: Firm) -> None:
    made = invited(firm)
    assert (made["email"], made["must_change_password"], made["client_id"]) == (
        "nora@firm.example",
        False,
        firm.ids["luis"],
    )
    (mail,) = mailed(firm)
    assert (mail.template, mail.recipient, mail.status) == ("invitation", "nora@firm.example", "waiting")
    link = link_of(firm, mail)
    browser = firm.app.test_client()
    for _ in range(2):  # a mail program that looks at links uses nothing up
        page = browser.get(link)
        assert page.status_code == 200 and "nora@firm.example" in page.text
    done = choose(browser, link)
    assert (done.status_code, done.location) == (303, "/sign-in")
    assert sign_in(firm, "nora@firm.example", CHOSEN).status_code == 303
    assert audited(firm)[-4:] == ["user.create", "user.invite", "user.password_chosen", "user.sign_in"]
    assert browser.get(link).status_code == 404
    assert choose(firm.app.test_client(), link, "another word 4711").status_code == 404


def test_neither_the_database_nor_the_waiting_mail_holds_the_link(firm: Firm) -> None:
    invited(firm)
    (mail,) = mailed(firm)
    token = link_of(firm, mail).partition("token=")[2]
    row = firm.run(lambda session: session.scalars(sa.select(UserToken)).one())
    assert len(token) >= 43
    assert token not in str(mail.data) and token not in (row.id, row.token_hash)


@pytest.mark.parametrize(
    ("password", "again", "sentence"),
    [
        ("short", None, "12 to 128"),
        ("passwordpassword", None, "tried first"),
        ("nora-the-first-one", None, "name of the e-mail"),
        (CHOSEN, "another word 42", "not the same"),
    ],
)
def test_a_bad_choice_leaves_the_link_good(firm: Firm, password: str, again: str | None, sentence: str) -> None:
    invited(firm)
    link, browser = link_of(firm, mailed(firm)[0]), firm.app.test_client()
    refused = choose(browser, link, password, again)
    assert refused.status_code == 422 and sentence in refused.text and password not in refused.text
    assert choose(browser, link).status_code == 303


@pytest.mark.parametrize("what", ["expired", "replaced", "disabled", "made up", "none"])
def test_a_link_that_ended_says_so_in_one_wording(firm: Firm, what: str) -> None:
    made = invited(firm)
    link = link_of(firm, mailed(firm)[0])
    if what == "expired":
        firm.clock.advance(3 * 24 * 3600)
    elif what == "replaced":
        assert firm.call("master", "POST", f"/api/v1/users/{made['id']}/send-invitation", json={}).status_code == 200
    elif what == "disabled":
        firm.run(
            lambda session: users.disable(
                session, users.by_id(session, made["id"], lock=True), SYSTEM, firm.clock.now()
            )
        )
    elif what == "made up":
        link = "/password/choose?token=" + "A" * 43
    else:
        link = "/password/choose"
    page = firm.app.test_client().get(link)
    assert page.status_code == 404 and "has been used, has expired, or was replaced" in page.text
    assert choose(firm.app.test_client(), link).status_code == 404


def test_staff_is_mailed_and_let_in_when_a_second_master_agrees_and_not_before(firm: Firm) -> None:
    made = invited(firm, role="operator", client_id=None)
    assert (made["active"], mailed(firm)) == (False, [])
    approvals = firm.app.extensions["services"].approvals
    second = Principal("user", new_id(), "second", role=Role.MASTER)
    firm.run(lambda s: approvals.decide(s, made["approval_id"], True, None, second, firm.clock.now()).status)
    assert firm.run(lambda s: approvals.carry_out(s, made["approval_id"], firm.clock.now()))
    (mail,) = mailed(firm)
    choose(firm.app.test_client(), link_of(firm, mail))
    assert sign_in(firm, "nora@firm.example", CHOSEN).status_code == 303


def test_only_who_has_never_signed_in_is_invited_again(firm: Firm) -> None:
    made = invited(firm)
    path = f"/api/v1/users/{made['id']}/send-invitation"
    assert firm.call("master", "POST", path, json={}).status_code == 200
    first, second = mailed(firm)
    assert choose(firm.app.test_client(), link_of(firm, second)).status_code == 303
    assert firm.app.test_client().get(link_of(firm, first)).status_code == 404
    assert sign_in(firm, "nora@firm.example", CHOSEN).status_code == 303
    refused = firm.call("master", "POST", path, json={})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "not_invitable")
    assert firm.call("trader", "POST", path, json={}).status_code == 403


def test_nobody_signs_in_before_choosing(firm: Firm) -> None:
    invited(firm)
    for password in ("-", "", CHOSEN):
        assert sign_in(firm, "nora@firm.example", password).status_code in (401, 422)


def test_an_address_is_invited_once(firm: Firm) -> None:
    invited(firm)
    refused = firm.call("master", "POST", "/api/v1/users/invite", json=NORA)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "email_taken")
    assert len(mailed(firm)) == 1


# forgotten passwords


def with_password(firm: Firm, name: str = "client") -> str:
    hashed = passwords.hash_password(f"{name}@firm.example", "violin-otter-47")

    def work(session: Any) -> None:
        session.get_one(User, firm.ids[name]).password_hash = hashed

    firm.run(work)
    return f"{name}@firm.example"


def test_a_forgotten_password_is_replaced_and_every_session_ends(firm: Firm) -> None:
    email = with_password(firm)
    assert firm.call("client", "GET", "/account/sessions").status_code == 200
    assert forget(firm, "  CLIENT@firm.example ").status_code == 200
    (mail,) = mailed(firm)
    assert (mail.template, mail.recipient) == ("password_reset", email)
    assert firm.call("client", "GET", "/account/sessions").status_code == 200, "asking alone changes nothing"
    assert choose(firm.app.test_client(), link_of(firm, mail)).status_code == 303
    assert firm.call("client", "GET", "/account/sessions").status_code == 303
    assert sign_in(firm, email, "violin-otter-47").status_code == 401
    assert sign_in(firm, email, CHOSEN).status_code == 303
    assert [mail.template for mail in mailed(firm)] == ["password_reset", "security_notice"]


def test_a_stranger_learns_nothing(firm: Firm) -> None:
    firm.run(
        lambda session: users.disable(
            session, users.by_id(session, firm.ids["trader"], lock=True), SYSTEM, firm.clock.now()
        )
    )

    def shown(email: str) -> str:
        answer = forget(firm, email)
        assert answer.status_code == 200
        return re.sub(r'(content|value)="[^"]+"', "", answer.text)

    assert shown("client@firm.example") == shown("nobody@firm.example") == shown("trader@firm.example")
    assert [mail.recipient for mail in mailed(firm)] == ["client@firm.example"]


def test_nobody_is_flooded_with_mails(firm: Firm) -> None:
    for number in range(6):
        firm.clock.advance(60)
        assert forget(firm, "client@firm.example", f"192.0.2.{number}").status_code == 200
    assert len(mailed(firm)) == 3
    answers = [forget(firm, "client@firm.example").status_code for _ in range(8)]
    assert answers[-1] == 429


def test_a_reset_link_lasts_an_hour(firm: Firm) -> None:
    forget(firm, "client@firm.example")
    link = link_of(firm, mailed(firm)[0])
    firm.clock.advance(3599)
    assert firm.app.test_client().get(link).status_code == 200
    firm.clock.advance(1)
    assert firm.app.test_client().get(link).status_code == 404


def test_many_at_once_choose_once(firm_on_each: Firm) -> None:
    firm = firm_on_each
    invited(firm)
    token = link_of(firm, mailed(firm)[0]).partition("token=")[2]
    database, outcomes = firm.app.extensions["services"].database, []

    def use(number: int) -> None:
        try:
            invitations.choose_password(database, token, f"{CHOSEN} {number}", "192.0.2.1", firm.clock.now())
            outcomes.append("chosen")
        except NotFound:
            outcomes.append("ended")

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["chosen"] + ["ended"] * 7


def test_the_mail_page_shows_no_content_and_tries_again(firm: Firm) -> None:
    invited(firm)
    listed = firm.call("operator", "GET", "/api/v1/admin/mails?status=waiting").get_json()
    (item,) = listed["items"]
    assert item["recipient"] == "nora@firm.example" and "data" not in item
    assert firm.call("master", "POST", f"/api/v1/admin/mails/{item['id']}/send-again", json={}).status_code == 409
    firm.run(lambda session: session.execute(sa.update(Mail).values(status="failed")))
    health = firm.call("master", "GET", "/api/v1/health/services").get_json()["services"]
    (part,) = [part for part in health if part["name"] == "mail"]
    assert (part["status"], part["figures"]["failed"]) == ("degraded", 1)
    again = firm.call("master", "POST", f"/api/v1/admin/mails/{item['id']}/send-again", json={})
    assert (again.status_code, again.get_json()["status"]) == (200, "waiting")
