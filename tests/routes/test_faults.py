"""Parked faults over the API: who may read them, have them retried, say that they are dealt with."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.ids import new_id
from app.domain.reports import Accepted
from app.models import AuditRecord, EngineFault, Event
from app.services import faults

from .conftest import Firm

PATH = "/api/v1/admin/faults"
ORDER = "01a1fd24-c3ab-7178-8428-d7281a5c0e77"


def parked(firm: Firm, error: str = "poison", reports: int = 2, order_id: str = ORDER) -> str:
    """A fault of the booking stage with reports of the venue that wait for it; returns its id."""
    now = firm.clock.now()
    waiting = [
        Accepted(order_id=order_id, cl_ord_id=order_id, at=now, message=b"8=FIX.4.4\x0135=8\x01", venue_order_id="V")
        for _ in range(reports)
    ]
    made: str = firm.run(lambda session: faults.park(session, now, "booking", "order", order_id, error, waiting))
    return made


def rows(firm: Firm, model: Any, **values: Any) -> list[Any]:
    return firm.run(lambda session: list(session.scalars(sa.select(model).filter_by(**values))))  # type: ignore[no-any-return]


def test_a_fault_shows_what_it_is_about(firm: Firm) -> None:
    fault_id = parked(firm)
    shown = firm.call("operator", "GET", f"{PATH}/{fault_id}").get_json()
    assert shown == firm.call("key:firm-admin", "GET", PATH).get_json()["items"][0]
    assert (shown["stage"], shown["object_type"], shown["object_id"], shown["order_id"]) == (
        "booking",
        "order",
        ORDER,
        ORDER,
    )
    assert (shown["error"], shown["waiting_reports"], shown["attempts"]) == ("poison", 2, 1)
    assert "35=8" in shown["context"]
    open_ = [shown[name] for name in ("retry_at", "resolved_at", "resolved_by", "resolved_by_name", "resolution")]
    assert open_ == [None] * 5


def test_faults_are_listed_newest_first_by_pages_resolved_ones_if_wanted(firm: Firm) -> None:
    ids = [parked(firm, f"number {n}", order_id=new_id()) for n in range(3)]
    firm.call("master", "POST", f"{PATH}/{ids[1]}/resolve", json={"note": "not needed"})

    def listed(query: str) -> tuple[list[str], int, bool]:
        answer = firm.call("middle_office", "GET", PATH + query).get_json()
        return [item["id"] for item in answer["items"]], answer["total"], answer["has_more"]

    assert listed("?open=false") == ([ids[2], ids[1], ids[0]], 3, False)
    assert listed("") == listed("?open=true") == ([ids[2], ids[0]], 2, False)
    assert listed("?open=true&limit=1") == ([ids[2]], 2, True)
    assert listed("?open=false&limit=2&offset=2") == ([ids[0]], 3, False)
    assert firm.call("master", "GET", PATH + "?open=maybe").status_code == 422
    assert firm.call("master", "GET", "/api/v1/admin/engine?limit=1").get_json()["faults"]["total"] == 2
    services = firm.call("master", "GET", "/api/v1/health/services").get_json()["services"]
    assert next(part["faults"] for part in services if part["name"] == "database") == 2


def test_a_retry_waits_for_the_engine_which_is_woken(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    fault_id = parked(firm)
    woken: list[bool] = []
    monkeypatch.setattr(firm.app.extensions["services"], "wake", lambda: woken.append(True))
    answer = firm.call("master", "POST", f"{PATH}/{fault_id.upper()}/retry")
    assert (answer.status_code, answer.get_json()["retry_at"] is not None, woken) == (202, True, [True])
    (row,) = rows(firm, EngineFault)
    assert row.retry_at == firm.clock.now() and row.resolved_at is None
    (record,) = rows(firm, AuditRecord, action="fault.retry")
    assert (record.actor, record.object_id, record.ip) == (f"user:{firm.ids['master']}", fault_id, "127.0.0.1")
    assert record.details["about"] == {"object_type": "order", "object_id": ORDER}


def test_a_retry_that_goes_well_is_by_whom_it_was_asked_for(firm: Firm) -> None:
    asked, unasked = parked(firm), parked(firm, order_id=new_id())
    firm.call("key:firm-admin", "POST", f"{PATH}/{asked}/retry")
    for fault_id in (asked, unasked):
        firm.run(lambda session, id_=fault_id: faults.retried(session, id_, firm.clock.now()))
    shown = [firm.call("operator", "GET", f"{PATH}/{fault_id}").get_json() for fault_id in (asked, unasked)]
    assert [fault["resolved_by_name"] for fault in shown] == ["key:firm-admin", "engine"]
    assert [fault["resolution"] for fault in shown] == ["retried", "retried"]


def test_resolving_keeps_who_when_and_why_and_tells_the_staff(firm: Firm) -> None:
    fault_id = parked(firm)
    answer = firm.call("master", "POST", f"{PATH}/{fault_id}/resolve", json={"note": "  booked by hand  "})
    assert answer.status_code == 200
    shown = answer.get_json()
    assert (shown["resolution"], shown["resolved_by"], shown["resolved_by_name"]) == (
        "booked by hand",
        f"user:{firm.ids['master']}",
        "master",
    )
    assert firm.call("operator", "GET", f"{PATH}/{fault_id}").get_json() == shown
    (record,) = rows(firm, AuditRecord, action="fault.resolve")
    assert (record.details["note"], record.details["waiting_reports"]) == ("booked by hand", 2)
    (told,) = rows(firm, Event, type="alert.resolved")
    data = json.loads(told.payload)["data"]
    assert (told.stream, data["fault_id"], data["order_id"]) == ("firm", fault_id, ORDER)


def test_a_key_is_named_too(firm: Firm) -> None:
    fault_id = parked(firm)
    shown = firm.call("key:firm-admin", "POST", f"{PATH}/{fault_id}/resolve", json={"note": "by the monitor"})
    assert shown.get_json()["resolved_by_name"] == "key:firm-admin"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "required"),
        ({"note": "ab"}, "string_too_short"),
        ({"note": "  ab  "}, "string_too_short"),
        ({"note": "x" * 301}, "string_too_long"),
        ({"note": None}, "invalid_type"),
        ({"note": 123}, "invalid_type"),
        ({"note": "a\u202ebc"}, "invalid_characters"),
        ({"note": "abc", "by": "me"}, "unknown_field"),
    ],
)
def test_a_note_is_three_to_three_hundred_characters(firm: Firm, body: dict[str, Any], code: str) -> None:
    fault_id = parked(firm)
    refused = firm.call("master", "POST", f"{PATH}/{fault_id}/resolve", json=body)
    assert (refused.status_code, refused.get_json()["errors"][0]["code"]) == (422, code)
    assert rows(firm, EngineFault)[0].resolved_at is None


@pytest.mark.parametrize("note", ["abc", "x" * 300])
def test_the_shortest_and_the_longest_note_are_kept_whole(firm: Firm, note: str) -> None:
    answer = firm.call("master", "POST", f"{PATH}/{parked(firm)}/resolve", json={"note": note})
    assert answer.get_json()["resolution"] == note


@pytest.mark.parametrize("act", ["retry", "resolve"])
def test_what_is_resolved_stays_so(firm: Firm, act: str) -> None:
    fault_id = parked(firm)
    firm.call("master", "POST", f"{PATH}/{fault_id}/resolve", json={"note": "first"})
    body = {"note": "second"} if act == "resolve" else None
    refused = firm.call("master", "POST", f"{PATH}/{fault_id}/{act}", json=body)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "unchanged")
    assert [row.resolution for row in rows(firm, EngineFault)] == ["first"]


@pytest.mark.parametrize("fault_id", [ORDER, "nothing", "%00", "a" * 200])
def test_an_unknown_fault_is_not_found(firm: Firm, fault_id: str) -> None:
    for method, act, body in (("GET", "", None), ("POST", "/retry", None), ("POST", "/resolve", {"note": "gone"})):
        assert firm.call("master", method, f"{PATH}/{fault_id}{act}", json=body).status_code == 404


def test_the_same_key_resolves_once(firm: Firm) -> None:
    fault_id = parked(firm)
    answers = [
        firm.call(
            "key:firm-admin",
            "POST",
            f"{PATH}/{fault_id}/resolve",
            json={"note": "once"},
            headers={"Idempotency-Key": "k"},
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(rows(firm, AuditRecord, action="fault.resolve")) == 1
