"""Signing in and out, and a person's own sessions and keys, in a browser's terms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.config import TestingConfig
from app.core.clock import ManualClock
from app.core.permissions import SYSTEM, Role
from app.core.transaction import Database
from app.models import ApiKey, Client, User, UserSession
from app.routes.identity import own_path
from app.services import api_keys, clients, passwords, sign_in, users
from app.services.sockets import SocketAccess

PASSWORD = "violin-otter-47"
CLIENT, MASTER = "ana@firm.example", "master@firm.example"


@pytest.fixture
def app(sqlite_url: str, clock: ManualClock) -> Iterator[Flask]:
    app = create_app(TestingConfig(database_url=sqlite_url, session_idle_minutes=30), clock=clock)
    database: Database = app.extensions["services"].database
    hashes = {email: passwords.hash_password(email, PASSWORD) for email in (CLIENT, MASTER)}

    def work(session: Any) -> None:
        client = clients.create(session, "C-1", "Ana", SYSTEM, clock.now())
        users.create(
            session,
            email=CLIENT,
            name="Ana",
            role=Role.CLIENT,
            client=client,
            password_hash=hashes[CLIENT],
            principal=SYSTEM,
            now=clock.now(),
        )
        users.create(
            session,
            email=MASTER,
            name="M",
            role=Role.MASTER,
            password_hash=hashes[MASTER],
            principal=SYSTEM,
            now=clock.now(),
        )

    database.run(work)
    yield app
    database.dispose()


@pytest.fixture
def database(app: Flask) -> Database:
    database: Database = app.extensions["services"].database
    return database


class Browser:
    """A test client that reads the CSRF token off the page before, as a person's form does."""

    def __init__(self, app: Flask) -> None:
        self.client: FlaskClient = app.test_client()

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(path, **options)

    def csrf(self, page: str = "/sign-in") -> str:
        found = re.search(r'name="csrf-token" content="([^"]+)"', self.get(page).text)
        assert found is not None
        return found[1]

    def post(self, path: str, data: dict[str, Any] | None = None, *, page: str = "/sign-in", **options: Any) -> Any:
        return self.client.post(path, data={"csrf_token": self.csrf(page), **(data or {})}, **options)

    def sign_in(self, email: str = CLIENT, password: str = PASSWORD, **form: str) -> TestResponse:
        response: TestResponse = self.post("/sign-in", {"email": email, "password": password, **form})
        return response

    def is_signed_in(self) -> bool:
        return self.get("/account/sessions").status_code == 200

    def cookie(self) -> str:
        cookie = self.client.get_cookie("session")
        assert cookie is not None
        return cookie.value


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app)


@pytest.fixture
def ana(app: Flask) -> Browser:
    browser = Browser(app)
    assert browser.sign_in().status_code == 303
    return browser


@pytest.fixture
def master(app: Flask) -> Browser:
    browser = Browser(app)
    assert browser.sign_in(MASTER).status_code == 303
    return browser


def scalar(database: Database, query: Any) -> Any:
    return database.read(lambda session: session.scalar(query))


# in and out


def test_person_signs_in_and_out(browser: Browser, database: Database) -> None:
    assert browser.get("/account/sessions").headers["Location"] == "/sign-in?next=%2Faccount%2Fsessions"
    response = browser.sign_in(next="/account/sessions")
    assert (response.status_code, response.headers["Location"]) == (303, "/account/sessions")
    assert browser.is_signed_in()
    assert browser.post("/sign-out", page="/account/sessions").headers["Location"] == "/sign-in"
    assert not browser.is_signed_in()
    assert scalar(database, sa.select(sa.func.count(UserSession.id)).where(UserSession.ended_at.is_(None))) == 0


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"email": CLIENT, "password": "wrong-password-1"}, 401),
        ({"email": "nobody@firm.example", "password": PASSWORD}, 401),
        ({"email": "\x00", "password": PASSWORD}, 401),
        ({"email": CLIENT, "password": "x" * 5000}, 401),
        ({"email": "", "password": PASSWORD}, 422),
        ({}, 422),
    ],
)
def test_wrong_sign_in_says_nothing_of_what_was_wrong(browser: Browser, form: dict[str, str], status: int) -> None:
    response = browser.post("/sign-in", form)
    assert response.status_code == status
    assert 'role="alert"' in response.text and PASSWORD not in response.text
    assert not browser.is_signed_in()


def test_too_many_attempts_are_told_how_long_to_wait(browser: Browser) -> None:
    for _ in range(sign_in.FREE_ATTEMPTS):
        browser.sign_in(password="wrong-password-1")
    response = browser.sign_in()
    assert response.status_code == 429 and int(response.headers["Retry-After"]) >= 1


