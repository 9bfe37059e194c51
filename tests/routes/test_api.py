"""Clients, wallets, market, journal, events, keys and health over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from app import background
from app.adapters.marketdata.manual import ManualFeed
from app.domain.risk import Failure
from app.models import AuditRecord, EngineHeartbeat
from app.services import commands, journal_reports, wallets
from app.services.events import Events
from app.services.feeds import FeedSupervisor
from app.services.locks import Locks

from .conftest import Firm, open_firm

NOWHERE = "01a1fd24-c3ab-7178-8428-d7281a5c0e77"


# -- clients -------------------------------------------------------------------------------------------------


def test_a_client_is_registered_and_changed(firm: Firm) -> None:
    made = firm.call("master", "POST", "/api/v1/clients", json={"code": "C-9", "name": "Eva", "email": "e@x.pe"})
    assert (made.status_code, made.headers["ETag"]) == (201, '"v1"')
    taken = firm.call("master", "POST", "/api/v1/clients", json={"code": "C-9", "name": "Eva"})
    assert (taken.status_code, taken.get_json()["code"]) == (409, "code_taken")
    change = {"active": False, "trader_id": firm.ids["trader"], "email": None}
    changed = firm.call("master", "PATCH", "/api/v1/clients/C-9", json=change, headers={"If-Match": '"v1"'})
    assert changed.get_json() == {
        **made.get_json(),
        **change,
        "status": "inactive",
        "version": 2,
        "updated_at": changed.get_json()["updated_at"],
    }
    stale = firm.call("master", "PATCH", "/api/v1/clients/C-9", json={"name": "X"}, headers={"If-Match": '"v1"'})
    assert stale.status_code == 412
    assert firm.call("trader", "GET", f"/api/v1/clients/{made.get_json()['id']}").status_code == 200


def test_a_change_is_in_the_audit_trail(firm: Firm) -> None:
    firm.call("master", "PATCH", "/api/v1/clients/C-1", json={"name": "Ana María"})
    last = firm.call("master", "GET", "/api/v1/admin/audit?action=client.update").get_json()["items"][0]
    assert last["actor"] == f"user:{firm.ids['master']}"
    assert last["details"] == {"changed": {"name": "Ana María"}, "previous": {"name": "Ana Quispe"}}
    count = firm.run(lambda session: session.scalar(sa.select(sa.func.count()).select_from(AuditRecord)))
    firm.call("master", "PATCH", "/api/v1/clients/C-1", json={"name": "Ana María"})  # nothing changes
    assert firm.run(lambda session: session.scalar(sa.select(sa.func.count()).select_from(AuditRecord))) == count


def test_a_traders_new_client_is_the_traders(firm: Firm) -> None:
    made = firm.call("trader", "POST", "/api/v1/clients", json={"code": "C-9", "name": "Eva"}).get_json()
    assert made["trader_id"] == firm.ids["trader"]
    assert firm.call("trader", "PATCH", "/api/v1/clients/C-2", json={"name": "x"}).status_code == 404
    moved = firm.call("trader", "PATCH", "/api/v1/clients/C-1", json={"trader_id": None})
    assert moved.status_code == 403


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"code": "-"}, "code"),
        ({"code": "a b"}, "code"),
        ({"email": "nobody"}, "email"),
        ({"email": "a@x.pe\r\nBcc: b@x.pe"}, "email"),
        ({"name": "Ana\u202e"}, "name"),
        ({"name": ""}, "name"),
        ({"trader_id": NOWHERE}, "trader_id"),
        ({"version": 3}, "version"),
    ],
)
def test_bad_clients(firm: Firm, fields: dict[str, Any], field: str) -> None:
    answer = firm.call("master", "POST", "/api/v1/clients", json={"code": "C-9", "name": "Eva", **fields})
    assert (answer.status_code, answer.get_json()["errors"][0]["field"]) == (422, field)


def test_search_takes_percent_signs_as_they_are(firm: Firm) -> None:
    firm.call("master", "POST", "/api/v1/clients", json={"code": "C-9", "name": "50% off"})

    def codes(text: str) -> list[str]:
        found = firm.call("master", "GET", "/api/v1/clients", query_string={"q": text}).get_json()
        return [item["code"] for item in found["items"]]

    assert codes("%") == ["C-9"]
    assert codes("QUIS") == ["C-1"]
    assert codes("c-") == ["C-1", "C-2", "C-9"]


# -- wallets -------------------------------------------------------------------------------------------------


def test_a_wallet_is_opened_limited_and_paused(firm: Firm) -> None:
    body = {"client_id": "C-1", "name": "Second", "balances": {"usdt": "5000.5", "BTC": 1}}
    made = firm.call("master", "POST", "/api/v1/wallets", json=body)
    assert made.status_code == 201
    path = f"/api/v1/wallets/{made.get_json()['id']}"
    held = firm.call("client", "GET", f"{path}/balances").get_json()
    assert {item["asset"]: item["available"] for item in held["balances"]} == {"BTC": "1", "USDT": "5000.5"}
    limit = {"max_exposure_usd": "20000", "allowed_symbols": ["BTCUSDT", "ETH/USDT"]}
    changed = firm.call("master", "PATCH", path, json=limit, headers={"If-Match": made.headers["ETag"]})
    assert changed.get_json()["limits"]["allowed_symbols"] == ["BTC/USDT", "ETH/USDT"]
    assert firm.call("master", "PATCH", path, json=limit, headers={"If-Match": '"v1"'}).status_code == 412
    assert firm.call("client", "POST", f"{path}/pause", json={"reason": "holiday"}).get_json()["status"] == "paused"
    refused = firm.order(wallet_id=made.get_json()["id"], qty="0.01").get_json()
    assert refused["reject_code"] == "WALLET_PAUSED"
    assert firm.call("client", "POST", f"{path}/pause").status_code == 409
    assert firm.call("trader", "POST", f"{path}/resume").get_json()["status"] == "active"


PAUSE, RESUME = "pause", "resume"


@pytest.mark.parametrize(
    ("steps", "status", "code"),
    [
        # who, what: the last one is answered with this status
        ([("client", PAUSE), ("client", RESUME)], 200, None),
        ([("client", PAUSE), ("key:client", RESUME)], 200, None),
        ([("client", PAUSE), ("trader", RESUME)], 200, None),
        ([("client", PAUSE), ("master", RESUME)], 200, None),
        ([("master", PAUSE), ("client", RESUME)], 403, "stopped_by_firm"),
        ([("master", PAUSE), ("key:client", RESUME)], 403, "stopped_by_firm"),
        ([("master", PAUSE), ("trader", RESUME)], 403, "stopped_by_firm"),
        ([("master", PAUSE), ("key:firm", RESUME)], 200, None),
        ([("master", PAUSE), ("master", RESUME)], 200, None),
        ([("trader", PAUSE), ("client", RESUME)], 403, "stopped_by_firm"),
        ([("trader", PAUSE), ("master", RESUME)], 200, None),
        ([("key:firm", PAUSE), ("client", RESUME)], 403, "stopped_by_firm"),
        # the firm may take a client's pause over; the client cannot make the firm's its own
        ([("client", PAUSE), ("master", PAUSE), ("client", RESUME)], 403, "stopped_by_firm"),
        ([("master", PAUSE), ("client", PAUSE)], 409, "unchanged"),
        ([("master", PAUSE), ("master", PAUSE)], 409, "unchanged"),
        ([("client", RESUME)], 409, "unchanged"),
        # a suspension is lifted by a person of the firm's management, and by nobody else
        (["suspend", ("client", RESUME)], 403, "stopped_by_firm"),
        (["suspend", ("key:client", RESUME)], 403, "stopped_by_firm"),
        (["suspend", ("trader", RESUME)], 403, "stopped_by_firm"),
        (["suspend", ("key:firm", RESUME)], 403, "stopped_by_firm"),
        (["suspend", ("client", PAUSE)], 409, "unchanged"),
        (["suspend", ("master", PAUSE)], 409, "unchanged"),
        (["suspend", ("master", RESUME)], 200, None),
    ],
)
def test_who_set_a_stop_decides_who_may_lift_it(firm: Firm, steps: list[Any], status: int, code: str | None) -> None:
    path = f"/api/v1/wallets/{firm.ids['ana:wallet']}"
    for step in steps:
        if step == "suspend":
            firm.run(lambda session: suspend(firm, session))
        else:
            answer = firm.call(step[0], "POST", f"{path}/{step[1]}", json={"reason": "because"})
    assert (answer.status_code, answer.get_json().get("code")) == (status, code)
    shown = firm.call("client", "GET", path).get_json()
    assert (shown["status"] == "active") == (shown["stopped_by"] is None) == (steps[-1][1] == RESUME and status != 403)


def suspend(firm: Firm, session: Session) -> None:
    wallet, _ = Locks.of(session).wallet(firm.ids["ana:wallet"])
    events = Events(firm.clock.now())
    wallets.suspend(session, wallet, Failure("DAILY_LOSS_LIMIT", "too much is lost", {}), events, firm.clock.now())
    events.flush(session)


@pytest.mark.parametrize("balances", [{"DOGE": "1"}, {"USD": "0"}, {"USD": "1.001"}, {"U$": "1"}, [], {"USD": "NaN"}])
def test_bad_starting_balances(shared_firm: Firm, balances: Any) -> None:
    body = {"client_id": "C-1", "balances": balances}
    assert shared_firm.call("master", "POST", "/api/v1/wallets", json=body).status_code == 422


def test_balances_at_a_past_instant(firm: Firm) -> None:
    before = firm.clock.now().isoformat().replace("+00:00", "Z")
    firm.clock.advance(60)
    firm.quote("BTC/USDT", "67000.00", "67001.00")
    firm.order()
    path = f"/api/v1/wallets/{firm.ids['ana:wallet']}/balances"

    def usdt(query: str) -> dict[str, str]:
        answer = firm.call("client", "GET", path + query).get_json()
        return next(item for item in answer["balances"] if item["asset"] == "USDT")

    assert (usdt("")["available"], usdt("")["held"]) == ("93994", "6006")
    assert usdt(f"?as_of={before}") == {"asset": "USDT", "available": "100000", "held": "0", "total": "100000"}
    assert firm.call("client", "GET", path + "?as_of=2026-01-05T14:30:00").status_code == 422  # no time zone


# -- market --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["BTC/USDT", "BTCUSDT", "btc-usdt", "X:BTC-USD"])
def test_a_quote_by_any_form_of_its_symbol(shared_firm: Firm, written: str) -> None:
    quote = shared_firm.call("key:read", "GET", f"/api/v1/market/quotes/{written}").get_json()
    assert (quote["symbol"], quote["bid"], quote["mid"], quote["spread"]) == ("BTC/USDT", "67000", "67000.5", "1")


def test_unknown_symbols(shared_firm: Firm) -> None:
    assert shared_firm.call("key:read", "GET", "/api/v1/market/quotes/NOPE").status_code == 404
    assert shared_firm.call("key:read", "GET", "/api/v1/market/quotes/AAPL").get_json()["code"] == "no_quote"
    for path in ("quotes?symbols=NOPE", "bars?symbol=NOPE", "bars?symbol=AAPL&interval=2m"):
        assert shared_firm.call("key:read", "GET", f"/api/v1/market/{path}").status_code == 422


class Recording(ManualFeed):
    """The manual feed as it is once it runs."""

    def __init__(self, firm: Firm) -> None:
        super().__init__(firm.clock, lambda seconds: None)
        self._sink = lambda quote: firm.app.extensions["services"].quotes.put(quote)


def test_a_quote_set_by_hand(firm: Firm) -> None:
    body = {"symbol": "ETHUSDT", "bid": "3450.00", "ask": 3450.5}
    off = firm.call("key:firm", "POST", "/api/v1/market/quotes", json=body)
    assert (off.status_code, off.get_json()["code"]) == (503, "engine_not_leading")
    heard_of(firm, 1)  # an engine in another process leads: it is handed over
    assert firm.call("key:firm", "POST", "/api/v1/market/quotes", json=body).status_code == 201
    left = firm.run(lambda session: [(c["kind"], c["payload"]["ask"]) for c in commands.waiting(session)])
    assert left == [("quote", "3450.5")]
    parts = firm.app.extensions["services"]
    firm.lead(FeedSupervisor([Recording(firm)], parts.quotes.put, firm.clock, lambda work: None, lambda s: None))
    made = firm.call("key:firm", "POST", "/api/v1/market/quotes", json=body)
    assert (made.status_code, made.get_json()["ask"]) == (201, "3450.5")
    assert firm.call("key:read", "GET", "/api/v1/market/quotes/ETHUSDT").get_json()["bid"] == "3450"
    crossed = firm.call("key:firm", "POST", "/api/v1/market/quotes", json={**body, "bid": "4000"})
    assert (crossed.status_code, crossed.get_json()["code"]) == (422, "crossed")
    assert firm.call("key:read", "GET", "/api/v1/market/feeds").get_json()["items"][0]["name"] == "manual"


def test_a_quote_far_from_the_last_one_is_taken_when_it_is_confirmed(firm: Firm) -> None:
    """1 / 2 for BTC would fire every stop."""
    parts = firm.app.extensions["services"]
    firm.lead(FeedSupervisor([Recording(firm)], parts.quotes.put, firm.clock, lambda work: None, lambda s: None))

    def put(bid: str, ask: str, **more: Any) -> TestResponse:
        body = {"symbol": "BTCUSDT", "bid": bid, "ask": ask, **more}
        return firm.call("master", "POST", "/api/v1/market/quotes", json=body)

    slip = put("1", "2")
    assert (slip.status_code, slip.get_json()["code"]) == (422, "needs_confirmation")
    (error,) = slip.get_json()["errors"]
    assert (error["field"], error["value"]) == ("confirm", {"previous_mid": "67000.5", "mid": "1.5", "band": "0.1"})
    assert parts.quotes.get("BTC/USDT").bid == Decimal("67000")
    assert put("1", "2", confirm="yes").status_code == 422
    assert put("73700", "73701").status_code == 201  # 10 % of 67,000.5 is within
    assert put("1", "2", confirm=True).status_code == 201
    assert parts.quotes.get("BTC/USDT").bid == 1
    assert put("3", "2").get_json()["code"] == "crossed"
    first = {"symbol": "ETHUSDT", "bid": "1", "ask": "2"}  # nothing to compare with
    assert firm.call("master", "POST", "/api/v1/market/quotes", json=first).status_code == 201


def test_a_recording_takes_no_quotes(open_app: Callable[..., Firm]) -> None:
    firm = open_app(market_feed="replay", replay_file="x.csv", replay_instrument="BTC/USDT")
    answer = firm.call("master", "POST", "/api/v1/market/quotes", json={"symbol": "AAPL", "bid": 1, "ask": 2})
    assert answer.get_json()["code"] == "feed_not_settable"


# -- journal and events --------------------------------------------------------------------------------------


def test_journal_entries_of_ones_own(firm: Firm) -> None:
    order = firm.order().get_json()
    firm.order("key:other")
    mine = firm.call("client", "GET", "/api/v1/journal/entries").get_json()
    everything = firm.call("master", "GET", "/api/v1/journal/entries").get_json()
    assert (mine["total"], everything["total"]) == (3, 6)
    hold = firm.call("client", "GET", f"/api/v1/journal/entries?about_id={order['id']}").get_json()["items"]
    assert [line["amount"] for line in hold[0]["postings"]] == ["-6006", "6006"]
    other = next(entry["id"] for entry in everything["items"] if entry not in mine["items"])
    assert firm.call("client", "GET", f"/api/v1/journal/entries/{other}").status_code == 404
    assert firm.call("client", "GET", f"/api/v1/journal/entries/{hold[0]['id']}").get_json() == hold[0]


def test_every_currency_of_the_trial_balance_sums_to_zero(firm: Firm) -> None:
    firm.order()
    rows = firm.call("master", "GET", "/api/v1/journal/trial-balance").get_json()["items"]
    names = {row["code"]: (row["name"], row["normal_side"]) for row in rows}
    assert names["4691"] == ("Clients: available", "credit") and names["1041"][1] == "debit"
    for currency in {row["currency"] for row in rows}:
        assert sum(Decimal(row["balance"]) for row in rows if row["currency"] == currency) == 0


def test_csv_cells_are_no_formulas(firm: Firm) -> None:
    answer = firm.call("master", "GET", "/api/v1/journal/entries?format=csv")
    assert answer.content_type == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert ",-100000," in answer.get_data(as_text=True)  # an amount keeps its sign
    shown = [
        {
            "number": 1,
            "at": "",
            "kind": "",
            "about_type": "",
            "about_id": "",
            "memo": "=cmd|' /C calc'!A0",
            "postings": [{"code": "", "name": "+n", "owner": "@x", "account": "", "currency": "", "amount": "-1.5"}],
        }
    ]
    text = journal_reports.entries_csv(shown)
    assert ",'+n,'@x," in text and "'=cmd" in text and ",-1.5," in text


def test_events_by_cursor(firm: Firm) -> None:
    for _ in range(3):
        firm.order()
    firm.order("key:other")
    assert firm.call("client", "GET", "/api/v1/events").get_json()["items"] == []  # not numbered yet
    firm.number()
    first = firm.call("client", "GET", "/api/v1/events?types=order.*&limit=2").get_json()
    rest = firm.call("client", "GET", f"/api/v1/events?types=order.*&after={first['cursor']}").get_json()
    assert (len(first["items"]), first["has_more"], len(rest["items"]), rest["has_more"]) == (2, True, 1, False)
    assert {event["stream"] for event in first["items"] + rest["items"]} == {firm.ids["ana"]}
    everything = firm.call("master", "GET", "/api/v1/events").get_json()["items"]
    assert [event["cursor"] for event in everything] == sorted(event["cursor"] for event in everything)
    assert {event["stream"] for event in everything} == {firm.ids["ana"], firm.ids["luis"]}


# -- health --------------------------------------------------------------------------------------------------


def test_alive_without_a_database(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise sa.exc.OperationalError("SELECT", {}, Exception("gone"), connection_invalidated=True)

    monkeypatch.setattr(firm.app.extensions["services"].database.engine, "connect", gone)
    monkeypatch.setattr(sa.orm.Session, "execute", gone)
    assert firm.call(None, "GET", "/health").get_json() == {"status": "OK"}
    answer = firm.call(None, "GET", "/ready")
    assert (answer.status_code, answer.get_json()["checks"]) == (503, {"database": "not reachable"})
    assert firm.call(None, "GET", "/metrics").status_code == 200


def heard_of(firm: Firm, seconds_ago: float, running: bool = True) -> None:
    """An engine in another process that has led and was last heard of so long ago."""
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    status = {"open_positions": 7, "running": running}
    beat = {"holder": "elsewhere:1", "shard": 0, "leading": True, "epoch": 1, "at": at, "status": status}
    firm.run(lambda session: session.execute(sa.delete(EngineHeartbeat)))
    firm.run(lambda session: session.execute(sa.insert(EngineHeartbeat), [beat]))


def test_ready_tells_whether_somebody_leads_and_since_when_nobody_does(sqlite_url: str, clock: Any) -> None:
    firm = open_firm(sqlite_url, clock, redis_url="redis://127.0.0.1:1/0")
    assert firm.call(None, "GET", "/ready").get_json()["checks"]["engine"] == "nobody has led yet"
    heard_of(firm, 1)
    ready = firm.call(None, "GET", "/ready")
    assert ready.status_code == 200
    book = firm.app.extensions["services"].quotes
    priced = {
        instrument.symbol for instrument in firm.app.extensions["services"].instruments if book.get(instrument.symbol)
    }
    without = ready.get_json()["without_price"]
    assert without and not priced & set(without)
    assert "engine_open_positions 7.0" in firm.call(None, "GET", "/metrics").get_data(as_text=True)
    heard_of(firm, 1, running=False)
    recovering = firm.call(None, "GET", "/ready")
    assert (recovering.status_code, recovering.get_json()["checks"]["engine"]) == (
        503,
        "an engine has started and recovers",
    )
    heard_of(firm, 4)
    silent = firm.call(None, "GET", "/ready")
    assert silent.status_code == 503
    assert silent.get_json()["checks"]["engine"].startswith("nobody leads since 20")
    heard_of(firm, 1)
    firm.run(lambda session: session.execute(sa.text("UPDATE alembic_version SET version_num = '0000'")))
    behind = firm.call(None, "GET", "/ready")
    assert (behind.status_code, behind.get_json()["checks"]["migrations"]) == (503, "not at the newest")
    firm.app.extensions["services"].database.dispose()


def test_a_process_that_no_price_reaches_is_not_ready(firm: Firm) -> None:
    heard_of(firm, 1)
    answer = firm.call(None, "GET", "/ready")
    assert (answer.status_code, answer.get_json()["checks"]["prices"]) == (
        503,
        "no prices reach this process: set REDIS_URL",
    )


@pytest.mark.parametrize("engine", ["off", "only"])
def test_an_engine_apart_needs_redis_and_says_so_at_the_start(sqlite_url: str, clock: Any, engine: str) -> None:
    firm = open_firm(sqlite_url, clock, engine=engine)
    with pytest.raises(SystemExit, match=f"ENGINE={engine} needs REDIS_URL"):
        background.start(firm.app)
    firm.app.extensions["services"].database.dispose()


def test_metrics(firm: Firm) -> None:
    firm.order()
    text = firm.call(None, "GET", "/metrics").get_data(as_text=True)
    assert 'http_requests_total{method="POST",route="/api/v1/orders",status="201"} 1.0' in text
    assert 'orders_live{status="NEW"} 1.0' in text
    assert 'quote_age_seconds{symbol="BTC/USDT"} 0.0' in text


def test_metrics_are_for_this_machine_and_supervisors(firm: Firm, client: FlaskClient) -> None:
    away = {"REMOTE_ADDR": "203.0.113.7"}
    assert client.get("/metrics", environ_overrides=away).status_code == 401
    passed_on = client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.7"})
    assert passed_on.status_code == 401
    for key, status in (("key:read", 403), ("key:firm-admin", 200)):
        assert (
            client.get("/metrics", environ_overrides=away, headers={"X-API-Key": firm.keys[key]}).status_code == status
        )


def test_health_of_the_services(firm: Firm) -> None:
    answer = firm.call("operator", "GET", "/api/v1/health/services").get_json()
    assert (answer["status"], [part["name"] for part in answer["services"]]) == (
        "down",
        ["database", "engine", "mail"],
    )
    heard_of(firm, 1)
    answer = firm.call("operator", "GET", "/api/v1/health/services").get_json()
    assert (answer["status"], answer["services"][1]["figures"]["open_positions"]) == ("healthy", 7)


def test_reconcile_and_engine(firm: Firm) -> None:
    firm.order()
    assert firm.call("key:firm-admin", "GET", "/api/v1/admin/reconcile").get_json()["ok"] is True
    engine = firm.call("key:firm-admin", "GET", "/api/v1/admin/engine").get_json()
    assert (engine["running"], engine["lease"], engine["faults"]["total"]) == (False, None, 0)
    heard_of(firm, 1)
    assert firm.call("key:firm-admin", "GET", "/api/v1/admin/engine").get_json()["running"] is True, "elsewhere"
    heard_of(firm, 4)
    assert firm.call("key:firm-admin", "GET", "/api/v1/admin/engine").get_json()["running"] is False


def test_keys_are_for_people(firm: Firm) -> None:
    listed = firm.call("client", "GET", "/api/v1/keys").get_json()
    assert {key["client_id"] for key in listed["items"]} == {firm.ids["ana"]}
    assert "secret" not in str(listed)
    own, other = firm.ids["key:client"], firm.ids["key:other"]
    assert firm.call("client", "POST", f"/api/v1/keys/{other}/revoke").status_code == 404
    assert firm.call("client", "POST", f"/api/v1/keys/{own}/revoke").status_code == 200
    assert firm.call("key:client", "GET", "/api/v1/orders").status_code == 401
