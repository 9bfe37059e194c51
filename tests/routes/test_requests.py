"""What every request meets: problems, limits, ids, headers, keys for repeats, CSRF."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from limits.storage import memory

from app.core.errors import Conflict, Unavailable
from app.domain.quotes import Quote
from app.models import Client, IdempotencyRecord, Order
from app.services import clients, idempotency, manual_quotes
from tests.conftest import PRODUCTION

from .conftest import LIMIT, Firm

PROBLEM = {"type", "title", "status", "detail", "code", "errors", "request_id"}


def count(firm: Firm, model: Any = Order) -> int:
    found: int = firm.run(lambda session: session.scalar(sa.select(sa.func.count()).select_from(model)))
    return found


# -- problems and headers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("PUT", "/api/v1/orders", 405, "method_not_allowed"),
        ("GET", "/api/v1/orders/%00", 404, "not_found"),
        ("GET", "/api/v1/clients/%00", 404, "not_found"),
        ("GET", "/api/v1/clients?q=%00", 422, "invalid_characters"),
        ("GET", "/api/v1/clients?q=a&q=b", 422, "repeated"),
        ("GET", "/api/v1/orders?limit=1000000000", 422, "invalid"),
        ("GET", "/api/v1/orders?limit=x", 422, "invalid"),
        ("GET", "/api/v1/orders?color=red", 422, "unknown_field"),
        ("GET", "/api/v1/events?after=-1", 422, "invalid"),
    ],
)
def test_problem(shared_firm: Firm, method: str, path: str, status: int, code: str) -> None:
    response = shared_firm.call("key:firm", method, path)
    body = response.get_json()
    assert (response.status_code, response.content_type) == (status, "application/problem+json")
    assert set(body) == PROBLEM
    assert body["status"] == status
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert body["code"] == code or (code == "invalid" and body["errors"])


@pytest.mark.parametrize("given", ["abc", "x" * 65, "has space", "äöü-12345"])
def test_a_strange_request_id_is_replaced(shared_firm: Firm, given: str) -> None:
    response = shared_firm.call(
        None, "GET", "/health", headers={"X-Request-Id": given.encode("latin-1").decode("latin-1")}
    )
    assert response.headers["X-Request-Id"] != given


def test_a_good_request_id_is_kept(shared_firm: Firm) -> None:
    assert (
        shared_firm.call(None, "GET", "/health", headers={"X-Request-Id": "trace-0001"}).headers["X-Request-Id"]
        == "trace-0001"
    )


def test_security_headers(shared_firm: Firm) -> None:
    headers = shared_firm.call("key:read", "GET", "/api/v1/orders").headers
    policy = headers["Content-Security-Policy"]
    for part in ("default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert part in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in headers


def test_an_unexpected_error_says_nothing_but_its_id(
    firm: Firm, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise RuntimeError("the secret cause")

    monkeypatch.setattr(clients, "search", explode)
    with caplog.at_level(logging.ERROR):
        response = firm.call("key:firm", "GET", "/api/v1/clients")
    assert response.status_code == 500
    assert "secret cause" not in response.get_data(as_text=True)
    assert response.get_json()["request_id"] == response.headers["X-Request-Id"]
    assert any(record.exc_info and "secret cause" in str(record.exc_info[1]) for record in caplog.records)


def test_no_database(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise sa.exc.OperationalError("SELECT", {}, Exception("gone"), connection_invalidated=True)

    monkeypatch.setattr(clients, "search", gone)
    response = firm.call("key:firm", "GET", "/api/v1/clients")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")


@pytest.mark.parametrize("path", ["/sign-in", "/", "/orders", "/api/docs", "/nothing", "/account/keys"])
def test_pages_are_not_stored(shared_firm: Firm, path: str) -> None:
    for who in (None, "client"):
        assert shared_firm.call(who, "GET", path).headers["Cache-Control"] == "no-store"
    with shared_firm.call(None, "GET", "/static/js/live.js") as script:
        assert "no-store" not in script.headers.get("Cache-Control", "")


@pytest.mark.parametrize(
    "path",
    [
        "/orders?created_from=2026-01-02T00:00:00Z&created_to=2026-01-01T00:00:00Z",
        "/journal/entries?from=2026-01-02T00:00:00Z&to=2026-01-01T23:00:00-05:00&limit=1",
        "/journal/entries?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z&format=csv",
    ],
)
def test_a_range_that_ends_before_it_begins(shared_firm: Firm, path: str) -> None:
    answer = shared_firm.call("master", "GET", f"/api/v1{path}")
    backwards = "23:00:00-05:00" not in path  # there it ends on the second of January, in UTC
    assert (answer.status_code, answer.get_json().get("code") if backwards else None) == (
        (422, "reversed_range") if backwards else (200, None)
    )


# -- bodies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "content_type", "status", "code"),
    [
        ("{", "application/json", 400, "malformed_json"),
        (b"\xff\xfe", "application/json", 400, "malformed_json"),
        ('{"qty": 1, "qty": 2}', "application/json", 400, "duplicate_key"),
        ('{"clientId": "a", "client_id": "b"}', "application/json", 400, "duplicate_key"),
        ("[" * 5000 + "]" * 5000, "application/json", 400, "too_deep"),
        ("a=b", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (json.dumps(LIMIT), "text/plain", 415, "unsupported_media_type"),
        ('"' + "x" * (1 << 20) + '"', "application/json", 413, "too_large"),
        ("[]", "application/json", 422, "invalid_type"),
        (
            json.dumps({f"f{n}": 1 for n in range(75_000)}, separators=(",", ":")),
            "application/json",
            400,
            "too_many_fields",
        ),
        (json.dumps([1] * 300_000), "application/json", 400, "too_many_values"),
        (json.dumps({"a": [[1] * 7_000] * 3}), "application/json", 400, "too_many_values"),
        ('{"symbol": "BTC\\u0000"}', "application/json", 400, "invalid_characters"),
        ('{"symbol": "\\ud800"}', "application/json", 400, "invalid_characters"),
    ],
)
def test_bad_bodies(shared_firm: Firm, data: Any, content_type: str, status: int, code: str) -> None:
    response = shared_firm.call("key:client", "POST", "/api/v1/orders", data=data, content_type=content_type)
    assert (response.status_code, response.get_json()["code"]) == (status, code)


def test_a_list_of_errors_is_short(shared_firm: Firm) -> None:
    body = {**{f"{'x' * 1000}{n}": "y" * 1000 for n in range(490)}}
    answer = shared_firm.call("key:client", "POST", "/api/v1/orders", json=body)
    assert answer.status_code == 422
    assert len(answer.get_json()["errors"]) == 20 and len(answer.data) < 10_000
    assert "in all" in answer.get_json()["detail"]


# -- repeats -------------------------------------------------------------------------------------------------


def test_a_repeat_gets_the_stored_answer(firm_on_each: Firm) -> None:
    firm = firm_on_each
    first = firm.order(headers={"Idempotency-Key": "k-1"})
    again = firm.order(headers={"Idempotency-Key": "k-1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.get_json() == first.get_json()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert count(firm) == 1


def test_a_key_belongs_to_its_caller_and_request(firm: Firm) -> None:
    key = {"Idempotency-Key": "k-1"}
    assert firm.order(headers=key).status_code == 201
    other_body = firm.order(qty="0.2", headers=key)
    assert (other_body.status_code, other_body.get_json()["code"]) == (422, "idempotency_key_reused")
    assert firm.order("key:other", headers=key).status_code == 201
    ids = [firm.order().get_json()["id"] for _ in range(2)]
    cancels = [firm.call("key:client", "POST", f"/api/v1/orders/{one}/cancel", headers=key) for one in ids]
    assert [response.status_code for response in cancels] == [200, 422]
    assert count(firm) == 4


def test_what_was_refused_is_not_remembered(firm: Firm) -> None:
    key = {"Idempotency-Key": "k-1"}
    assert firm.order(symbol="NOPE", headers=key).status_code == 422
    assert count(firm, IdempotencyRecord) == 0
    assert firm.order(headers=key).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_an_impossible_key(firm: Firm, key: str) -> None:
    assert firm.order(headers={"Idempotency-Key": key}).status_code == 422
    assert count(firm) == 0


def test_work_and_record_are_one(firm_on_each: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the record cannot be stored the order is not either; the 500 is kept, and repeated."""
    firm, stored, failing = firm_on_each, idempotency.store, iter([True])

    def store(*args: Any) -> None:
        if next(failing, False):
            raise RuntimeError("cut off")
        stored(*args)

    monkeypatch.setattr(idempotency, "store", store)
    first = firm.order(headers={"Idempotency-Key": "k-1"})
    assert (first.status_code, count(firm)) == (500, 0)
    again = firm.order(headers={"Idempotency-Key": "k-1"})
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (500, "true")
    assert again.get_json() == first.get_json()
    assert count(firm) == 0


