"""The demo firm, fresh for each request of the API reference, and what a request changed in it.

``python -m tests.reference`` records the answers that the reference shows.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from PIL import Image
from werkzeug.test import TestResponse

from app import create_app
from app.adapters.marketdata.manual import ManualFeed
from app.adapters.marketdata.simulated import PROFILES
from app.background import build_engine
from app.config import TestingConfig
from app.core.clock import ManualClock
from app.core.ids import new_id
from app.core.permissions import Principal, Role
from app.domain.quotes import Quote
from app.extensions import db
from app.models import Approval, ClientBankAccount, ClientDocument, EngineFault, Mail, User, UserSession
from app.realtime.publisher import SilentPublisher
from app.routes.access import Endpoint
from app.routes.api.openapi import _ARGUMENT, described
from app.schemas.examples import CLIENT, FIRM, OFFICER, OPERATOR, PERSON, REQUESTS, Example
from app.services import mails
from app.services.container import LocalEngine
from app.services.feeds import FeedSupervisor
from tests.conftest import START
from tests.data import REPOSITORY
from tests.databases import upgrade
from tests.stubs.stripe import GOOD_CARD, SECRET_KEY, WEBHOOK_SECRET, Stripe, serve

ANSWERS = REPOSITORY / "app" / "routes" / "api" / "answers.json"
BUSINESS = (
    "clients",
    "client_limits",
    "related_persons",
    "client_documents",
    "users",
    "api_keys",
    "wallets",
    "orders",
    "executions",
    "positions",
    "signals",
    "engine_faults",
    "client_bank_accounts",
    "withdrawals",
    "deposits",
    "deposit_mismatches",
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
        self.stripe = Stripe(now=lambda: self.clock.now().timestamp(), delivers=False)
        self.stripe_server = serve(self.stripe)
        funding = {"stripe_secret_key": SECRET_KEY, "stripe_webhook_secret": WEBHOOK_SECRET}
        settings = TestingConfig(database_url=f"sqlite:///{path}", stripe_api_base=self.stripe.base_url, **funding)
        self.app: Flask = create_app(settings, clock=self.clock)
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
        self.browsers = {who: self._browser(role) for who, role in ROLES.items()}
        self.csrf = URLSafeTimedSerializer(self.app.secret_key, salt="wtf-csrf-token").dumps("c" * 40)

    def close(self) -> None:
        self.stripe_server.shutdown()
        self.stripe_server.server_close()
        self.engine.lease.release()
        self.parts.database.dispose()

    def run(self, work: Any) -> Any:
        return self.parts.database.run(work)

    def quote(self, symbol: str, mid: Decimal) -> None:
        tick = self.parts.instruments.resolve(symbol).tick_size
        now = self.clock.now()
        self.engine.take_quote(Quote(symbol, mid - tick, mid + tick, None, now, now, "simulated"), now)

    def _browser(self, role: str) -> FlaskClient:
        """One in which the demo's person of this role has signed in."""
        browser = self.app.test_client()
        with browser.session_transaction() as cookie:
            cookie["_user_id"], cookie["csrf_token"] = self.run(partial(self._sign_in, role)), "c" * 40
        return browser

    def _sign_in(self, role: str, session: Any) -> str:
        token, now = secrets.token_urlsafe(32), self.clock.now()
        person = session.scalars(sa.select(User).where(User.role == role).order_by(User.id)).first()
        hashed = hashlib.sha256(token.encode()).hexdigest()
        session.add(
            UserSession(id=new_id(), user_id=person.id, token_hash=hashed, created_at=now, seen_at=now, proven_at=now)
        )
        return token

    def send(self, who: str, method: str, path: str, body: Any = None, file: str = "") -> TestResponse:
        headers = {"X-API-Key": self.keys[who]} if who in self.keys else {"X-CSRFToken": self.csrf}
        client = self.app.test_client() if who in self.keys else self.browsers[who]
        options: dict[str, Any] = {} if body is None else {"json": dict(body)}
        if file:
            options = {"data": {**(body or {}), "file": (io.BytesIO(FILES[file]), file)}}
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
        elif needs == "blocked client":
            reason = {"reason": "Papers to be explained"}
            assert self.send(FIRM, "POST", "/api/v1/clients/C-1001/block", reason).status_code == 200
        elif needs == "document":
            path = "/api/v1/clients/C-1001/documents"
            assert self.send(FIRM, "POST", path, {"kind": "id_front"}, "dni-front.png").status_code == 201
        elif needs == "company":  # one of the demo's past, which this demo has not
            company = {"code": "C-1003", "kind": "company", "name": "Inversiones Andinas S.A.C."}
            assert self.send(FIRM, "POST", "/api/v1/clients", company).status_code == 201
        elif needs == "proposal":
            decision = {"approve": True, "level": 2, "reason": "Source of funds was proven"}
            assert self.send(OFFICER, "POST", "/api/v1/clients/C-1002/kyc/decide", decision).status_code == 202
        elif needs == "fault":
            self.run(self._park)
        elif needs == "second account":
            self.run(self._add_account)
        elif needs.endswith("withdrawal"):
            self._withdraw(needs)
        elif needs == "failed mail":
            self.run(self._give_mail_up)
        elif needs == "second step":
            step = {"totp_secret": "sealed", "totp_since": self.clock.now()}
            self.run(lambda session: session.execute(sa.update(User).where(User.role == "trader").values(step)))
        elif needs in ("deposit", "transfer", "mismatch"):
            self._declare(needs)
        elif needs == "approval":
            self._propose()
        self.settle()

    def _add_account(self, session: Any) -> None:
        """One in euros, the first of the list, that is not the first choice."""
        first = session.scalars(sa.select(ClientBankAccount).where(ClientBankAccount.currency == "USD")).first()
        columns = {column.key: getattr(first, column.key) for column in ClientBankAccount.__table__.columns}
        columns |= {"id": new_id(), "number": "00219300000000000118", "currency": "EUR", "is_default": False}
        session.add(ClientBankAccount(**columns))

    def _withdraw(self, needs: str) -> None:
        asked = self.send(CLIENT, "POST", "/api/v1/withdrawals", {"amount": "500", "currency": "USD"})
        assert asked.status_code == 201, asked.get_json()
        withdrawal = asked.get_json()
        if needs == "withdrawal":
            return
        self.run(partial(self._agree, withdrawal["id"]))
        if needs.startswith("processing"):
            path = f"/api/v1/withdrawals/{withdrawal['id']}/start"
            assert self.send(OPERATOR, "POST", path, {}).status_code == 200
            self.run(partial(self._prove, withdrawal))

    def _agree(self, withdrawal_id: str, session: Any) -> None:
        approval = session.scalars(sa.select(Approval).where(Approval.object_id == withdrawal_id)).one()
        checker = Principal("user", new_id(), "César Rojas", role=Role.MIDDLE_OFFICE)
        self.parts.approvals.decide(session, approval.id, True, None, checker, self.clock.now())
        assert self.parts.approvals.carry_out(session, approval.id, self.clock.now())

    def _prove(self, withdrawal: dict[str, Any], session: Any) -> None:
        session.add(
            ClientDocument(
                id=new_id(),
                client_id=withdrawal["client_id"],
                kind="payment_proof",
                filename="proof.pdf",
                content_type="application/pdf",
                size_bytes=1,
                sha256="0" * 64,
                storage_key="proof",
                about_type="withdrawal",
                about_id=withdrawal["id"],
                uploaded_by="system",
                created_at=self.clock.now(),
            )
        )

    def _declare(self, needs: str) -> None:
        """A deposit by card or by bank transfer, or one by card with a payment that does not fit it."""
        wanted = {"method": "card", "amount": "250", "currency": "PEN"}
        if needs == "transfer":
            wanted |= {"method": "bank_transfer", "bank_reference": "ANA FLORES 0105"}
        answer = self.send(CLIENT, "POST", "/api/v1/deposits", wanted)
        assert answer.status_code == 201
        if needs == "mismatch":
            page = answer.get_json()["provider_reference"]
            self.stripe.sessions[page]["amount_total"] = 24_900
            self.stripe.pay(page, GOOD_CARD)
            self.parts.payments.ask(self.parts.database, answer.get_json()["id"], self.clock.now())

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

    def _give_mail_up(self, session: Any) -> None:
        mails.queue(session, new_id(), "invitation", "nobody@example.com", {}, self.clock.now())
        session.execute(sa.update(Mail).values(status="failed", attempts=1, last_error="550 no such mailbox"))

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
            "mail_id": "/api/v1/admin/mails?limit=1",
            "limit_id": "/api/v1/clients/C-1001/limits",
            "document_id": "/api/v1/clients/C-1001/documents",
            "account_id": "/api/v1/clients/C-1001/bank-accounts",
            "withdrawal_id": "/api/v1/withdrawals?limit=1",
            "deposit_id": "/api/v1/deposits?limit=1",
            "mismatch_id": "/api/v1/deposits/mismatches?limit=1",
            "approval_id": "/api/v1/approvals?waiting_for_me=true",
        }
        if name == "session_id":
            return str(self.first("/api/v1/deposits?limit=1", who)["provider_reference"])
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


