"""The demo firm, fresh for each request of the API reference, and what a request changed in it.

``python -m tests.reference`` records the answers that the reference shows.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from itsdangerous import URLSafeTimedSerializer
from werkzeug.test import TestResponse

from app import create_app
from app.adapters.marketdata.manual import ManualFeed
from app.adapters.marketdata.simulated import PROFILES
from app.background import build_engine
from app.config import TestingConfig
from app.core.clock import ManualClock
from app.core.ids import new_id
from app.domain.quotes import Quote
from app.extensions import db
from app.models import EngineFault, User, UserSession
from app.realtime.publisher import SilentPublisher
from app.routes.access import Endpoint
from app.routes.api.openapi import _ARGUMENT, described
from app.schemas.examples import CLIENT, FIRM, PERSON, REQUESTS, Example
from app.services.container import LocalEngine
from app.services.feeds import FeedSupervisor
from tests.conftest import START
from tests.data import REPOSITORY
from tests.databases import upgrade

ANSWERS = REPOSITORY / "app" / "routes" / "api" / "answers.json"
BUSINESS = (
    "clients",
    "client_limits",
    "users",
    "api_keys",
    "wallets",
    "orders",
    "executions",
    "positions",
    "signals",
    "engine_faults",
    "approvals",
    "approval_votes",
)
# bookkeeping that follows every change, and what the market moves by itself
FOLLOWS = frozenset(
    {
        "version",
        "updated_at",
        "protection_version",
        "stop_adjustments",
        "last_used_at",
        "last_seq",
        "venue_seq",
        "price_moves",
        "high_px",
        "low_px",
        "day_start_on",
        "day_start_equity_usd",
        "peak_equity_usd",
        "last_sign_in_at",
        "pending_qty",
        "pending_price",
        "armed_version",
        "cl_ord_id",
        "venue_order_id",
        "last_fill_at",
        "submitted_at",
        "hold_px",
    }
)
STRIPPED = {"stop_loss_px", "take_profit_px", "trail_type", "break_even_percent"}
Snapshot = dict[str, dict[Any, dict[str, Any]]]


@dataclass(frozen=True)
class Call:
    """One request of the reference. ``example`` is None for what has no body."""

    operation: str
    method: str
    rule: str
    meta: Endpoint
    example: Example | None

    @property
    def title(self) -> str:
        return self.example.title if self.example else self.meta.summary


class Demo:
    """A fresh demo firm with an engine that is stepped, as the two commands of the README leave it."""

    def __init__(self, path: Path, keys: dict[str, str]) -> None:
        self.keys, self.clock = keys, ManualClock(START)
        self.app: Flask = create_app(TestingConfig(database_url=f"sqlite:///{path}"), clock=self.clock)
        self.parts = self.app.extensions["services"]
        self.engine = build_engine(self.parts, self.parts.database, SilentPublisher(), self.clock)
        self.parts.wake = self.engine.wake
        feed = ManualFeed(self.clock, lambda seconds: None)
        feed._sink = lambda quote: self.engine.take_quote(quote, self.clock.now())
        feeds = FeedSupervisor([feed], feed._sink, self.clock, lambda work, *arguments: None, lambda seconds: None)
        self.parts.local = LocalEngine(self.engine, feeds)
        assert self.engine.start()
        for symbol, profile in PROFILES.items():
            self.quote(symbol, profile.start)
        self.browser = self.app.test_client()
        with self.browser.session_transaction() as cookie:
            cookie["_user_id"], cookie["csrf_token"] = self.run(self._sign_in), "c" * 40
        self.csrf = URLSafeTimedSerializer(self.app.secret_key, salt="wtf-csrf-token").dumps("c" * 40)

    def close(self) -> None:
        self.engine.lease.release()
        self.parts.database.dispose()

    def run(self, work: Any) -> Any:
        return self.parts.database.run(work)

    def quote(self, symbol: str, mid: Decimal) -> None:
        tick = self.parts.instruments.resolve(symbol).tick_size
        now = self.clock.now()
        self.engine.take_quote(Quote(symbol, mid - tick, mid + tick, None, now, now, "simulated"), now)

    def _sign_in(self, session: Any) -> str:
        token, now = secrets.token_urlsafe(32), self.clock.now()
        master = session.scalars(sa.select(User).where(User.role == "master").order_by(User.id)).first()
        hashed = hashlib.sha256(token.encode()).hexdigest()
        session.add(UserSession(id=new_id(), user_id=master.id, token_hash=hashed, created_at=now, seen_at=now))
        return token

    def send(self, who: str, method: str, path: str, body: Any = None) -> TestResponse:
        headers = {"X-API-Key": self.keys[who]} if who in self.keys else {"X-CSRFToken": self.csrf}
        client = self.app.test_client() if who in self.keys else self.browser
        options: dict[str, Any] = {} if body is None else {"json": dict(body)}
        return client.open(path, method=method, headers=headers, **options)

    def settle(self) -> None:
        """What follows from the last request: sent, filled, booked, told."""
        for _ in range(8):
            self.clock.advance(0.25)
            self.engine.wake()
            self.engine.step(self.clock.now())
            self.engine.run_until_idle(self.clock.now())
        while self.engine.relay.step():
            pass

    def prepare(self, needs: str) -> None:
        rest = {
            "symbol": "BTC/USDT",
            "side": "BUY",
            "type": "LIMIT",
            "qty": "0.01",
            "price": "65000",
            "client_order_id": "prepared",
        }
        if needs == "order":
            assert self.send(CLIENT, "POST", "/api/v1/orders", rest).status_code == 201
        elif needs == "position":
            stop = {"stop_loss": "60000", "take_profit": "90000"}
            buy = {"symbol": "BTC/USDT", "side": "BUY", "type": "MARKET", "qty": "0.1", **stop}
            assert self.send(CLIENT, "POST", "/api/v1/orders", buy).status_code == 201
        elif needs == "paused wallet":
            path = f"/api/v1/wallets/{self.first('/api/v1/wallets')['id']}/pause"
            assert self.send(CLIENT, "POST", path, {}).status_code == 200
        elif needs == "fault":
            self.run(self._park)
        elif needs == "approval":
            self._propose()
        self.settle()

    def _propose(self) -> dict[str, Any]:
        """A limit that a key of the firm proposes."""
        limit = {"symbol": "XAU/USD", "max_notional_usd": "250000"}
        answer = self.send(FIRM, "PUT", "/api/v1/clients/C-1001/limits", limit)
        assert answer.status_code == 202, answer.get_json()
        proposal: dict[str, Any] = answer.get_json()
        return proposal

    def set_limit(self) -> None:
        path = f"/api/v1/approvals/{self._propose()['id']}/approve"
        assert self.send(PERSON, "POST", path, {}).status_code == 200

    def _park(self, session: Any) -> None:
        session.add(
            EngineFault(
                id=new_id(),
                at=self.clock.now(),
                stage="trigger",
                object_type="position",
                object_id=new_id(),
                error="the instrument is delisted",
                attempts=1,
            )
        )

    def first(self, path: str, who: str = CLIENT) -> dict[str, Any]:
        items = self.send(who, "GET", path).get_json()["items"]
        found: dict[str, Any] = items[0]
        return found

    def argument(self, name: str, who: str) -> str:
        """What stands in a path: an object of the demo, as the reference's page fills it in."""
        if name == "ref":
            return "C-1001"
        if name == "symbol":
            return "BTCUSDT"
        if name == "client_order_id":
            return "prepared"
        lists = {
            "order_id": "/api/v1/orders?symbol=BTC/USDT&limit=1",
            "position_id": "/api/v1/positions?open=true&symbol=BTC/USDT&limit=1",
            "wallet_id": "/api/v1/wallets?limit=1",
            "entry_id": "/api/v1/journal/entries?limit=1",
            "key_id": "/api/v1/keys?limit=1",
            "user_id": "/api/v1/users?role=trader&limit=1",
            "fault_id": "/api/v1/admin/faults?open=true&limit=1",
            "limit_id": "/api/v1/clients/C-1001/limits",
            "approval_id": "/api/v1/approvals?waiting_for_me=true",
        }
        return str(self.first(lists[name], PERSON if who == CLIENT and name in STAFF_ONLY else who)["id"])

    def snapshot(self) -> Snapshot:
        def read(session: Any) -> Snapshot:
            found: Snapshot = {}
            for name in BUSINESS:
                table = db.metadata.tables[name]
                key = table.c.id if "id" in table.c else next(iter(table.primary_key))
                rows = session.execute(sa.select(table)).mappings()
                found[name] = {row[key.name]: dict(row) for row in rows}
            return found

        return self.parts.database.read(read)  # type: ignore[no-any-return]


