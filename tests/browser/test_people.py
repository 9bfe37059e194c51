"""How people come in: an invitation by mail, a second step, and proof before what is delicate."""

from __future__ import annotations

import re
import sqlite3
import time
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pyotp
import pytest
from playwright.sync_api import Page, expect

from .conftest import SignIn, Watched
from .server import Server
from .test_pages import serious

pytestmark = pytest.mark.browser
CHOSEN = "a longer word 41"


def mail_to(server: Server, address: str) -> EmailMessage:
    """The first letter to an address, as the folder beside the database has it."""
    until = time.monotonic() + 15
    while time.monotonic() < until:
        for path in (server.log.parent / "mail").glob("*.eml"):
            letter = message_from_bytes(path.read_bytes(), policy=default)
            if letter["To"] == address:
                return letter  # type: ignore[return-value]
        time.sleep(0.1)
    raise AssertionError(f"no mail to {address}")


def fill_sign_in(page: Page, email: str, password: str) -> None:
    page.fill("[name=email]", email)
    page.fill("[name=password]", password)
    page.click("main button[type=submit]")


def test_somebody_is_invited_chooses_a_password_and_a_second_step(
    server: Server, sign_in: SignIn, open_browser: Any, watched: Watched, axe: str
) -> None:
    master = sign_in("master", "/users")
    master.get_by_role("button", name="New user").click()
    dialog = master.get_by_role("dialog")
    dialog.get_by_label("Email").fill("nora@demo.cambista")
    dialog.get_by_label("Name").fill("Nora Díaz")
    dialog.get_by_label("Role").select_option("client")
    dialog.get_by_label("Client").last.select_option("C-1002")
    dialog.get_by_role("button", name="Create user").click()
    expect(master.get_by_role("heading", name="Nora Díaz")).to_be_visible()
    expect(master.get_by_role("button", name="Send an invitation")).to_be_visible()

    letter = mail_to(server, "nora@demo.cambista")
    body = letter.get_body(("plain",))
    assert body is not None
    link = re.search(r"http://\S+", body.get_content())
    assert link is not None
    hers = open_browser()
    hers.goto(link[0])
    found = serious(hers, axe)
    hers.get_by_label("New password").fill(CHOSEN)
    hers.get_by_label("The same again").fill(CHOSEN)
    hers.get_by_role("button", name="Choose it").click()
    expect(hers.get_by_text("Your password is chosen.")).to_be_visible()
    fill_sign_in(hers, "nora@demo.cambista", CHOSEN)
    expect(hers.locator("#connection")).to_have_attribute("data-state", "connected")

    hers.goto("/account/security")
    hers.get_by_role("button", name="Set it up").click()
    secret = hers.locator("#totp-secret").inner_text()
    picture = hers.get_by_alt_text("Picture of the key, to be scanned")
    assert picture.evaluate("image => image.naturalWidth") > 0
    found += serious(hers, axe)
    hers.get_by_label("Code").fill(pyotp.TOTP(secret).now())
    hers.get_by_role("button", name="Turn on").click()
    expect(hers.get_by_text("From now on signing in takes a code of your app.")).to_be_visible()

    again = open_browser()
    again.goto("/sign-in")
    fill_sign_in(again, "nora@demo.cambista", CHOSEN)
    expect(again.get_by_role("heading", name="One more step")).to_be_visible()
    found += serious(again, axe)
    again.get_by_label("Code").fill(pyotp.TOTP(secret).at(int(time.time()) + 30))  # a code works once
    again.get_by_role("button", name="Sign in").click()
    expect(again.locator("#connection")).to_have_attribute("data-state", "connected")
    assert found == []

    # a master who proved it too long ago is asked in a dialog, and goes on where they were
    watched.expected += ["403"]
    with sqlite3.connect(server.log.parent / "browser.db") as database:
        database.execute("UPDATE user_sessions SET proven_at = NULL")
    master.reload()
    master.get_by_role("button", name="Take the second step away").click()
    master.get_by_role("dialog").get_by_role("button", name="Take it away").click()
    proof = master.get_by_role("dialog", name="Is it you?")
    watched.expected += ["422"]
    proof.get_by_label("Your password").fill("wrong-word-12")
    proof.get_by_role("button", name="Go on").click()
    expect(proof.get_by_text("Is wrong.")).to_be_visible()
    proof.get_by_label("Your password").fill("Cambista-demo-2026")
    proof.get_by_role("button", name="Go on").click()
    expect(master.get_by_role("button", name="Take the second step away")).to_have_count(0)
    watched.expected += ["websocket", "WebSocket", "socket.io"]  # her sockets end with her sessions


def test_a_forgotten_password_is_asked_for(server: Server, open_browser: Any, axe: str) -> None:
    page = open_browser()
    page.goto("/sign-in")
    page.get_by_role("link", name="Forgotten your password?").click()
    found = serious(page, axe)
    page.get_by_label("Email").fill("luis@demo.cambista")
    page.get_by_role("button", name="Send the mail").click()
    expect(page.get_by_text("a mail is on its way")).to_be_visible()
    assert "password/choose?token=" in str(mail_to(server, "luis@demo.cambista"))
    assert found == []
