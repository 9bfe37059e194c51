"""Every route against every kind of caller, from one table; a route the table does not know fails."""

from __future__ import annotations

import re

import pytest
from werkzeug.test import TestResponse

from .conftest import KEYS, LIMIT, ROLES, Firm

STAFF = {"master", "trader", "operator", "middle_office"}
EVERYBODY = {*STAFF, "client"}
READERS = {name for name, key in KEYS.items() if "read" in key["scopes"]}
TRADERS = {name for name, key in KEYS.items() if "trade" in key["scopes"]}
ADMINS = {name for name, key in KEYS.items() if "admin" in key["scopes"]}
MANAGING = {"master", "key:firm"}  # wallets and quotes: of keys only one that may act for clients
CLIENT_KEEPERS = {name for name, key in KEYS.items() if "clients" in key["scopes"]}
CALLERS = [*ROLES, *KEYS]

SEEING = EVERYBODY | READERS
TRADING = {"trader", "client"} | TRADERS - {"key:firm-trade"}  # a firm's key trades only where it may act
SUPERVISING = {"master", "operator", "middle_office"} | ADMINS
FUNDED = {"master", "operator", "middle_office", "client"} | READERS  # a trader has no part in it
FUNDING = {"operator", "client"} | {name for name, key in KEYS.items() if "funding" in key["scopes"]}
ACCOUNT_MAKERS = {"operator", "client"}  # no key changes where a client is paid
PAYING = {"operator"}  # in a browser
AUDITING = {"master", "middle_office"} | ADMINS
PAYING_IN = {"client", "key:funding"}
CHECKING = {"master", "operator", "middle_office"}  # an operator reads; what one decides is asked for by kind
ANYBODY = {*CALLERS, None}

