"""Whose portfolio whom it is shown, and the last day of every instrument."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D

import pytest

from app.domain.bars import Bar
from app.models import Wallet

from .conftest import Firm

PATH = "/api/v1/portfolio"


@pytest.mark.parametrize(
    ("who", "asked", "status"),
    [
        ("client", "", 200),
        ("client", "?client_id=C-1", 200),
        ("client", "?client_id=C-2", 404),
        ("trader", "?client_id=C-1", 200),
        ("trader", "?client_id=C-2", 404),
        ("trader", "", 422),
        ("operator", "?client_id=C-2", 200),
        ("middle_office", "?client_id=C-2", 200),
        ("master", "", 422),
        ("key:client", "", 200),
        ("key:trade", "", 403),
        ("key:firm-read", "?client_id=C-2", 200),
        ("client", "?period=2w", 422),
        ("client", "?wallet_id=nothing", 404),
        (None, "", 401),
    ],
)
def test_a_portfolio_is_shown_to_whom_the_client_is(shared_firm: Firm, who: str, asked: str, status: int) -> None:
    assert shared_firm.call(who, "GET", PATH + asked).status_code == status


def test_another_clients_wallet_is_not_added_to_ones_own(shared_firm: Firm) -> None:
    foreign = shared_firm.ids["luis:wallet"]
    assert shared_firm.call("client", "GET", f"{PATH}?wallet_id={foreign}").status_code == 404
    own = shared_firm.call("client", "GET", f"{PATH}?wallet_id={shared_firm.ids['ana:wallet']}").get_json()
    assert own["wallet_id"] == shared_firm.ids["ana:wallet"] and own["client_id"] == shared_firm.ids["ana"]


def test_the_portfolio_is_worth_what_its_wallets_say(firm_on_each: Firm) -> None:
    firm = firm_on_each
    firm.clock.advance(1800)
    answer = firm.call("client", "GET", PATH).get_json()
    balances = firm.call("client", "GET", f"/api/v1/wallets/{firm.ids['ana:wallet']}/balances").get_json()
    assert answer["equity"] == balances["total_usd"] == "150000"
    assert answer["day"]["pnl"] == "0" and [point["equity"] for point in answer["curve"]] == ["150000"] * 2
    assert firm.run(lambda session: session.query(Wallet).count()) == 2


@pytest.mark.parametrize("who", ["client", "trader", "master"])
def test_the_page_opens_for_clients_and_staff(shared_firm: Firm, who: str) -> None:
    page = shared_firm.call(who, "GET", "/portfolio")
    assert page.status_code == 200
    assert ("portfolio-client" in page.text) == (who != "client")


def test_a_positions_curve_is_its_clients(shared_firm: Firm) -> None:
    unknown = "0197f3b2-7a10-7c11-9d1e-0c6c2ad3a001"
    assert shared_firm.call("client", "GET", f"/api/v1/positions/{unknown}/curve").status_code == 404


def test_the_last_day_begins_with_the_minute_of_a_day_ago(firm_on_each: Firm) -> None:
    """Now is 14:30: the hour of 14:00 yesterday counts from its thirtieth minute on."""
    firm, parts = firm_on_each, firm_on_each.app.extensions["services"]
    begin = firm.clock.now() - timedelta(days=1)

    def bar(interval: str, minutes: int, open_: str, high: str, low: str, close: str, volume: str = "1") -> Bar:
        start = begin + timedelta(minutes=minutes)
        return Bar("BTC/USDT", interval, start, D(open_), D(high), D(low), D(close), D(volume), 1)

    given = [
        bar("1h", -90, "10", "10", "10", "10"),
        bar("1h", -30, "40000", "99999", "1", "50500", "60"),
        bar("1m", -1, "40000", "99999", "1", "50000"),
        bar("1m", 0, "50000", "50600", "49900", "50500", "2"),
        bar("1h", 30, "50500", "52000", "50400", "51000", "3"),
        bar("1h", 23 * 60 + 30, "51000", "51300", "50900", "51250", "4"),
    ]
    firm.run(lambda session: parts.bars.fill(session, given))
    (day,) = firm.call("client", "GET", "/api/v1/market/day").get_json()["items"]
    assert day == {
        "symbol": "BTC/USDT",
        "open": "50000",
        "high": "52000",
        "low": "49900",
        "close": "51250",
        "change": "1250",
        "change_percent": "2.5",
        "volume": "9",
        "closes": ["50500", "51000", "51250"],
    }


def test_a_posting_names_whose_wallet_it_moved(shared_firm: Firm) -> None:
    entries = shared_firm.call("master", "GET", "/api/v1/journal/entries").get_json()["items"]
    clients = {line["client_id"] for entry in entries for line in entry["postings"]}
    assert clients == {None, shared_firm.ids["ana"], shared_firm.ids["luis"]}
