"""A client pays in by card on the provider's own page; the firm sees it at once, and what did not fit."""

from __future__ import annotations

import os

from playwright.sync_api import Page, expect

from tests.stubs.stripe import DECLINED_CARD, Stripe

from .conftest import SignIn, Watched
from .server import Server


def _declare(page: Page, amount: str) -> None:
    page.get_by_role("button", name="New deposit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Amount").fill(amount)
    dialog.get_by_label("Currency").select_option("USD")
    dialog.get_by_label("Method").select_option("card")
    dialog.get_by_role("button", name="Declare deposit").click()


def _look(page: Page, name: str) -> None:
    """A picture for whoever wants to look: SCREENSHOTS names the folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def test_a_card_deposit_is_paid_declined_and_paid_again(sign_in: SignIn, stripe: Stripe, watched: Watched) -> None:
    watched.expected.append(f"external request: {stripe.base_url}")
    operator = sign_in("operator", "/deposits")
    page = sign_in("ana", "/deposits")
    _look(page, "deposits-empty")
    _declare(page, "120.50")
    expect(page.get_by_role("heading", name="Pay 120.50 USD")).to_be_visible()
    expect(operator.locator("#list tbody tr").first).to_contain_text("Pending")
    page.get_by_label("Card number").fill(DECLINED_CARD)
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
    page.get_by_label("Card number").fill("4242 4242 4242 4242")
    page.get_by_role("button", name="Pay").click()
    expect(page.locator("#status")).to_have_text("Completed")
    expect(page.locator("#facts")).to_contain_text("120.50 USD")
    _look(page, "deposit-completed")
    expect(operator.locator("#list tbody tr").first).to_contain_text("Completed")
    _look(operator, "deposits-operator")


def test_what_does_not_fit_is_resolved_by_an_operator(sign_in: SignIn, stripe: Stripe, watched: Watched) -> None:
    watched.expected.append(f"external request: {stripe.base_url}")
    page = sign_in("ana", "/deposits")
    operator = sign_in("operator", "/deposits/mismatches")
    _declare(page, "80")
    expect(page.get_by_role("heading", name="Pay 80.00 USD")).to_be_visible()
    session = page.url.rpartition("/")[2]
    stripe.sessions[session]["amount_total"] = 8001
    page.get_by_role("button", name="Pay").click()
    expect(page.locator("#status")).to_have_text("Pending")
    row = operator.locator("#list tbody tr").first
    expect(row).to_contain_text("Another amount")
    expect(row).to_contain_text("80.01 USD")
    _look(operator, "mismatches")
    row.get_by_role("button", name="Resolve").click()
    dialog = operator.get_by_role("dialog")
    dialog.get_by_label("What was done").fill("Refunded at Stripe")
    dialog.get_by_role("button", name="Resolve").click()
    expect(row).to_contain_text("Refunded at Stripe")


def test_a_bank_transfer_is_matched_by_an_operator(market: Server, sign_in: SignIn, watched: Watched) -> None:
    watched.expected.append("422 (UNPROCESSABLE ENTITY)")
    page = sign_in("ana", "/deposits")
    page.get_by_role("button", name="New deposit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Amount").fill("250")
    dialog.get_by_label("Currency").select_option("PEN")
    dialog.get_by_label("Method").select_option("bank_transfer")
    _look(page, "deposit-dialog")
    dialog.get_by_role("button", name="Declare deposit").click()
    expect(dialog).to_contain_text("Is needed")
    dialog.get_by_label("Reference of the transfer").fill("ANA QUISPE 0105")
    dialog.get_by_role("button", name="Declare deposit").click()
    expect(page.locator("#status")).to_have_text("Pending")
    path = page.url.partition("/deposits/")[2]
    operator = sign_in("operator", f"/deposits/{path}")
    operator.get_by_role("button", name="Match to a bank movement").click()
    dialog = operator.get_by_role("dialog")
    dialog.get_by_label("Account it came in on").fill("BCP soles")
    dialog.get_by_label("The bank's reference of the movement").fill("OP-0012345")
    dialog.get_by_label("Amount that came in").fill("250")
    dialog.get_by_label("Day it came in").fill("2026-01-05")
    _look(operator, "match-dialog")
    dialog.get_by_role("button", name="Propose to credit it").click()
    expect(operator.locator("#status")).to_have_text("Processing")
    expect(page.locator("#status")).to_have_text("Processing")
    _look(operator, "deposit-matched")
