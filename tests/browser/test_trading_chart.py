"""The chart as traders use it, the market list beside it, the portfolio and a position's curve."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import SignIn
from .server import Server

pytestmark = pytest.mark.browser


def open_desk(sign_in: SignIn, who: str, symbol: str, **options: Any) -> Page:
    page = sign_in(who, f"/desk?symbol={symbol}", **options)
    expect(page.locator("#desk")).to_have_attribute("data-ready", "true")
    expect(page.locator("#chart-legend")).to_contain_text("O")
    return page


def order(server: Server, client: str, **fields: str) -> dict[str, Any]:
    made: dict[str, Any] = server.api("POST", "/orders", client_id=client, **fields)
    return made


def switch(page: Page, *studies: str) -> None:
    page.click("#studies-button")
    for name in studies:
        page.click(f"#study-{name}")
    page.keyboard.press("Escape")


def test_indicators_are_what_the_textbook_says(market: Server, sign_in: SignIn) -> None:
    page = sign_in("ana", "/help")
    found = page.evaluate(
        """async () => {
             const { sma, ema, rsi } = await import('/static/js/desk/indicators.js');
             const bars = (...closes) => closes.map((close, time) => ({ time, close }));
             const short = (points) => points.map(({ time, value }) => [time, Number(value.toFixed(4))]);
             return [sma(bars(1, 2, 3, 5), 2), sma(bars(1), 2), ema(bars(2, 4, 9, 3), 2),
                     rsi(bars(10, 12, 11, 13, 10), 2),
                     rsi(bars(1, 2, 3), 2), rsi(bars(3, 2, 1), 2), rsi(bars(1, 1, 1), 2)].map(short);
           }"""
    )
    assert found[0] == [[1, 1.5], [2, 2.5], [3, 4]] and found[1] == []
    assert found[2] == [[1, 3], [2, 7], [3, 4.3333]]  # weight 2/3 of what is new
    # gains 2 and losses 1 in two bars, then 2 up, then 3 down, each half forgotten: 1/.5, 1.5/.25, .75/1.625
    assert found[3] == [[2, 66.6667], [3, 85.7143], [4, 31.5789]]
    assert found[4:] == [[[2, 100]], [[2, 0]], [[2, 50]]]


def test_what_is_switched_on_is_remembered(market: Server, sign_in: SignIn) -> None:
    page = open_desk(sign_in, "ana", "BTC/USDT")
    panes = "async () => document.querySelectorAll('#chart table tr').length"
    before = page.evaluate(panes)
    switch(page, "sma20", "rsi14")
    assert page.evaluate(panes) > before, "RSI has a pane of its own"
    page.click("[data-interval='15m']")
    page.reload()
    expect(page.locator("#desk")).to_have_attribute("data-ready", "true")
    expect(page.locator("[data-interval='15m']")).to_have_attribute("aria-pressed", "true")
    page.click("#studies-button")
    for name, on in (("sma20", True), ("rsi14", True), ("volume", True), ("sma50", False)):
        expect(page.locator(f"#study-{name}")).to_be_checked(checked=on)
    page.click("#study-rsi14")
    assert page.evaluate(panes) == before


def test_the_legend_has_the_prices_of_the_bar(market: Server, sign_in: SignIn) -> None:
    page = open_desk(sign_in, "ana", "XAU/USD")
    page.click("[data-interval='1d']")
    market.set_quote("XAU/USD", "1990.00", "1990.20")
    market.set_quote("XAU/USD", "1985.00", "1985.20")
    legend = page.locator("#chart-legend")
    expect(legend).to_contain_text("C1,985.10")
    high = legend.inner_text()
    assert re.search(r"H\s*1,99\d\.\d\d", high), high


def test_own_fills_are_marked_and_can_be_hidden(market: Server, sign_in: SignIn) -> None:
    market.set_quote("TSLA", "248.00", "248.04")
    page = open_desk(sign_in, "ana", "TSLA")
    page.click("[data-interval='4h']")
    chart = page.locator("#chart")
    order(market, "C-1001", symbol="TSLA", side="BUY", type="MARKET", qty="2")
    expect(chart).to_have_attribute("data-fills", "1")
    order(market, "C-1001", symbol="TSLA", side="SELL", type="MARKET", qty="1")
    expect(chart).to_have_attribute("data-fills", "2")
    switch(page, "fills")
    expect(chart).to_have_attribute("data-fills", "0")
    page.reload()
    expect(page.locator("#desk")).to_have_attribute("data-ready", "true")
    expect(chart).to_have_attribute("data-fills", "0")
    page.click("#studies-button")
    page.click("#study-fills")
    expect(chart).to_have_attribute("data-fills", "2")


def drag_line(page: Page, field: str, by: int) -> None:
    height = "async (field) => (await import('/static/js/desk/chart.js')).lineHeight(field)"
    page.wait_for_function(f"async (field) => (await ({height})(field)) !== null", arg=field)
    at, box = page.evaluate(height, field), page.locator("#chart").bounding_box()
    assert box is not None
    x = box["x"] + box["width"] / 3
    page.mouse.move(x, box["y"] + at)
    page.mouse.down()
    page.mouse.move(x, box["y"] + at + by, steps=5)
    page.mouse.up()


def test_a_resting_order_is_dragged_and_amended_after_a_question(market: Server, sign_in: SignIn) -> None:
    made = order(market, "C-1002", symbol="SOL/USDT", side="BUY", type="LIMIT", qty="1", price="147.50")
    page = open_desk(sign_in, "luis", "SOL/USDT")
    drag_line(page, "price", 20)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Buy 1 SOL/USDT: the limit moves from 147.50 USDT to ")
    wanted = re.search(r"to ([0-9.]+) USDT\.", dialog.inner_text())
    assert wanted is not None and wanted[1] < "147.50"
    assert market.api("GET", f"/orders/{made['id']}")["price"] == "147.5", "nothing is sent before the answer"
    dialog.get_by_role("button", name="Move").click()
    page.click("#tab-orders")
    row = page.locator(f"#orders-body [data-id='{made['id']}']")
    expect(row).to_contain_text(wanted[1])
    expect(row.locator("[data-status=OPEN]")).to_be_visible()
    drag_line(page, "price", -15)
    page.get_by_role("dialog").get_by_role("button", name="Back").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    kept = market.api("DELETE", f"/orders/{made['id']}")
    assert kept["price"] == f"{wanted[1]}".rstrip("0").rstrip("."), "a question answered with no changes nothing"


def test_a_click_on_a_price_fills_the_ticket(market: Server, sign_in: SignIn) -> None:
    page = open_desk(sign_in, "ana", "ETH/USDT")
    price, box = page.locator("#ticket [name=price]"), page.locator("#chart").bounding_box()
    assert box is not None
    page.click("#quote-bid")
    expect(page.locator("#ticket-type")).to_have_value("LIMIT")
    expect(price).to_have_value("3450.00")
    page.mouse.click(box["x"] + box["width"] / 3, box["y"] + box["height"] / 3)
    expect(price).not_to_have_value("3450.00")
    assert re.fullmatch(r"3[34]\d\d\.\d\d", price.input_value()), price.input_value()
    before = price.input_value()
    page.focus("#ticket [name=stop_loss]")
    page.mouse.click(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    expect(page.locator("#ticket [name=stop_loss]")).to_have_value(re.compile(r"^3[34]\d\d\.\d\d$"))
    expect(price).to_have_value(before)


def test_instruments_are_searched_and_favorites_come_first(market: Server, sign_in: SignIn) -> None:
    page = open_desk(sign_in, "luis", "BTC/USDT")
    listed = page.locator("#symbols button[data-symbol]")
    expect(listed.first).to_have_attribute("data-symbol", "BTC/USDT")
    page.fill("#market-search", "gold")
    expect(listed).to_have_count(1)
    page.fill("#market-search", "usdpen")
    page.keyboard.press("Enter")
    expect(page.locator("#quote-symbol")).to_have_text("USD/PEN")
    page.fill("#market-search", "")
    page.get_by_role("button", name="Favorite XAU/USD").click()
    expect(listed.first).to_have_attribute("data-symbol", "XAU/USD")
    page.click("#market-favourites")
    expect(listed).to_have_count(1)
    page.goto("/desk")  # without a symbol: the last one
    expect(page.locator("#quote-symbol")).to_have_text("USD/PEN")
    expect(listed).to_have_count(1)
    page.click("#market-favourites")
    expect(listed.first).to_have_attribute("data-symbol", "XAU/USD")


def test_the_list_shows_the_change_of_the_last_day(market: Server, sign_in: SignIn) -> None:
    market.set_quote("USD/JPY", "150.000", "150.010")
    page = open_desk(sign_in, "ana", "USD/JPY")
    change = page.locator("#symbols [data-symbol='USD/JPY'] .change")
    expect(change).to_have_text("0.00 %")
    market.set_quote("USD/JPY", "153.000", "153.010")
    expect(change).to_have_text("+2.00 %")
    expect(page.locator("#day-change")).to_have_text("+2.00 %")
    assert page.locator("#symbols [data-symbol='USD/JPY'] .spark path").get_attribute("d")


def test_the_portfolio_shows_what_the_wallet_is_worth(market: Server, sign_in: SignIn) -> None:
    page = sign_in("ana", "/portfolio")
    expect(page.locator("#portfolio")).to_have_attribute("data-ready", "true")
    expect(page.locator("[data-period='1w']")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#equity")).to_contain_text("USD")
    page.click("[data-period='1m']")
    page.wait_for_url("**/portfolio?period=1m")
    page.reload()
    expect(page.locator("[data-period='1m']")).to_have_attribute("aria-pressed", "true")
    wallet = market.api("GET", "/wallets?client_id=C-1001")["items"][0]["id"]
    shown = page.evaluate(
        """async (wallet) => {
             const [portfolio, balances] = await Promise.all(['/api/v1/portfolio', `/api/v1/wallets/${wallet}/balances`]
               .map((path) => fetch(path).then((answer) => answer.json())));
             return [portfolio.equity, balances.total_usd];
           }""",
        wallet,
    )
    assert shown[0] == shown[1]


def test_staff_choose_whose_portfolio_they_see(market: Server, sign_in: SignIn) -> None:
    page = sign_in("operator", "/portfolio?client=C-1002")
    expect(page.locator("#portfolio-client")).to_have_value("C-1002")
    with page.expect_response("**/api/v1/portfolio?client_id=C-1001*"):
        page.select_option("#portfolio-client", "C-1001")
    page.wait_for_url("**client=C-1001*")


def test_a_position_has_its_profit_over_time(market: Server, sign_in: SignIn) -> None:
    market.set_quote("GBP/USD", "1.27000", "1.27010")
    made = order(market, "C-1002", symbol="GBP/USD", side="BUY", type="MARKET", qty="100")
    page = sign_in("luis", "/positions")
    page.wait_for_function(
        "async (id) => (await (await fetch(`/api/v1/orders/${id}`)).json()).position_id", arg=made["id"]
    )
    position = market.api("GET", f"/orders/{made['id']}")["position_id"]
    page.goto(f"/positions/{position}")
    page.wait_for_function(
        "async (id) => (await (await fetch(`/api/v1/positions/${id}/curve`)).json()).total > 0", arg=position
    )
    page.reload()
    expect(page.locator("#curve")).to_have_attribute("data-points", re.compile("^[1-9]"))


def test_staff_lists_say_whose_row_it_is(market: Server, sign_in: SignIn) -> None:
    resting = order(market, "C-1002", symbol="BTC/USDT", side="BUY", type="LIMIT", qty="0.001", price="61000")
    page = sign_in("master", "/")
    expect(page.locator("#orders th", has_text="Client")).to_be_visible()
    expect(page.locator("#orders tbody tr", has_text="C-1002").first).to_be_visible()
    for path in ("/orders", "/positions", "/wallets", "/journal"):
        page.goto(path)
        expect(page.locator("#list th", has_text="Client")).to_be_visible()
        expect(page.locator("#list tbody td", has_text=re.compile(r"^C-\d+$")).first).to_be_visible()
    market.api("DELETE", f"/orders/{resting['id']}")
