"""A stand-in for Stripe: Checkout sessions, refunds and disputes over HTTP, strict about what it is sent.

It signs webhooks as Stripe does and shows a checkout page that a browser can click. What no API of Stripe's does,
because the world does it, is under ``/_stub``: a bank that settles or contests, webhooks that get lost.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import html
import json
import re
import secrets
import threading
import time
import urllib.request
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

SECRET_KEY, WEBHOOK_SECRET = "sk_test_stub", "whsec_stub"
GOOD_CARD, DECLINED_CARD, SLOW_ACCOUNT = "4242424242424242", "4000000000000002", "000123456789"
LEAST = 50  # of the smallest unit
_CREATE = re.compile(
    r"mode|client_reference_id|success_url|cancel_url|expires_at|customer_email|metadata\[\w+\]"
    r"|payment_intent_data\[metadata\]\[\w+\]|line_items\[0\]\[quantity\]"
    r"|line_items\[0\]\[price_data\]\[(currency|unit_amount|product_data\]\[name)\]"
)
_CURRENCIES = {"usd", "pen", "eur", "gbp", "jpy", "mxn"}


class Refusal(Exception):
    """An error in Stripe's form."""

    def __init__(self, status: int, message: str, type_: str = "invalid_request_error", **more: str) -> None:
        super().__init__(message)
        self.status, self.body = status, {"error": {"type": type_, "message": message, **more}}


