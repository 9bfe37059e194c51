"""Clients over JSON: how they are told apart, and filters that are no ids."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.core.ids import new_id
from app.models import Client, ClientBankAccount

from .conftest import Firm


def register(firm: Firm, **fields: Any) -> Any:
    return firm.call("key:firm", "POST", "/api/v1/clients", json={"code": "C-9", "name": "Eva Rojas", **fields})


@pytest.mark.parametrize("value", ["x", "C-1", "0" * 36, "\u0661"])
def test_a_filter_that_is_no_id_is_refused_on_each_database(firm_on_each: Firm, value: str) -> None:
    answer = firm_on_each.call("master", "GET", f"/api/v1/clients?trader_id={value}")
    assert (answer.status_code, answer.get_json()["errors"][0]["field"]) == (422, "trader_id")
    trader = firm_on_each.ids["trader"]
    for written in (trader, trader.upper()):
        found = firm_on_each.call("master", "GET", f"/api/v1/clients?trader_id={written}").get_json()
        assert [client["code"] for client in found["items"]] == ["C-1"]


def test_codes_that_differ_in_capitals_are_the_same_code(firm_on_each: Firm) -> None:
    assert register(firm_on_each, code="C-a").status_code == 201
    taken = register(firm_on_each, code="c-A")
    assert (taken.status_code, taken.get_json()["code"]) == (409, "code_taken")


def test_two_at_once_cannot_both_have_it(firm_on_each: Firm, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look finds nothing; the database's own index still refuses."""
    assert register(firm_on_each, code="C-a").status_code == 201
    scalar = Session.scalar

    def blind(self: Session, query: Any, *rest: Any, **options: Any) -> Any:
        return None if "lower(clients.code)" in str(query) else scalar(self, query, *rest, **options)

    monkeypatch.setattr(Session, "scalar", blind)
    assert register(firm_on_each, code="c-a").status_code == 409


INVISIBLE = [
    "\u200b",
    "\u2800\u2800",
    "\u3164",
    "\u115f\u1160",
    "\ufeff",
    "\u00ad\u200d",
    "Ana\u200b",
    "A\u2060na",
    "\U000e0041na",
    "...",
    "\u0301",
]


@pytest.mark.parametrize("name", INVISIBLE)
def test_a_name_can_be_seen(shared_firm: Firm, name: str) -> None:
    for answer in (
        register(shared_firm, name=name),
        shared_firm.call("key:firm", "PATCH", "/api/v1/clients/C-1", json={"name": name}),
        shared_firm.call("key:firm", "POST", "/api/v1/wallets", json={"client_id": "C-1", "name": name}),
    ):
        assert (answer.status_code, answer.get_json()["errors"][0]["field"]) == (422, "name")


@pytest.mark.parametrize("name", ["Ñandú & Hijos S.A.C.", "李雷", "علی\u200cرضا", "José", "3M", "Zoe\u0308"])
def test_names_of_all_kinds_are_names(firm: Firm, name: str) -> None:
    answer = register(firm, name=name)
    assert (answer.status_code, answer.get_json()["name"]) == (201, name)
    assert firm.run(lambda session: session.query(Client).filter_by(code="C-9").one().name) == name


PERSON = {
    "code": "C-9",
    "given_names": "José Luis",
    "paternal_surname": "Quispe",
    "maternal_surname": "Mamani",
    "identity_type": "dni",
    "identity_number": "10117410-2",
    "born_on": "1990-05-17",
    "nationality": "pe",
    "phones": ["+51 987 654 321"],
    "address": "Av. Larco 345",
    "occupation": "Baker",
    "source_of_funds": "Sales",
}
COMPANY = {"code": "C-8", "kind": "company", "name": "Ñandú S.A.C.", "identity_type": "ruc"}


def create(firm: Firm, fields: dict[str, Any], who: str = "master") -> Any:
    return firm.call(who, "POST", "/api/v1/clients", json=fields)


