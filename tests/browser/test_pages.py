"""Every page, for the roles that see it: reachable, quiet, accessible, in both themes, languages and on a phone."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import SignIn, Watched
from .server import Server

pytestmark = pytest.mark.browser

PAGES = {
    "ana": [
        "/",
        "/desk",
        "/orders",
        "/positions",
        "/portfolio",
        "/wallets",
        "/journal",
        "/account/keys",
        "/account/sessions",
        "/account/security",
        "/account/prove",
        "/help",
    ],
    "master": [
        "/",
        "/clients",
        "/clients/C-1001",
        "/system",
        "/journal/trial-balance",
        "/orders",
        "/portfolio",
        "/account/keys",
    ],
    "trader": ["/", "/desk", "/clients"],
}
FORBIDDEN = {
    "ana": ["/clients", "/clients/C-1001", "/system", "/journal/trial-balance"],
    "trader": ["/system", "/journal/trial-balance"],
}
EVERYBODY = ["Overview", "Trade", "Orders", "Positions", "Portfolio", "Wallets", "Deposits"]
NAVIGATION = {
    "ana": [*EVERYBODY, "Withdrawals", "Verification", "Documents", "Journal"],
    "trader": [*EVERYBODY, "Clients", "Journal"],
    "master": [*EVERYBODY, "Withdrawals", "Clients", "Approvals", "Journal", "System", "Users", "Audit"],
}


def settle(page: Page) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", "connected")
    page.wait_for_load_state("networkidle")


RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


def serious(page: Page, axe: str) -> list[str]:
    """What is wrong with the page as it is, and with its colours in the other theme."""
    page.evaluate(axe)
    found = violations(page, RULES)
    page.emulate_media(reduced_motion="reduce")  # colours change at once
    other = "dark" if page.locator("html").get_attribute("data-bs-theme") == "light" else "light"
    page.evaluate("theme => { document.documentElement.dataset.bsTheme = theme; }", other)
    return found + [f"{other}: {item}" for item in violations(page, {"type": "rule", "values": ["color-contrast"]})]


def violations(page: Page, rules: Any) -> list[str]:
    found: dict[str, Any] = page.evaluate("rules => axe.run(document, {runOnly: rules})", rules)
    return [
        f"{page.url} {item['id']}: {node['target']} {node['failureSummary']}"
        for item in found["violations"]
        if item["impact"] in ("serious", "critical")
        for node in item["nodes"]
    ]


def wait_for_script(page: Page, root: str) -> None:
    """Until the page's script listens to its buttons."""
    expect(page.locator(root)).to_have_attribute("data-ready", "true")


def detail_pages(server: Server) -> list[str]:
    order = server.api(
        "POST",
        "/orders",
        client_id="C-1001",
        symbol="BTC/USDT",
        side="BUY",
        type="MARKET",
        qty="0.01",
        stop_loss="60000",
    )
    wallet = order["wallet_id"]
    entry = server.api("GET", "/journal/entries?limit=1")["items"][0]["id"]
    positions = server.api("GET", f"/positions?wallet_id={wallet}")["items"]
    found = [f"/orders/{order['id']}", f"/wallets/{wallet}", f"/journal/{entry}"]
    return found + [f"/positions/{position['id']}" for position in positions[:1]]


@pytest.mark.parametrize("who", PAGES)
def test_pages_have_no_serious_barrier(market: Server, sign_in: SignIn, axe: str, who: str) -> None:
    page = sign_in(who, "/")
    found = []
    for path in PAGES[who] + (detail_pages(market) if who == "ana" else []):
        page.goto(path)
        settle(page)
        assert page.locator("h1").count() == 1, path
        found += serious(page, axe)
    assert found == []


def test_sign_in_has_no_serious_barrier(open_browser: Any, axe: str) -> None:
    page = open_browser()
    page.goto("/sign-in")
    assert serious(page, axe) == []


@pytest.mark.parametrize("who", NAVIGATION)
def test_navigation_names_what_the_role_may_see(sign_in: SignIn, who: str) -> None:
    page = sign_in(who, "/")
    assert [text.strip() for text in page.locator(".app-nav .nav-link").all_inner_texts()] == NAVIGATION[who]


@pytest.mark.parametrize("who", FORBIDDEN)
def test_other_pages_are_refused(sign_in: SignIn, watched: Watched, who: str) -> None:
    watched.expected.append("status of 403")
    page = sign_in(who, "/")
    for path in FORBIDDEN[who]:
        response = page.goto(path)
        assert response is not None and response.status == 403, path
        expect(page.locator("h1")).to_contain_text("403")


