"""The second step of signing in, and proving again who one is, in a browser's terms."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pyotp
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.letters import LetterWriter
from app.models import AuditRecord, Mail, SignInAttempt, User, UserSession
from app.services import mails, passwords, totp

from .conftest import Firm

PASSWORD = "violin-otter-47"
HASH = passwords.hash_password("x@firm.example", PASSWORD)


@pytest.fixture
def firm(firm: Firm) -> Firm:
    def work(session: Any) -> None:
        session.execute(sa.update(User).values(password_hash=HASH))

    firm.run(work)
    return firm


class Browser:
    """Somebody at a keyboard: forms are filled on the page before."""

    def __init__(self, app: Flask, name: str = "operator") -> None:
        self.client: FlaskClient = app.test_client()
        self.email = f"{name}@firm.example"

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(path, **options)

    def post(self, path: str, page: str, **form: str) -> TestResponse:
        found = re.search(r'name="csrf-token" content="([^"]+)"', self.get(page).text)
        assert found is not None, page
        return self.client.post(path, data={"csrf_token": found[1], **form})

    def sign_in(self, password: str = PASSWORD, **form: str) -> TestResponse:
        return self.post("/sign-in", "/sign-in", email=self.email, password=password, **form)

    def code(self, code: str, **form: str) -> TestResponse:
        return self.post("/sign-in/code", "/sign-in/code", code=code, **form)

    def is_in(self) -> bool:
        return self.get("/account/sessions").status_code == 200

    def set_up(self, firm: Firm) -> str:
        """Turn the second step on; returns the app's secret."""
        assert self.post("/account/totp/begin", "/account/security").status_code == 303
        found = re.search(r'id="totp-secret">([A-Z2-7]+)<', self.get("/account/security").text)
        assert found is not None
        done = self.post("/account/totp/confirm", "/account/security", code=now_of(firm, found[1]))
        assert done.status_code == 303
        return found[1]


def now_of(firm: Firm, secret: str) -> str:
    return pyotp.TOTP(secret).at(firm.clock.now())


@pytest.fixture
def browser(firm: Firm) -> Browser:
    browser = Browser(firm.app)
    assert browser.sign_in().status_code == 303
    return browser


@pytest.fixture
def secret(firm: Firm, browser: Browser) -> str:
    """Of the operator, whose second step is on."""
    found = browser.set_up(firm)
    firm.clock.advance(60)
    return found


def audited(firm: Firm) -> list[str]:
    query = sa.select(AuditRecord.action).order_by(AuditRecord.id)
    return firm.run(lambda session: list(session.scalars(query)))  # type: ignore[no-any-return]


def test_a_second_step_is_set_up_with_a_code_and_then_asked_for(firm: Firm, secret: str) -> None:
    fresh = Browser(firm.app)
    halfway = fresh.sign_in(next="/orders")
    assert (halfway.status_code, halfway.location) == (303, "/sign-in/code?next=%2Forders")
    assert not fresh.is_in(), "the password alone opens nothing"
    done = fresh.post("/sign-in/code", "/sign-in/code?next=/orders", code=now_of(firm, secret), next="/orders")
    assert (done.status_code, done.location) == (303, "/orders")
    assert fresh.is_in()
    assert "user.totp_on" in audited(firm)
    mail = firm.run(lambda session: session.scalars(sa.select(Mail)).one())
    assert (mail.template, mail.data["what"]) == ("security_notice", "totp_on")


def test_the_database_does_not_hold_the_secret(firm: Firm, secret: str) -> None:
    row = firm.run(lambda session: session.get_one(User, firm.ids["operator"]))
    assert secret not in str(row.totp_secret) and len(row.totp_secret) <= 200


def test_a_code_is_good_once(firm: Firm, secret: str) -> None:
    code = now_of(firm, secret)
    first, second = Browser(firm.app), Browser(firm.app)
    first.sign_in()
    second.sign_in()
    assert first.code(code).status_code == 303
    assert second.code(code).status_code == 401 and not second.is_in()
    firm.clock.advance(30)
    assert second.code(now_of(firm, secret)).status_code == 303


