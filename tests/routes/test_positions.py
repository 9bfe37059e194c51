"""Nothing said is not everything meant: protection and closing by what the body names."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.core.ids import new_id
from app.models import Position

from .conftest import LIMIT, Firm

STOP, TARGET = "60000", "80000"


@pytest.fixture
def position(firm: Firm) -> str:
    """Half a bitcoin of Ana's with a stop, a target, a trail and a break-even."""
    now, wanted = firm.clock.now(), new_id()
    instrument = firm.app.extensions["services"].instruments.resolve("BTC/USDT")
    zero = dict.fromkeys(("open_fees", "realized_pnl", "entry_fees", "exit_qty", "exit_value", "exit_fees"), D(0))

    def work(session: Session) -> None:
        session.add(
            Position(
                id=wanted,
                client_id=firm.ids["ana"],
                wallet_id=firm.ids["ana:wallet"],
                instrument_id=instrument.id,
                status="OPEN",
                qty=D("0.5"),
                avg_entry_px=D(66000),
                cost=D(33000),
                entry_qty=D("0.5"),
                entry_value=D(33000),
                entry_order_id=new_id(),
                stop_loss_px=D(STOP),
                take_profit_px=D(TARGET),
                trail_type="percent",
                trail_value=D(2),
                trail_extreme_px=D(68000),
                break_even_percent=D(3),
                opened_at=now,
                updated_at=now,
                **zero,
            )
        )

    firm.run(work)
    return wanted


def protection(firm: Firm, position: str) -> dict[str, Any]:
    shown: dict[str, Any] = firm.call("key:client", "GET", f"/api/v1/positions/{position}").get_json()["protection"]
    trail = shown["trailing_stop"]
    return {
        **{name: shown[name] for name in ("stop_loss", "take_profit", "break_even_percent")},
        "trailing_stop": trail and trail["value"],
    }


WHOLE = {"stop_loss": STOP, "take_profit": TARGET, "break_even_percent": "3", "trailing_stop": "2"}


