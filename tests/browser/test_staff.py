"""Those who look after users, limits and the trail; and the API reference with a key."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from .conftest import SignIn, Watched
from .server import Server


def test_a_user_is_made_and_has_to_choose_a_password(sign_in: SignIn, open_browser: Any) -> None:
    page = sign_in("master", "/users")
    page.get_by_role("button", name="New user").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Email").fill("eva@demo.cambista")
    dialog.get_by_label("Name").fill("Eva Rojas")
    dialog.get_by_label("Role").select_option("trader")
    dialog.get_by_label("A one-time password is shown next.").check()
    dialog.get_by_role("button", name="Create user").click()
    password = page.locator("#one-time-password").inner_text()
    page.get_by_role("button", name="I have copied it").click()
    expect(page.get_by_role("heading", name="Eva Rojas")).to_be_visible()
    expect(page.get_by_role("link", name="waits for approval")).to_be_visible()
    second = sign_in("second", "/approvals")
    row = second.locator("#list tbody tr", has_text="Eva Rojas")
    expect(row).to_contain_text("Active: no → yes")
    row.get_by_role("button", name="Approve").click()
    second.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(row).to_contain_text("Carried out")

    hers = open_browser()
    hers.goto("/sign-in")
    hers.fill("[name=email]", "eva@demo.cambista")
    hers.fill("[name=password]", password)
    hers.click("main button[type=submit]")
    expect(hers.get_by_role("heading", name="Choose a password")).to_be_visible()
    hers.fill("[name=current_password]", password)
    hers.fill("[name=password]", "a longer word 41")
    hers.click("main button[type=submit]")
    expect(hers.locator("#connection")).to_have_attribute("data-state", "connected")


def test_a_limit_is_approved_live_and_shows_in_trail_and_timeline(sign_in: SignIn, watched: Watched) -> None:
    watched.expected.append("422 (UNPROCESSABLE ENTITY)")  # a rejection without a reason
    master = sign_in("master", "/approvals?waiting_for_me=true")
    expect(master.locator("#list[data-ready]")).to_be_attached()
    page = sign_in("compliance", "/clients/C-1002")
    page.get_by_role("tab", name="Limits").click()
    page.locator("#new-limit").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Instrument").select_option("XAU/USD")
    dialog.get_by_label("Most value per order").fill("250000")
    dialog.get_by_role("button", name="Propose").click()
    row = master.locator("#list tbody tr", has_text="C-1002")
    expect(row).to_contain_text("Most value per order (USD): – → 250000")
    badge = master.locator("[data-waiting]")
    expect(badge).to_have_text(re.compile(r"[1-9]"))
    before = int(badge.inner_text())
    expect(page.locator("[data-tab=limits] tbody tr")).to_have_count(0)
    row.get_by_role("button", name="Turn down").click()
    dialog = master.get_by_role("dialog")
    dialog.get_by_role("button", name="Turn down").click()
    expect(dialog.locator(".invalid-feedback")).to_be_visible()  # a reason is needed
    dialog.get_by_role("button", name="Back").click()
    row.get_by_role("button", name="Approve").click()
    master.get_by_role("dialog").get_by_label("Note (optional)").fill("As agreed")
    master.get_by_role("dialog").get_by_role("button", name="Approve").click()
    expect(row).to_have_count(0)
    expect(badge).to_have_text(str(before - 1) if before > 1 else "")
    expect(page.locator("[data-tab=limits] tbody tr", has_text="XAU/USD")).to_contain_text("250,000.00 USD")
    page.get_by_role("tab", name="Timeline").click()
    expect(page.locator("[data-tab=timeline] li").first).to_contain_text("Client limit set")
    page.goto("/audit")
    page.locator("#f-action").select_option("client.limit_set")
    expect(page.locator("#list tbody tr").first).to_contain_text("XAU/USD")
    page.locator("#f-action").select_option("wallet.create")
    row = page.locator("#list tbody tr").first
    expect(row).to_contain_text(re.compile(r"Client: C-\d+ \w+"))
    expect(row).to_contain_text(re.compile(r"Starting balances: (\w+ [\d.]+(, )?)+"))
    expect(row).not_to_contain_text("{")
    page.get_by_role("button", name="Verify the chain").click()
    expect(page.locator("#verify-result")).to_contain_text("The chain is whole")


def test_a_call_is_tried_with_a_key_from_the_page(server: Server, open_browser: Any) -> None:
    key = json.loads((server.log.parent / "demo_keys.json").read_text())["client"]
    page = open_browser()
    page.goto("/api/docs")
    expect(page.locator("body[data-ready]")).to_be_attached(timeout=30_000)
    page.fill("#key", key)
    page.get_by_role("button", name="Use", exact=True).click()
    expect(page.locator("body[data-filled]")).to_be_attached()
    operation = page.locator("#operations-wallets-list_wallets")
    operation.locator(".opblock-summary-control").click()
    operation.locator(".execute").click()
    expect(operation.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("200")


def test_a_client_saves_the_statement_of_a_month(sign_in: SignIn) -> None:
    page = sign_in("ana", "/journal")
    page.get_by_role("button", name="Monthly statement").click()
    with page.expect_download() as download:
        page.get_by_role("dialog").get_by_role("button", name="Download").click()
    assert re.fullmatch(r"statement_C-1001_\d{4}-\d{2}\.pdf", download.value.suggested_filename)
    assert Path(download.value.path()).read_bytes().startswith(b"%PDF-")