def refusal(answer: Any) -> tuple[int, str, str]:
    error = answer.get_json()["errors"][0]
    return answer.status_code, error["field"], error["code"]


def test_a_person_is_kept_in_full(firm_on_each: Firm) -> None:
    answer = create(firm_on_each, PERSON, "trader")
    assert answer.status_code == 201, answer.get_json()
    made = answer.get_json()
    assert made["name"] == "José Luis Quispe Mamani"
    assert (made["identity_number"], made["identity_country"], made["nationality"]) == ("10117410", "PE", "PE")
    assert (made["status"], made["kyc_status"], made["trader_id"]) == ("active", "none", firm_on_each.ids["trader"])
    assert made == firm_on_each.call("trader", "GET", "/api/v1/clients/C-9").get_json()
    found = firm_on_each.call("master", "GET", "/api/v1/clients?q=1011741&status=active&kind=person").get_json()
    assert [client["code"] for client in found["items"]] == ["C-9"]


def test_a_name_follows_its_parts_until_somebody_writes_another(firm: Firm) -> None:
    create(firm, PERSON)
    path = "/api/v1/clients/C-9"
    changed = firm.call("master", "PATCH", path, json={"maternal_surname": None}).get_json()
    assert (changed["name"], changed["maternal_surname"]) == ("José Luis Quispe", None)
    firm.call("master", "PATCH", path, json={"name": "Don José"})
    assert firm.call("master", "PATCH", path, json={"maternal_surname": "Rojas"}).get_json()["name"] == "Don José"


def test_a_company_is_known_by_its_ruc(firm: Firm) -> None:
    answer = create(firm, {**COMPANY, "identity_number": "20512333797", "born_on": "2020-03-01"})
    assert (answer.status_code, answer.get_json()["kind"]) == (201, "company")


WRONG = [
    ({"born_on": "2190-01-01"}, "born_on", "birth_in_future"),
    ({"born_on": "1880-01-01"}, "born_on", "birth_too_early"),
    ({"born_on": "2008-01-07"}, "born_on", "under_age"),
    ({"born_on": "2001-02-30"}, "born_on", "invalid_date"),
    ({"born_on": 5}, "born_on", "invalid_date"),
    ({"identity_number": "10117410-3"}, "identity_number", "identity_check_digit"),
    ({"identity_number": "1011741"}, "identity_number", "identity_format"),
    ({"identity_country": "MX"}, "identity_country", "identity_country"),
    ({"identity_type": "ruc", "identity_number": "20512333797"}, "identity_type", "identity_unsuitable"),
    ({"identity_type": "passport", "identity_number": "AB12345"}, "identity_country", "identity_country"),
    ({"identity_number": None}, "identity_number", "required"),
    ({"nationality": "ZZ"}, "nationality", "unknown_country"),
    ({"email": "ana@"}, "email", "invalid_email"),
    ({"email": "a@b.example\r\nBcc: x@y.example"}, "email", "invalid_characters"),
    ({"phones": ["call me"]}, "phones.0", "invalid_characters"),
    ({"given_names": "Ana\u202e"}, "given_names", "invalid_characters"),
    ({"paternal_surname": "Quis\r\npe"}, "paternal_surname", "invalid_characters"),
    ({"given_names": None}, "body", "name_required"),
    ({"kind": "company", "name": "X", "identity_type": None, "identity_number": None}, "given_names", "persons_only"),
    ({"status": "blocked"}, "status", "unknown_field"),
]


@pytest.mark.parametrize(("fields", "field", "code"), WRONG)
def test_what_cannot_be_right_is_refused_by_field(
    shared_firm: Firm, fields: dict[str, Any], field: str, code: str
) -> None:
    assert refusal(create(shared_firm, {**PERSON, **fields})) == (422, field, code)


def test_who_turns_18_today_is_an_adult(firm: Firm) -> None:
    """In Lima, where the clock of these tests (14:30 UTC, 5 January 2026) says the same day."""
    assert create(firm, {**PERSON, "born_on": "2008-01-06"}).status_code == 422
    assert create(firm, {**PERSON, "born_on": "2008-01-05"}).status_code == 201