def test_form_of_another_site_signs_nobody_in(browser: Browser) -> None:
    response = browser.client.post("/sign-in", data={"email": CLIENT, "password": PASSWORD})
    assert response.status_code == 403
    assert not browser.is_signed_in()


def test_session_and_csrf_token_change_at_sign_in(browser: Browser) -> None:
    token, cookie = browser.csrf(), browser.cookie()
    browser.sign_in()
    stolen = Browser(browser.client.application)
    stolen.client.set_cookie("session", cookie)
    assert not stolen.is_signed_in(), "a cookie planted before the sign-in is worth nothing after it"
    assert browser.client.post("/sign-out", data={"csrf_token": token}).status_code == 403
    assert browser.is_signed_in()


def test_cookie_kept_through_sign_out_is_worthless(ana: Browser) -> None:
    cookie = ana.cookie()
    ana.post("/sign-out", page="/account/sessions")
    ana.client.set_cookie("session", cookie)
    assert not ana.is_signed_in()


def test_signing_in_again_ends_the_session_before(ana: Browser, database: Database) -> None:
    ana.post("/sign-in", {"email": MASTER, "password": PASSWORD}, page="/account/sessions")
    assert scalar(database, sa.select(sa.func.count(UserSession.id)).where(UserSession.ended_at.is_(None))) == 1


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "evil.example",
        "/\tevil",
        "/\n/evil.example",
        "",
    ],
)
def test_after_sign_in_one_stays_with_us(browser: Browser, target: str) -> None:
    assert browser.sign_in(next=target).headers["Location"] == "/"


def test_own_paths_are_kept_with_their_query() -> None:
    assert own_path("/orders?status=open&page=2") == "/orders?status=open&page=2"


def test_cookie_is_out_of_reach_of_scripts_and_other_sites(browser: Browser) -> None:
    browser.csrf()
    header = browser.post("/sign-in", {"email": CLIENT, "password": PASSWORD}).headers["Set-Cookie"]
    assert "HttpOnly" in header and "SameSite=Lax" in header


def test_session_ends_when_idle(ana: Browser, clock: ManualClock) -> None:
    for _ in range(3):
        clock.advance(29 * 60)
        assert ana.is_signed_in()
    clock.advance(31 * 60)
    assert not ana.is_signed_in()


def test_disabled_user_is_out_at_once(ana: Browser, database: Database, clock: ManualClock) -> None:
    database.run(lambda session: users.disable(session, users.by_email(session, CLIENT), SYSTEM, clock.now()))
    assert not ana.is_signed_in()


def deactivate(app: Flask, master: Browser, active: bool = False) -> None:
    answer = master.client.patch(
        "/api/v1/clients/C-1", json={"active": active}, headers={"X-CSRFToken": master.csrf("/account/sessions")}
    )
    assert answer.status_code == 200


def test_people_of_a_deactivated_client_are_out_at_once(
    app: Flask, ana: Browser, master: Browser, database: Database, clock: ManualClock
) -> None:
    key, secret = database.run(
        lambda s: api_keys.create(
            s,
            api_keys.KeyRequest("bot", ("read", "trade"), client=s.scalars(sa.select(Client)).one()),
            SYSTEM,
            clock.now(),
        )
    )
    keyed = {"X-API-Key": secret}
    session_id = scalar(database, sa.select(UserSession.id).join(User).where(User.email == CLIENT))
    user_id = scalar(database, sa.select(User.id).where(User.email == CLIENT))
    ended: list[dict[str, str]] = []
    app.extensions["sockets"].disconnect = lambda **which: ended.append(which)
    assert app.test_client().get("/api/v1/wallets", headers=keyed).status_code == 200

    deactivate(app, master)
    assert not ana.is_signed_in()
    assert app.test_client().get("/api/v1/wallets", headers=keyed).status_code == 401
    wrong, refused = Browser(app).sign_in(password="wrong-password-1"), Browser(app).sign_in()
    alert = re.compile(r'role="alert".*?</', re.S)
    assert refused.status_code == wrong.status_code == 401
    assert alert.findall(refused.text) == alert.findall(wrong.text) != []
    assert ended == [{"user": user_id}, {"key": key.id}]
    access = SocketAccess(app.extensions["services"])  # what another process asks about its sockets
    assert access.ended({("session", session_id), ("key", key.id)}) == {("session", session_id), ("key", key.id)}
    assert master.is_signed_in()

    deactivate(app, master, active=True)
    assert not ana.is_signed_in(), "the session has ended; they sign in again"
    assert Browser(app).sign_in().status_code == 303


