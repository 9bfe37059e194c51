"""The System page: what the engine had to park, and the switches of the simulated venue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect

from app.core.ids import new_id
from app.core.transaction import Database
from app.domain.reports import Accepted
from app.models import EngineFault, Event, table_of
from app.services import faults
from tests.databases import open_database

from .conftest import SignIn, Watched
from .server import Server
from .test_pages import serious, wait_for_script

pytestmark = pytest.mark.browser
events = table_of(Event)


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """The running server's."""
    database = open_database(f"sqlite:///{server.log.parent / 'browser.db'}")
    yield database
    database.run(lambda session: session.execute(sa.delete(EngineFault)))
    database.dispose()


def park(database: Database, order_id: str, error: str, waiting: int = 0) -> str:
    now = datetime.now(UTC)
    message = b"8=FIX.4.4\x0135=8\x01150=0\x01"
    accepted = Accepted(order_id=order_id, cl_ord_id=order_id, at=now, message=message, venue_order_id="V")
    return database.run(
        lambda session: faults.park(session, now, "booking", "order", order_id, error, [accepted] * waiting)
    )


@pytest.fixture
def order_id(market: Server) -> str:
    order: str = market.api(
        "POST", "/orders", client_id="C-1001", symbol="XAU/USD", side="BUY", type="LIMIT", qty="1", price="1900"
    )["id"]
    return order


@pytest.fixture
def damaged_event(database: Database) -> Iterator[Callable[[], Callable[[], None]]]:
    """Damage an event, which the relay then cannot read; what comes back puts it right."""
    repairs: list[Callable[[], None]] = []

    def damage() -> Callable[[], None]:
        def work(session: Any) -> tuple[int, str]:
            faults.alert(session, datetime.now(UTC), "test", "nothing is wrong", "order", new_id())
            row = session.execute(sa.select(events.c.id, events.c.payload).order_by(events.c.id.desc())).first()
            session.execute(sa.update(events).where(events.c.id == row.id).values(payload="{"))
            return row.id, row.payload

        row_id, payload = database.run(work)
        put_right = sa.update(events).where(events.c.id == row_id).values(payload=payload)
        repairs.append(lambda: database.run(lambda session: session.execute(put_right)) and None)
        return repairs[-1]

    yield damage
    for repair in repairs:
        repair()


def rows(page: Page) -> Any:
    return page.locator("#faults tbody tr")


def test_a_fault_appears_by_itself_and_is_resolved_with_a_note(
    sign_in: SignIn, watched: Watched, database: Database, order_id: str
) -> None:
    watched.expected.append("status of 422")
    page, other = sign_in("master", "/system"), sign_in("operator", "/system")
    for opened in (page, other):
        wait_for_script(opened, "#system")
        expect(opened.locator("#faults")).to_contain_text("Nothing is parked")
    park(database, order_id, "RuntimeError('poison')", waiting=2)
    for opened in (page, other):
        expect(rows(opened)).to_have_count(1, timeout=3000)
        expect(opened.locator("#faults-open")).to_have_text("1 parked")
    row = rows(page).first
    expect(row).to_contain_text("Booking")
    expect(row).to_contain_text("RuntimeError('poison')")
    expect(row.get_by_role("link")).to_have_attribute("href", f"/orders/{order_id}")
    expect(row.locator("td[data-label='Reports waiting']")).to_have_text("2")
    row.get_by_text("The venue's messages").click()
    expect(row.locator("pre")).to_contain_text("35=8 | 150=0")
    expect(rows(other).get_by_role("button")).to_have_count(0)  # an operator reads

    row.get_by_role("button", name="Resolve").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Reports of the venue that wait for it: 2. They will never be booked")
    note = dialog.get_by_label("What was found and done")
    expect(note).to_be_focused()
    note.fill("ab")
    dialog.get_by_role("button", name="Resolve").click()
    expect(dialog).to_contain_text("Is too short.")
    note.fill("booked by hand")
    dialog.get_by_role("button", name="Resolve").click()
    for opened in (page, other):
        expect(opened.locator("#faults")).to_contain_text("Nothing is parked", timeout=3000)
        expect(opened.locator("#faults-open")).to_be_hidden()
        opened.check("#faults-all")
        expect(rows(opened)).to_contain_text("booked by hand")
    expect(rows(page).first.get_by_role("button")).to_have_count(0)


def test_what_is_read_stays_open_while_the_page_refreshes(sign_in: SignIn, database: Database, order_id: str) -> None:
    park(database, order_id, "first", waiting=1)
    page = sign_in("master", "/system")
    rows(page).first.get_by_text("The venue's messages").click()
    rows(page).first.get_by_role("button", name="Retry").focus()
    park(database, new_id(), "second")
    expect(rows(page)).to_have_count(2)
    expect(rows(page).nth(1).locator("details")).to_have_attribute("open", "")
    expect(rows(page).nth(1).get_by_role("button", name="Retry")).to_be_focused()