def _picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 5), "white").save(out, "PNG")
    return out.getvalue()


CLIENTS_CSV = "code,name,email\r\nC-3001,Julia Vega,julia@example.com\r\nC-3002,Marco Ruiz,\r\n"
FILES = {"dni-front.png": _picture(), "clients.csv": CLIENTS_CSV.encode()}
STAFF_ONLY = {"key_id", "user_id", "fault_id", "mail_id", "approval_id"}
NEEDS = {
    "order_id": "order",
    "client_order_id": "order",
    "position_id": "position",
    "fault_id": "fault",
    "mail_id": "failed mail",
    "approval_id": "approval",
    "entry_id": "position",
    "document_id": "document",
    "withdrawal_id": "withdrawal",
    "deposit_id": "deposit",
    "session_id": "deposit",
}
# what must be there for a list to show something
LISTED = {
    "list_faults": "fault",
    "list_withdrawals": "withdrawal",
    "list_mails": "failed mail",
    "list_deposits": "mismatch",
    "list_mismatches": "mismatch",
    "list_approvals": "approval",
}
ROLES = {PERSON: "master", OPERATOR: "operator", OFFICER: "middle_office"}
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
    at = call.example.at if call.example else {}
    path = _ARGUMENT.sub(lambda found: at.get(found.group(1)) or demo.argument(found.group(1), who), call.rule)
    if call.example is None and call.meta.query is not None and "limit" in call.meta.query.model_fields:
        path += "?limit=2"
    if call.operation == "list_duplicates":
        path += "?name=Ana%20Flores"
    if call.operation == "bars":
        path += "&symbol=BTC/USDT"
    if call.operation in LISTED:
        demo.prepare(LISTED[call.operation])
    if call.example is None:
        return demo.send(who, call.method, path)
    return demo.send(who, call.method, path, call.example.body, call.example.file)


def _reader(call: Call) -> str:
    if call.operation == "remove_bank_account":
        return OPERATOR
    if call.meta.session_only:
        return PERSON
    staff = call.meta.tag in STAFF_TAGS or call.operation in (
        "trial_balance",
        "remove_client_limit",
        "list_clients",
        "list_duplicates",
        "list_mismatches",
        "remove_document",
    )
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
            if call.operation != "metrics" and answer.is_json:  # not as long as a book, and no file
                found.setdefault(call.operation, {}).setdefault(str(answer.status_code), {})[name] = shown
            demo.close()
            copy.unlink()
    return found


if __name__ == "__main__":
    ANSWERS.write_text(json.dumps(record(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
