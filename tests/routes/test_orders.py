"""Orders over HTTP: what is answered, to good requests and to bad ones."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import ManualClock
from app.core.errors import Unauthenticated, Unavailable
from app.core.permissions import SYSTEM
from app.domain.orders import OrderSource
from app.models import Client, LedgerAccount, Wallet
from app.schemas.base import validate
from app.schemas.orders import OrderIn
from app.services import api_keys, wallets
from app.services.orders import entry as order_entry

from .conftest import LIMIT, Firm, open_firm

NOWHERE = "01a1fd24-c3ab-7178-8428-d7281a5c0e77"


def test_the_sequence_of_an_older_client(firm: Firm) -> None:
    """CamelCase, a joined symbol and numbers, as systems send them that were here before."""
    body = {
        "clientId": "C-1",
        "symbol": "XAUUSD",
        "side": "BUY",
        "type": "LIMIT",
        "qty": 1,
        "price": 2000.0,
        "timeInForce": "GTC",
    }
    made = firm.call("key:firm", "POST", "/api/v1/orders", json=body)
    order = made.get_json()
    assert (made.status_code, made.headers["ETag"]) == (201, '"v1"')
    assert (order["status"], order["symbol"], order["qty"], order["price"]) == ("NEW", "XAU/USD", "1", "2000")
    assert order["client_id"] == firm.ids["ana"]
    assert firm.call("key:firm", "GET", f"/api/v1/orders/{order['id']}").get_json() == order
    listed = firm.call("key:firm", "GET", "/api/v1/orders").get_json()
    assert (listed["total"], listed["has_more"], listed["items"]) == (1, False, [order])
    assert firm.call("key:firm", "POST", f"/api/v1/orders/{NOWHERE}/cancel").status_code == 404
    assert firm.call("key:firm", "GET", "/api/v1/positions").status_code == 200


def test_client_order_id(firm: Firm) -> None:
    first = firm.order(client_order_id="mine/1")
    again = firm.order(client_order_id="mine/1")
    other = firm.order(client_order_id="mine/1", qty="0.2")
    assert [r.status_code for r in (first, again, other)] == [201, 200, 409]
    assert again.get_json() == first.get_json()
    assert other.get_json()["code"] == "DUPLICATE_ORDER"
    found = firm.call("key:client", "GET", "/api/v1/orders/by-client-order-id/mine/1")
    assert found.get_json() == first.get_json()
    assert firm.call("key:other", "GET", "/api/v1/orders/by-client-order-id/mine/1").status_code == 404


def test_dry_run_stores_nothing(firm: Firm) -> None:
    answer = firm.order(dry_run=True)
    assert answer.status_code == 200
    assert answer.get_json()["accepted"] is True
    assert answer.get_json()["reserve"] == "6006"
    assert firm.call("key:client", "GET", "/api/v1/orders").get_json()["total"] == 0


def test_refused_by_risk_is_stored_with_every_reason(firm: Firm) -> None:
    answer = firm.order(qty="100")
    order = answer.get_json()
    assert (answer.status_code, order["status"]) == (201, "REJECTED")
    assert [failure["code"] for failure in order["reject_values"]] == ["INSUFFICIENT_BALANCE"]
    assert all(failure["values"] for failure in order["reject_values"])


def test_off_tick_and_lot_name_the_nearest(firm: Firm) -> None:
    errors = firm.order(qty="0.000015", price="60000.005").get_json()["errors"]
    assert {error["field"]: error["message"] for error in errors} == {
        "qty": "must be a multiple of the lot size 0.00001; nearest: 0.00001 or 0.00002",
        "price": "must be a multiple of the tick size 0.01; nearest: 60000 or 60000.01",
    }
    below = firm.order(qty="0.000001").get_json()["errors"][0]["message"]
    assert below == "must be a multiple of the lot size 0.00001; nearest: 0.00001"


def test_an_amendment_says_who_and_what(firm: Firm) -> None:
    order = firm.order("client").get_json()
    made = firm.call("trader", "PATCH", f"/api/v1/orders/{order['id']}", json={"price": "59000"})
    assert made.status_code == 200
    event = firm.call("client", "GET", f"/api/v1/orders/{order['id']}/events").get_json()["items"][-1]
    assert (event["by"], event["changed"]) == (f"user:{firm.ids['trader']}", {"price": ["60000", "59000"]})


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e400", True, "٣", "1,5", "", [], {}, "0x10"])
@pytest.mark.parametrize("field", ["qty", "price", "stop_loss"])
def test_no_amount(shared_firm: Firm, field: str, amount: Any) -> None:
    answer = shared_firm.order(**{field: amount})
    assert answer.status_code == 422
    assert {(error["field"], error["code"]) for error in answer.get_json()["errors"]} == {(field, "invalid_amount")}


@pytest.mark.parametrize("bare", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_no_number(shared_firm: Firm, bare: str) -> None:
    text = f'{{"symbol": "BTC/USDT", "side": "BUY", "type": "LIMIT", "price": "60000", "qty": {bare}}}'
    answer = shared_firm.call("key:client", "POST", "/api/v1/orders", data=text, content_type="application/json")
    assert (answer.status_code, answer.get_json()["code"]) == (422, "invalid_amount")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"qty": 0}, "amount_out_of_range"),
        ({"qty": "-1"}, "amount_out_of_range"),
        ({"qty": "1" + "0" * 20}, "amount_out_of_range"),
        ({"qty": "0.1" + "0" * 17 + "1"}, "precision"),
        ({"qty": "0.123456"}, "lot_size"),
        ({"price": "60000.005"}, "tick_size"),
        ({"qty": "0.00001"}, "min_notional"),
        ({"price": None}, "PRICE_REQUIRED"),
        ({"type": "MARKET"}, "PRICE_NOT_ALLOWED"),
        ({"symbol": "DOGE/USDT"}, "unknown_instrument"),
        ({"side": "HOLD"}, "invalid_choice"),
        ({"status": "FILLED"}, "unknown_field"),
        ({"role": "master"}, "unknown_field"),
        ({"symbol": "BTC\u202e/USDT"}, "invalid_characters"),
        ({"client_order_id": "a\r\nb"}, "invalid_characters"),
        ({"qty": None}, "invalid_qty"),
    ],
)
def test_refused_by_field(shared_firm: Firm, fields: dict[str, Any], code: str) -> None:
    answer = shared_firm.order(**fields)
    assert (answer.status_code, answer.get_json()["code"]) == (422, code)


def test_a_stop_on_the_wrong_side(shared_firm: Firm) -> None:
    answer = shared_firm.order(stop_loss="61000")
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["field"] == "stop_loss"


def test_amend_with_the_version_seen(firm: Firm) -> None:
    order = firm.order().get_json()
    path = f"/api/v1/orders/{order['id']}"
    first = firm.call("key:client", "PATCH", path, json={"price": "61000"}, headers={"If-Match": '"v1"'})
    assert (first.status_code, first.headers["ETag"], first.get_json()["price"]) == (200, '"v2"', "61000")
    stale = firm.call("key:client", "PATCH", path, json={"price": "62000"}, headers={"If-Match": '"v1"'})
    assert (stale.status_code, stale.get_json()["current_version"]) == (412, 2)
    assert firm.call("key:client", "PATCH", path, json={"price": "62000"}).status_code == 200
    assert firm.call("key:client", "PATCH", path, json={}).status_code == 422


@pytest.mark.parametrize(("method", "path"), [("POST", "/cancel"), ("DELETE", "")])
def test_cancel_once(firm: Firm, method: str, path: str) -> None:
    order_id = firm.order().get_json()["id"]
    canceled = firm.call("key:client", method, f"/api/v1/orders/{order_id}{path}")
    assert (canceled.status_code, canceled.get_json()["status"]) == (200, "CANCELED")
    late = firm.call("key:client", method, f"/api/v1/orders/{order_id}{path}")
    assert (late.status_code, late.get_json()["code"]) == (409, "too_late")
    assert late.get_json()["order"]["status"] == "CANCELED"
    amended = firm.call("key:client", "PATCH", f"/api/v1/orders/{order_id}", json={"qty": "1"})
    assert amended.status_code == 409


def test_cancel_all_reaches_what_is_named(firm: Firm) -> None:
    firm.order()
    firm.order("key:other")
    gold = firm.order(symbol="XAUUSD", qty="1", price="1900").get_json()["id"]
    canceled = firm.call("key:client", "POST", "/api/v1/orders/cancel-all", json={"symbol": "XAUUSD"}).get_json()
    assert [order["id"] for order in canceled["items"]] == [gold]
    assert firm.call("key:firm", "POST", "/api/v1/orders/cancel-all", json={"clientId": "C-2"}).get_json()["total"] == 1
    live = firm.call("key:firm", "GET", "/api/v1/orders?open=true").get_json()
    assert [order["client_id"] for order in live["items"]] == [firm.ids["ana"]]


def test_a_batch_is_as_many_requests(firm: Firm) -> None:
    orders = [
        LIMIT,
        {"symbol": "BTC/USDT"},
        {**LIMIT, "qty": "NaN"},
        {**LIMIT, "clientOrderId": "x"},
        {**LIMIT, "client_order_id": "x"},
        {**LIMIT, "client_order_id": "x", "qty": "0.2"},
    ]
    answer = firm.call("key:client", "POST", "/api/v1/orders/batch", json={"orders": orders})
    items = answer.get_json()["items"]
    assert answer.status_code == 201
    assert [item["status"] for item in items] == [201, 422, 422, 201, 200, 409]
    assert [item["index"] for item in items] == list(range(6))
    assert items[2]["error"]["errors"][0]["field"] == "qty"
    assert items[4]["order"]["id"] == items[3]["order"]["id"]
    assert firm.call("key:client", "GET", "/api/v1/orders").get_json()["total"] == 2
    too_many = firm.call("key:client", "POST", "/api/v1/orders/batch", json={"orders": [LIMIT] * 101})
    assert too_many.status_code == 422


def test_pages_of_a_list(firm: Firm) -> None:
    ids = [firm.order().get_json()["id"] for _ in range(5)]
    page = firm.call("key:client", "GET", "/api/v1/orders?limit=2&offset=1").get_json()
    assert [item["id"] for item in page["items"]] == ids[::-1][1:3]
    assert (page["total"], page["limit"], page["offset"], page["has_more"]) == (5, 2, 1, True)
    assert firm.call("key:client", "GET", "/api/v1/orders?limit=2&offset=4").get_json()["has_more"] is False


def test_a_filter_by_client_takes_code_and_id(firm: Firm) -> None:
    firm.order()
    firm.order("key:other")
    for ref in ("C-2", firm.ids["luis"]):
        found = firm.call("master", "GET", f"/api/v1/orders?client_id={ref}").get_json()
        assert [item["client_id"] for item in found["items"]] == [firm.ids["luis"]]
    assert firm.call("trader", "GET", "/api/v1/orders?client_id=C-2").status_code == 404


def test_events_of_an_order(firm: Firm) -> None:
    order = firm.order().get_json()
    firm.call("key:client", "POST", f"/api/v1/orders/{order['id']}/cancel")
    events = firm.call("key:client", "GET", f"/api/v1/orders/{order['id']}/events").get_json()["items"]
    assert [event["type"] for event in events] == ["order.new", "order.canceled"]
    assert events[0]["data"] == order


def test_bearer_and_one_wording_for_every_bad_key(firm: Firm) -> None:
    good = {"Authorization": f"Bearer {firm.keys['key:client']}"}
    assert firm.call(None, "GET", "/api/v1/orders", headers=good).status_code == 200
    firm.call("master", "POST", f"/api/v1/keys/{firm.ids['key:other']}/revoke")
    answers = []
    for key in ("", "nonsense", firm.keys["key:client"][:-1] + "x", firm.keys["key:other"]):
        answer = firm.call(None, "GET", "/api/v1/orders", headers={"X-API-Key": key})
        answers.append((answer.status_code, {**answer.get_json(), "request_id": ""}))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == 401


def test_a_batch_that_cannot_be_stored_stores_nothing(firm_on_each: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its orders share one transaction: there is no half of it."""
    firm = firm_on_each

    def fail_late(*args: Any, **kwargs: Any) -> Any:
        raise Unavailable("after the orders were written")

    monkeypatch.setattr(wallets, "balance_events", fail_late)
    answer = firm.call("key:client", "POST", "/api/v1/orders/batch", json={"orders": [LIMIT, LIMIT]})
    assert answer.status_code == 503
    assert firm.call("key:client", "GET", "/api/v1/orders").get_json()["total"] == 0
    assert firm.call("master", "GET", "/api/v1/admin/reconcile").get_json()["ok"] is True


