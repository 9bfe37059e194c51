"""The inbox over the API: what is shown to whom, decided, carried out at once, and told live."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.errors import Unavailable
from app.core.transaction import Database
from app.models import AuditRecord, ClientLimit, Event
from app.services import approvals

from .conftest import Firm

PATH = "/api/v1/approvals"


def proposed(firm: Firm, who: str = "middle_office", symbol: str = "*", **limit: Any) -> Any:
    answer = firm.call(who, "PUT", "/api/v1/clients/C-1/limits", json={"symbol": symbol, "blocked": True, **limit})
    assert answer.status_code == 202, answer.get_json()
    return answer.get_json()


def listed(firm: Firm, who: str = "master", **query: Any) -> list[Any]:
    answer = firm.call(who, "GET", PATH, query_string=query)
    assert answer.status_code == 200, answer.get_json()
    items: list[Any] = answer.get_json()["items"]
    return items


def decide(firm: Firm, id_: str, verb: str = "approve", who: str = "master", **body: Any) -> Any:
    return firm.call(who, "POST", f"{PATH}/{id_}/{verb}", json=body)


def limits(firm: Firm) -> int:
    count: int = firm.run(lambda session: session.scalar(sa.select(sa.func.count(ClientLimit.id))))
    return count


def test_what_is_approved_is_carried_out_in_the_same_request(firm_on_each: Firm) -> None:
    firm = firm_on_each
    proposal = proposed(firm)
    assert (proposal["maker_name"], proposal["votes"], proposal["may_decide"]) == ("middle_office", [], False)
    answer = decide(firm, proposal["id"], reason="agreed by mail", content_hash=proposal["content_hash"])
    done = answer.get_json()
    assert (answer.status_code, done["status"], done["may_decide"]) == (200, "executed", False)
    assert [(vote["checker_name"], vote["approves"], vote["reason"]) for vote in done["votes"]] == [
        ("master", True, "agreed by mail")
    ]
    assert limits(firm) == 1
    assert firm.call("master", "GET", f"{PATH}/{proposal['id']}").get_json() == done
    again = decide(firm, proposal["id"])
    assert (again.status_code, again.get_json()["code"]) == (409, "already_decided")


def test_the_maker_decides_nothing_and_does_not_see_it_as_theirs_to_decide(firm: Firm) -> None:
    proposal = proposed(firm, "master")
    for verb, body in (("approve", {}), ("reject", {"reason": "changed my mind"})):
        answer = decide(firm, proposal["id"], verb, **body)
        assert (answer.status_code, answer.get_json()["code"]) == (403, "own_proposal")
    assert listed(firm, waiting_for_me="true") == []
    assert [item["id"] for item in listed(firm)] == [proposal["id"]]


def test_who_only_reads_it_cannot_decide(firm: Firm) -> None:
    proposal = proposed(firm)
    assert [item["may_decide"] for item in listed(firm, "operator")] == [False]
    assert decide(firm, proposal["id"], who="operator").status_code == 403
    assert [item["may_decide"] for item in listed(firm)] == [True]


def test_a_rejection_needs_a_reason(firm: Firm) -> None:
    proposal = proposed(firm)
    missing = decide(firm, proposal["id"], "reject")
    assert (missing.status_code, missing.get_json()["errors"][0]["field"]) == (422, "reason")
    answer = decide(firm, proposal["id"], "reject", reason="not justified")
    assert (answer.get_json()["status"], answer.get_json()["reason"]) == ("rejected", "not justified")
    assert limits(firm) == 0


def test_a_decision_on_something_else_than_was_seen_is_refused(firm: Firm) -> None:
    answer = decide(firm, proposed(firm)["id"], content_hash="0" * 64)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "content_changed")
    assert decide(firm, proposed(firm, symbol="XAU/USD")["id"], content_hash="short").status_code == 422


def test_filters_and_pages(firm: Firm) -> None:
    first, second = proposed(firm), proposed(firm, symbol="XAU/USD")
    decide(firm, first["id"])
    assert [item["id"] for item in listed(firm)] == [second["id"], first["id"]]
    assert [item["id"] for item in listed(firm, limit=1, offset=1)] == [first["id"]]
    assert [item["id"] for item in listed(firm, status="executed")] == [first["id"]]
    assert [item["id"] for item in listed(firm, waiting_for_me="true")] == [second["id"]]
    assert listed(firm, kind="staff") == [] and len(listed(firm, kind="client_limit", client_id="C-1")) == 2
    assert listed(firm, client_id="C-2") == []
    assert firm.call("master", "GET", PATH, query_string={"client_id": "C-9"}).status_code == 404
    assert firm.call("master", "GET", PATH, query_string={"status": "open"}).status_code == 422


def test_a_key_repeats_its_answer_and_not_its_vote(firm: Firm) -> None:
    proposal = proposed(firm)
    headers = {"Idempotency-Key": "click-1"}
    path = f"{PATH}/{proposal['id']}/approve"
    first = firm.call("master", "POST", path, json={}, headers=headers)
    again = firm.call("master", "POST", path, json={}, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.get_json() == first.get_json() and limits(firm) == 1


def test_fifty_clicks_at_once_have_one_effect(firm_on_each: Firm) -> None:
    firm = firm_on_each
    proposal = proposed(firm)
    firm.call("master", "GET", PATH)  # its browser is there before they all use it
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: decide(firm, proposal["id"]).get_json(), range(50)))
    assert [answer.get("status") for answer in answers].count("executed") == 1
    assert [answer.get("code") for answer in answers].count("already_decided") == 49
    query = sa.select(sa.func.count(AuditRecord.id)).where(AuditRecord.action == "client.limit_set")
    assert (limits(firm), firm.run(lambda session: session.scalar(query))) == (1, 1)


def test_where_it_cannot_be_carried_out_at_once_it_stays_approved_and_is_done_later(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = firm.app.extensions["services"]

    def away(*_arguments: Any, **_named: Any) -> None:
        raise Unavailable("the database is away")

    proposal = proposed(firm)
    with monkeypatch.context() as patched:
        patched.setattr(parts.approvals.subjects[approvals.ApprovalKind.CLIENT_LIMIT], "carry_out", away)
        answer = decide(firm, proposal["id"])
    assert (answer.status_code, answer.get_json()["status"], limits(firm)) == (200, "approved", 0)
    database: Database = parts.database
    assert not approvals.carry_out_waiting(database, parts.approvals, firm.clock.now())
    assert (listed(firm)[0]["status"], limits(firm)) == ("executed", 1)


def test_each_step_is_told_to_the_firm_alone(firm: Firm) -> None:
    decide(firm, proposed(firm)["id"])
    query = sa.select(Event.type, Event.stream).where(Event.type.like("approval.%")).order_by(Event.id)
    assert firm.run(lambda session: list(session.execute(query).all())) == [
        ("approval.created", "firm"),
        ("approval.approved", "firm"),
        ("approval.executed", "firm"),
    ]
    client_stream = sa.select(Event.type).where(Event.stream == firm.ids["ana"], Event.type.like("client.limit%"))
    assert firm.run(lambda session: list(session.scalars(client_stream))) == ["client.limit_set"]


def test_the_page_and_the_count_beside_its_link(firm: Firm) -> None:
    def badge(who: str) -> str:
        page = firm.call(who, "GET", "/approvals").get_data(as_text=True)
        return page.split("data-waiting")[1].split(">")[1].split("<")[0]

    assert badge("master") == ""
    proposed(firm)
    assert (badge("master"), badge("operator"), badge("middle_office")) == ("1", "", "")
    for who in ("trader", "client"):
        assert "data-waiting" not in firm.call(who, "GET", "/orders").get_data(as_text=True)
    page = firm.call("master", "GET", "/approvals").get_data(as_text=True)
    assert "&#34;client_limit&#34;" in page or '"client_limit"' in page
    kinds = firm.call("operator", "GET", "/approvals").get_data(as_text=True)
    assert "Staff and roles" not in kinds