STAFF_ONLY = {"key_id", "user_id", "fault_id", "approval_id"}
NEEDS = {
    "order_id": "order",
    "client_order_id": "order",
    "position_id": "position",
    "fault_id": "fault",
    "approval_id": "approval",
    "entry_id": "position",
}
STAFF_TAGS = {"admin", "audit", "system"}


def changes_of(before: Snapshot, after: Snapshot) -> tuple[dict[str, int], dict[str, set[str]], set[str]]:
    """Rows added by table, columns changed by table, and the exits and accesses that somebody lost."""
    added: dict[str, int] = {}
    changed: dict[str, set[str]] = {}
    lost: set[str] = set()
    for name, rows in after.items():
        new = len(rows.keys() - before[name].keys())
        if new:
            added[name] = new
        gone = before[name].keys() - rows.keys()
        if gone:
            lost.add(f"{name} removed")
        for id_, row in rows.items():
            old = before[name].get(id_, row)
            columns = {column for column in row if row[column] != old[column]} - FOLLOWS
            if columns:
                changed.setdefault(name, set()).update(columns)
            lost |= {f"{name}.{c}" for c in columns & STRIPPED if old[c] is not None and row[c] is None}
            lost |= {f"{name}.active" for c in columns & {"active"} if not row[c]}
    return added, changed, lost