def test_strangers_are_sent_to_sign_in_and_come_back(open_browser: Any, sign_in: SignIn) -> None:
    stranger = open_browser()
    stranger.goto("/orders?side=BUY")
    assert stranger.url.endswith("/sign-in?next=%2Forders%3Fside%3DBUY")
    page = sign_in("ana", "/orders?side=BUY", afresh=True)
    assert page.url.endswith("/orders?side=BUY")
    expect(page.locator("#f-side")).to_have_value("BUY")


def test_wrong_password_says_so_and_signs_nobody_in(open_browser: Any, watched: Watched) -> None:
    watched.expected.append("status of 401")
    page = open_browser()
    page.goto("/sign-in")
    page.fill("[name=email]", "nobody@demo.cambista")
    page.fill("[name=password]", "this is not it")
    page.click("main button[type=submit]")
    expect(page.get_by_role("alert")).to_have_text("The e-mail address or the password is wrong.")
    page.goto("/orders")
    assert "/sign-in" in page.url


def test_language_is_switched_and_remembered(sign_in: SignIn) -> None:
    page = sign_in("operator", "/orders", language="en")
    expect(page.locator("h1")).to_have_text("Orders")
    page.click("[data-language=es]")
    expect(page.locator("h1")).to_have_text("Órdenes")
    expect(page.locator("html")).to_have_attribute("lang", "es")
    page.goto("/")
    expect(page.locator(".app-nav .nav-link").first).to_contain_text("Resumen")
    expect(page.locator("#orders .empty strong, #orders th").first).to_be_visible()
    page.click("[data-language=en]")
    expect(page.locator(".app-nav .nav-link").first).to_contain_text("Overview")


def test_theme_is_switched_and_remembered(sign_in: SignIn) -> None:
    page = sign_in("compliance", "/", theme="light")
    root = page.locator("html")
    expect(root).to_have_attribute("data-bs-theme", "light")
    with page.expect_response("**/account/theme") as answer:
        page.click("[data-theme-toggle]")
    assert answer.value.ok
    expect(root).to_have_attribute("data-bs-theme", "dark")
    other = sign_in("compliance", "/", theme="light")  # another browser of the same person
    expect(other.locator("html")).to_have_attribute("data-bs-theme", "dark")


@pytest.mark.parametrize("language", ["en", "es"])
def test_pages_fit_a_phone(market: Server, sign_in: SignIn, language: str) -> None:
    page = sign_in("ana", "/", width=390, height=844, language=language)
    for path in [*PAGES["ana"], *detail_pages(market)]:
        page.goto(path)
        settle(page)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{path} is {wide} px too wide"
    page.goto("/")
    page.click(".navbar-toggler")
    expect(page.locator("#menu .nav-link").first).to_be_visible()


def test_filters_are_in_the_address_and_csv_has_what_is_seen(market: Server, sign_in: SignIn) -> None:
    for side in ("BUY", "SELL"):
        market.api(
            "POST", "/orders", client_id="C-1001", symbol="XAU/USD", side=side, type="LIMIT", qty="1", price="1985"
        )
    page = sign_in("ana", "/orders")
    wait_for_script(page, "#list")
    expect(page.locator("#list tbody tr").first).to_be_visible()
    page.select_option("#f-side", "SELL")
    page.wait_for_url("**/orders?side=SELL")
    expect(page.locator("#list tbody tr td:nth-child(3)", has_text="Buy")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    lines = download.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].startswith("Time,Instrument,Side")
    assert len(lines) > 1
    assert all(",SELL," in line for line in lines[1:])


def test_csv_defuses_what_a_spreadsheet_would_run(sign_in: SignIn) -> None:
    page = sign_in("ana", "/help")
    with page.expect_download() as download:
        page.evaluate(
            "async () => (await import('/static/js/csv.js')).download('x.csv', ['a'], [['=1+1'], ['-5.5'], ['a,\"b']])"
        )
    assert download.value.path().read_text(encoding="utf-8-sig").splitlines() == ["a", "'=1+1", "-5.5", '"a,""b"']


def test_client_is_registered_and_gets_a_wallet(sign_in: SignIn) -> None:
    page = sign_in("master", "/clients")
    wait_for_script(page, "#list")
    page.click("#new-client")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Code").fill("C-2001")
    dialog.get_by_label("Name", exact=True).fill("Rosa Chávez")
    dialog.get_by_role("button", name="Register").click()
    expect(page.locator("h1")).to_have_text("Rosa Chávez")
    wait_for_script(page, "#client")
    page.click("#new-wallet")
    page.get_by_role("dialog").get_by_role("button", name="Open wallet").click()
    expect(page.locator("h1")).to_have_text("Paper · Rosa Chávez")
    expect(page.locator("[data-asset=USDT]")).to_contain_text("100,000.00")
    wait_for_script(page, "#wallet")
    page.click("#edit-limits")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Most exposure (USD)").fill("20000")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator("#limits")).to_contain_text("20,000.00 USD")
    page.click("#pause")
    page.get_by_role("dialog").get_by_role("button", name="Pause the wallet").click()
    expect(page.locator("#status [data-status=paused]")).to_be_visible()