def test_an_older_code_is_not_good_after_a_newer_one(firm: Firm, secret: str) -> None:
    older = now_of(firm, secret)
    firm.clock.advance(30)
    first, second = Browser(firm.app), Browser(firm.app)
    first.sign_in()
    assert first.code(now_of(firm, secret)).status_code == 303
    second.sign_in()
    assert second.code(older).status_code == 401


@pytest.mark.parametrize(("seconds", "status"), [(-30, 303), (30, 303), (-60, 401), (60, 401)])
def test_a_telephone_may_be_half_a_minute_off(firm: Firm, secret: str, seconds: int, status: int) -> None:
    firm.clock.advance(600)
    browser = Browser(firm.app)
    browser.sign_in()
    assert browser.code(pyotp.TOTP(secret).at(int(firm.clock.now().timestamp()) + seconds)).status_code == status


@pytest.mark.parametrize("wrong", ["", "000000x", "１２３４５６", "12345", "a" * 500])
def test_what_is_no_code_is_wrong(firm: Firm, secret: str, wrong: str) -> None:
    browser = Browser(firm.app)
    browser.sign_in()
    assert browser.code(wrong).status_code == 401 and not browser.is_in()


def test_codes_are_guessed_slowly_from_wherever(firm: Firm, secret: str) -> None:
    answers = []
    for number in range(8):
        browser = Browser(firm.app)
        browser.client.environ_base["REMOTE_ADDR"] = f"192.0.2.{number}"
        browser.sign_in()
        answers.append(browser.code("000000").status_code)
    assert answers[:5] == [401] * 5 and answers[-1] == 429
    firm.clock.advance(901)
    browser = Browser(firm.app)
    browser.sign_in()
    assert browser.code(now_of(firm, secret)).status_code == 303
    counted = firm.run(lambda session: list(session.scalars(sa.select(SignInAttempt.email))))
    assert counted and not any(name.startswith("\x1f") for name in counted), "a right code forgets the wrong ones"


def test_a_stranger_cannot_make_the_owner_wait_for_the_code(firm: Firm, secret: str) -> None:
    stranger = Browser(firm.app)
    for _ in range(4):
        for email in (f"\x1f{firm.ids['operator']}", firm.ids["operator"]):
            stranger.post("/sign-in", "/sign-in", email=email, password="wrong-password-1")
    owner = Browser(firm.app)
    owner.client.environ_base["REMOTE_ADDR"] = "192.0.2.9"
    owner.sign_in()
    assert owner.code(now_of(firm, secret)).status_code == 303


@pytest.mark.parametrize("change", ["late", "password", "disabled"])
def test_the_first_step_does_not_last(firm: Firm, secret: str, change: str) -> None:
    browser = Browser(firm.app)
    browser.sign_in()
    page = browser.get("/sign-in/code").text
    if change == "late":
        firm.clock.advance(300)
    else:
        values = {"version": User.version + 1} if change == "password" else {"active": False}
        firm.run(
            lambda session: session.execute(sa.update(User).where(User.id == firm.ids["operator"]).values(**values))
        )
    token = re.search(r'name="csrf-token" content="([^"]+)"', page)
    assert token is not None
    answer = browser.client.post("/sign-in/code", data={"csrf_token": token[1], "code": now_of(firm, secret)})
    assert (answer.status_code, answer.location) == (303, "/sign-in")
    assert browser.get("/sign-in/code").location == "/sign-in" and not browser.is_in()


def test_a_wrong_first_code_turns_nothing_on(firm: Firm, browser: Browser) -> None:
    browser.post("/account/totp/begin", "/account/security")
    refused = browser.post("/account/totp/confirm", "/account/security", code="000000")
    assert refused.status_code == 422
    assert Browser(firm.app).sign_in().location == "/"


def test_the_picture_is_the_secret_and_only_until_it_counts(firm: Firm, browser: Browser) -> None:
    assert browser.get("/account/totp/image.svg").status_code == 404
    browser.post("/account/totp/begin", "/account/security")
    image = browser.get("/account/totp/image.svg")
    assert image.content_type.startswith("image/svg+xml") and image.headers["Cache-Control"] == "no-store"
    assert ElementTree.fromstring(image.data).tag.endswith("svg")
    found = re.search(r'id="totp-secret">([A-Z2-7]+)<', browser.get("/account/security").text)
    assert found is not None
    browser.post("/account/totp/confirm", "/account/security", code=now_of(firm, found[1]))
    assert browser.get("/account/totp/image.svg").status_code == 404
    assert found[1] not in browser.get("/account/security").text