API = {
    "GET /api/v1/orders": SEEING,
    "POST /api/v1/orders": TRADING,
    "POST /api/v1/orders/batch": TRADING,
    "POST /api/v1/orders/cancel-all": TRADING,
    "GET /api/v1/orders/by-client-order-id/<path:client_order_id>": SEEING,
    "GET /api/v1/orders/<order_id>": SEEING,
    "PATCH /api/v1/orders/<order_id>": TRADING,
    "DELETE /api/v1/orders/<order_id>": TRADING,
    "POST /api/v1/orders/<order_id>/cancel": TRADING,
    "GET /api/v1/orders/<order_id>/executions": SEEING,
    "GET /api/v1/orders/<order_id>/fix-messages": SEEING,
    "GET /api/v1/orders/<order_id>/events": SEEING,
    "GET /api/v1/executions": SEEING,
    "GET /api/v1/positions": SEEING,
    "GET /api/v1/positions/<position_id>": SEEING,
    "PUT /api/v1/positions/<position_id>/protection": TRADING,
    "POST /api/v1/positions/<position_id>/close": TRADING,
    "POST /api/v1/positions/<position_id>/signals": TRADING,
    "GET /api/v1/positions/<position_id>/updates": SEEING,
    "GET /api/v1/positions/<position_id>/curve": SEEING,
    "GET /api/v1/portfolio": SEEING,
    "GET /api/v1/positions/<position_id>/executions": SEEING,
    "GET /api/v1/clients": SEEING,
    "POST /api/v1/clients": {"master", "trader", "middle_office"} | CLIENT_KEEPERS,
    "GET /api/v1/clients/export": SEEING,
    "POST /api/v1/clients/import": {"master", "trader", "middle_office"} | CLIENT_KEEPERS,
    "GET /api/v1/clients/duplicates": {"master", "trader", "middle_office"} | CLIENT_KEEPERS,
    "GET /api/v1/clients/<ref>": SEEING,
    "POST /api/v1/clients/<ref>/block": {"master", "trader", "middle_office"} | CLIENT_KEEPERS,  # traders: see below
    "POST /api/v1/clients/<ref>/unblock": {"master", "trader", "middle_office"} | CLIENT_KEEPERS,
    "GET /api/v1/clients/<ref>/related-persons": SEEING,
    "PUT /api/v1/clients/<ref>/related-persons": {"master", "trader", "middle_office"} | CLIENT_KEEPERS,
    "PATCH /api/v1/clients/<ref>": {"master", "trader", "middle_office"} | CLIENT_KEEPERS,
    "GET /api/v1/clients/<ref>/documents": SEEING,
    "POST /api/v1/clients/<ref>/documents": EVERYBODY | {"key:firm"},  # of keys only one that may act for clients
    "GET /api/v1/clients/<ref>/documents/<document_id>": SEEING,
    "GET /api/v1/clients/<ref>/documents/<document_id>/file": SEEING,
    "DELETE /api/v1/clients/<ref>/documents/<document_id>": EVERYBODY | {"key:firm"},
    "GET /api/v1/clients/<ref>/limits": SEEING,
    "PUT /api/v1/clients/<ref>/limits": {"master", "middle_office"} | ADMINS,
    "DELETE /api/v1/clients/<ref>/limits/<limit_id>": {"master", "middle_office"} | ADMINS,
    "GET /api/v1/clients/<ref>/kyc": SEEING,
    "POST /api/v1/clients/<ref>/kyc/decide": {"middle_office"},
    "GET /api/v1/clients/<ref>/gate": SEEING,
    "POST /api/v1/kyc/start": {"middle_office", "client", "key:firm"},
    "GET /api/v1/kyc/status": SEEING,
    "GET /api/v1/deposits": SEEING,
    "POST /api/v1/deposits": PAYING_IN,
    "GET /api/v1/deposits/mismatches": SEEING,  # who is no staff finds nothing there
    "POST /api/v1/deposits/mismatches/<mismatch_id>/resolve": {"operator"},
    "GET /api/v1/deposits/<deposit_id>": SEEING,
    "POST /api/v1/deposits/<deposit_id>/cancel": PAYING_IN,
    "POST /api/v1/deposits/<deposit_id>/match": {"operator"},
    "POST /api/v1/deposits/<deposit_id>/reject": {"operator"},
    "POST /api/v1/deposits/simulate-payment-success/<deposit_id>": PAYING_IN,
    "POST /api/v1/stripe/webhook": ANYBODY,  # whoever signs as Stripe does; see test_stripe
    "POST /api/v1/stripe/create-checkout-session": PAYING_IN,
    "GET /api/v1/stripe/session/<session_id>": PAYING_IN,
    "GET /api/v1/wallets": SEEING,
    "POST /api/v1/wallets": MANAGING,
    "GET /api/v1/wallets/<wallet_id>": SEEING,
    "PATCH /api/v1/wallets/<wallet_id>": MANAGING,
    "POST /api/v1/wallets/<wallet_id>/pause": MANAGING | TRADING,
    "POST /api/v1/wallets/<wallet_id>/resume": MANAGING | TRADING,
    "GET /api/v1/wallets/<wallet_id>/balances": SEEING,
    "GET /api/v1/wallets/<wallet_id>/movements": SEEING,
    "GET /api/v1/clients/<ref>/bank-accounts": FUNDED,
    "POST /api/v1/clients/<ref>/bank-accounts": ACCOUNT_MAKERS,
    "GET /api/v1/bank-accounts/<account_id>": FUNDED,
    "DELETE /api/v1/bank-accounts/<account_id>": ACCOUNT_MAKERS,
    "POST /api/v1/bank-accounts/<account_id>/make-default": ACCOUNT_MAKERS,
    "GET /api/v1/funding/withdrawable": FUNDED,
    "GET /api/v1/withdrawals": FUNDED,
    "POST /api/v1/withdrawals": FUNDING,
    "POST /api/v1/withdrawals/preview": FUNDING,
    "GET /api/v1/withdrawals/<withdrawal_id>": FUNDED,
    "POST /api/v1/withdrawals/<withdrawal_id>/cancel": FUNDING,
    "POST /api/v1/withdrawals/<withdrawal_id>/reject": PAYING,
    "POST /api/v1/withdrawals/<withdrawal_id>/start": PAYING,
    "POST /api/v1/withdrawals/<withdrawal_id>/complete": PAYING,
    "POST /api/v1/withdrawals/<withdrawal_id>/fail": PAYING,
    "GET /api/v1/market/instruments": SEEING,
    "GET /api/v1/market/quotes": SEEING,
    "POST /api/v1/market/quotes": MANAGING,
    "GET /api/v1/market/quotes/<path:symbol>": SEEING,
    "GET /api/v1/market/bars": SEEING,
    "GET /api/v1/market/day": SEEING,
    "GET /api/v1/market/feeds": SEEING,
    "GET /api/v1/journal/entries": SEEING,
    "GET /api/v1/journal/entries/<entry_id>": SEEING,
    "GET /api/v1/journal/trial-balance": {"master", "operator", "middle_office"}
    | {"key:firm-read", "key:firm-trade", "key:firm"},
    "GET /api/v1/events": SEEING,
    "GET /api/v1/keys": EVERYBODY,
    "POST /api/v1/keys/<key_id>/revoke": EVERYBODY,
    "GET /api/v1/health/services": SUPERVISING,
    "GET /api/v1/metrics": SUPERVISING,
    "GET /api/v1/admin/reconcile": SUPERVISING,
    "GET /api/v1/admin/engine": SUPERVISING,
    "GET /api/v1/admin/faults": SUPERVISING,
    "GET /api/v1/admin/faults/<fault_id>": SUPERVISING,
    "POST /api/v1/admin/faults/<fault_id>/retry": {"master"} | ADMINS,
    "POST /api/v1/admin/faults/<fault_id>/resolve": {"master"} | ADMINS,
    "GET /api/v1/admin/venue": SUPERVISING,
    "PATCH /api/v1/admin/venue": MANAGING,
    "GET /api/v1/admin/audit": AUDITING,
    "GET /api/v1/admin/audit/verify": AUDITING,
    "GET /api/v1/admin/audit/export": AUDITING,
    "GET /api/v1/withdrawals/<withdrawal_id>/receipt.pdf": SEEING - {"trader"},
    "GET /api/v1/deposits/<deposit_id>/receipt.pdf": SEEING,
    "GET /api/v1/clients/<ref>/statement.pdf": SEEING,
    "GET /api/v1/approvals": CHECKING,
    "GET /api/v1/approvals/<approval_id>": CHECKING,
    "POST /api/v1/approvals/<approval_id>/approve": CHECKING,
    "POST /api/v1/approvals/<approval_id>/reject": CHECKING,
    "GET /api/v1/users": {"master"},
    "POST /api/v1/users": {"master"},
    "GET /api/v1/users/<user_id>": {"master"},
    "PATCH /api/v1/users/<user_id>": {"master"},
    "POST /api/v1/users/<user_id>/reset-password": {"master"},
    "GET /api/v1/users/<user_id>/sessions": {"master"},
    "POST /api/v1/users/<user_id>/end-sessions": {"master"},
    "POST /api/v1/users/invite": {"master"},
    "POST /api/v1/users/<user_id>/send-invitation": {"master"},
    "POST /api/v1/users/<user_id>/remove-second-step": {"master"},
    "GET /api/v1/admin/mails": SUPERVISING,
    "POST /api/v1/admin/mails/<mail_id>/send-again": {"master"} | ADMINS,
    "GET /api/v1/openapi.json": ANYBODY,
    "GET /api/docs": ANYBODY,
    "GET /api/docs/errors": ANYBODY,
    "GET /api/docs/errors/<code>": ANYBODY,
    "GET /health": ANYBODY,
    "GET /ready": ANYBODY,
    "GET /metrics": ANYBODY,  # from this machine; from elsewhere see test_health
}
PAGES = {  # for people: keys have no business here, nobody is sent to sign in
    "GET /": EVERYBODY,
    "GET /desk": EVERYBODY,
    "GET /orders": EVERYBODY,
    "GET /orders/<order_id>": EVERYBODY,
    "GET /positions": EVERYBODY,
    "GET /positions/<position_id>": EVERYBODY,
    "GET /portfolio": EVERYBODY,
    "GET /deposits": EVERYBODY,
    "GET /deposits/mismatches": EVERYBODY,  # who is no staff finds nothing there
    "GET /deposits/<deposit_id>": EVERYBODY,
    "GET /wallets": EVERYBODY,
    "GET /wallets/<wallet_id>": EVERYBODY,
    "GET /kyc": {"client"},
    "GET /withdrawals": EVERYBODY - {"trader"},
    "GET /withdrawals/<withdrawal_id>": EVERYBODY - {"trader"},
    "GET /clients": STAFF,
    "GET /clients/import": {"master", "trader", "middle_office"},
    "GET /clients/<ref>": STAFF,
    "GET /documents": EVERYBODY,
    "GET /approvals": CHECKING,
    "GET /journal": EVERYBODY,
    "GET /journal/<entry_id>": EVERYBODY,
    "GET /journal/trial-balance": {"master", "operator", "middle_office"},
    "GET /system": {"master", "operator", "middle_office"},
    "GET /users": {"master"},
    "GET /users/<user_id>": {"master"},
    "GET /audit": {"master", "middle_office"},
    "GET /help": EVERYBODY,
    "GET /account/keys": EVERYBODY,
    "GET /account/sessions": EVERYBODY,
    "GET /account/password": EVERYBODY,
    "GET /account/security": EVERYBODY,
    "GET /account/prove": EVERYBODY,
}
# covered, body and all, by the tests of signing in and of the account pages
ELSEWHERE = {
    "POST /api/v1/kyc/webhook",  # vouched for by its digest; the tests of KYC
    "GET /sign-in",
    "GET /verify/<code>",
    "POST /sign-in",
    "GET /sign-in/code",
    "POST /sign-in/code",
    "GET /password/forgotten",
    "POST /password/forgotten",
    "GET /password/choose",
    "POST /password/choose",
    "POST /account/prove",
    "POST /account/email",
    "GET /account/email/confirm",
    "POST /account/email/confirm",
    "POST /account/totp/begin",
    "GET /account/totp/image.svg",
    "POST /account/totp/confirm",
    "POST /account/totp/remove",
    "POST /sign-out",
    "POST /account/keys",
    "POST /account/keys/<key_id>/revoke",
    "POST /account/keys/<key_id>/rotate",
    "POST /account/language",
    "POST /account/number-format",
    "GET /account/names",
    "POST /account/password",
    "POST /account/sessions/<session_id>/end",
    "POST /account/sessions/end-others",
    "POST /account/theme",
    "GET /static/<path:filename>",
}
NOWHERE = "01a1fd24-c3ab-7178-8428-d7281a5c0e77"