def test_a_key_whose_request_still_runs(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on = threading.Event(), threading.Event()
    create = clients.create

    def slow(*args: Any, **kwargs: Any) -> Client:
        inside.set()
        assert go_on.wait(10)
        return create(*args, **kwargs)

    monkeypatch.setattr(clients, "create", slow)
    answers: list[int] = []
    body, key = {"code": "C-9", "name": "Eva"}, {"Idempotency-Key": "k"}

    def post() -> None:
        answers.append(firm.call("key:firm", "POST", "/api/v1/clients", json=body, headers=key).status_code)

    runner = threading.Thread(target=post)
    runner.start()
    assert inside.wait(10)
    meanwhile = firm.call("key:firm", "POST", "/api/v1/clients", json=body, headers=key)
    go_on.set()
    runner.join(10)
    assert (meanwhile.status_code, meanwhile.get_json()["code"]) == (409, "in_progress")
    assert meanwhile.headers["Retry-After"] == "1"
    assert answers == [201]


def test_fifty_clicks_make_one_order(firm_on_each: Firm) -> None:
    firm = firm_on_each
    answers: list[int] = []
    start = threading.Barrier(10)

    def click() -> None:
        start.wait(10)
        for _ in range(5):
            answers.append(firm.order(headers={"Idempotency-Key": "click"}).status_code)

    threads = [threading.Thread(target=click) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 50 and set(answers) <= {201, 409}
    assert count(firm) == 1


def test_records_end_after_a_day(firm: Firm) -> None:
    firm.order(headers={"Idempotency-Key": "k-1"})
    now = firm.clock.now()
    assert firm.run(lambda session: idempotency.sweep(session, now + timedelta(hours=24))) == 0
    assert firm.run(lambda session: idempotency.sweep(session, now + timedelta(hours=24, seconds=1))) == 1


def test_a_repeated_quote_is_set_once(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    set_: list[str] = []

    def set_quote(_feeds: Any, _name: str, symbol: str, bid: Any, ask: Any, *_: Any, **__: Any) -> Quote:
        set_.append(symbol)
        now = firm.clock.now()
        return Quote(symbol, bid, ask, None, now, now, "test")

    monkeypatch.setattr(manual_quotes, "set_quote", set_quote)
    firm.lead(object())
    body = {"symbol": "BTC/USDT", "bid": "67000", "ask": "67001"}

    def post(**changed: str) -> Any:
        return firm.call(
            "key:firm", "POST", "/api/v1/market/quotes", json={**body, **changed}, headers={"Idempotency-Key": "q-1"}
        )

    first, again, other = post(), post(), post(bid="66000")
    assert (first.status_code, again.status_code, set_) == (201, 201, ["BTC/USDT"])
    assert again.headers["Idempotency-Replayed"] == "true" and again.get_json() == first.get_json()
    assert (other.status_code, other.get_json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("path", ["/api/v1/clients", "/api/v1/market/quotes"])
def test_try_again_is_no_answer_to_keep(firm: Firm, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """503 says that nothing was done: under the same key the next attempt does it."""
    failing = iter([True])

    def busy(work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if next(failing, False):
                raise Unavailable("deadlocks, five times", retry_after=1)
            return work(*args, **kwargs)

        return wrapper

    monkeypatch.setattr(clients, "create", busy(clients.create))
    now = firm.clock.now()
    taken = Quote("BTC/USDT", Decimal(1), Decimal(2), None, now, now, "test")
    monkeypatch.setattr(manual_quotes, "set_quote", busy(lambda *_, **__: taken))
    firm.lead(object())
    body = {"/api/v1/clients": {"code": "C-9", "name": "Eva"}}.get(
        path, {"symbol": "BTC/USDT", "bid": "67000", "ask": "67001"}
    )
    who, key = "key:firm", {"Idempotency-Key": "k-1"}
    first = firm.call(who, "POST", path, json=body, headers=key)
    assert (first.status_code, first.headers["Retry-After"], count(firm, IdempotencyRecord)) == (503, "1", 0)
    again = firm.call(who, "POST", path, json=body, headers=key)
    assert (again.status_code, "Idempotency-Replayed" in again.headers) == (201, False)


# -- one transaction -----------------------------------------------------------------------------------------


def test_a_refusal_late_in_a_request_leaves_nothing(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_late(*_: object) -> None:
        raise Conflict("late")

    monkeypatch.setattr(clients, "show", too_late)
    before = count(firm, Client)
    response = firm.call("key:firm", "POST", "/api/v1/clients", json={"code": "C-9", "name": "Eva"})
    assert (response.status_code, count(firm, Client)) == (409, before)


def test_the_engine_is_woken_after_a_change(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[None] = []
    monkeypatch.setattr(firm.app.extensions["services"], "wake", lambda: woken.append(None))
    firm.call("key:client", "GET", "/api/v1/orders")
    firm.order(symbol="NOPE")
    assert woken == []
    firm.order()
    assert len(woken) == 1


# -- rates ---------------------------------------------------------------------------------------------------


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time the limits go by, in a list of one."""
    at = [1_000_000.0]
    monkeypatch.setattr(memory.time, "time", lambda: at[0])
    return at


def test_orders_a_second(open_app: Callable[..., Firm], frozen: list[float]) -> None:
    firm = open_app(order_rate_per_second=3)
    answers = [firm.order() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    refused = answers[-1]
    assert (refused.headers["Retry-After"], refused.headers["X-RateLimit-Limit"]) == ("1", "3")
    assert int(refused.headers["X-RateLimit-Reset"]) == 1_000_002  # the second after which all fit again
    assert "Retry-After" not in answers[0].headers
    assert refused.get_json()["code"] == "rate_limited"
    assert count(firm) == 3
    assert firm.call("key:client", "GET", "/api/v1/orders").status_code == 200  # other requests have their own
    assert firm.order("key:other").status_code == 201  # and so has every other key
    frozen[0] += 1.01
    assert firm.order().status_code == 201


def test_a_batch_counts_as_its_orders(open_app: Callable[..., Firm], frozen: list[float]) -> None:
    firm = open_app(order_rate_per_second=5)

    def batch(size: int) -> int:
        orders = [LIMIT] * size
        return firm.call("key:client", "POST", "/api/v1/orders/batch", json={"orders": orders}).status_code

    assert batch(4) == 201
    assert batch(2) == 429
    assert count(firm) == 4
    frozen[0] += 1.01
    assert batch(5) == 201


def test_a_batch_larger_than_a_second_takes_all_of_it(open_app: Callable[..., Firm], frozen: list[float]) -> None:
    firm = open_app(order_rate_per_second=2)
    batch = firm.call("key:client", "POST", "/api/v1/orders/batch", json={"orders": [LIMIT] * 5})
    assert (batch.status_code, batch.headers["X-RateLimit-Remaining"]) == (201, "0")
    assert firm.order().status_code == 429


def test_weight_a_minute(open_app: Callable[..., Firm], frozen: list[float]) -> None:
    firm = open_app(weight_per_minute=5)
    assert firm.call("key:client", "GET", "/api/v1/orders").status_code == 200
    batch = {"orders": [LIMIT] * 3}
    assert firm.call("key:client", "POST", "/api/v1/orders/batch", json=batch).status_code == 201
    frozen[0] += 20
    assert firm.order().status_code == 201
    refused = firm.order()
    assert (refused.status_code, refused.headers["X-RateLimit-Limit"], refused.headers["Retry-After"]) == (
        429,
        "5",
        "40",
    )
    assert refused.get_json()["detail"] == "more than 5 weight a minute"
    assert firm.order("key:other").status_code == 201
    frozen[0] += 40.1
    assert firm.order().status_code == 201


def test_requests_a_second(open_app: Callable[..., Firm], frozen: list[float]) -> None:
    firm = open_app(request_rate_per_second=2)
    assert [firm.call("key:read", "GET", "/api/v1/orders").status_code for _ in range(3)] == [200, 200, 429]
    assert [firm.call("client", "GET", "/api/v1/orders").status_code for _ in range(3)] == [200, 200, 429]
    assert [firm.call(None, "GET", "/api/v1/orders").status_code for _ in range(3)] == [401, 401, 429]


def test_many_bad_keys_are_throttled_and_good_ones_of_the_same_address_are_not(
    open_app: Callable[..., Firm], frozen: list[float]
) -> None:
    firm = open_app()
    bad = [{"X-API-Key": f"ck_abcdefghij_{number:040}"} for number in range(25)]
    answers = [firm.call(None, "GET", "/api/v1/orders", headers=key) for key in bad]
    assert [answer.status_code for answer in answers] == [401] * 20 + [429] * 5
    assert answers[-1].headers["Retry-After"] == "60"
    assert firm.call("key:client", "GET", "/api/v1/orders").status_code == 200
    assert firm.call("client", "GET", "/api/v1/orders").status_code == 200
    elsewhere = firm.app.test_client().get("/api/v1/orders", headers=bad[0], environ_base={"REMOTE_ADDR": "192.0.2.9"})
    assert elsewhere.status_code == 401
    frozen[0] += 61
    assert firm.call(None, "GET", "/api/v1/orders", headers=bad[0]).status_code == 401


# -- CSRF ----------------------------------------------------------------------------------------------------


def test_a_browser_needs_the_token_and_a_key_does_not(firm: Firm) -> None:
    refused = firm.call("client", "POST", "/api/v1/orders", json=LIMIT, csrf=False)
    assert (refused.status_code, refused.get_json()["code"], count(firm)) == (403, "csrf", 0)
    taken = firm.call("client", "POST", "/api/v1/orders", json=LIMIT)
    assert (taken.status_code, taken.get_json()["source"]) == (201, "web")
    assert firm.order().get_json()["source"] == "api"


SIGNED = {"api.kyc_webhook", "api.stripe_webhook"}  # no browser sends them; the sender's signature is looked at


def test_unsafe_methods_all_ask_for_it(shared_firm: Firm) -> None:
    for rule, method in itertools.product(shared_firm.app.url_map.iter_rules(), ("POST", "PUT", "PATCH", "DELETE")):
        if method in (rule.methods or ()):
            path = rule.rule.replace("<path:", "<").replace("<", "").replace(">", "")
            response = shared_firm.call("client", method, path, csrf=False)
            assert (response.status_code == 403) != (rule.endpoint in SIGNED), rule


# -- production ----------------------------------------------------------------------------------------------


def test_production_is_stricter(open_app: Callable[..., Firm]) -> None:
    firm = open_app(environment="production", **PRODUCTION)
    secure = {"base_url": "https://localhost"}
    response = firm.app.test_client().get("/sign-in", **secure)
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith("__Host-session=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "max-age=31556926" in response.headers["Strict-Transport-Security"]
    plain = firm.app.test_client().get("/sign-in")
    assert (plain.status_code, plain.location) == (302, "https://localhost/sign-in")
    assert firm.app.test_client().get("/health").status_code == 200


def production(open_app: Callable[..., Firm], **values: Any) -> Firm:
    return open_app(environment="production", **{**PRODUCTION, "public_hosts": "desk.example, localhost", **values})


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("path", ["/sign-in", "/api/v1/orders", "/static/js/live.js", "/socket.io/?EIO=4"])
def test_a_strange_host_is_refused_and_not_redirected_to(open_app: Callable[..., Firm], scheme: str, path: str) -> None:
    firm = production(open_app)
    answer = firm.app.test_client().get(path, base_url=f"{scheme}://evil.example")
    assert (answer.status_code, answer.location) == (421, None)
    assert "evil" not in answer.get_data(as_text=True)


@pytest.mark.parametrize("host", ["desk.example", "DESK.example:8443"])
def test_hosts_of_ours_are_served(open_app: Callable[..., Firm], host: str) -> None:
    firm = production(open_app)
    assert firm.app.test_client().get("/sign-in", base_url=f"https://{host}").status_code == 200
    assert firm.app.test_client().get("/sign-in", base_url=f"http://{host}").status_code == 302


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/orders"),
        ("POST", "/api/v1/orders"),
        ("GET", "/"),
        ("GET", "/socket.io/?EIO=4"),
        ("GET", "/ready"),
    ],
)
@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
def test_a_key_over_plain_http_is_refused_and_not_redirected(
    open_app: Callable[..., Firm], method: str, path: str, header: str
) -> None:
    firm = production(open_app)
    value = firm.keys["key:client"] if header == "X-API-Key" else f"Bearer {firm.keys['key:client']}"
    outside = {"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}
    refused = firm.app.test_client().open(path, method=method, headers={header: value}, **outside)
    assert (refused.status_code, refused.location) == (403, None)
    assert b"https_required" in refused.data or b"https" in refused.data


def test_what_changes_something_is_not_redirected_either(open_app: Callable[..., Firm]) -> None:
    assert production(open_app).app.test_client().post("/sign-in").status_code == 403


def test_balancers_ask_by_address_over_plain_http(open_app: Callable[..., Firm]) -> None:
    firm = production(open_app)
    for path in ("/health", "/ready"):
        assert firm.app.test_client().get(path, base_url="http://10.0.0.7:5000").status_code in (200, 503)


# -- who may scrape ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "headers", "status"),
    [
        ({}, {}, 200),
        ({}, {"X-Forwarded-For": "192.0.2.7"}, 401),
        ({"trusted_proxies": 1}, {}, 401),  # a proxy on this machine need not say for whom it asks
        ({"environment": "production", **PRODUCTION}, {}, 401),
    ],
)
def test_metrics_are_open_to_this_machine_where_no_proxy_stands_in_front(
    open_app: Callable[..., Firm], values: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    firm = open_app(**values)
    assert firm.call(None, "GET", "/metrics", headers=headers).status_code == status
    assert firm.call("key:firm-admin", "GET", "/metrics", headers=headers).status_code == 200


def test_invented_methods_are_one_label(firm: Firm) -> None:
    for number in range(5):
        firm.call(None, f"X{number}", "/health")
    shown = firm.call(None, "GET", "/metrics").get_data(as_text=True)
    assert 'method="OTHER"' in shown and 'method="X' not in shown
