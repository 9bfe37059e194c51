"""People read names, and find their way back from a page that is not there."""

from __future__ import annotations

import re

import pytest

from .conftest import Firm


def names(firm: Firm, who: str, *actors: str) -> dict[str, str]:
    answer = firm.call(who, "GET", "/account/names", query_string=[("actor", actor) for actor in actors])
    assert answer.status_code == 200
    found: dict[str, str] = answer.get_json()["names"]
    return found


def test_actors_have_names(firm: Firm) -> None:
    trader, key = f"user:{firm.ids['trader']}", f"key:{firm.ids['key:client']}"
    assert names(firm, "master", trader, key) == {trader: "trader", key: "key:client"}
    assert names(firm, "client", trader, key) == {trader: "trader", key: "key:client"}
    assert names(firm, "master", "engine", "user:nobody", "user:", "x", "key:" + "0" * 36) == {}


def test_clients_do_not_learn_the_names_of_other_clients(firm: Firm) -> None:
    other = f"key:{firm.ids['key:other']}"
    assert names(firm, "master", other) == {other: "key:other"}
    assert names(firm, "client", other) == {}
    assert firm.call(None, "GET", f"/account/names?actor={other}").status_code == 303


def test_an_order_and_its_entries_say_by_name_who_made_them(firm: Firm) -> None:
    order = firm.order("trader", client_id="C-1").get_json()
    page = firm.call("client", "GET", f"/orders/{order['id']}").text
    shown = re.search(r"<dt>Created by</dt><dd>(.*?)</dd>", page)
    assert shown is not None
    assert shown.group(1) == "trader"
    entry = firm.call("master", "GET", "/api/v1/journal/entries?limit=1").get_json()["items"][0]
    page = firm.call("client", "GET", f"/journal/{entry['id']}").text
    assert "<dt>Booked by</dt><dd>trader</dd>" in page
    assert "user:" not in page


@pytest.mark.parametrize("path", ["/nowhere", "/orders/01a1fd24-c3ab-7178-8428-d7281a5c0e77"])
def test_a_page_that_is_not_there_keeps_the_navigation(shared_firm: Firm, path: str) -> None:
    answer = shared_firm.call("client", "GET", path)
    assert answer.status_code == 404
    assert 'class="nav-link' in answer.text
    assert 'href="/desk"' in answer.text
    stranger = shared_firm.call(None, "GET", "/nowhere")
    assert stranger.status_code == 404
    assert 'class="nav-link' not in stranger.text


@pytest.mark.parametrize("path", ["/system", "/clients", "/journal/trial-balance"])
def test_a_refusal_is_said_in_words_for_people(shared_firm: Firm, path: str) -> None:
    answer = shared_firm.call("client", "GET", path)
    assert answer.status_code == 403
    assert 'class="nav-link' in answer.text
    assert "this user may not" not in answer.text
    assert "Your role does not include this page." in answer.text
    spanish = shared_firm.call("client", "GET", path, headers={"Accept-Language": "es"})
    assert "Tu rol no incluye esta página." in spanish.text
