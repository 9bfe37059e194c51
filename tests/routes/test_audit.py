"""The audit trail: found by who, what, whose and when; verified; not hidden by one bad record."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.clock import iso
from app.core.ids import new_id
from app.core.permissions import SYSTEM
from app.models import AuditRecord, table_of
from app.services import audit

from .conftest import Firm

PATH = "/api/v1/admin/audit"


def found(firm: Firm, **filters: str) -> list[Any]:
    answer = firm.call("master", "GET", PATH, query_string={"limit": "200", **filters})
    assert answer.status_code == 200, answer.get_json()
    items: list[Any] = answer.get_json()["items"]
    return items


def spoil(firm: Firm, **values: str) -> str:
    """A record that no writer of ours would make."""
    id_ = new_id()
    insert = sa.text(
        "INSERT INTO audit_records (id, at, actor, action, object_type, object_id, details, seq, previous_hash, hash) "
        "VALUES (:id, :at, 'system', 'spoiled', 'client', 'x', :details, :seq, :previous_hash, :hash)"
    ).bindparams(
        sa.bindparam("id", type_=table_of(AuditRecord).c.id.type),
        sa.bindparam("at", type_=table_of(AuditRecord).c.at.type),
    )
    row = {"id": id_, "at": firm.clock.now(), "details": "{not json", "seq": None, "previous_hash": None, "hash": None}
    firm.run(lambda session: session.execute(insert, {**row, **values}))
    return id_


def test_a_record_that_is_no_json_is_shown_as_it_stands(firm_on_each: Firm) -> None:
    firm = firm_on_each
    firm.call("master", "PATCH", "/api/v1/clients/C-1", json={"name": "Ana Q."})
    spoiled = spoil(firm)
    items = found(firm)
    bad = next(item for item in items if item["id"] == spoiled)
    assert (bad["details"], bad["readable"]) == ("{not json", False)
    assert any(item["action"] == "client.update" and item["readable"] for item in items)


def test_verify_names_the_record_that_is_no_json(firm_on_each: Firm) -> None:
    firm = firm_on_each
    firm.number()
    before = firm.call("master", "GET", f"{PATH}/verify").get_json()
    assert before["ok"] and before["records"] > 0 and before["unchained"] == 0
    spoil(firm, seq=str(before["records"] + 1), previous_hash=before["head"], hash="f" * 64)
    after = firm.call("master", "GET", f"{PATH}/verify").get_json()
    assert after["breaks"] == [{"seq": before["records"] + 1, "problem": "the details are no JSON"}]
    assert (after["ok"], after["head"]) == (False, "f" * 64)


def test_verify_names_the_record_that_was_changed(firm: Firm) -> None:
    firm.number()
    table = table_of(AuditRecord)
    firm.run(lambda session: session.execute(sa.update(table).where(table.c.seq == 2).values(object_id="another")))
    answer = firm.call("middle_office", "GET", f"{PATH}/verify").get_json()
    assert answer["breaks"] == [{"seq": 2, "problem": "the record was changed"}]


def test_it_is_found_by_who_what_and_when(firm: Firm) -> None:
    firm.clock.advance(60)
    first = firm.clock.now()
    firm.call("master", "PATCH", "/api/v1/clients/C-1", json={"name": "Ana Q."})
    firm.clock.advance(60)
    firm.call("trader", "PATCH", "/api/v1/clients/C-1", json={"email": "ana@example.com"})
    firm.call("key:firm", "POST", f"/api/v1/wallets/{firm.ids['luis:wallet']}/pause")

    def actions(**filters: str) -> list[str]:
        return [item["action"] for item in found(firm, **filters)]

    assert actions(actor="TRADER@firm") == ["client.update"]
    assert actions(actor=f"user:{firm.ids['master']}") == ["client.update"]
    assert actions(actor=f"key:{firm.ids['key:firm']}") == ["wallet.paused"]
    assert actions(action="client.*", object_id=firm.ids["ana"]) == ["client.update", "client.update", "client.create"]
    assert actions(action="client.update", object_type="client") == ["client.update", "client.update"]
    assert actions(action="client_update") == [] and actions(action="client%*") == []
    until = iso(first + timedelta(seconds=30))
    assert actions(**{"from": iso(first), "to": until}) == ["client.update"]
    assert actions(**{"from": iso(first)}) == ["wallet.paused", "client.update", "client.update"]


@pytest.mark.parametrize("query", ["from=yesterday", "from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "who=x"])
def test_filters_that_make_no_sense_are_refused(firm: Firm, query: str) -> None:
    assert firm.call("master", "GET", f"{PATH}?{query}").status_code == 422


def test_the_page_knows_what_was_done(firm: Firm) -> None:
    page = firm.call("middle_office", "GET", "/audit").get_data(as_text=True)
    assert "client.create" in page and 'id="verify"' in page


def test_what_is_filtered_is_exported_whole_and_that_is_recorded(firm_on_each: Firm) -> None:
    firm = firm_on_each
    for name in ("=1+1", "Ana Q.", "Ana R."):
        assert firm.call("master", "PATCH", "/api/v1/clients/C-1", json={"name": name}).status_code == 200
    query = {"action": "client.update"}
    as_json = firm.call("middle_office", "GET", f"{PATH}/export", query_string=query)
    assert as_json.headers["Content-Disposition"] == 'attachment; filename="audit.json"'
    assert as_json.get_json()["items"] == found(firm, **query)
    as_csv = firm.call("middle_office", "GET", f"{PATH}/export", query_string={**query, "format": "csv"})
    assert as_csv.content_type == "text/csv; charset=utf-8"
    lines = list(csv.DictReader(io.StringIO(as_csv.get_data(as_text=True))))
    assert [line["id"] for line in lines] == [item["id"] for item in as_json.get_json()["items"]]
    assert json.loads(lines[-1]["details"])["changed"] == {"name": "=1+1"}
    taken = found(firm, action="audit.export")
    assert [(item["actor_label"], item["details"]) for item in taken] == [
        ("middle_office@firm.example", {"records": 3})
    ] * 2


def test_a_cell_of_an_export_is_no_formula(firm: Firm) -> None:
    spoil(firm)
    firm.run(lambda session: audit.record(session, SYSTEM, "=cmd|' /C calc'!A0", "client", "@x", firm.clock.now()))
    text = firm.call("master", "GET", f"{PATH}/export", query_string={"format": "csv"}).get_data(as_text=True)
    assert "\"'=cmd" in text or "'=cmd" in text
    assert ",'@x," in text and ",@x" not in text and ",=cmd" not in text
    assert "{not json" in text


def test_an_export_that_is_too_large_is_refused(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_EXPORTED", 3)
    answer = firm.call("master", "GET", f"{PATH}/export")
    assert (answer.status_code, answer.get_json()["code"]) == (422, "too_many_records")
    assert found(firm, action="audit.export") == []