def dry_run(firm: Firm, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    answer = firm.order(dry_run=True, qty="0.001", price="66500", **fields)
    assert answer.status_code == 200, answer.get_json()
    return [(change["code"], change["values"]) for change in answer.get_json()["changes"]]


def test_a_dry_run_says_which_exits_of_the_whole_position_move(firm: Firm, position: str) -> None:
    about = {"position_id": position, "position_qty": "0.5"}
    trail = {"type": "percent", "value": "2", "activation_price": None}
    assert dry_run(firm, stop_loss="66000") == [("STOP_LOSS_CHANGES", {"from": STOP, "to": "66000", **about})]
    assert dry_run(firm, take_profit="90000", break_even_percent="4") == [
        ("TAKE_PROFIT_CHANGES", {"from": TARGET, "to": "90000", **about}),
        ("BREAK_EVEN_CHANGES", {"from": "3", "to": "4", **about}),
    ]
    assert dry_run(firm, trailing_stop={"type": "amount", "value": "500"}) == [
        ("TRAILING_STOP_CHANGES", {"from": trail, "to": {**trail, "type": "amount", "value": "500"}, **about})
    ]
    assert dry_run(firm) == dry_run(firm, stop_loss=STOP, trailing_stop={"value": "2"}) == []
    assert dry_run(firm, side="SELL") == []
    assert protection(firm, position) == WHOLE


def test_a_dry_run_says_which_defaults_a_new_position_gets(firm: Firm) -> None:
    limits = {"default_stop_loss_percent": "5", "default_take_profit_percent": "10"}
    path = f"/api/v1/wallets/{firm.ids['ana:wallet']}"
    assert firm.call("master", "PATCH", path, json=limits).status_code == 200
    assert dry_run(firm) == [("DEFAULT_STOP_LOSS", {"percent": "5"}), ("DEFAULT_TAKE_PROFIT", {"percent": "10"})]
    assert dry_run(firm, stop_loss="60000") == [("DEFAULT_TAKE_PROFIT", {"percent": "10"})]


def test_another_wallets_position_is_not_in_the_way(firm: Firm, position: str) -> None:
    answer = firm.order("key:other", dry_run=True, stop_loss="59000")
    assert answer.get_json()["changes"] == []


@pytest.mark.parametrize(
    ("said", "changed"),
    [
        ({"stop_loss": "61000"}, {"stop_loss": "61000"}),
        ({"stop_loss": None}, {"stop_loss": None}),
        ({"take_profit": None, "break_even_percent": "4"}, {"take_profit": None, "break_even_percent": "4"}),
        ({"trailing_stop": None}, {"trailing_stop": None}),
        ({"trailing_stop": {"value": "1"}}, {"trailing_stop": "1"}),
    ],
)
def test_a_leg_left_out_stays_and_null_removes_it(
    firm: Firm, position: str, said: dict[str, Any], changed: dict[str, Any]
) -> None:
    answer = firm.call("key:client", "PUT", f"/api/v1/positions/{position}/protection", json=said)
    assert answer.status_code == 200, answer.get_json()
    assert protection(firm, position) == {**WHOLE, **changed}


def test_a_trail_that_is_left_out_keeps_the_best_price_it_saw(firm: Firm, position: str) -> None:
    firm.call("key:client", "PUT", f"/api/v1/positions/{position}/protection", json={"stop_loss": "61000"})
    assert firm.run(lambda session: session.get(Position, position).trail_extreme_px) == D(68000)


@pytest.mark.parametrize("options", [{}, {"json": {}}, {"data": "", "content_type": "application/json"}])
@pytest.mark.parametrize(("method", "path"), [("PUT", "protection"), ("POST", "close")])
def test_an_empty_body_changes_nothing(
    firm: Firm, position: str, method: str, path: str, options: dict[str, Any]
) -> None:
    answer = firm.call("key:client", method, f"/api/v1/positions/{position}/{path}", **options)
    assert (answer.status_code, answer.get_json()["code"]) == (422, "required")
    assert protection(firm, position) == WHOLE
    assert firm.call("key:client", "GET", "/api/v1/orders").get_json()["total"] == 0


@pytest.mark.parametrize(
    "said",
    [
        {"all": False},
        {"all": True, "qty": "0.1"},
        {"client_order_id": "x"},
        {"all": None},
        {"all": "true"},
    ],
)
def test_how_much_to_close_is_said_in_one_way(firm: Firm, position: str, said: dict[str, Any]) -> None:
    answer = firm.call("key:client", "POST", f"/api/v1/positions/{position}/close", json=said)
    assert answer.status_code == 422
    assert firm.call("key:client", "GET", "/api/v1/orders").get_json()["total"] == 0


@pytest.mark.parametrize(("said", "qty"), [({"all": True}, "0.5"), ({"qty": "0.1", "client_order_id": "part"}, "0.1")])
def test_closing_says_how_much(firm: Firm, position: str, said: dict[str, Any], qty: str) -> None:
    answer = firm.call("key:client", "POST", f"/api/v1/positions/{position}/close", json=said)
    assert (answer.status_code, answer.get_json()["qty"]) == (201, qty)


@pytest.mark.parametrize("options", [{}, {"json": {}}, {"json": {"all": False}}, {"json": {"side": None}}])
def test_cancelling_everything_is_asked_for_by_name(firm: Firm, options: dict[str, Any]) -> None:
    firm.order()
    refused = firm.call("key:client", "POST", "/api/v1/orders/cancel-all", **options)
    assert (refused.status_code, refused.get_json()["code"]) == (422, "required")
    assert firm.call("key:client", "GET", "/api/v1/orders?open=true").get_json()["total"] == 1
    done = firm.call("key:client", "POST", "/api/v1/orders/cancel-all", json={"all": True})
    assert (done.status_code, done.get_json()["total"]) == (200, 1)


def test_all_of_what_is_named_is_no_more_than_that(firm: Firm) -> None:
    kept = firm.order().get_json()["id"]
    firm.order(symbol="XAUUSD", qty="1", price="1900")
    answer = firm.call("key:client", "POST", "/api/v1/orders/cancel-all", json={"all": True, "symbol": "XAUUSD"})
    assert answer.get_json()["total"] == 1
    live = firm.call("key:client", "GET", "/api/v1/orders?open=true").get_json()["items"]
    assert [order["id"] for order in live] == [kept]


def test_a_form_that_brings_a_body_is_no_empty_body(firm: Firm) -> None:
    """A browser's token is looked for in forms too; the body is still there afterwards."""
    firm.order(**LIMIT)
    answer = firm.call("client", "POST", "/api/v1/orders/cancel-all", data={"symbol": "ETH/USDT"})
    assert (answer.status_code, answer.get_json()["code"]) == (415, "unsupported_media_type")


def test_a_part_is_closed_only_so_that_it_can_be_repeated(firm: Firm) -> None:
    """Sent again after a lost answer, a bare partial close would sell twice."""
    path = f"/api/v1/positions/{new_id()}/close"
    bare = firm.call("key:client", "POST", path, json={"qty": "0.05"})
    assert (bare.status_code, bare.get_json()["errors"][0]["code"]) == (422, "idempotency_required")
    for safe in (
        {"json": {"qty": "0.05", "client_order_id": "x"}},
        {"json": {"all": True}},
        {"json": {"qty": "0.05"}, "headers": {"Idempotency-Key": "k"}},
    ):
        assert firm.call("key:client", "POST", path, **safe).status_code == 404
    signal = {"action": "reduce", "confidence": 90}
    path = path.replace("close", "signals")
    assert firm.call("key:client", "POST", path, json=signal).get_json()["code"] == "idempotency_required"
    kept = firm.call("key:client", "POST", path, json=signal, headers={"Idempotency-Key": "s"})
    assert kept.status_code == 404
    assert firm.call("key:client", "POST", path, json={**signal, "action": "hold"}).status_code == 404