@dataclass
class Stripe:
    """The account. ``now`` is its clock in seconds since 1970; ``post`` delivers a webhook."""

    now: Callable[[], float] = time.time
    webhook_url: str | None = None
    base_url: str = ""
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)  # the charges, by payment intent
    disputes: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)  # by idempotency key
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    delivers: bool = True
    down: bool = False  # answers 503 to everything
    lock: threading.RLock = field(default_factory=threading.RLock)

    # -- the API -------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, headers: Any, body: str) -> dict[str, Any]:
        if self.down:
            raise Refusal(503, "Stripe is not available", "api_error")
        if headers.get("Authorization") != f"Bearer {SECRET_KEY}":
            raise Refusal(401, "Invalid API Key provided")
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}(\.\w+)?", headers.get("Stripe-Version", "")):
            raise Refusal(400, "the Stripe-Version header is missing")
        pairs = parse_qsl(body, keep_blank_values=True, strict_parsing=bool(body))
        given = dict(pairs)
        if len(given) != len(pairs):
            raise Refusal(400, "a parameter is given twice")
        with self.lock:
            self.requests.append(f"{method} {path}")
            key = headers.get("Idempotency-Key") if method == "POST" else None
            if key is None:
                return self._do(method, path, given)
            if key in self.answers:
                before, answer = self.answers[key]
                if before != body:
                    message = "Keys for idempotent requests can only be used with the same parameters"
                    raise Refusal(400, message, "idempotency_error")
                return answer
            answer = self._do(method, path, given)
            self.answers[key] = (body, deepcopy(answer))
            return answer

    def _do(self, method: str, path: str, given: dict[str, str]) -> dict[str, Any]:
        if (method, path) == ("POST", "/v1/checkout/sessions"):
            return self._create(given)
        if (method, path) == ("POST", "/v1/refunds"):
            return self._refund(given)
        found = re.fullmatch(r"/v1/checkout/sessions/(\w+)(/expire)?", path)
        if found is None:
            raise Refusal(404, f"Unrecognized request URL ({method}: {path})")
        session = self._session(found[1])
        if method == "POST" and found[2]:
            if session["status"] != "open":
                raise Refusal(400, f"Only Checkout Sessions with a status in open can be expired: {session['status']}")
            self._expire(session)
        elif method != "GET" or found[2]:
            raise Refusal(404, f"Unrecognized request URL ({method}: {path})")
        return session

    def _session(self, session_id: str) -> dict[str, Any]:
        if session_id not in self.sessions:
            raise Refusal(404, f"No such checkout.session: {session_id}", code="resource_missing")
        session = self.sessions[session_id]
        if session["status"] == "open" and session["expires_at"] <= self.now():
            self._expire(session)
        return session

    def _create(self, given: dict[str, str]) -> dict[str, Any]:
        for name in given:
            if not _CREATE.fullmatch(name):
                raise Refusal(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
        price = "line_items[0][price_data]"
        for name in ("mode", "success_url", f"{price}[currency]", f"{price}[unit_amount]", "line_items[0][quantity]"):
            if not given.get(name):
                raise Refusal(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
        amount, currency = given[f"{price}[unit_amount]"], given[f"{price}[currency]"]
        if currency not in _CURRENCIES:
            raise Refusal(400, f"Invalid currency: {currency}.", param="currency")
        if not amount.isdigit() or not LEAST <= int(amount) <= 99_999_999:
            message = "The Checkout Session's total amount due must add up to at least $0.50 usd"
            raise Refusal(400, message, code="amount_too_small")
        now, until = int(self.now()), int(given.get("expires_at", self.now() + 86400))
        if not now + 1800 <= until <= now + 86400:
            raise Refusal(
                400, "The `expires_at` timestamp must be 30 minutes to 24 hours from now.", param="expires_at"
            )
        id_ = f"cs_test_{secrets.token_hex(16)}"
        session = {
            "id": id_,
            "object": "checkout.session",
            "amount_subtotal": int(amount),
            "amount_total": int(amount),
            "cancel_url": given.get("cancel_url"),
            "client_reference_id": given.get("client_reference_id"),
            "created": now,
            "currency": currency,
            "expires_at": until,
            "livemode": False,
            "metadata": _metadata(given, "metadata"),
            "mode": given["mode"],
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "success_url": given["success_url"],
            "url": f"{self.base_url}/c/pay/{id_}",
        }
        self.sessions[id_] = session
        self.payments[f"pi_{id_[8:]}"] = {"metadata": _metadata(given, "payment_intent_data[metadata]")}
        return deepcopy(session)

    def _expire(self, session: dict[str, Any]) -> None:
        session.update(status="expired", url=None)
        self.emit("checkout.session.expired", session)

    def _refund(self, given: dict[str, str]) -> dict[str, Any]:
        charge = self.payments.get(given.get("payment_intent", ""))
        if charge is None or "id" not in charge:
            raise Refusal(404, "No such payment_intent", code="resource_missing")
        left = charge["amount"] - charge["amount_refunded"]
        amount = int(given.get("amount", left))
        if not 0 < amount <= left:
            raise Refusal(400, f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})")
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        self.emit("charge.refunded", charge)
        refund = {"object": "refund", "amount": amount, "currency": charge["currency"], "status": "succeeded"}
        return {"id": f"re_{secrets.token_hex(12)}", "payment_intent": charge["payment_intent"], **refund}

    # -- the payer -----------------------------------------------------------------------------------------

    def pay(self, session_id: str, card: str) -> dict[str, Any]:
        """What the payer's card or bank does; returns the session."""
        with self.lock:
            session = self._session(session_id)
            if session["status"] != "open":
                return session
            payment = f"pi_{session_id[8:]}"
            if card == DECLINED_CARD:
                failed = {"code": "card_declined", "message": "Your card was declined.", "type": "card_error"}
                named = {"id": payment, "object": "payment_intent", "status": "requires_payment_method"}
                metadata = self.payments[payment]["metadata"]
                amount = {"amount": session["amount_total"], "currency": session["currency"]}
                told = {**named, **amount, "metadata": metadata, "last_payment_error": failed}
                self.emit("payment_intent.payment_failed", told)
                return session
            session.update(status="complete", payment_intent=payment, url=None)
            if card != SLOW_ACCOUNT:
                session["payment_status"] = "paid"
                self._charge(session)
            self.emit("checkout.session.completed", session)
            return session

    def settle(self, session_id: str, *, well: bool = True) -> None:
        """A bank debit comes to its end, days later."""
        with self.lock:
            session = self._session(session_id)
            if well:
                session["payment_status"] = "paid"
                self._charge(session)
            self.emit(f"checkout.session.async_payment_{'succeeded' if well else 'failed'}", session)

    def _charge(self, session: dict[str, Any]) -> None:
        self.payments[session["payment_intent"]].update(
            id=f"ch_{secrets.token_hex(12)}",
            object="charge",
            amount=session["amount_total"],
            amount_refunded=0,
            currency=session["currency"],
            paid=True,
            payment_intent=session["payment_intent"],
            refunded=False,
            status="succeeded",
        )

    def contest(self, payment: str) -> str:
        """The payer contests a payment, and the bank takes the money; returns the dispute's id."""
        with self.lock:
            charge = self.payments[payment]
            dispute = {
                "id": f"du_{secrets.token_hex(12)}",
                "object": "dispute",
                "amount": charge["amount"] - charge["amount_refunded"],
                "charge": charge["id"],
                "currency": charge["currency"],
                "metadata": {},
                "payment_intent": payment,
                "reason": "fraudulent",
                "status": "needs_response",
            }
            self.disputes[dispute["id"]] = dispute
            self.emit("charge.dispute.created", dispute)
            self.emit("charge.dispute.funds_withdrawn", dispute)
            return str(dispute["id"])

    def judge(self, dispute_id: str, *, won: bool) -> None:
        with self.lock:
            dispute = self.disputes[dispute_id]
            dispute["status"] = "won" if won else "lost"
            self.emit("charge.dispute.closed", dispute)
            if won:
                self.emit("charge.dispute.funds_reinstated", dispute)

    # -- webhooks ------------------------------------------------------------------------------------------

    def emit(self, type_: str, thing: dict[str, Any]) -> None:
        event = {
            "id": f"evt_{secrets.token_hex(12)}",
            "object": "event",
            "api_version": "2024-06-20",
            "created": int(self.now()),
            "data": {"object": deepcopy(thing)},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": type_,
        }
        self.events.append(event)
        if self.delivers and self.webhook_url is not None:
            threading.Thread(target=self._deliver, args=(event,), daemon=True).start()

    def _deliver(self, event: dict[str, Any]) -> None:
        body = json.dumps(event)
        for wait_seconds in (0.5, 2, 5, 0):
            headers = {"Content-Type": "application/json", "Stripe-Signature": sign(body, self.now())}
            request = urllib.request.Request(str(self.webhook_url), body.encode(), headers)
            try:
                with urllib.request.urlopen(request, timeout=10):
                    return
            except OSError:
                time.sleep(wait_seconds)


def sign(body: str, at: float, secret: str = WEBHOOK_SECRET) -> str:
    """The Stripe-Signature header of a body."""
    signed = hmac.new(secret.encode(), f"{int(at)}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={int(at)},v1={signed}"


def _metadata(given: dict[str, str], name: str) -> dict[str, str]:
    prefix = f"{name}["
    return {key[len(prefix) : -1]: value for key, value in given.items() if key.startswith(prefix)}


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Checkout</title>
<body><main><h1>Pay {amount} {currency}</h1><p role="alert">{note}</p>
<form method="post"><label>Card number <input name="card" value="4242424242424242" autocomplete="off"></label>
<button name="do" value="pay">Pay</button> <button name="do" value="back">Back</button></form></main></body></html>"""


class Handler(BaseHTTPRequestHandler):
    """One request; the account is the server's."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        path = self.path.partition("?")[0]
        account = self.server.account
        if path.startswith("/c/pay/"):
            self._checkout(account, path.rpartition("/")[2], dict(parse_qsl(body)) if method == "POST" else None)
        elif path == "/favicon.ico":
            self._send(204, "image/x-icon", "")
        elif path.startswith("/_stub/"):
            self._world(account, path[7:], dict(parse_qsl(body)))
        else:
            try:
                self._json(200, account.call(method, path, self.headers, body))
            except Refusal as error:
                self._json(error.status, error.body)

    def _checkout(self, account: Stripe, session_id: str, form: dict[str, str] | None) -> None:
        session = account.sessions.get(session_id)
        if session is None:
            self._send(404, "text/html", "<h1>There is no such page</h1>")
            return
        if form is not None and form.get("do") == "back":
            self._redirect(session["cancel_url"] or session["success_url"])
            return
        note = ""
        if form is not None:
            card = form.get("card", "").replace(" ", "")
            session = account.pay(session_id, card)
            note = "" if session["status"] == "complete" else "Your card was declined."
        if session["status"] == "complete":
            self._redirect(session["success_url"])
            return
        if session["status"] == "expired":
            self._send(200, "text/html", "<h1>This page has expired</h1>")
            return
        amount = f"{session['amount_total'] / 100:.2f}"
        shown = _PAGE.format(amount=amount, currency=session["currency"].upper(), note=html.escape(note))
        self._send(200, "text/html; charset=utf-8", shown)

    def _world(self, account: Stripe, what: str, form: dict[str, str]) -> None:
        """What happens at Stripe by somebody else's hand."""
        if what == "events":
            self._json(200, {"events": account.events})
            return
        if what == "webhooks":
            account.delivers = form["deliver"] == "true"
        elif what == "settle":
            account.settle(form["session"], well=form.get("well", "true") == "true")
        elif what == "contest":
            self._json(200, {"dispute": account.contest(form["payment_intent"])})
            return
        elif what == "judge":
            account.judge(form["dispute"], won=form["won"] == "true")
        else:
            self._json(404, {})
            return
        self._json(200, {})

    def _redirect(self, where: str) -> None:
        self.send_response(303)
        self.send_header("Location", where)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(body))

    def _send(self, status: int, content_type: str, text: str) -> None:
        sent = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, account: Stripe, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.account = account
        account.base_url = f"http://127.0.0.1:{self.server_address[1]}"


def serve(account: Stripe, port: int = 0) -> Server:
    """Start it beside the caller, who ends it by ``shutdown`` and ``server_close``."""
    server = Server(account, port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for Stripe on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--webhook", default="http://127.0.0.1:5000/api/v1/stripe/webhook", help="where reports go")
    given = parser.parse_args()
    server = Server(Stripe(webhook_url=given.webhook), given.port)
    print(f"Stripe's stand-in on {server.account.base_url}. Start the product with:", flush=True)
    print(f"  STRIPE_API_BASE={server.account.base_url} STRIPE_SECRET_KEY={SECRET_KEY} \\")
    print(f"  STRIPE_WEBHOOK_SECRET={WEBHOOK_SECRET} scripts/start")
    print(
        f"Cards: {GOOD_CARD} pays, {DECLINED_CARD} is declined, {SLOW_ACCOUNT} pays later (/_stub/settle).", flush=True
    )
    server.serve_forever()


if __name__ == "__main__":
    main()
