"""What one does, the other sees; and nobody else."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from .conftest import SignIn, Watched
from .server import Server

pytestmark = pytest.mark.browser
SECOND_MS = 1_000


def buy(server: Server, symbol: str, qty: str, **more: str) -> str:
    body = {
        "client_id": "C-1001",
        "symbol": symbol,
        "side": "BUY",
        "type": "MARKET",
        "qty": qty,
        "client_order_id": uuid.uuid4().hex,
        **more,
    }
    order: str = server.api("POST", "/orders", **body)["id"]
    return order


def test_staff_sees_a_client_order_within_a_second_and_another_client_nothing(market: Server, sign_in: SignIn) -> None:
    staff, other, own = sign_in("master", "/orders"), sign_in("luis", "/orders"), sign_in("ana", "/orders")
    for page in (staff, other, own):
        expect(page.locator("#list .pager [role=status]")).to_be_attached()
    heard = (
        "window.heard = []; (await import('/static/js/live.js')).on('order.*', (event) => window.heard.push(event.id));"
    )
    other.evaluate(f"async () => {{ {heard} }}")
    order = buy(market, "ETH/USDT", "0.2")
    expect(staff.locator(f"[data-id='{order}']")).to_be_visible(timeout=SECOND_MS)
    expect(own.locator(f"[data-id='{order}'] [data-status=FILLED]")).to_be_visible(timeout=2 * SECOND_MS)
    expect(staff.locator(f"[data-id='{order}'] [data-status=FILLED]")).to_be_visible()
    expect(other.locator(f"[data-id='{order}']")).to_have_count(0)
    assert other.evaluate("window.heard") == []


def test_another_clients_objects_do_not_exist(market: Server, sign_in: SignIn, watched: Watched) -> None:
    watched.expected.append("status of 404")
    order = buy(market, "ETH/USDT", "0.1")
    page = sign_in("luis", "/orders")
    response = page.goto(f"/orders/{order}")
    assert response is not None and response.status == 404
    expect(page.locator("main")).to_contain_text("404")
    answers = page.evaluate(
        """(id) => Promise.all(['', '/events', '/fix-messages'].map(
             (part) => fetch(`/api/v1/orders/${id}${part}`).then((response) => response.status)))""",
        order,
    )
    assert answers == [404, 404, 404]


def test_figures_of_the_overview_follow_the_events(market: Server, sign_in: SignIn) -> None:
    page = sign_in("ana", "/")
    expect(page.locator("#dashboard")).to_have_attribute("data-ready", "true")
    before = int(page.locator("#orders-total").inner_text())
    order = buy(market, "XAU/USD", "1", type="LIMIT", price="1900")
    expect(page.locator("#orders-total")).to_have_text(str(before + 1), timeout=2 * SECOND_MS)
    expect(page.locator(f"#orders [data-id='{order}']")).to_be_visible()
    market.api("POST", f"/orders/{order}/cancel")
    expect(page.locator("#orders-total")).to_have_text(str(before), timeout=2 * SECOND_MS)
    expect(page.locator(f"#orders [data-id='{order}']")).to_have_count(0)


def test_a_lost_connection_is_shown_and_what_was_missed_comes_after(
    market: Server, sign_in: SignIn, watched: Watched
) -> None:
    """The socket's polling is cut off, an order is filled meanwhile, the connection comes back by itself."""
    watched.expected += ["ERR_FAILED", "net::ERR", "WebSocket"]
    page = sign_in("ana", "/desk?symbol=ETH/USDT")
    expect(page.locator("#desk")).to_have_attribute("data-ready", "true")
    page.click("#tab-orders")
    page.context.route("**/socket.io/**", lambda route: route.abort())
    page.context.route_web_socket("**/socket.io/**", lambda socket: socket.close())
    page.evaluate("async () => (await import('/static/js/live.js')).drop()")
    connection = page.locator("#connection")
    expect(connection).to_have_attribute("data-state", "reconnecting")
    expect(connection).to_have_text("Reconnecting…")
    order = buy(market, "ETH/USDT", "0.3")
    row = page.locator(f"#orders-body [data-id='{order}']")
    expect(row).to_have_count(0)
    page.context.unroute_all()
    expect(connection).to_have_attribute("data-state", "connected")
    expect(row.locator("[data-status=FILLED]")).to_be_visible()


class Wire:
    """Stands between the page's socket and the server: cuts it off, or answers ``resume`` with a refusal."""

    def __init__(self) -> None:
        self.cut = self.refuse = False
        self.refused = 0

    def open(self, page_side: WebSocketRoute) -> None:
        if self.cut:
            page_side.close()
            return
        server_side = page_side.connect_to_server()

        def from_page(frame: str | bytes) -> None:
            asked = re.match(r'42(\d+)\["resume"', str(frame))
            if self.refuse and asked:
                self.refused += 1
                page_side.send(f'43{asked[1]}[{{"error":{{"code":"unavailable","detail":"busy"}}}}]')
            else:
                server_side.send(frame)

        page_side.on_message(from_page)


def test_what_is_held_back_waits_until_what_was_missed_is_there(
    market: Server, sign_in: SignIn, watched: Watched
) -> None:
    """A resume that fails leaves a gap: events after it must not move the cursor over what lies in it."""
    watched.expected += ["net::ERR", "WebSocket"]
    wire = Wire()
    page = sign_in("ana", "/orders")
    page.context.route_web_socket("**/socket.io/**", wire.open)
    page.reload()
    connection = page.locator("#connection")
    expect(connection).to_have_attribute("data-state", "connected")
    page.evaluate(
        """async () => { window.heard = []; window.live = await import('/static/js/live.js');
             window.live.on('order.*', (event) => window.heard.push([event.cursor, event.object_id])); }"""
    )
    wire.cut = True
    page.evaluate("window.live.drop()")
    expect(connection).to_have_attribute("data-state", "reconnecting")
    missed = buy(market, "ETH/USDT", "0.1")
    wire.cut, wire.refuse = False, True
    wait_for(page, lambda: wire.refused >= 1)
    pushed = buy(market, "ETH/USDT", "0.1")
    wait_for(page, lambda: wire.refused >= 2)
    assert page.evaluate("window.heard") == [], "nothing is shown across a gap"
    expect(connection).to_have_attribute("data-state", "reconnecting")
    wire.refuse = False
    expect(connection).to_have_attribute("data-state", "connected")
    expect(page.locator(f"[data-id='{pushed}'] [data-status=FILLED]")).to_be_visible()
    heard = page.evaluate("window.heard")
    cursors = [cursor for cursor, _ in heard]
    stored = [
        event["cursor"] for order in (missed, pushed) for event in market.api("GET", f"/orders/{order}/events")["items"]
    ]
    assert cursors == sorted(set(cursors)), "in order, each once"
    assert set(stored) <= set(cursors), "and none is lost"


def wait_for(page: Page, condition: Callable[[], bool]) -> None:
    for _ in range(100):
        if condition():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it never came to be")