def test_a_retry_says_what_came_of_it(
    sign_in: SignIn, database: Database, damaged_event: Callable[[], Callable[[], None]]
) -> None:
    page = sign_in("master", "/system")
    wait_for_script(page, "#system")
    put_right = damaged_event()
    expect(rows(page)).to_have_count(1, timeout=5000)
    expect(rows(page).first).to_contain_text("Events")
    attempts = rows(page).first.locator("td[data-label='Attempts']")
    expect(attempts).to_have_text("1")
    rows(page).first.get_by_role("button", name="Retry").click()
    expect(page.locator("#toasts")).to_contain_text("It failed again", timeout=5000)
    expect(attempts).to_have_text("2")
    put_right()
    rows(page).first.get_by_role("button", name="Retry").click()
    expect(page.locator("#faults")).to_contain_text("Nothing is parked", timeout=5000)
    expect(page.locator("#toasts")).to_contain_text("Fault resolved")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_faults_have_no_serious_barrier(
    sign_in: SignIn, axe: str, database: Database, order_id: str, theme: str
) -> None:
    park(database, order_id, "RuntimeError('a rather long message that does not fit one line') " * 3, waiting=3)
    page = sign_in("master", "/system", theme=theme)
    expect(rows(page)).to_have_count(1)
    assert serious(page, axe) == []
    rows(page).first.get_by_role("button", name="Resolve").click()
    expect(page.locator(".modal.show")).to_be_visible()
    page.wait_for_timeout(400)  # the dialog fades in
    assert serious(page, axe) == []


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_page_fits_a_phone(sign_in: SignIn, database: Database, order_id: str, language: str) -> None:
    park(database, order_id, "x" * 300, waiting=3)
    page = sign_in("master", "/system", width=390, height=844, language=language)
    expect(rows(page)).to_have_count(1)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0


def test_the_venue_is_switched_and_says_how_it_behaves_now(market: Server, sign_in: SignIn, watched: Watched) -> None:
    watched.expected.append("status of 422")
    page, other = sign_in("master", "/system"), sign_in("operator", "/system")
    wait_for_script(page, "#system")
    expect(page.locator("#v-latency_ms-now")).to_have_text("now: 50 ms")
    expect(other.locator("#v-latency_ms")).to_be_disabled()
    expect(other.get_by_role("button", name="Change the venue")).to_have_count(0)
    page.fill("#v-reject_rate", "150")
    page.get_by_role("button", name="Change the venue").click()
    expect(page.locator("#venue-form")).to_contain_text("Must be a number between 0 and 100.")
    page.fill("#v-reject_rate", "100")
    page.fill("#v-latency_ms", "1,000")
    page.get_by_role("button", name="Change the venue").click()
    expect(page.locator("#v-reject_rate-now")).to_have_text("now: 100 %", timeout=15000)
    expect(page.locator("#v-latency_ms-now")).to_have_text("now: 1,000 ms")
    expect(page.locator("#toasts")).to_contain_text("The venue has changed")
    expect(other.locator("#v-reject_rate-now")).to_have_text("now: 100 %", timeout=15000)
    order = market.api(
        "POST", "/orders", client_id="C-1001", symbol="XAU/USD", side="BUY", type="LIMIT", qty="1", price="1900"
    )
    page.goto(f"/orders/{order['id']}")
    expect(page.locator("[data-status=REJECTED]").first).to_be_visible(timeout=15000)
    page.goto("/system")
    wait_for_script(page, "#system")
    page.check("#v-disconnected")
    page.get_by_role("button", name="Change the venue").click()
    expect(page.locator("#v-disconnected-now")).to_have_text("now: the line is down", timeout=15000)
    page.get_by_role("button", name="No faults any more").click()
    expect(page.locator("#v-disconnected-now")).to_have_text("now: connected", timeout=15000)
    expect(page.locator("#v-reject_rate-now")).to_have_text("now: 0 %")
    page.fill("#v-latency_ms", "50")
    page.get_by_role("button", name="Change the venue").click()
    expect(page.locator("#v-latency_ms-now")).to_have_text("now: 50 ms", timeout=15000)


@pytest.mark.parametrize(("width", "height"), [(1400, 900), (390, 844)])
def test_a_message_covers_no_button_of_the_page(market: Server, sign_in: SignIn, width: int, height: int) -> None:
    page = sign_in("master", "/system", width=width, height=height)
    wait_for_script(page, "#system")
    covered = """async () => {
      const { toast } = await import('/static/js/toast.js');
      toast('Quote set', { detail: 'BTC/USDT 66,330.00 / 66,331.00', seconds: 60, key: 'quote' });
      const [message] = [...document.querySelectorAll('#toasts .toast')].map((node) => node.getBoundingClientRect());
      const hit = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
      const seen = [...document.querySelectorAll('main button, main input')].filter((node) => node.checkVisibility());
      return seen.filter((node) => hit(message, node.getBoundingClientRect())).map((node) => node.outerHTML);
    }"""
    for name in ("Change the venue", "-1 %", "Reconcile now"):
        page.get_by_role("button", name=name).scroll_into_view_if_needed()
        assert page.evaluate(covered) == [], name
