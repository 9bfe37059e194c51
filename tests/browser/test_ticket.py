"""The order ticket does what its reader expects: numbers as they are typed, nothing changed without a word."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from playwright.sync_api import Page, Request, Route, expect

from .conftest import SignIn, Watched
from .server import Server
from .test_desk import fill_ticket, send

pytestmark = pytest.mark.browser


def buy(server: Server, symbol: str, qty: str, client: str = "C-1001", **more: Any) -> dict[str, Any]:
    body = {
        "client_id": client,
        "symbol": symbol,
        "side": "BUY",
        "type": "MARKET",
        "qty": qty,
        "client_order_id": uuid.uuid4().hex,
        **more,
    }
    order: dict[str, Any] = server.api("POST", "/orders", **body)
    return order


def sent_orders(page: Page) -> list[dict[str, Any]]:
    """The bodies of real orders that the page posts from now on."""
    found: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        if request.method == "POST" and request.url.endswith("/api/v1/orders"):
            body = request.post_data_json
            if not body.get("dry_run"):
                found.append(body)

    page.on("request", note)
    return found


PARSED = [
    # typed, 1,234.56, 1.234,56
    ("0.1", {"value": "0.1"}, {"value": "0.1"}),
    ("0,1", {"value": "0.1"}, {"value": "0.1"}),
    ("0,100", {"value": "0.100"}, {"value": "0.100"}),
    ("0.100", {"value": "0.100"}, {"value": "0.100"}),
    (",5", {"value": "0.5"}, {"value": "0.5"}),
    ("1,5", {"value": "1.5"}, {"value": "1.5"}),
    ("1,500", {"choices": ["1.500", "1500"]}, {"value": "1.500"}),
    ("1.500", {"value": "1.500"}, {"choices": ["1.500", "1500"]}),
    ("1234,567", {"value": "1234.567"}, {"value": "1234.567"}),
    ("1,234.56", {"value": "1234.56"}, {"value": "1234.56"}),
    ("1.234,56", {"value": "1234.56"}, {"value": "1234.56"}),
    ("1,234,567", {"value": "1234567"}, {"value": "1234567"}),
    ("1 234,5", {"value": "1234.5"}, {"value": "1234.5"}),
    ("-0,5", {"value": "-0.5"}, {"value": "-0.5"}),
    ("0,100,000", {}, {}),
    ("1,23,456", {}, {}),
    ("1,234.567,8", {}, {}),
    ("abc", {}, {}),
    ("", {}, {}),
]


def test_numbers_are_read_as_people_type_them(sign_in: SignIn) -> None:
    page = sign_in("ana", "/help")
    read = """async ([text, decimalMark]) => (await import('/static/js/numbers.js')).parse(text, {decimalMark})"""
    for text, point, comma in PARSED:
        assert page.evaluate(read, [text, "."]) == point, text
        assert page.evaluate(read, [text, ","]) == comma, text
    whole = "async () => (await import('/static/js/numbers.js')).parse('1,500', {whole: true})"
    assert page.evaluate(whole) == {"value": "1500"}


def test_amounts_are_rounded_and_add_up_to_what_is_shown(sign_in: SignIn) -> None:
    page = sign_in("ana", "/help")
    shown = page.evaluate(
        """async () => {
          const format = await import('/static/js/format.js');
          const decimal = await import('/static/js/decimal.js');
          return [format.price('67319.6266666667', '0.01'), format.price('1.0849', '0.00001'),
                  format.profit('-0.674', 'USD'), format.profit('-0.445', 'USD'),
                  decimal.sumShown(['-0.674', '-0.446'], 2),
                  format.balance('83825.19876543', 'USDT'), format.money('0.12345678', 'BTC'),
                  decimal.round('0.125', 2), decimal.round('0.135', 2),
                  decimal.round('-9.999', 2), decimal.round('7', 2),
                  decimal.onStep('10.13', '0.25'), decimal.neighbours('66000.005', '0.01')];
        }"""
    )
    assert shown == [
        "67,319.63",
        "1.08490",
        "-0.67 USD",
        "-0.44 USD",
        "-1.12",
        "83,825.20 USDT",
        "0.12345678 BTC",
        "0.12",
        "0.14",
        "-10.00",
        "7",
        "10.25",
        ["66000", "66000.01"],
    ]


def test_a_decimal_comma_buys_a_tenth(market: Server, sign_in: SignIn) -> None:
    page = sign_in("ana", "/desk?symbol=BTC/USDT")
    fill_ticket(page, qty="0,100")
    expect(page.locator("#ticket-submit")).to_have_text("Buy 0.1 BTC")
    expect(page.locator("#ticket-check")).to_contain_text("6,700.10 USDT")
    orders = sent_orders(page)
    send(page)
    expect(page.locator("#positions-body tr").filter(has_text="BTC/USDT").locator("td").nth(2)).to_have_text("0.1")
    assert [order["qty"] for order in orders] == ["0.100"]


def test_a_number_with_two_readings_is_asked_about(market: Server, sign_in: SignIn) -> None:
    page = sign_in("ana", "/desk?symbol=USD/PEN")
    orders = sent_orders(page)
    fill_ticket(page, qty="1,500")
    field = page.locator("#ticket-amount")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#ticket .field-error")).to_contain_text("Which number is meant?")
    field.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert orders == []
    page.click("[data-reading='1500']")
    expect(field).to_have_value("1500")
    expect(field).to_be_focused()
    expect(page.locator("#ticket-submit")).to_have_text("Buy 1,500 USD")
    field.fill("1,500")
    page.click("[data-reading='1.500']")
    expect(page.locator("#ticket-submit")).to_have_text("Buy 1.5 USD")


def test_the_number_format_is_a_choice_that_stays_with_the_account(market: Server, sign_in: SignIn) -> None:
    page = sign_in("luis", "/desk?symbol=BTC/USDT")
    page.locator("button[aria-label^='Account of']").click()
    with page.expect_navigation():
        page.click("[data-number-format=comma]")
    expect(page.locator("#quote-bid")).to_have_text("67.000,00")
    fill_ticket(page, qty="1,500")  # no question: the comma is this person's decimal mark
    expect(page.locator("#ticket-submit")).to_have_text("Buy 1,5 BTC")
    fill_ticket(page, qty="-1")
    expect(page.locator("#ticket-submit")).to_have_text("Buy BTC")
    fill_ticket(page, qty="1,500")
    page.select_option("#ticket-type", "LIMIT")
    expect(page.locator("#ticket [name=price]")).to_have_value("67001,00")
    other = sign_in("luis", "/desk?symbol=BTC/USDT")
    expect(other.locator("#quote-bid")).to_have_text("67.000,00")
    other.locator("button[aria-label^='Account of']").click()
    with other.expect_navigation():
        other.click("[data-number-format=point]")
    expect(other.locator("#quote-bid")).to_have_text("67,000.00")


def test_a_second_buy_says_that_it_moves_the_stop_of_the_whole_position(market: Server, sign_in: SignIn) -> None:
    page = sign_in("ana", "/desk?symbol=BTC/USDT")
    fill_ticket(page, qty="0.12", stop_loss="60000", take_profit="75000")
    expect(page.locator("#ticket-check")).to_contain_text("Passes every check")
    expect(page.locator("#ticket-check .changes")).to_have_count(0)
    send(page)
    row = page.locator("#positions-body tr").filter(has_text="BTC/USDT")
    expect(row).to_contain_text("60,000.00")
    for name in ("qty", "stop_loss", "take_profit"):
        expect(page.locator(f"#ticket [name={name}]")).to_have_value("")

    fill_ticket(page, qty="0.001", stop_loss="66000")
    words = "The stop of the whole position moves from 60,000.00 to 66,000.00."
    expect(page.locator("#ticket-check")).to_contain_text(words)
    page.click("#ticket-submit")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(words)
    expect(dialog).not_to_contain_text("target")
    dialog.get_by_role("button", name="Back").click()
    expect(row).to_contain_text("60,000.00")

    page.uncheck("#ticket-ask")  # who does not want to be asked is asked about this all the same
    page.click("#ticket-submit")
    expect(dialog).to_contain_text(words)
    dialog.get_by_role("button", name="Buy").click()
    expect(row).to_contain_text("66,000.00")
    page.check("#ticket-ask")


def test_a_change_that_has_not_been_seen_is_not_confirmed(market: Server, sign_in: SignIn) -> None:
    """Enter twice before the check has answered: the dialog waits, and asks again for what is new."""
    buy(market, "BTC/USDT", "0.1", stop_loss="60000")
    page = sign_in("ana", "/desk?symbol=BTC/USDT")
    expect(page.locator("#positions-body tr").filter(has_text="BTC/USDT")).to_be_visible()
    orders = sent_orders(page)
    held: list[Route] = []
    page.route("**/api/v1/orders", lambda route: held.append(route))  # the check's question is on its way
    fill_ticket(page, qty="0.001", stop_loss="66000")
    page.locator("#ticket-amount").press("Enter")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("button", name="Buy")).to_have_attribute("aria-busy", "true")
    assert orders == []
    for route in held:
        route.continue_()
    page.unroute("**/api/v1/orders")
    expect(dialog).to_contain_text("moves from 60,000.00 to 66,000.00")
    expect(dialog.get_by_role("button", name="Buy")).to_be_focused()
    assert orders == []
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    expect(page.locator("#positions-body tr").filter(has_text="BTC/USDT")).to_contain_text("66,000.00")


def test_enter_twice_is_confirm_twice(market: Server, sign_in: SignIn) -> None:
    """With no time between them, whatever the check and the dialog are doing."""
    page = sign_in("ana", "/desk?symbol=SOL/USDT")
    orders = sent_orders(page)
    fill_ticket(page, qty="1")
    page.locator("#ticket-amount").press("Enter")
    page.keyboard.press("Enter")
    page.click("#tab-orders")
    expect(page.locator("#orders-body tr[data-status=FILLED]").first).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert len(orders) == 1


def test_the_order_leaves_while_the_second_enter_is_down(market: Server, sign_in: SignIn) -> None:
    """In the same turn of the page: no fade is waited for, and a key that is held down confirms nothing."""
    page = sign_in("ana", "/desk?symbol=SOL/USDT")
    fill_ticket(page, qty="1")
    expect(page.locator("#ticket-check")).to_contain_text("Passes every check")
    orders = sent_orders(page)
    page.focus("#ticket-amount")
    page.keyboard.down("Enter")
    page.keyboard.down("Enter")  # repeated by the keyboard
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.up("Enter")
    assert orders == []
    gone = page.evaluate("""() => {
      const go = document.activeElement;
      const asked = [];
      const real = window.fetch;
      window.fetch = (path, options) => { asked.push(options.method); return real(path, options); };
      go.click();
      window.fetch = real;
      return [Boolean(document.querySelector('.modal.show')), go.isConnected];
    }""")
    assert gone == [False, False]
    page.click("#tab-orders")
    expect(page.locator("#orders-body tr[data-status=FILLED]").first).to_be_visible()
    assert len(orders) == 1


def test_toasts_cover_nothing_that_is_pressed_next(market: Server, sign_in: SignIn) -> None:
    page = sign_in("ana", "/desk?symbol=BTC/USDT")
    fill_ticket(page, qty="0.01", stop_loss="60000")
    send(page)
    expect(page.locator("#positions-body tr").first).to_be_visible()
    covered = """async () => {
      const { toast } = await import('/static/js/toast.js');
      for (let i = 0; i < 5; i += 1) toast(`Message ${i}`, { detail: 'with a line of detail', seconds: 60 });
      const box = (node) => node.getBoundingClientRect();
      const boxes = [...document.querySelectorAll('#toasts .toast')].map(box);
      const pressed = ['#ticket button', '#ticket input', '#book-tabs button', '#cancel-all', '.row-actions .btn',
                       '#intervals button'];
      const seen = [...document.querySelectorAll(pressed.join())].filter((node) => node.checkVisibility());
      const hit = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
      const covered = seen.filter((node) => boxes.some((other) => hit(other, box(node))));
      return [boxes.length, seen.length > 12, covered.map((node) => node.outerHTML)];
    }"""
    for width, height in ((1440, 900), (1366, 768), (1920, 1080), (1024, 768), (820, 1180), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("document.getElementById('toasts').replaceChildren()")
        assert page.evaluate(covered) == [3, True, []], (width, height)


def test_the_button_of_a_limit_order_is_always_in_sight(market: Server, sign_in: SignIn) -> None:
    page = sign_in("ana", "/desk?symbol=BTC/USDT", width=1366, height=768)
    expect(page.locator("#desk")).to_have_attribute("data-ready", "true")
    page.select_option("#ticket-type", "LIMIT")
    fill_ticket(page, qty="0.01", price="60000")
    expect(page.locator("#ticket-check")).to_contain_text("Passes every check")
    expect(page.locator("#ticket-submit")).to_be_in_viewport(ratio=1)
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.locator("#ticket-submit")).to_be_in_viewport(ratio=1)


def test_a_clock_that_is_ahead_makes_no_quote_old(market: Server, open_browser: Any, sign_in: SignIn) -> None:
    for ahead in (60_000, -60_000):
        page = sign_in("ana", "/help")
        page.context.add_init_script(
            f"""(() => {{
              const now = Date.now;
              Date = class extends Date {{
                constructor(...given) {{ given.length ? super(...given) : super(now() + {ahead}); }}
                static now() {{ return now() + {ahead}; }}
              }};
            }})();"""
        )
        market.set_quote("BTC/USDT", "67000.00", "67001.00")
        page.goto("/desk?symbol=BTC/USDT")
        expect(page.locator("#quote-bid")).to_have_text("67,000.00")
        expect(page.locator("#desk")).to_have_attribute("data-ready", "true")
        off = "async () => (await import('/static/js/clock.js')).now() - Date.now()"
        assert abs(page.evaluate(off) + ahead) < 1_500
        expect(page.locator("#quote-state")).to_be_empty()
        page.context.close()


def test_an_old_quote_moves_nothing_on_the_page(market: Server, sign_in: SignIn) -> None:
    for language, words in (("en", "Quote is old"), ("es", "Cotización antigua")):
        page = sign_in("ana", "/desk?symbol=BTC/USDT", language=language)
        expect(page.locator("#quote-bid")).to_have_text("67,000.00")
        before = page.locator("#intervals").bounding_box()
        page.evaluate("""async () => {
          const clock = await import('/static/js/clock.js');
          const ahead = new Date(Date.now() + 3600000).toUTCString();
          // every answer of the server says what the time really is
          setInterval(() => clock.learn(ahead, Date.now(), Date.now()), 50);
        }""")
        expect(page.locator("#quote-state")).to_have_text(re.compile(words))
        assert page.locator("#intervals").bounding_box() == before


def test_a_lost_answer_is_not_called_a_refusal(market: Server, sign_in: SignIn, watched: Watched) -> None:
    """The order arrived and its answer did not: it is found, and sending again cannot buy twice."""
    watched.expected.append("net::ERR_")
    page = sign_in("ana", "/desk?symbol=SOL/USDT")
    fill_ticket(page, qty="3")
    expect(page.locator("#ticket-check")).to_contain_text("Passes every check")

    def lose_answer(route: Any) -> None:
        if route.request.method == "POST" and not route.request.post_data_json.get("dry_run"):
            route.fetch()
            route.abort()
        else:
            route.fallback()

    page.route("**/api/v1/orders", lose_answer)
    page.click("#ticket-submit")
    page.get_by_role("dialog").get_by_role("button", name="Buy").click()
    toasts = page.locator("#toasts")
    expect(toasts).to_contain_text("It is not known whether the order arrived")
    expect(toasts).not_to_contain_text("was not accepted")
    expect(page.locator("#ticket-amount")).to_have_value("", timeout=10_000)
    expect(toasts).to_contain_text(re.compile("Order accepted|filled"))


def test_an_order_that_never_arrived_may_be_sent_again(market: Server, sign_in: SignIn, watched: Watched) -> None:
    watched.expected.append("net::ERR_")
    page = sign_in("ana", "/desk?symbol=SOL/USDT")
    fill_ticket(page, qty="2")
    expect(page.locator("#ticket-check")).to_contain_text("Passes every check")
    page.route("**/api/v1/orders", lambda route: route.abort() if route.request.method == "POST" else route.fallback())
    page.click("#ticket-submit")
    page.get_by_role("dialog").get_by_role("button", name="Buy").click()
    expect(page.locator("#toasts")).to_contain_text("It is not known whether the order arrived")
    expect(page.locator("#toasts")).to_contain_text("The order has not arrived", timeout=10_000)
    expect(page.locator("#ticket-amount")).to_have_value("2")


def test_off_tick_and_lot_name_the_nearest_that_are_valid(market: Server, sign_in: SignIn, watched: Watched) -> None:
    watched.expected.append("status of 422")
    page = sign_in("ana", "/desk?symbol=BTC/USDT")
    expect(page.locator("#desk")).to_have_attribute("data-ready", "true")
    page.select_option("#ticket-type", "LIMIT")
    fill_ticket(page, qty="0.000015", price="66000.005")
    form = page.locator("#ticket")
    expect(form).to_contain_text("Must be a multiple of the lot of 0.00001; nearest: 0.00001 or 0.00002.")
    expect(form).to_contain_text("Must be a multiple of the tick of 0.01; nearest: 66,000 or 66,000.01.")


def test_each_currency_has_its_total_and_it_is_the_sum_of_what_is_shown(market: Server, sign_in: SignIn) -> None:
    for symbol, qty in (("BTC/USDT", "0.01"), ("ETH/USDT", "0.3"), ("EUR/USD", "100")):
        buy(market, symbol, qty)
    page = sign_in("ana", "/desk?symbol=BTC/USDT")
    expect(page.locator("#positions-body tr")).to_have_count(3)
    market.set_quote("BTC/USDT", "67013.37", "67014.37")
    expect(page.locator("#quote-bid")).to_have_text("67,013.37")
    totals = page.locator("#positions-pnl span")
    expect(totals).to_have_count(2)
    sums = page.evaluate("""() => {
      const cents = (text) => Math.round(Number(text.replace(/[^0-9.-]/g, '')) * 100);
      const rows = [...document.querySelectorAll('#positions-body [data-pnl]')].map((node) => node.textContent);
      const of = (currency, texts) => texts.filter((text) => text.endsWith(` ${currency}`))
        .reduce((sum, text) => sum + cents(text), 0);
      const shown = [...document.querySelectorAll('#positions-pnl span')].map((node) => node.textContent);
      return ['USDT', 'USD'].map((currency) => [of(currency, rows), of(currency, shown)]);
    }""")
    assert all(rows == total for rows, total in sums), sums


def test_the_wallets_value_follows_a_fill_at_once(market: Server, sign_in: SignIn) -> None:
    page = sign_in("ana", "/desk?symbol=BTC/USDT")
    total = page.locator("#wallet-total")
    expect(total).not_to_have_text("–")
    before = total.inner_text()
    with page.expect_response("**/balances"):
        buy(market, "BTC/USDT", "0.5")
    expect(total).not_to_have_text(before)


def test_an_amendment_by_somebody_else_is_told_with_old_and_new(market: Server, sign_in: SignIn) -> None:
    order = buy(market, "XAU/USD", "2", type="LIMIT", price="1900")
    page, trader = sign_in("ana", "/desk?symbol=XAU/USD"), sign_in("trader", "/desk?symbol=XAU/USD")
    trader.click("#tab-orders")
    row = trader.locator(f"#orders-body [data-id='{order['id']}']")
    row.get_by_role("button", name="Amend Buy XAU/USD").click()
    dialog = trader.get_by_role("dialog")
    dialog.get_by_label("Price").fill("1901")
    dialog.get_by_role("button", name="Amend").click()
    toasts = page.locator("#toasts")
    expect(toasts).to_contain_text("Buy 2 XAU/USD: amended")
    expect(toasts).to_contain_text("Price 1,900.00 → 1,901.00 · by ")
    name = trader.locator("button[aria-label^='Account of']").inner_text().strip()
    expect(toasts).to_contain_text(f"by {name}")
    page.goto(f"/orders/{order['id']}")
    history = page.locator("#history")
    expect(history).to_contain_text("Price 1,900.00 → 1,901.00")
    expect(history).to_contain_text(f"by {name}")
    row.locator("[data-cancel]").click()
    expect(row.locator("[data-status=CANCELED]")).to_be_visible()


def test_exits_that_somebody_else_moves_are_told(market: Server, sign_in: SignIn) -> None:
    buy(market, "BTC/USDT", "0.01", stop_loss="60000")
    page, trader = sign_in("ana", "/desk?symbol=BTC/USDT"), sign_in("trader", "/desk?symbol=BTC/USDT")
    expect(page.locator("#positions-body tr").first).to_contain_text("60,000.00")
    trader.locator("[data-protect]").click()
    dialog = trader.get_by_role("dialog")
    dialog.get_by_label("Stop loss").fill("61000")
    dialog.get_by_role("button", name="Save").click()
    toasts = page.locator("#toasts")
    expect(toasts).to_contain_text("Exits of BTC/USDT changed by ")
    expect(toasts).to_contain_text("Stop loss 60,000.00 → 61,000.00")
    expect(trader.locator("#toasts")).not_to_contain_text("changed by")


def test_on_a_phone_everything_can_be_pressed_and_positions_are_one_press_away(market: Server, sign_in: SignIn) -> None:
    buy(market, "BTC/USDT", "0.01", stop_loss="60000")
    page = sign_in("ana", "/desk?symbol=BTC/USDT", width=390, height=844)
    expect(page.locator("#desk")).to_have_attribute("data-ready", "true")
    sizes = """(selector) => [...document.querySelectorAll(selector)].filter((node) => node.checkVisibility()).map(
      (node) => [node.getBoundingClientRect().height, parseFloat(getComputedStyle(node).fontSize)])"""
    for view in ("trade", "chart", "book"):
        page.click(f".desk-views [data-view={view}]")
        pressed = page.evaluate(sizes, "#desk button:not(.btn-link), #desk a.btn, #desk summary")
        assert pressed and min(height for height, _ in pressed) >= 38, view
        inputs = page.evaluate(sizes, "#desk input[type=text], #desk select")
        assert all(size >= 16 for _, size in inputs), view
    expect(page.locator("#positions-body")).to_contain_text("BTC/USDT")
    expect(page.locator("#positions-body tr").first).to_be_in_viewport()
    expect(page.locator("#ticket")).to_be_hidden()
