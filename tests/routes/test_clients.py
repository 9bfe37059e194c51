"""Clients over JSON: how they are told apart, and filters that are no ids."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.models import Client

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