def test_a_second_step_is_taken_away_by_oneself(firm: Firm, browser: Browser, secret: str) -> None:
    assert browser.post("/account/totp/remove", "/account/security").status_code == 303
    assert Browser(firm.app).sign_in().location == "/"
    assert "user.totp_off" in audited(firm)


def test_a_master_takes_it_away_and_the_person_is_told(firm: Firm, browser: Browser, secret: str) -> None:
    path = f"/api/v1/users/{firm.ids['operator']}/remove-second-step"
    shown = firm.call("master", "GET", f"/api/v1/users/{firm.ids['operator']}").get_json()
    assert shown["totp"] is True
    assert firm.call("middle_office", "POST", path, json={}).status_code == 403
    done = firm.call("master", "POST", path, json={})
    assert (done.status_code, done.get_json()["totp"]) == (200, False)
    assert not browser.is_in()
    assert Browser(firm.app).sign_in().location == "/"
    told = firm.run(lambda session: [mail.data["what"] for mail in session.scalars(sa.select(Mail).order_by(Mail.id))])
    assert told == ["totp_on", "totp_off"]
    assert firm.call("master", "POST", path, json={}).status_code == 409


# where the firm's people need one


def test_staff_get_nowhere_without_one_where_it_is_required(open_app: Any) -> None:
    firm = open_app(totp_for_staff="always")
    firm.run(lambda session: session.execute(sa.update(User).values(password_hash=HASH)))
    operator = Browser(firm.app)
    assert operator.sign_in().status_code == 303
    for path in ("/", "/orders", "/account/keys"):
        answer = operator.get(path)
        assert (answer.status_code, answer.location) == (303, "/account/security"), path
    refused = operator.get("/api/v1/orders")
    assert (refused.status_code, refused.get_json()["code"]) == (403, "totp_required")
    sockets = firm.app.extensions["socketio"].test_client(firm.app, flask_test_client=operator.client)
    assert not sockets.is_connected()
    operator.set_up(firm)
    assert operator.get("/orders").status_code == 200
    assert operator.get("/api/v1/orders").status_code == 200
    client = Browser(firm.app, "client")
    client.sign_in()
    assert client.get("/orders").status_code == 200, "a client's people may have one, and need none"


# proof


def forget_proof(firm: Firm) -> None:
    firm.clock.advance(600)


def test_what_is_delicate_asks_again_after_a_while(firm: Firm, browser: Browser) -> None:
    forget_proof(firm)
    asked = browser.post("/account/totp/begin", "/account/security")
    assert (asked.status_code, asked.location) == (303, "/account/prove?next=%2Faccount%2Fsecurity")
    assert browser.post("/account/prove", asked.location, current_password="wrong-word-12").status_code == 422
    done = browser.post("/account/prove", asked.location, current_password=PASSWORD, next="/account/security")
    assert (done.status_code, done.location) == (303, "/account/security")
    assert browser.post("/account/totp/begin", "/account/security").location == "/account/security"
    assert audited(firm)[-1] == "user.proof"


def test_proof_goes_back_to_us_alone(firm: Firm, browser: Browser) -> None:
    done = browser.post("/account/prove", "/account/prove", current_password=PASSWORD, next="//evil.example")
    assert (done.status_code, done.location) == (303, "/")


def test_a_program_is_told_and_a_dialog_proves(firm: Firm, browser: Browser) -> None:
    master = Browser(firm.app, "master")
    master.sign_in()
    browser.set_up(firm)
    forget_proof(firm)
    token = re.search(r'name="csrf-token" content="([^"]+)"', master.get("/account/security").text)
    assert token is not None
    headers = {"X-CSRFToken": token[1], "Accept": "application/json"}
    path = f"/api/v1/users/{firm.ids['operator']}/remove-second-step"
    refused = master.client.post(path, json={}, headers=headers)
    assert (refused.status_code, refused.get_json()["code"]) == (403, "proof_required")
    wrong = master.client.post("/account/prove", json={"current_password": "no-no-no-12"}, headers=headers)
    assert (wrong.status_code, wrong.get_json()["code"]) == (422, "wrong_password")
    assert master.client.post("/account/prove", json=["x"], headers=headers).status_code == 422
    assert master.client.post(path, json={}, headers=headers).status_code == 403
    proof = {"current_password": PASSWORD}
    assert master.client.post("/account/prove", json=proof, headers=headers).status_code == 204
    assert master.client.post(path, json={}, headers=headers).status_code == 200