def test_system_page_reconciles_and_pushes_a_quote(market: Server, sign_in: SignIn) -> None:
    page = sign_in("master", "/system")
    expect(page.locator("[data-service=engine] [data-status=healthy]")).to_be_visible()
    wait_for_script(page, "#system")
    page.click("#reconcile")
    expect(page.locator("[data-reconcile=ok]")).to_be_visible()
    page.select_option("#q-symbol", "USD/PEN")
    expect(page.locator("#q-bid")).to_have_value("3.74")
    page.fill("#q-bid", "3.7500")
    page.fill("#q-ask", "3.7520")
    page.get_by_role("button", name="Set quote").click()
    expect(page.locator("#toasts")).to_contain_text("USD/PEN 3.75 / 3.752")
    assert market.api("GET", "/market/quotes/USD/PEN")["bid"] == "3.75"


def test_api_key_is_made_shown_once_and_revoked(sign_in: SignIn) -> None:
    page = sign_in("luis", "/account/keys")
    page.fill("#name", "My bot")
    page.check("#scope-read")
    page.fill("#current_password", "Cambista-demo-2026")
    page.get_by_role("button", name="Create key").click()
    expect(page.locator("#secret")).to_contain_text("ck_")
    page.goto("/account/keys")
    row = page.locator("tbody tr", has_text="My bot")
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    expect(page.locator("tbody tr", has_text="My bot")).to_contain_text("revoked")


def test_what_revokes_a_key_is_on_the_page(sign_in: SignIn) -> None:
    for width in (1280, 1440):
        page = sign_in("master", "/account/keys", width=width)
        revoke = page.get_by_role("button", name="Revoke").first
        box, table = revoke.bounding_box(), page.locator("section", has=revoke).first.bounding_box()
        assert box is not None and table is not None
        assert box["x"] + box["width"] <= table["x"] + table["width"]
        fits = "(node) => node.closest('.table-wrap').scrollWidth <= node.closest('.table-wrap').clientWidth"
        assert revoke.evaluate(fits), width


def test_every_limit_has_a_name_of_its_own_and_dollars_have_cents(market: Server, sign_in: SignIn) -> None:
    wallet = market.api("GET", "/wallets?client_id=C-1001")["items"][0]["id"]
    market.api("POST", "/orders", client_id="C-1001", symbol="ETH/USDT", side="BUY", type="MARKET", qty="0.0137")
    page = sign_in("master", f"/wallets/{wallet}")
    wait_for_script(page, "#wallet")
    terms = page.locator("#limits dt").all_inner_texts()
    assert len(terms) == len(set(terms))
    cells = page.locator("[data-asset=USDT] td")
    expect(cells).to_have_count(5)
    available, held, total = (cells.nth(at).inner_text() for at in (1, 2, 3))
    assert all(text.rpartition(".")[2].isdigit() and len(text.rpartition(".")[2]) == 2 for text in (available, held))
    cents = [int(text.replace(",", "").replace(".", "")) for text in (available, held, total)]
    assert cents[0] + cents[1] == cents[2]


@pytest.mark.parametrize("path", ["/account/keys", "/account/sessions", "/wallets", "/orders", "/system"])
def test_tables_on_a_phone_hide_no_column(sign_in: SignIn, path: str) -> None:
    page = sign_in("master", path, width=390, height=844)
    settle(page)
    cut = page.evaluate(
        """() => [...document.querySelectorAll('table.list')].filter((table) => {
             if (!table.checkVisibility()) return false;
             const wrap = table.closest('.table-wrap');
             const key = table.querySelector('tbody td');
             return wrap && key && wrap.scrollWidth > wrap.clientWidth && getComputedStyle(key).position !== 'sticky';
           }).map((table) => table.outerHTML.slice(0, 200))"""
    )
    assert cut == []


def test_reference_page_runs_from_our_own_files(sign_in: SignIn) -> None:
    page = sign_in("ana", "/")
    page.goto("/api/docs")
    expect(page.locator(".opblock-summary-path", has_text="/api/v1/orders").first).to_be_visible(timeout=20_000)


def test_first_page_is_small(server: Server, open_browser: Any) -> None:
    """Under 200 KB as a compressing proxy sends it."""
    import gzip

    page = open_browser()
    sizes: list[int] = []
    page.on("response", lambda response: sizes.append(len(gzip.compress(response.body())) if response.ok else 0))
    page.goto("/sign-in")
    page.wait_for_load_state("networkidle")
    assert 0 < sum(sizes) < 200_000
