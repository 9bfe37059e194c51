"""The switches of the simulated venue over the API; the engine may be in another process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.adapters.venues.simulated import Behaviour, shown
from app.models import AuditRecord, EngineCommand, EngineHeartbeat, table_of
from app.services import commands

from .conftest import Firm

PATH = "/api/v1/admin/venue"


def beats(firm: Firm, status: dict[str, Any], *, leading: bool = True, holder: str = "h:1") -> None:
    """An engine in some process says how it is."""
    row = {"holder": holder, "shard": 0, "leading": leading, "epoch": 1, "at": firm.clock.now(), "status": status}
    firm.run(lambda session: session.execute(sa.insert(table_of(EngineHeartbeat)), row))


def change(firm: Firm, who: str = "master", **body: Any) -> Any:
    return firm.call(who, "PATCH", PATH, json=body)


def test_nothing_is_known_until_an_engine_that_leads_has_spoken(firm: Firm) -> None:
    beats(firm, {"venue_behaviour": shown(Behaviour())}, leading=False)
    answer = firm.call("operator", "GET", PATH).get_json()
    assert answer == {
        "venue": "SIM",
        "changeable": True,
        "behaviour": None,
        "at": None,
        "waiting": [],
        "last_error": None,
    }
    beats(firm, {}, holder="h:2")
    assert firm.call("operator", "GET", PATH).get_json()["behaviour"] is None


def test_the_current_behaviour_is_what_the_leader_says(firm: Firm) -> None:
    beats(firm, {"venue_behaviour": shown(Behaviour(latency=timedelta(milliseconds=700)))})
    answer = firm.call("key:firm-admin", "GET", PATH).get_json()
    assert answer["behaviour"] == {
        "latency_ms": 700,
        "reject_rate": "0",
        "partial_rate": "0",
        "slippage_bps": "5",
        "lost_ack_rate": "0",
        "duplicate_rate": "0",
        "late_rate": "0",
        "disconnected": False,
    }
    assert answer["at"].endswith("Z")


def test_a_change_waits_for_the_engine_which_is_woken_and_is_recorded(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats(firm, {"venue_behaviour": shown(Behaviour())})
    woken: list[bool] = []
    monkeypatch.setattr(firm.app.extensions["services"], "wake", lambda: woken.append(True))
    answer = change(firm, rejectRate="0.10", latency_ms=1500, disconnected=True)
    assert (answer.status_code, woken) == (202, [True])
    changes = {"latency_ms": 1500, "reject_rate": "0.1", "disconnected": True}
    assert [item["changes"] for item in answer.get_json()["waiting"]] == [changes]
    (row,) = firm.run(commands.waiting)
    assert (row["kind"], row["payload"], row["created_by"]) == ("venue", changes, f"user:{firm.ids['master']}")
    record = firm.run(lambda session: session.scalar(sa.select(AuditRecord).filter_by(action="venue.change")))
    assert (record.object_id, record.ip, record.details) == (
        "SIM",
        "127.0.0.1",
        {**changes, "previous_latency_ms": 200, "previous_reject_rate": "0", "previous_disconnected": False},
    )


def test_what_the_engine_has_taken_waits_no_more_and_its_refusal_is_told(firm: Firm) -> None:
    change(firm, late_rate=1)
    (row,) = firm.run(commands.waiting)
    firm.run(lambda session: commands.taken(session, row["id"], firm.clock.now(), "there is no simulated venue"))
    answer = firm.call("master", "GET", PATH).get_json()
    assert (answer["waiting"], answer["last_error"]) == ([], "there is no simulated venue")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"reject_rate": "1.01"}, "reject_rate"),
        ({"reject_rate": "-0.1"}, "reject_rate"),
        ({"partial_rate": "NaN"}, "partial_rate"),
        ({"late_rate": None}, "late_rate"),
        ({"late_rate": ""}, "late_rate"),
        ({"duplicate_rate": True}, "duplicate_rate"),
        ({"lost_ack_rate": [1]}, "lost_ack_rate"),
        ({"slippage_bps": 10001}, "slippage_bps"),
        ({"latency_ms": -1}, "latency_ms"),
        ({"latency_ms": 600_001}, "latency_ms"),
        ({"latency_ms": "200"}, "latency_ms"),
        ({"latency_ms": True}, "latency_ms"),
        ({"latency_ms": 1.5}, "latency_ms"),
        ({"disconnected": "true"}, "disconnected"),
        ({"disconnected": 1}, "disconnected"),
        ({"seed": 2}, "seed"),
    ],
)
def test_what_the_venue_cannot_do_is_refused_at_its_field(firm: Firm, body: dict[str, Any], field: str) -> None:
    refused = change(firm, **body)
    assert (refused.status_code, [error["field"] for error in refused.get_json()["errors"]]) == (422, [field])
    assert firm.run(commands.waiting) == []


@pytest.mark.parametrize(
    "body",
    [
        {"reject_rate": "1"},
        {"reject_rate": 0},
        {"slippage_bps": "10000"},
        {"latency_ms": 0},
        {"latency_ms": 600_000},
        {"disconnected": False},
    ],
)
def test_the_ends_of_each_range_are_taken(firm: Firm, body: dict[str, Any]) -> None:
    assert change(firm, **body).status_code == 202


def test_commands_nobody_takes_are_bounded(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MOST_WAITING", 2)
    assert [change(firm, late_rate=1).status_code for _ in range(3)] == [202, 202, 503]
    refused = change(firm, late_rate=1)
    assert (refused.get_json()["code"], refused.headers["Retry-After"]) == ("engine_not_listening", "5")
    assert len(firm.run(commands.waiting)) == 2


def test_production_keeps_its_venue(open_app: Callable[..., Firm]) -> None:
    firm = open_app(
        environment="production", public_hosts="localhost", secret_key="c4mb1st4-9f8e7d6c5b4a3210-xyzw-QRST"
    )
    headers = {"X-Forwarded-Proto": "https"}
    read = firm.call("key:firm-admin", "GET", PATH, headers=headers, base_url="https://localhost")
    assert (read.status_code, read.get_json()["changeable"]) == (200, False)
    refused = firm.call("key:firm", "PATCH", PATH, json={"late_rate": 1}, base_url="https://localhost")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "not_in_production")
    assert firm.run(lambda session: session.scalar(sa.select(sa.func.count(EngineCommand.id)))) == 0