def test_proof_takes_the_code_too_where_there_is_a_second_step(firm: Firm, browser: Browser, secret: str) -> None:
    forget_proof(firm)
    alone = browser.post("/account/prove", "/account/prove", current_password=PASSWORD)
    assert alone.status_code == 422
    assert browser.post("/account/totp/remove", "/account/security").location.startswith("/account/prove")
    both = browser.post("/account/prove", "/account/prove", current_password=PASSWORD, code=now_of(firm, secret))
    assert both.status_code == 303
    assert browser.post("/account/totp/remove", "/account/security").location == "/account/security"


def test_proof_is_of_one_browser(firm: Firm, browser: Browser) -> None:
    other = Browser(firm.app)
    other.sign_in()
    forget_proof(firm)
    browser.post("/account/prove", "/account/prove", current_password=PASSWORD)
    assert browser.post("/account/totp/begin", "/account/security").location == "/account/security"
    assert other.post("/account/totp/begin", "/account/security").location.startswith("/account/prove")


def test_guessing_at_proof_is_slow(firm: Firm, browser: Browser) -> None:
    answers = [
        browser.post("/account/prove", "/account/prove", current_password="wrong-word-12").status_code for _ in range(7)
    ]
    assert answers[:5] == [422] * 5 and answers[-1] == 429


def test_a_key_proves_nothing(firm: Firm) -> None:
    path = f"/api/v1/users/{firm.ids['operator']}/remove-second-step"
    for key in ("key:firm", "key:client"):
        refused = firm.call(key, "POST", path, json={})
        assert (refused.status_code, refused.get_json()["code"]) == (403, "session_required")


def test_a_new_key_takes_the_code_too(firm: Firm) -> None:
    client = Browser(firm.app, "client")
    client.sign_in()
    secret = client.set_up(firm)
    firm.clock.advance(60)
    form = {"name": "bot", "scopes": "read", "current_password": PASSWORD}
    refused = client.post("/account/keys", "/account/keys", **form, code="000000")
    assert refused.status_code == 422 and 'name="code"' in refused.text
    assert client.post("/account/keys", "/account/keys", **form, code=now_of(firm, secret)).status_code == 201


def test_a_key_is_replaced_after_proof_and_its_owner_is_told(firm: Firm) -> None:
    client = Browser(firm.app, "client")
    client.sign_in()
    old, key_id = firm.keys["key:client"], firm.ids["key:client"]
    path = f"/account/keys/{key_id}/rotate"
    forget_proof(firm)
    asked = client.post(path, "/account/keys")
    assert (asked.status_code, asked.location.partition("?")[0]) == (303, "/account/prove")
    client.post("/account/prove", "/account/prove", current_password=PASSWORD)
    done = client.post(path, "/account/keys")
    assert done.status_code == 201
    found = re.search(r'id="secret">(ck_[^<]+)<', done.text)
    assert found is not None

    def status(key: str) -> int:
        return firm.app.test_client().get("/api/v1/wallets", headers={"X-API-Key": key}).status_code

    assert status(found[1]) == status(old) == 200
    firm.clock.advance(24 * 3600)
    assert (status(found[1]), status(old)) == (200, 401)
    mail = firm.run(lambda session: session.scalars(sa.select(Mail)).one())
    assert (mail.recipient, mail.data["what"]) == ("client@firm.example", "key")
    theirs = Browser(firm.app, "client")
    theirs.sign_in()
    assert theirs.post(f"/account/keys/{firm.ids['key:other']}/rotate", "/account/keys").status_code == 404