def test_an_open_session_of_an_inactive_client_is_worth_nothing(app: Flask, ana: Browser, database: Database) -> None:
    """However it became so: what decides is the client, and not whether the session was ended."""
    session_id = scalar(database, sa.select(UserSession.id))
    database.run(lambda s: s.execute(sa.update(Client).values(active=False)))
    assert not ana.is_signed_in()
    assert SocketAccess(app.extensions["services"]).ended({("session", session_id)}) == {("session", session_id)}


# keys and sessions as credentials


def make_key(database: Database, clock: ManualClock) -> tuple[ApiKey, str]:
    request = api_keys.KeyRequest("bot", ("read",), system=True)
    return database.run(lambda session: api_keys.create(session, request, SYSTEM, clock.now()))


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
def test_key_is_taken_from_either_header(app: Flask, database: Database, clock: ManualClock, header: str) -> None:
    row, raw = make_key(database, clock)
    value = raw if header == "X-API-Key" else f"Bearer {raw}"
    assert app.test_client().get("/api/v1/clients", headers={header: value}).status_code == 200
    assert database.read(lambda session: session.get_one(ApiKey, row.id).last_used_at) == clock.now()


def test_last_use_of_a_key_is_written_once_a_minute(
    app: Flask, database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, raw = make_key(database, clock)
    written = []
    touch = api_keys.touch
    monkeypatch.setattr(api_keys, "touch", lambda *args: (written.append(args), touch(*args)))
    for _ in range(4):
        app.test_client().get("/api/v1/clients", headers={"X-API-Key": raw})
        clock.advance(20)
    assert len(written) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": "ck_wrong"},
        {"X-API-Key": ""},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "bearer "},
    ],
)
def test_bad_key_is_refused_even_with_a_session(ana: Browser, headers: dict[str, str]) -> None:
    assert ana.get("/api/v1/clients").status_code == 200
    answers = {
        (response.status_code, response.json["code"], response.json["detail"])
        for response in (
            ana.get("/api/v1/clients", headers=headers),
            Browser(ana.client.application).get("/api/v1/clients"),
        )
    }
    assert answers == {(401, "unauthenticated", "Valid credentials are required")}


def test_key_opens_no_personal_page(app: Flask, database: Database, clock: ManualClock) -> None:
    _, raw = make_key(database, clock)
    assert app.test_client().get("/account/keys", headers={"X-API-Key": raw}).status_code == 403


# my sessions


def test_person_ends_other_sessions(app: Flask, ana: Browser, database: Database) -> None:
    other = Browser(app)
    other.sign_in()
    assert ana.post("/account/sessions/end-others", page="/account/sessions").status_code == 303
    assert ana.is_signed_in() and not other.is_signed_in()


def test_person_ends_one_session_but_nobody_elses(
    app: Flask, ana: Browser, master: Browser, database: Database
) -> None:
    other = Browser(app)
    other.sign_in()
    query = sa.select(UserSession.id).join(User).order_by(UserSession.id.desc()).limit(1)
    of_other, of_master = (scalar(database, query.where(User.email == email)) for email in (CLIENT, MASTER))
    page = ana.get("/account/sessions").text
    assert of_other in page and of_master not in page
    assert ana.post(f"/account/sessions/{of_master}/end", page="/account/sessions").status_code == 404
    assert master.is_signed_in()
    assert ana.post(f"/account/sessions/{of_other}/end", page="/account/sessions").status_code == 303
    assert ana.is_signed_in() and not other.is_signed_in()


def test_person_changes_the_password(app: Flask, ana: Browser) -> None:
    other = Browser(app)
    other.sign_in()
    wrong = {"current_password": PASSWORD, "password": "short"}
    assert ana.post("/account/password", wrong, page="/account/sessions").status_code == 422
    right = {"current_password": PASSWORD, "password": "quinua-llama-88"}
    copy = app.test_client()  # of the cookie, as somebody may have taken it
    copy.set_cookie("session", ana.cookie())
    assert copy.get("/account/sessions").status_code == 200
    assert ana.post("/account/password", right, page="/account/sessions").status_code == 303
    assert ana.is_signed_in() and not other.is_signed_in()
    assert copy.get("/account/sessions").status_code == 303
    assert Browser(app).sign_in().status_code == 401
    assert Browser(app).sign_in(password="quinua-llama-88").status_code == 303


# my keys


def create_key(browser: Browser, **form: Any) -> Any:
    data = {"name": "bot", "scopes": ["read", "trade"], "current_password": PASSWORD, **form}
    return browser.post("/account/keys", data, page="/account/keys")