def test_addresses_and_documents_are_one_clients(firm_on_each: Firm) -> None:
    assert create(firm_on_each, {**PERSON, "email": "Ana@Example.com"}).status_code == 201
    other = {**PERSON, "code": "C-10"}
    assert refusal(create(firm_on_each, other)) == (409, "identity_number", "identity_taken")
    other |= {"identity_number": "10586119", "email": "aNA@example.COM"}
    assert refusal(create(firm_on_each, other)) == (409, "email", "email_taken")
    patched = firm_on_each.call("master", "PATCH", "/api/v1/clients/C-1", json={"email": "ana@example.com"})
    assert refusal(patched) == (409, "email", "email_taken")
    again = firm_on_each.call("master", "PATCH", "/api/v1/clients/C-9", json={"email": "ANA@example.com"})
    assert again.status_code == 200, "its own address in other capitals"


@pytest.mark.parametrize(
    ("fields", "code"),
    [({"identity_number": "10586119"}, "email_taken"), ({"email": None}, "identity_taken")],
)
def test_the_database_decides_where_two_come_at_once(
    firm_on_each: Firm, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], code: str
) -> None:
    assert create(firm_on_each, {**PERSON, "email": "ana@example.com"}).status_code == 201
    monkeypatch.setattr("app.services.clients._check_taken", lambda session, client: None)
    answer = create(firm_on_each, {**PERSON, "code": "C-10", "email": "ANA@example.com", **fields})
    assert (answer.status_code, answer.get_json()["code"]) == (409, code)


def test_a_blocked_client_is_out_and_its_callers_never_read_why(firm: Firm) -> None:
    path = "/api/v1/clients/C-1"
    assert firm.call("trader", "POST", f"{path}/block", json={"reason": "Odd papers"}).status_code == 403
    blocked = firm.call("middle_office", "POST", f"{path}/block", json={"reason": "Odd papers"}).get_json()
    assert (blocked["status"], blocked["active"], blocked["blocked_reason"]) == ("blocked", False, "Odd papers")
    assert firm.call("client", "GET", "/api/v1/orders").status_code == 401
    again = firm.call("master", "POST", f"{path}/block", json={"reason": "Odd papers"})
    assert (again.status_code, again.get_json()["code"]) == (409, "unchanged")
    active = firm.call("master", "PATCH", path, json={"active": True})
    assert (active.status_code, active.get_json()["code"]) == (409, "client_blocked")
    assert firm.call("trader", "POST", f"{path}/unblock", json={}).status_code == 403
    free = firm.call("master", "POST", f"{path}/unblock", json={}).get_json()
    assert (free["status"], free["active"], free["blocked_reason"]) == ("active", True, None)
    assert firm.call("master", "POST", f"{path}/unblock", json={}).get_json()["code"] == "unchanged"
    firm.number()
    events = firm.call("key:client", "GET", "/api/v1/events?types=client.*")
    assert [event["type"] for event in events.get_json()["items"]] == [
        "client.created",
        "client.blocked",
        "client.unblocked",
    ]
    assert "Odd papers" not in events.text
    audited = firm.call("master", "GET", "/api/v1/admin/audit?action=client.block").get_json()["items"]
    assert audited[0]["details"]["changed"]["blocked_reason"] == "Odd papers"


