"""Limits of a client: set by the firm, judged by the next order, taken away by name."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from app.core.ids import new_id
from app.models import AuditRecord, ClientLimit

from .conftest import Firm

PATH = "/api/v1/clients/C-1/limits"


def put(firm: Firm, who: str = "middle_office", **limit: Any) -> Any:
    return firm.call(who, "PUT", PATH, json=limit)


def agree(firm: Firm, answer: Any) -> Any:
    """The second person agrees to what was proposed."""
    assert answer.status_code == 202, answer.get_json()
    decided = firm.call("master", "POST", f"/api/v1/approvals/{answer.get_json()['id']}/approve", json={}).get_json()
    assert decided["status"] == "executed", decided
    return decided


def listed(firm: Firm, who: str = "client") -> list[Any]:
    items: list[Any] = firm.call(who, "GET", PATH).get_json()["items"]
    return items


def codes(order: Any) -> list[str]:
    return [failure["code"] for failure in order.get_json()["reject_values"] or ()]


def test_a_limit_holds_once_a_second_person_has_agreed_and_is_lifted_the_same_way(firm: Firm) -> None:
    answer = put(firm, symbol="BTCUSDT", max_order_qty="0.1")
    proposal = answer.get_json()
    assert (proposal["kind"], proposal["status"], proposal["client_id"]) == (
        "client_limit",
        "pending",
        firm.ids["ana"],
    )
    values = {"blocked": False, "max_order_qty": "0.1", "max_notional_usd": None, "hours": None, "time_zone": None}
    assert proposal["content"] == {
        "client_id": firm.ids["ana"],
        "symbol": "BTC/USDT",
        "before": None,
        "after": values,
    }
    assert codes(firm.order(qty="0.2")) == [] and listed(firm) == []
    agree(firm, answer)
    assert codes(firm.order(qty="0.2")) == ["ORDER_SIZE_LIMIT_EXCEEDED"]
    assert codes(firm.order("key:other", qty="0.2")) == []  # another client's
    limit = listed(firm)[0]
    assert {name: limit[name] for name in values} == values
    agree(firm, firm.call("middle_office", "DELETE", f"{PATH}/{limit['id']}"))
    assert codes(firm.order(qty="0.2")) == []
    assert firm.call("middle_office", "DELETE", f"{PATH}/{limit['id']}").status_code == 404


def test_the_limit_of_an_instrument_is_taken_in_place_of_the_one_for_all(firm: Firm) -> None:
    agree(firm, put(firm, symbol="*", blocked=True))
    assert codes(firm.order()) == ["SYMBOL_BLOCKED"]
    agree(firm, put(firm, symbol="BTC/USDT", max_notional_usd="1000000"))
    assert codes(firm.order()) == []
    assert [item["symbol"] for item in listed(firm)] == ["*", "BTC/USDT"]


def test_set_again_it_is_replaced_whole(firm: Firm) -> None:
    agree(firm, put(firm, symbol="*", max_order_qty="1", hours="09:00-17:00", time_zone="America/Lima"))
    first = listed(firm)[0]
    decided = agree(firm, put(firm, symbol="*", max_notional_usd="500"))
    second = listed(firm)[0]
    assert second["id"] == first["id"]
    assert (second["max_order_qty"], second["hours"], second["time_zone"]) == (None, None, None)
    assert decided["content"]["before"]["hours"] == "09:00-17:00"
    records = firm.run(
        lambda s: list(s.scalars(sa.select(AuditRecord).where(AuditRecord.action == "client.limit_set")))
    )
    assert [record.details["previous"] for record in records] == [None, first]
    assert records[1].details["limit"] == second and records[1].object_id == firm.ids["ana"]
    assert records[1].details["proposed_by"] == f"user:{firm.ids['middle_office']}"


def test_one_change_of_a_limit_waits_at_a_time(firm: Firm) -> None:
    waiting = put(firm, symbol="*", blocked=True)
    again = put(firm, symbol="*", max_order_qty="1")
    assert (again.status_code, again.get_json()["code"]) == (409, "approval_pending")
    agree(firm, put(firm, symbol="BTC/USDT", max_order_qty="1"))  # another instrument's does not wait for it
    agree(firm, waiting)
    same = put(firm, symbol="*", blocked=True)
    assert (same.status_code, same.get_json()["code"]) == (409, "unchanged")


def test_a_rejected_limit_changes_nothing(firm: Firm) -> None:
    proposal = put(firm, symbol="*", blocked=True).get_json()
    path = f"/api/v1/approvals/{proposal['id']}/reject"
    assert firm.call("master", "POST", path, json={"reason": "too strict"}).get_json()["status"] == "rejected"
    assert codes(firm.order()) == [] and listed(firm) == []


def test_what_stands_on_another_limit_than_was_looked_at_is_not_carried_out(firm: Firm) -> None:
    proposal = put(firm, symbol="*", max_order_qty="1").get_json()
    firm.run(lambda s: s.add(ClientLimit(id=new_id(), client_id=firm.ids["ana"], instrument_id=None, blocked=True)))
    decided = firm.call("master", "POST", f"/api/v1/approvals/{proposal['id']}/approve", json={}).get_json()
    assert (decided["status"], [item["blocked"] for item in listed(firm)]) == ("failed", [True])


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