def test_client_makes_a_key_sees_it_once_and_revokes_it(ana: Browser, app: Flask, database: Database) -> None:
    response = create_key(ana)
    assert response.status_code == 201 and response.headers["Cache-Control"] == "no-store"
    found = re.search(r"ck_[a-z0-9]{10}_[A-Za-z0-9_-]{43}", response.text)
    assert found is not None
    listing = ana.get("/account/keys").text
    assert found[0][:13] in listing and found[0] not in listing
    stranger = app.test_client()
    assert stranger.get("/api/v1/clients", headers={"X-API-Key": found[0]}).status_code == 200
    key_id = scalar(database, sa.select(ApiKey.id))
    assert ana.post(f"/account/keys/{key_id}/revoke", page="/account/keys").status_code == 303
    assert stranger.get("/api/v1/clients", headers={"X-API-Key": found[0]}).status_code == 401


@pytest.mark.parametrize(
    "form",
    [
        {"current_password": "wrong-password-1"},
        {"current_password": ""},
        {"scopes": ["admin"]},
        {"scopes": []},
        {"name": ""},
        {"expires_days": "0"},
        {"expires_days": "soon"},
        {"allowed_ips": "nowhere"},
    ],
)
def test_bad_form_makes_no_key(ana: Browser, database: Database, form: dict[str, Any]) -> None:
    response = create_key(ana, **form)
    assert response.status_code == 422
    assert PASSWORD not in response.text
    assert scalar(database, sa.select(sa.func.count(ApiKey.id))) == 0


def test_client_cannot_make_a_key_of_the_firm_or_of_another(
    ana: Browser, database: Database, clock: ManualClock
) -> None:
    other = database.run(lambda session: clients.create(session, "C-2", "Luis", SYSTEM, clock.now()))
    assert create_key(ana, system="y").status_code == 403
    create_key(ana, client_id=other.id)
    assert scalar(database, sa.select(sa.func.count(ApiKey.id)).where(ApiKey.client_id == other.id)) == 0


def test_master_makes_a_key_of_the_firm(master: Browser, database: Database) -> None:
    response = create_key(master, system="y", act_for_clients="y", scopes=["read", "admin"], allowed_ips="192.0.2.0/24")
    assert response.status_code == 201
    key = database.read(lambda session: session.scalars(sa.select(ApiKey)).one())
    assert key.system and key.act_for_clients and key.allowed_ips == ["192.0.2.0/24"]


def test_person_revokes_nobody_elses_key(ana: Browser, database: Database, clock: ManualClock) -> None:
    row, _ = make_key(database, clock)
    assert ana.post(f"/account/keys/{row.id}/revoke", page="/account/keys").status_code == 404
    assert scalar(database, sa.select(ApiKey.revoked_at)) is None


# the choices of a person


def test_language_and_theme_are_kept_on_the_user_and_in_the_browser(browser: Browser, database: Database) -> None:
    token = browser.csrf()
    for name, value in (("language", "es"), ("theme", "dark")):
        answer = browser.client.post(f"/account/{name}", json={name: value}, headers={"X-CSRFToken": token})
        assert answer.status_code == 204
    assert 'lang="es"' in browser.get("/sign-in").text
    browser.sign_in()
    assert (
        browser.post("/account/theme", {"theme": "light", "next": "/orders"}, page="/account/sessions").headers[
            "Location"
        ]
        == "/orders"
    )
    kept = database.read(lambda session: users.by_email(session, CLIENT))
    assert (kept.theme, kept.language) == ("light", None)
    assert 'lang="es"' in browser.get("/account/sessions").text


def test_the_number_format_is_kept_with_the_account(browser: Browser, database: Database) -> None:
    assert 'data-numbers="point"' in browser.get("/sign-in").text
    browser.sign_in()
    chosen = {"number_format": "comma", "next": "/orders"}
    assert browser.post("/account/number-format", chosen, page="/account/sessions").status_code == 303
    assert 'data-numbers="comma"' in browser.get("/account/sessions").text
    assert database.read(lambda session: users.by_email(session, CLIENT)).number_format == "comma"
    wrong = browser.post("/account/number-format", {"number_format": "apostrophe"}, page="/account/sessions")
    assert wrong.status_code == 422


@pytest.mark.parametrize("data", [{"theme": "pink"}, {"theme": 3}, {}, {"theme": "x" * 500}])
def test_unknown_choice_is_refused(browser: Browser, data: dict[str, Any]) -> None:
    answer = browser.client.post("/account/theme", json=data, headers={"X-CSRFToken": browser.csrf()})
    assert answer.status_code == 422


def test_hashing_is_not_done_in_a_transaction(
    browser: Browser, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write lock held while a password is hashed would stop every order for its time."""
    held: list[bool] = []
    verify = passwords.verify_password

    def verify_and_look(*args: Any) -> bool:
        lock: Any = database._one_writer
        held.append(lock._is_owned())
        return verify(*args)

    monkeypatch.setattr(sign_in, "verify_password", verify_and_look)
    assert browser.sign_in().status_code == 303
    assert held == [False]
