"""The application on a fresh database, with one firm in it and a way to call as each of its people and keys."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from app import create_app
from app.config import TestingConfig
from app.core.clock import ManualClock
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Role
from app.domain.quotes import Quote
from app.engine.lease import Lease
from app.engine.relay import Relay
from app.models import Client, UserSession
from app.realtime.publisher import SilentPublisher
from app.services import api_keys, clients, users, wallets
from app.services.container import LocalEngine
from tests.conftest import START
from tests.routes.funding import Funding, settings
from tests.stubs.stripe import Stripe, serve

KEYS: dict[str, dict[str, Any]] = {
    "key:read": {"scopes": ["read"], "client": "ana"},
    "key:trade": {"scopes": ["trade"], "client": "ana"},
    "key:funding": {"scopes": ["funding"], "client": "ana"},
    "key:client": {"scopes": ["read", "trade"], "client": "ana"},
    "key:other": {"scopes": ["read", "trade"], "client": "luis"},
    "key:firm-read": {"scopes": ["read"], "system": True},
    "key:firm-trade": {"scopes": ["read", "trade"], "system": True},
    "key:firm-clients": {"scopes": ["clients"], "system": True},
    "key:firm-admin": {"scopes": ["admin"], "system": True},
    "key:firm": {"scopes": ["read", "trade", "clients", "admin"], "system": True, "act_for_clients": True},
}
ROLES = {role.value: role for role in Role}


class Leading:
    """An engine that leads, for what asks no more than that."""

    running = True

    def status(self) -> dict[str, Any]:
        return {}


@dataclass
class Firm:
    """Ana is assigned to the trader, Luis to nobody."""

    app: Flask
    clock: ManualClock
    ids: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    browsers: dict[str, FlaskClient] = field(default_factory=dict)

    def quote(self, symbol: str, bid: str, ask: str) -> None:
        now = self.clock.now()
        self.app.extensions["services"].quotes.put(Quote(symbol, Decimal(bid), Decimal(ask), None, now, now, "test"))

    def lead(self, feeds: Any) -> None:
        """As if the engine of this process led: these feeds bring the prices."""
        self.app.extensions["services"].local = LocalEngine(Leading(), feeds)

    def run(self, work: Callable[[Session], Any]) -> Any:
        return self.app.extensions["services"].database.run(work)

    def number(self) -> None:
        """What the relay does beside the engine that leads."""
        parts = self.app.extensions["services"]
        lease = Lease(parts.database)
        assert lease.acquire(self.clock.now())
        Relay(parts.database, lease, SilentPublisher(), self.clock).step()
        lease.release()

    def call(self, who: str | None, method: str, path: str, *, csrf: bool = True, **options: Any) -> TestResponse:
        """As a role (a browser that has signed in), as a key, or as nobody."""
        headers = dict(options.pop("headers", {}))
        if who in self.keys:
            headers["X-API-Key"] = self.keys[who]
            return self.app.test_client().open(path, method=method, headers=headers, **options)
        if who is None:
            return self.app.test_client().open(path, method=method, headers=headers, **options)
        if who not in self.browsers:
            self.browsers[who] = self.app.test_client()
            with self.browsers[who].session_transaction() as cookie:
                cookie["_user_id"], cookie["csrf_token"] = self.tokens[who], "c" * 40
        if csrf and method not in ("GET", "HEAD", "OPTIONS"):
            headers["X-CSRFToken"] = URLSafeTimedSerializer(self.app.secret_key, salt="wtf-csrf-token").dumps("c" * 40)
        return self.browsers[who].open(path, method=method, headers=headers, **options)

    def order(self, who: str = "key:client", **fields: Any) -> TestResponse:
        headers = fields.pop("headers", {})
        return self.call(who, "POST", "/api/v1/orders", json={**LIMIT, **fields}, headers=headers)


LIMIT = {"symbol": "BTC/USDT", "side": "BUY", "type": "LIMIT", "qty": "0.1", "price": "60000"}


def _sign_in(session: Session, user_id: str, now: datetime) -> str:
    token = secrets.token_urlsafe(32)
    session.add(
        UserSession(
            id=new_id(),
            user_id=user_id,
            token_hash=hashlib.sha256(token.encode()).hexdigest(),
            created_at=now,
            seen_at=now,
            proven_at=now,
            ip="127.0.0.1",
        )
    )
    return token


def _fill(firm: Firm, session: Session) -> None:
    now = firm.clock.now()

    def user(name: str, role: Role, of: Client | None = None) -> None:
        made = users.create(
            session,
            email=f"{name}@firm.example",
            name=name,
            role=role,
            password_hash="-",
            client=of,
            principal=SYSTEM,
            now=now,
        )
        firm.ids[name], firm.tokens[name] = made.id, _sign_in(session, made.id, now)

    for name in ("master", "trader", "operator", "middle_office"):
        user(name, ROLES[name])
    ana = clients.create(session, "C-1", "Ana Quispe", SYSTEM, now, trader_id=firm.ids["trader"])
    luis = clients.create(session, "C-2", "Luis Rojas", SYSTEM, now)
    firm.ids.update({"ana": ana.id, "luis": luis.id})
    for name, client in (("ana", ana), ("luis", luis)):
        starting = {"USDT": Decimal(100_000), "USD": Decimal(50_000)}
        firm.ids[f"{name}:wallet"] = wallets.create(session, client, "Main", starting, SYSTEM, now).id
    user("client", Role.CLIENT, ana)
    for name, wanted in KEYS.items():
        values = {**wanted, "client": {"ana": ana, "luis": luis}.get(wanted.get("client", ""))}
        row, firm.keys[name] = api_keys.create(session, api_keys.KeyRequest(name=name, **values), SYSTEM, now)
        firm.ids[name] = row.id


def open_firm(url: str, clock: ManualClock, **values: Any) -> Firm:
    app = create_app(TestingConfig(database_url=url, **values), clock=clock)
    firm = Firm(app, clock)
    firm.run(lambda session: _fill(firm, session))
    firm.quote("BTC/USDT", "67000.00", "67001.00")
    firm.quote("XAU/USD", "1984.90", "1985.10")
    return firm


@pytest.fixture
def open_app(sqlite_url: str, clock: ManualClock) -> Iterator[Callable[..., Firm]]:
    """A firm whose application has the settings a test names."""
    opened: list[Firm] = []

    def open_(**values: Any) -> Firm:
        opened.append(open_firm(sqlite_url, clock, **values))
        return opened[-1]

    yield open_
    for firm in opened:
        firm.app.extensions["services"].database.dispose()


@pytest.fixture
def firm(open_app: Callable[..., Firm]) -> Firm:
    return open_app()


@pytest.fixture
def app(firm: Firm) -> Flask:
    return firm.app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def firm_on_each(database_url: str, clock: ManualClock, tmp_path: Path) -> Iterator[Firm]:
    """The same on SQLite and on PostgreSQL."""
    firm = open_firm(database_url, clock, documents_folder=str(tmp_path / "documents"))
    yield firm
    firm.app.extensions["services"].database.dispose()


@pytest.fixture(scope="module")
def shared_firm(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    """One firm for tests that look and change nothing that matters to the next."""
    path = tmp_path_factory.mktemp("routes") / "firm.db"
    shutil.copyfile(sqlite_template, path)
    firm = open_firm(f"sqlite:///{path}", ManualClock(START))
    yield firm
    firm.app.extensions["services"].database.dispose()


@pytest.fixture
def stripe(clock: ManualClock) -> Iterator[Stripe]:
    """A stand-in for Stripe that keeps its webhooks to itself."""
    account = Stripe(now=lambda: clock.now().timestamp(), delivers=False)
    server = serve(account)
    yield account
    server.shutdown()
    server.server_close()


@pytest.fixture
def funding(open_app: Callable[..., Firm], stripe: Stripe) -> Funding:
    return Funding(open_app(**settings(stripe)), stripe)


@pytest.fixture
def funding_on_each(database_url: str, clock: ManualClock, stripe: Stripe) -> Iterator[Funding]:
    """The same on SQLite and on PostgreSQL."""
    firm = open_firm(database_url, clock, **settings(stripe))
    yield Funding(firm, stripe)
    firm.app.extensions["services"].database.dispose()