def test_an_idle_session_proves_nothing(firm: Firm, browser: Browser) -> None:
    firm.run(lambda session: session.execute(sa.update(UserSession).values(proven_at=None)))
    assert browser.post("/account/totp/begin", "/account/security").location.startswith("/account/prove")


def test_another_secret_key_opens_no_seal(firm: Firm, secret: str) -> None:
    user = firm.run(lambda session: session.get_one(User, firm.ids["operator"]))
    assert totp.accept(user, "another key", now_of(firm, secret), firm.clock.now()) is False
    assert totp.accept(user, firm.app.config["SECRET_KEY"], now_of(firm, secret), firm.clock.now()) is True


# another address


def address_link(firm: Firm) -> str:
    mail = firm.run(
        lambda session: session.scalars(
            sa.select(Mail).where(Mail.template == "email_change").order_by(Mail.id.desc()).limit(1)
        ).one()
    )
    attempt = mails.Attempt(mail.id, mail.template, "en", mail.recipient, mail.sender, mail.data)
    found = re.search(r"(/account/email/confirm\?token=\S+)", LetterWriter(firm.app).write(attempt).text)
    assert found is not None
    return found[1]


def ask(browser: Browser, email: str) -> TestResponse:
    return browser.post("/account/email", "/account/security", email=email)


def confirm(firm: Firm, link: str) -> TestResponse:
    browser = Browser(firm.app)
    return browser.post("/account/email/confirm", link, token=link.partition("token=")[2])


def test_another_address_counts_once_its_link_was_used(firm: Firm, browser: Browser) -> None:
    assert ask(browser, " Olga@New.example ").status_code == 303
    assert Browser(firm.app).sign_in().status_code == 303, "asking changes nothing"
    link = address_link(firm)
    assert browser.get(link).status_code == 200
    assert firm.app.test_client().get(link.replace("/account/email/confirm", "/password/choose")).status_code == 404
    assert confirm(firm, link).status_code == 303
    assert Browser(firm.app).sign_in().status_code == 401
    fresh = Browser(firm.app)
    fresh.email = "olga@new.example"
    assert fresh.sign_in().status_code == 303
    assert confirm(firm, link).status_code == 404
    told = firm.run(lambda session: session.scalars(sa.select(Mail).where(Mail.template == "security_notice")).one())
    assert (told.recipient, told.data["what"]) == ("operator@firm.example", "email")
    assert "user.email_change" in audited(firm)


def test_an_address_that_somebody_has_is_not_taken_and_not_told(firm: Firm, browser: Browser) -> None:
    answer = ask(browser, "trader@firm.example")
    assert (answer.status_code, answer.location) == (303, "/account/security")
    assert firm.run(lambda session: session.scalars(sa.select(Mail)).all()) == []
    ask(browser, "olga@new.example")
    link = address_link(firm)
    firm.run(
        lambda session: session.execute(
            sa.update(User).where(User.id == firm.ids["trader"]).values(email="olga@new.example")
        )
    )
    assert confirm(firm, link).status_code == 404


def test_an_address_is_changed_after_proof_and_not_too_often(firm: Firm, browser: Browser) -> None:
    for wrong in ("olga", "operator@firm.example", "a@b.example\r\nBcc: c@d.example"):
        assert ask(browser, wrong).status_code == 422
    assert [ask(browser, f"o{n}@new.example").status_code for n in range(4)] == [303, 303, 303, 409]
    forget_proof(firm)
    assert ask(browser, "o9@new.example").location.startswith("/account/prove")


def test_a_changed_password_is_told(firm: Firm, browser: Browser) -> None:
    form = {"current_password": PASSWORD, "password": "a longer word 41"}
    assert browser.post("/account/password", "/account/sessions", **form).status_code == 303
    told = firm.run(lambda session: session.scalars(sa.select(Mail)).one())
    assert (told.recipient, told.data["what"]) == ("operator@firm.example", "password")


def test_a_command_takes_a_lost_second_step_away(firm: Firm, browser: Browser, secret: str) -> None:
    done = firm.app.test_cli_runner().invoke(args=["users", "remove-second-step", "operator@firm.example"])
    assert done.exit_code == 0, done.output
    assert not browser.is_in()
    assert Browser(firm.app).sign_in().location == "/"
