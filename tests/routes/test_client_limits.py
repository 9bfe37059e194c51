"""Limits of a client: set by the firm, judged by the next order, taken away by name."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from app.models import AuditRecord

from .conftest import Firm

PATH = "/api/v1/clients/C-1/limits"


def put(firm: Firm, who: str = "middle_office", **limit: Any) -> Any:
    return firm.call(who, "PUT", PATH, json=limit)


def codes(order: Any) -> list[str]:
    return [failure["code"] for failure in order.get_json()["reject_values"] or ()]


def test_a_limit_holds_from_the_next_order_on_and_is_lifted_by_name(firm: Firm) -> None:
    assert codes(firm.order(qty="0.2")) == []
    limit = put(firm, symbol="BTCUSDT", max_order_qty="0.1").get_json()
    assert (limit["symbol"], limit["max_order_qty"], limit["blocked"]) == ("BTC/USDT", "0.1", False)
    assert codes(firm.order(qty="0.2")) == ["ORDER_SIZE_LIMIT_EXCEEDED"]
    assert codes(firm.order("key:other", qty="0.2")) == []  # another client's
    lifted = firm.call("master", "DELETE", f"{PATH}/{limit['id']}")
    assert lifted.get_json() == limit
    assert codes(firm.order(qty="0.2")) == []
    assert firm.call("master", "DELETE", f"{PATH}/{limit['id']}").status_code == 404


def test_the_limit_of_an_instrument_is_taken_in_place_of_the_one_for_all(firm: Firm) -> None:
    assert put(firm, symbol="*", blocked=True).status_code == 200
    assert codes(firm.order()) == ["SYMBOL_BLOCKED"]
    assert put(firm, symbol="BTC/USDT", max_notional_usd="1000000").status_code == 200
    assert codes(firm.order()) == []
    listed = firm.call("client", "GET", PATH).get_json()["items"]
    assert [item["symbol"] for item in listed] == ["*", "BTC/USDT"]


def test_set_again_it_is_replaced_whole(firm: Firm) -> None:
    first = put(firm, symbol="*", max_order_qty="1", hours="09:00-17:00", time_zone="America/Lima").get_json()
    second = put(firm, symbol="*", max_notional_usd="500").get_json()
    assert second["id"] == first["id"]
    assert (second["max_order_qty"], second["hours"], second["time_zone"]) == (None, None, None)
    records = firm.run(
        lambda s: list(s.scalars(sa.select(AuditRecord).where(AuditRecord.action == "client.limit_set")))
    )
    assert [record.details["previous"] for record in records] == [None, first]
    assert records[1].details["limit"] == second and records[1].object_id == firm.ids["ana"]


@pytest.mark.parametrize(
    ("limit", "field", "code"),
    [
        ({"symbol": "*"}, "body", "required"),
        ({"symbol": "NONE", "blocked": True}, "symbol", "unknown_instrument"),
        ({"symbol": "*", "hours": "9-17", "time_zone": "America/Lima"}, "hours", "invalid_hours"),
        ({"symbol": "*", "hours": "09:00-17:00", "time_zone": "Lima"}, "hours", "invalid_hours"),
        ({"symbol": "*", "hours": "09:00-17:00"}, "time_zone", "hours_need_zone"),
        ({"symbol": "*", "max_order_qty": "0"}, "max_order_qty", "amount_out_of_range"),
        ({"blocked": True}, "symbol", "required"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(firm: Firm, limit: dict[str, Any], field: str, code: str) -> None:
    answer = put(firm, **limit)
    error = answer.get_json()["errors"][0]
    assert (answer.status_code, error["field"], error["code"]) == (422, field, code)
    assert firm.call("master", "GET", PATH).get_json()["items"] == []


def test_traders_and_clients_see_limits_and_set_none(firm: Firm) -> None:
    for who in ("trader", "client", "operator", "key:client"):
        assert firm.call(who, "GET", PATH).status_code == 200
        assert put(firm, who, symbol="*", blocked=True).status_code == 403
    assert firm.call("trader", "GET", "/api/v1/clients/C-2/limits").status_code == 404


def test_the_page_offers_what_the_reader_may(firm: Firm) -> None:
    def page(who: str) -> str:
        return firm.call(who, "GET", "/clients/C-1").get_data(as_text=True)

    assert 'id="tab-limits"' in page("trader") and 'data-set-limits="true"' not in page("trader")
    assert 'data-set-limits="true"' in page("middle_office")