@pytest.mark.postgres
@pytest.mark.parametrize("what", ["wallet", "account"])
def test_what_somebody_holds_delays_only_its_wallet(
    postgres_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A wallet is stepped around at once; what is found locked later, after a moment."""
    monkeypatch.setattr(order_entry, "SHARED_WAIT_MS", 20_000 if what == "wallet" else 50)
    firm = open_firm(postgres_url, clock)
    ana = firm.ids["ana:wallet"]
    row: Any = sa.select(Wallet).where(Wallet.id == ana)
    if what == "account":
        row = sa.select(LedgerAccount).where(LedgerAccount.owner == ana)
    held, answered, release = threading.Event(), threading.Event(), threading.Event()

    def hold(session: Session) -> None:
        session.execute(row.with_for_update())
        held.set()
        release.wait(8)

    answers: dict[str, int] = {}

    def ask() -> None:
        answers["ana"] = firm.order().status_code
        answered.set()

    threads = [threading.Thread(target=firm.run, args=(hold,)), threading.Thread(target=ask)]
    threads[0].start()
    assert held.wait(20)
    threads[1].start()
    entry = firm.app.extensions["services"].order_entry
    for _ in range(20_000):
        if entry._lanes:
            break
        assert not answered.wait(0.001)
    assert firm.order("key:other").status_code == 201
    assert not answered.is_set() and not release.is_set()
    release.set()
    for thread in threads:
        thread.join(20)
    assert answers == {"ana": 201}
    firm.app.extensions["services"].database.dispose()


def test_a_key_that_was_good_a_moment_ago_trades_no_more_once_it_has_ended(firm: Firm) -> None:
    """Its look-up is remembered for a moment; the order's own transaction looks again."""
    assert firm.order().status_code == 201
    firm.call("client", "POST", f"/api/v1/keys/{firm.ids['key:client']}/revoke")
    for body in ({}, {"dry_run": True}, {"client_order_id": "x"}):
        refused = firm.order(**body)
        assert (refused.status_code, refused.get_json()["code"]) == (401, "unauthenticated")
    assert firm.call("master", "GET", "/api/v1/orders").get_json()["total"] == 1


def test_keys_of_several_orders_of_one_commit_are_judged_each(firm: Firm) -> None:
    parts = firm.app.extensions["services"]
    request = validate(OrderIn, {"symbol": "XAU/USD", "side": "BUY", "type": "LIMIT", "qty": "1", "price": "2000"})
    wallet = firm.run(lambda s: s.scalar(sa.select(Wallet.id).where(Wallet.client_id == firm.ids["ana"])))
    firm.call("client", "POST", f"/api/v1/keys/{firm.ids['key:client']}/revoke")
    entries = [
        request.order_request(wallet, "t", OrderSource.API, key_id=firm.ids[key]) for key in ("key:client", "key:trade")
    ]
    ended, stored = firm.run(lambda session: parts.orders.submit_many(session, entries, firm.clock.now()))
    assert isinstance(ended, Unauthenticated)
    assert stored[0]["status"] == "NEW"


def test_a_key_remembered_for_one_address_is_not_good_at_another(firm: Firm) -> None:
    def make(session: Session) -> str:
        request = api_keys.KeyRequest(
            name="fixed", scopes=["trade"], client=session.get_one(Client, firm.ids["ana"]), allowed_ips=["192.0.2.1"]
        )
        return api_keys.create(session, request, SYSTEM, firm.clock.now())[1]

    headers = {"X-API-Key": firm.run(make)}
    body = {"symbol": "XAU/USD", "side": "BUY", "type": "LIMIT", "qty": "1", "price": "2000"}

    def send(address: str) -> int:
        answer = firm.app.test_client().post(
            "/api/v1/orders", json=body, headers=headers, environ_base={"REMOTE_ADDR": address}
        )
        return answer.status_code

    assert [send(address) for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1")] == [201, 401, 201]


def test_the_wallet_remembered_for_one_client_is_not_anothers(firm: Firm) -> None:
    """Ana's default wallet and one of hers by name, then Luis with the same words."""
    own = firm.order().get_json()["wallet_id"]
    assert firm.order(wallet_id=own).get_json()["wallet_id"] == own
    theirs = firm.order("key:other").get_json()["wallet_id"]
    assert theirs != own
    assert firm.order("key:other", wallet_id=own).status_code == 404
    assert firm.order("key:other").get_json()["wallet_id"] == theirs