def build(folder: Path) -> tuple[Path, dict[str, str]]:
    """The database and the keys of a fresh demo, made by its own command."""
    path = folder / "demo.db"
    upgrade(f"sqlite:///{path}")
    app = create_app(TestingConfig(database_url=f"sqlite:///{path}"), clock=ManualClock(START - timedelta(minutes=5)))
    result = app.test_cli_runner().invoke(args=["demo", "load"])
    assert result.exit_code == 0, result.output
    app.extensions["services"].database.dispose()
    return path, json.loads(result.stdout)["keys"]


def calls(app: Flask) -> Iterator[Call]:
    """Every request that the reference shows: its examples, and what has no body."""
    for rule, method, meta in described(app):
        name = rule.endpoint.rpartition(".")[2]
        if name in REQUESTS:
            for example in REQUESTS[name]:
                yield Call(name, method, rule.rule, meta, example)
        elif not meta.public and meta.media_type == "application/json":  # files are tested beside what they are of
            yield Call(name, method, rule.rule, meta, None)


def perform(demo: Demo, call: Call) -> TestResponse:
    """Prepare what the path needs, then send the request as it stands."""
    arguments = _ARGUMENT.findall(call.rule)
    needs = call.example.needs if call.example and call.example.needs else ""
    demo.prepare(needs or next((NEEDS[name] for name in arguments if name in NEEDS), ""))
    who = call.example.who if call.example else _reader(call)
    if call.operation in ("remove_client_limit", "list_client_limits"):
        demo.set_limit()
    path = _ARGUMENT.sub(lambda found: demo.argument(found.group(1), who), call.rule)
    if call.example is None and call.meta.query is not None and "limit" in call.meta.query.model_fields:
        path += "?limit=2"
    if call.operation == "bars":
        path += "&symbol=BTC/USDT"
    if call.operation in ("list_faults", "list_approvals"):
        demo.prepare(call.operation.removeprefix("list_").removesuffix("s"))
    return demo.send(who, call.method, path, call.example.body if call.example else None)


def _reader(call: Call) -> str:
    if call.meta.session_only:
        return PERSON
    staff = call.meta.tag in STAFF_TAGS or call.operation in ("trial_balance", "remove_client_limit", "list_clients")
    return FIRM if staff else CLIENT


def record() -> dict[str, Any]:
    """Answers by operation, status and name of the example."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        path, keys = build(Path(folder))
        for number, call in enumerate(list(calls(create_app(TestingConfig(database_url=f"sqlite:///{path}"))))):
            copy = Path(folder) / f"{number}.db"
            shutil.copyfile(path, copy)
            demo = Demo(copy, keys)
            answer = perform(demo, call)
            assert answer.status_code < 300, (call.operation, call.title, answer.get_json())
            name = call.example.name if call.example else "answer"
            shown = {"summary": call.title, "value": answer.get_json()}
            if call.operation != "metrics":  # as long as a book
                found.setdefault(call.operation, {}).setdefault(str(answer.status_code), {})[name] = shown
            demo.close()
            copy.unlink()
    return found


if __name__ == "__main__":
    ANSWERS.write_text(json.dumps(record(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