def routes(firm: Firm) -> set[str]:
    return {
        f"{method} {rule.rule}"
        for rule in firm.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_the_table_knows_every_route(shared_firm: Firm) -> None:
    assert routes(shared_firm) == set(API) | set(PAGES) | ELSEWHERE


def test_every_api_route_describes_itself(shared_firm: Firm) -> None:
    views = shared_firm.app.view_functions
    bare = [
        rule.rule
        for rule in shared_firm.app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1") and not hasattr(views[rule.endpoint], "endpoint")
    ]
    assert bare == []


def ask(firm: Firm, who: str | None, route: str) -> TestResponse:
    method, rule = route.split(" ")
    path = re.sub(r"<path:symbol>", "BTC/USDT", rule)
    path = re.sub(r"<[^>]+>", NOWHERE, path)
    if path.endswith("/market/bars"):
        path += "?symbol=BTCUSDT"
    body = {} if method in ("POST", "PUT", "PATCH") else None
    return firm.call(who, method, path, json=body)


@pytest.mark.parametrize("route", sorted(API))
def test_api(shared_firm: Firm, route: str) -> None:
    wrong = []
    for who in (None, *CALLERS):
        status = ask(shared_firm, who, route).status_code
        refused = status == (401 if who is None else 403)
        # an unknown id or an empty body is for those who may ask: 404, 409, 415 or 422
        broken = status >= 500 and route != "GET /ready"  # nobody leads here, and it says so
        if refused == (who in API[route]) or broken:
            wrong.append((who, status))
    assert wrong == []


@pytest.mark.parametrize("route", sorted(PAGES))
def test_pages(shared_firm: Firm, route: str) -> None:
    wrong = []
    for who in (None, *CALLERS):
        response = ask(shared_firm, who, route)
        if who is None:
            good = response.status_code == 303 and response.location.startswith("/sign-in")
        elif who in PAGES[route]:
            good = response.status_code in (200, 302, 303, 404) and "/sign-in" not in (response.location or "")
        else:
            good = response.status_code == 403
        if not good:
            wrong.append((who, response.status_code))
    assert wrong == []


@pytest.mark.parametrize("who", ["key:other", "client", "trader", "key:firm"])
def test_what_belongs_to_another_does_not_exist(firm: Firm, who: str) -> None:
    """The same body for a random id, a malformed one and another client's."""
    owner = "key:client" if who == "key:other" else "key:other"
    order = firm.order(owner).get_json()["id"]
    if who == "key:firm":  # may act for everybody
        assert firm.call(who, "GET", f"/api/v1/orders/{order}").status_code == 200
        return
    answers = []
    for order_id in (order, NOWHERE, "not-an-id"):
        for method, path in (("GET", ""), ("POST", "/cancel"), ("DELETE", ""), ("GET", "/fix-messages")):
            response = firm.call(who, method, f"/api/v1/orders/{order_id}{path}")
            answers.append((response.status_code, {**response.get_json(), "request_id": ""}))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == 404


def test_staff_name_the_client_whose_wallet_it_is(firm: Firm) -> None:
    """Another client's wallet does not exist for an order of this one, whoever sends it."""
    theirs = firm.ids["luis:wallet"]
    for who, named in (("trader", {"client_id": "C-1"}), ("key:firm", {"client_id": "C-1"}), ("key:client", {})):
        for dry in (False, True):
            answer = firm.order(who, wallet_id=theirs, dry_run=dry, **named)
            assert (answer.status_code, answer.get_json()["detail"]) == (404, "there is no such wallet")
    assert firm.order("trader", wallet_id=firm.ids["ana:wallet"], client_id="C-1").status_code == 201
    assert firm.order("trader", wallet_id=theirs, client_id="C-2").status_code == 404  # not the trader's client


def test_lists_show_ones_own(firm: Firm) -> None:
    mine, theirs = firm.order("key:client").get_json()["id"], firm.order("key:other").get_json()["id"]

    def seen(who: str) -> set[str]:
        return {item["id"] for item in firm.call(who, "GET", "/api/v1/orders").get_json()["items"]}

    assert seen("client") == seen("key:read") == seen("trader") == {mine}
    assert seen("key:other") == {theirs}
    assert seen("master") == seen("key:firm") == {mine, theirs}


@pytest.mark.parametrize(
    ("who", "method", "path", "body"),
    [
        ("key:firm-trade", "POST", "/orders", {"client_id": "C-1", **LIMIT}),
        ("key:firm-trade", "POST", "/orders", {"client_id": "C-1", "dry_run": True, **LIMIT}),
        ("key:firm-trade", "POST", "/orders/batch", {"orders": [{"client_id": "C-1", **LIMIT}]}),
        ("key:firm-trade", "POST", "/orders/cancel-all", {"client_id": "C-1"}),
        ("key:firm-trade", "PATCH", "/orders/{order}", {"qty": "0.2"}),
        ("key:firm-trade", "POST", "/orders/{order}/cancel", {}),
        ("key:firm-trade", "DELETE", "/orders/{order}", None),
        ("key:firm-admin", "POST", "/wallets", {"client_id": "C-1"}),
        ("key:firm-admin", "PATCH", "/wallets/{wallet}", {"name": "Mine"}),
        ("key:firm-admin", "POST", "/wallets/{wallet}/pause", {}),
        ("key:firm-trade", "POST", "/wallets/{wallet}/pause", {}),
        ("key:firm-admin", "POST", "/wallets/{wallet}/resume", {}),
        ("key:firm-admin", "POST", "/market/quotes", {"symbol": "BTC/USDT", "bid": "67000", "ask": "67001"}),
    ],
)
def test_a_key_of_the_firm_without_that_right_changes_nothing_of_clients(
    firm: Firm, who: str, method: str, path: str, body: dict[str, object] | None
) -> None:
    order = firm.order().get_json()["id"]
    named = path.format(order=order, wallet=firm.ids["ana:wallet"])
    answer = firm.call(who, method, f"/api/v1{named}", json=body)
    assert answer.status_code == 403
    assert answer.get_json()["code"] == (
        "forbidden" if "pause" in path and "trade" in who else "may_not_act_for_clients"
    )
    assert firm.call("key:client", "GET", f"/api/v1/orders/{order}").get_json()["version"] == 1
    assert firm.call("key:client", "GET", f"/api/v1/wallets/{firm.ids['ana:wallet']}").get_json()["version"] == 1


def test_a_key_acts_for_clients_only_with_that_right(firm: Firm) -> None:
    assert firm.order("key:firm", client_id="C-1").status_code == 201
    refused = firm.order("key:firm-trade", client_id="C-1")
    assert (refused.status_code, refused.get_json()["code"]) == (403, "may_not_act_for_clients")
    assert firm.order("key:client", client_id="C-2").status_code == 404
    assert firm.order("key:client", client_id="C-1").status_code == 201
    unnamed = firm.order("key:firm")
    assert (unnamed.status_code, unnamed.get_json()["errors"][0]["field"]) == (422, "client_id")
    assert firm.order("key:firm", headers={"X-Client-Id": "C-1"}).status_code == 201
    assert firm.order("key:firm", client_id="C-1", headers={"X-Client-Id": "C-2"}).status_code == 422
