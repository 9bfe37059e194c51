"""The main job in a browser: from the ticket to a protected position and its end in the journal."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from .conftest import SignIn, Watched
from .server import Server

pytestmark = pytest.mark.browser
SECOND_MS = 1_000


def fill_ticket(page: Page, **fields: str) -> None:
    expect(page.locator("#desk")).to_have_attribute("data-ready", "true")
    for name, value in fields.items():
        page.fill(f"#ticket [name='{name}']", value)


def send(page: Page) -> None:
    page.click("#ticket-submit")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=re.compile("^(Buy|Sell)$")).click()
    expect(dialog).to_have_count(0)


def test_order_with_exits_is_filled_protected_stopped_and_booked(market: Server, sign_in: SignIn) -> None:
    """What the newcomer of the README does, without one reload."""
    page = sign_in("ana", "/desk?symbol=BTC/USDT")
    expect(page.locator("#quote-bid")).to_have_text("67,000.00")
    market.set_quote("BTC/USDT", "67010.00", "67011.00")
    expect(page.locator("#quote-bid")).to_have_text("67,010.00", timeout=SECOND_MS)
    expect(page.locator("#quote-spread")).to_have_text("1.00")

    fill_ticket(page, qty="0.1", stop_loss="66000", take_profit="70000")
    expect(page.locator("#ticket-check")).to_contain_text("6,701.10 USDT")
    expect(page.locator("#ticket-check")).to_contain_text("Passes every check")
    send(page)
    order = page.locator("#orders-body tr").first
    page.click("#tab-orders")
    expect(order.locator("[data-status]")).to_have_attribute("data-status", "FILLED")

    page.click("#tab-positions")
    position = page.locator("#positions-body tr").first
    expect(position).to_contain_text("BTC/USDT")
    expect(position).to_contain_text("66,000.00")
    expect(position).to_contain_text("70,000.00")
    profit = position.locator("[data-pnl]")
    market.set_quote("BTC/USDT", "67200.00", "67201.00")
    # (67,200 − 67,011) · 0.1 less the entry fee of 6.7011 is 12.1989
    expect(profit).to_have_text("+12.20 USDT")

    market.set_quote("BTC/USDT", "65990.00", "65991.00")
    expect(page.locator("#positions-body tr")).to_have_count(0)
    page.click("#tab-orders")
    exit_row = page.locator("#orders-body tr").first
    expect(exit_row.locator("[data-status=stop_loss]")).to_be_visible()
    expect(exit_row.locator("[data-status=FILLED]")).to_be_visible()

    page.goto("/journal?kind=trade")
    expect(page.locator("tbody tr").nth(1)).to_contain_text(re.compile(r"(?<!-)0\.1 BTC"))
    expect(page.locator("tbody tr").first).to_contain_text("-0.1 BTC")
    expect(page.locator("tbody tr").first).to_contain_text("Clearing with venues")
    assert_reconciled(market)


def assert_reconciled(server: Server) -> None:
    answer = server.api("GET", "/admin/reconcile")
    assert answer["breaks"] == []


def test_history_and_fix_messages_of_an_order_are_shown(market: Server, sign_in: SignIn) -> None:
    page = sign_in("ana", "/desk?symbol=ETH/USDT")
    fill_ticket(page, qty="0.5")
    send(page)
    page.click("#tab-orders")
    row = page.locator("#orders-body tr").first
    expect(row.locator("[data-status=FILLED]")).to_be_visible()
    row.locator("[data-fix]").click()
    panel = page.locator("#order-panel")
    expect(panel.locator(".timeline li").first).to_have_attribute("data-status", "NEW")
    expect(panel.locator(".timeline li").last).to_have_attribute("data-status", "FILLED")
    expect(panel.locator("[data-fix-message=D]")).to_contain_text("35=D")
    panel.locator("[data-fix-message='8']").last.locator("summary").click()
    expect(panel.locator("[data-fix-message='8']").last).to_contain_text("OrdStatus")


def test_wrong_fields_are_named_at_the_field_and_refusals_with_their_values(
    market: Server, sign_in: SignIn, watched: Watched
) -> None:
    watched.expected.append("status of 422")  # the dry run's answer, which the browser notes
    page = sign_in("luis", "/desk?symbol=SOL/USDT")
    fill_ticket(page, qty="1", stop_loss="200")
    stop = page.locator("#ticket [name=stop_loss]")
    expect(stop).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#ticket-exits")).to_contain_text("The stop must be below the market.")
    fill_ticket(page, stop_loss="")
    expect(stop).not_to_have_attribute("aria-invalid", "true")
    fill_ticket(page, qty="9000")
    check = page.locator("#ticket-check")
    expect(check).to_contain_text("Not enough balance")
    expect(check).to_contain_text("available: 100,000")
    send(page)
    page.click("#tab-orders")
    expect(page.locator("#orders-body tr").first).to_contain_text("Not enough balance")


def test_limit_order_is_amended_and_canceled_from_the_blotter(market: Server, sign_in: SignIn) -> None:
    page = sign_in("luis", "/desk?symbol=XAU/USD")
    page.select_option("#ticket-type", "LIMIT")
    fill_ticket(page, qty="2", price="1900")
    send(page)
    page.click("#tab-orders")
    row = page.locator("#orders-body tr").first
    expect(row.locator("[data-status=OPEN]")).to_be_visible()
    row.get_by_role("button", name="Amend Buy XAU/USD").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Price").fill("1901")
    dialog.get_by_role("button", name="Amend").click()
    expect(row).to_contain_text("1,901.00")
    row.locator("[data-cancel]").click()
    expect(row.locator("[data-status=CANCELED]")).to_be_visible()


def test_position_is_protected_and_closed_in_part(market: Server, sign_in: SignIn) -> None:
    page = sign_in("luis", "/desk?symbol=ETH/USDT")
    fill_ticket(page, qty="2")
    send(page)
    row = page.locator("#positions-body tr").filter(has_text="ETH/USDT")
    expect(row).to_be_visible()
    row.locator("[data-protect]").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Stop loss").fill("3400")
    dialog.get_by_label("Distance").fill("2")
    dialog.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("3,400.00")
    expect(row).to_contain_text("3,381.00")  # 2 % below the bid of 3,450
    row.locator("[data-close]").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(re.compile("Quantity to close")).fill("0.5")
    dialog.get_by_role("button", name="Close position").click()
    expect(row.locator("td").nth(2)).to_have_text("1.5")
    row.locator("[data-close]").click()
    page.get_by_role("dialog").get_by_role("button", name="Close position").click()
    expect(row).to_have_count(0)


def test_live_quotes_leave_what_is_typed_alone(market: Server, sign_in: SignIn) -> None:
    page = sign_in("ana", "/desk?symbol=EUR/USD")
    amount = page.locator("#ticket-amount")
    amount.fill("12")
    amount.focus()
    for step in range(1, 6):
        market.set_quote("EUR/USD", f"1.0850{step}", f"1.0851{step}")
        expect(page.locator("#quote-bid")).to_have_text(f"1.0850{step}")
        page.keyboard.type("3")
    expect(amount).to_have_value("1233333")
    expect(amount).to_be_focused()


def test_fifty_clicks_buy_once(market: Server, sign_in: SignIn) -> None:
    page = sign_in("ana", "/desk?symbol=SOL/USDT")
    before = len(market.api("GET", "/orders?symbol=SOL/USDT")["items"])
    page.uncheck("#ticket-ask")
    fill_ticket(page, qty="1")
    page.evaluate("for (let i = 0; i < 50; i += 1) document.getElementById('ticket-submit').click()")
    page.click("#tab-orders")
    expect(page.locator("#orders-body tr").first.locator("[data-status=FILLED]")).to_be_visible()
    assert len(market.api("GET", "/orders?symbol=SOL/USDT")["items"]) == before + 1


def test_hotkeys_choose_the_side_and_send(market: Server, sign_in: SignIn) -> None:
    page = sign_in("ana", "/desk?symbol=SOL/USDT")
    expect(page.locator("#desk")).to_have_attribute("data-ready", "true")
    page.locator("h1").evaluate("node => document.activeElement.blur()")
    page.keyboard.press("s")
    expect(page.locator("#ticket-amount")).to_be_focused()
    expect(page.locator(".sides [data-side=SELL]")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    expect(page.locator(".sides [data-side=BUY]")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    expect(page.locator("#pane-orders")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#hotkeys")).to_be_visible()


def test_trader_orders_for_an_assigned_client_and_sees_no_other(market: Server, sign_in: SignIn) -> None:
    page = sign_in("trader", "/desk?symbol=ETH/USDT")
    expect(page.locator("#client option")).to_have_count(1)
    expect(page.locator("#client")).to_contain_text("C-1001")
    fill_ticket(page, qty="0.1")
    send(page)
    page.click("#tab-orders")
    expect(page.locator("#orders-body tr").first.locator("[data-status=FILLED]")).to_be_visible()


def test_supervisors_look_and_cannot_trade(market: Server, sign_in: SignIn) -> None:
    page = sign_in("operator", "/desk?symbol=ETH/USDT")
    expect(page.locator("#ticket-submit")).to_be_disabled()
    expect(page.locator("#cancel-all")).to_have_count(0)


def test_profit_is_exact_beyond_what_a_float_holds(sign_in: SignIn) -> None:
    page = sign_in("ana", "/help")
    shown = page.evaluate(
        """async () => {
          const format = await import('/static/js/format.js');
          const decimal = await import('/static/js/decimal.js');
          return [format.number('12345678901234567890.123456789012345678'), decimal.sum(['0.1', '0.2']),
                  decimal.floorTo('0.123456789', '0.00001'), format.profit('-0.005', 'USD'), decimal.typed('1,234.50')];
        }"""
    )
    assert shown[0] == "12,345,678,901,234,567,890.123456789012345678"
    assert Decimal(shown[1]) == Decimal("0.3")
    assert shown[2:] == ["0.12345", "0.00 USD", "1234.50"]


def test_stop_is_dragged_on_the_chart_and_sent_after_a_question(market: Server, sign_in: SignIn) -> None:
    page = sign_in("luis", "/desk?symbol=EUR/USD")
    fill_ticket(page, qty="100", stop_loss="1.08490", take_profit="1.08530")
    send(page)
    row = page.locator("#positions-body tr").filter(has_text="EUR/USD")
    expect(row).to_contain_text("1.08490")
    at = page.evaluate("async () => (await import('/static/js/desk/chart.js')).lineHeight('stop_loss')")
    box = page.locator("#chart").bounding_box()
    assert box is not None and at is not None
    x = box["x"] + box["width"] / 3
    page.mouse.move(x, box["y"] + at)
    page.mouse.down()
    page.mouse.move(x, box["y"] + at + 25, steps=5)
    page.mouse.up()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Stop of EUR/USD: from 1.08490 USD")
    expect(row).to_contain_text("1.08490")
    dialog.get_by_role("button", name="Move").click()
    expect(row).not_to_contain_text("1.08490")
    row.locator("[data-close]").click()
    page.get_by_role("dialog").get_by_role("button", name="Close position").click()
    expect(row).to_have_count(0)
