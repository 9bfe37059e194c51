"""A client asks for money and an operator pays it, each in a browser of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from .conftest import SignIn, Watched
from .server import Server, start


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A sandbox, where nobody has to agree."""
    running = start(tmp_path_factory, AUTO_APPROVE_WITHDRAWALS="1")
    yield running
    running.stop()


def test_it_is_previewed_asked_for_and_failed_and_both_see_it(sign_in: SignIn) -> None:
    page = sign_in("ana", "/withdrawals")
    card = page.locator("#balances [data-currency=USD] .value")
    before = card.inner_text()
    page.get_by_role("button", name="New withdrawal").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("To", exact=True).select_option(label="BCP •1218 USD")
    dialog.get_by_label("Amount").fill("9,999,999.00")
    expect(dialog.locator("#preview")).to_contain_text("More than may be withdrawn")
    dialog.get_by_label("Amount").fill("1,000.00")
    expect(dialog.locator("#preview")).to_contain_text("998.95 USD")
    dialog.get_by_role("button", name="Withdraw").click()
    expect(page.locator("#arrives")).to_have_text("998.95 USD")
    expect(page.locator("#status")).to_have_text("Approved")

    theirs = sign_in("operator", page.url)
    theirs.get_by_role("button", name="Begin to pay").click()
    theirs.get_by_role("dialog").get_by_role("button", name="Begin to pay").click()
    expect(theirs.locator("#status")).to_have_text("Processing")
    expect(page.locator("#status")).to_have_text("Processing")
    expect(page.get_by_role("button", name="Cancel withdrawal")).to_be_hidden()
    theirs.get_by_role("button", name="Payment failed").click()
    theirs.get_by_label("Reason").fill("Returned: account closed")
    theirs.get_by_role("button", name="Give the money back").click()
    expect(page.locator("#status")).to_have_text("Failed")
    expect(page.locator("#next")).to_contain_text("Returned: account closed")
    expect(page.locator("#history li")).to_have_count(4)
    expect(page.locator("#entries tbody tr")).to_have_count(2)
    page.goto("/withdrawals")
    expect(card).to_have_text(before)
    expect(page.locator("#list tbody tr").first).to_contain_text("Failed")


def test_an_account_is_added_with_its_digits_checked(sign_in: SignIn, watched: Watched) -> None:
    watched.expected.append("422 (UNPROCESSABLE ENTITY)")  # the wrong digit
    page = sign_in("ana", "/withdrawals", afresh=True)  # who adds an account has proved lately who they are
    page.get_by_role("button", name="New account").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Number", exact=True).fill("011-366-000100032542-22")
    dialog.get_by_label("Bank", exact=True).fill("BBVA Perú")
    dialog.get_by_role("button", name="Add").click()
    expect(dialog.locator(".field-error")).to_contain_text("check digit")
    dialog.get_by_label("Number", exact=True).fill("011-366-000100032542-21")
    dialog.get_by_role("button", name="Add").click()
    row = page.locator("#accounts tbody tr", has_text="BBVA Perú")
    expect(row).to_contain_text("01136600010003254221")
    expect(row).to_contain_text("In review")

    theirs = sign_in("operator", "/withdrawals")
    expect(theirs.get_by_role("heading", name="Bank accounts")).to_be_hidden()
    theirs.locator("#f-client").select_option("C-1001")
    expect(theirs.locator("#accounts tbody tr", has_text="BBVA Perú")).to_contain_text("In review")
    page.goto("/")
    expect(page.locator("#withdrawable [data-currency=USD]")).to_contain_text("May be withdrawn")