def test_those_behind_a_company(firm: Firm) -> None:
    create(firm, {**COMPANY, "identity_number": "20512333797"})
    path = "/api/v1/clients/C-8/related-persons"
    speaker = {"role": "representative", "name": "Rosa", "identity_type": "dni", "identity_number": "10117410"}
    owner = {
        "role": "beneficial_owner",
        "name": "Luis",
        "identity_type": "passport",
        "identity_number": "ab-12345",
        "identity_country": "mx",
        "share_percent": "60",
    }
    named = firm.call("master", "PUT", path, json={"items": [owner, speaker]}, headers={"If-Match": '"v1"'}).get_json()
    assert [(item["role"], item["identity_number"]) for item in named["items"]] == [
        ("representative", "10117410"),
        ("beneficial_owner", "AB12345"),
    ]
    assert firm.call("master", "PUT", path, json={"items": []}, headers={"If-Match": '"v1"'}).status_code == 412
    for items, field, code in (
        ([{**owner, "share_percent": "25"}], "items.0.share_percent", "share_out_of_range"),
        ([{**owner, "share_percent": "100.5"}], "items.0.share_percent", "share_out_of_range"),
        ([{**owner, "share_percent": None}], "items.0.share_percent", "required"),
        ([owner, owner], "items", "repeated"),
        ([owner, {**owner, "identity_number": "CD12345"}], "items", "share_out_of_range"),
        ([{**speaker, "identity_number": "1"}], "items.0.identity_number", "identity_format"),
        (
            [{**speaker, "identity_type": "ruc", "identity_number": "20512333797"}],
            "items.0.identity_type",
            "identity_unsuitable",
        ),
    ):
        assert refusal(firm.call("master", "PUT", path, json={"items": items})) == (422, field, code)
    assert len(firm.call("master", "GET", path).get_json()["items"]) == 2
    assert firm.call("master", "PUT", path, json={"items": []}).get_json()["items"] == []
    person = firm.call("master", "PUT", "/api/v1/clients/C-1/related-persons", json={"items": []})
    assert (person.status_code, person.get_json()["code"]) == (409, "companies_only")


def test_duplicates_are_found_before_saving(firm_on_each: Firm) -> None:
    create(firm_on_each, {**PERSON, "email": "jose@example.com"})

    def found(who: str = "master", **asked: str) -> list[dict[str, Any]]:
        answer = firm_on_each.call(who, "GET", "/api/v1/clients/duplicates", query_string=asked)
        assert answer.status_code == 200, answer.get_json()
        items: list[dict[str, Any]] = answer.get_json()["items"]
        return items

    for name in ("Quispe Mamani, JOSE LUIS", "José Luis Quispe Mamaní", "Jose Luis Quispe Mamane"):
        assert [(item["code"], item["reasons"]) for item in found(name=name)] == [("C-9", ["name"])], name
    assert found(name="Josefina Quiroz Mamani") == []
    same = found(identity_type="dni", identity_number="10117410", email="JOSE@example.com", name="Other")
    assert [(item["code"], item["reasons"], item["likeness"]) for item in same] == [("C-9", ["document", "email"], 100)]
    assert found(email="jose@example.com", apart_from=same[0]["id"]) == []
    hidden = found("trader", email="jose@example.com")
    assert hidden == [{"id": None, "code": None, "name": None, "reasons": ["email"], "likeness": 100}]


def test_a_shared_bank_account_is_a_duplicate(firm: Firm) -> None:
    now = firm.clock.now()

    def add(session: Session) -> None:
        session.add(
            ClientBankAccount(
                id=new_id(),
                client_id=firm.ids["ana"],
                scheme="cci",
                number="01136600010003254221",
                bank_code="011",
                bank_name="BBVA",
                account_type="savings",
                currency="PEN",
                holder="Ana",
                country="PE",
                status="active",
                created_by="system",
                created_at=now,
                updated_at=now,
            )
        )

    firm.run(add)
    asked = {"account_scheme": "cci", "account_number": "011-366-000100032542-21"}
    items = firm.call("master", "GET", "/api/v1/clients/duplicates", query_string=asked).get_json()["items"]
    assert [(item["code"], item["reasons"]) for item in items] == [("C-1", ["bank_account"])]
    asked["account_number"] = "01136600010003254220"
    wrong = firm.call("master", "GET", "/api/v1/clients/duplicates", query_string=asked)
    assert refusal(wrong) == (422, "account_number", "account_check_digit")
    alone = firm.call("master", "GET", "/api/v1/clients/duplicates?identity_number=10117410")
    assert (alone.status_code, alone.get_json()["code"]) == (422, "required")
