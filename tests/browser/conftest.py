"""A real browser against a real server; whatever the browser complains about fails the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from .server import PASSWORD, Server, start

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
QUOTES = {
    "BTC/USDT": ("67000.00", "67001.00"),
    "ETH/USDT": ("3450.00", "3450.20"),
    "SOL/USDT": ("148.50", "148.52"),
    "EUR/USD": ("1.08500", "1.08510"),
    "USD/PEN": ("3.7400", "3.7430"),
    "XAU/USD": ("1985.00", "1985.20"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = start(tmp_path_factory)
    yield running
    running.stop()


@pytest.fixture
def market(server: Server) -> Server:
    """The server with fresh quotes for what the tests trade; orders and positions of earlier tests are gone."""
    server.api("POST", "/orders/cancel-all", all=True)
    for symbol, (bid, ask) in QUOTES.items():
        for _ in range(3):  # a jump is believed when it stands
            try:
                server.set_quote(symbol, bid, ask)
                break
            except AssertionError:
                continue
    server.close_positions()
    return server


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        yield chromium
        chromium.close()


@dataclass
class Watched:
    """What a browser did that it should not have done."""

    origin: str
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def attach(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self.origin:
            self.complaints.append(f"external request: {request.url}")

    def left(self) -> list[str]:
        return [text for text in self.complaints if not any(part in text for part in self.expected)]


SignIn = Callable[..., Page]


@pytest.fixture
def watched(server: Server) -> Iterator[Watched]:
    watch = Watched(urlsplit(server.url).netloc)
    yield watch
    assert watch.left() == []


@pytest.fixture
def open_browser(browser: Browser, server: Server, watched: Watched) -> Iterator[Callable[..., Page]]:
    """A page of a new browser profile."""
    contexts: list[BrowserContext] = []

    def open_(*, language: str = "en", theme: str = "light", width: int = 1440, height: int = 900) -> Page:
        context = browser.new_context(
            base_url=server.url,
            locale={"en": "en-US", "es": "es-PE"}[language],
            color_scheme=theme,  # type: ignore[arg-type]
            viewport={"width": width, "height": height},
            timezone_id="America/Lima",
        )
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        watched.attach(page)
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def signed_in() -> dict[str, list[Any]]:
    """The cookies of people who have signed in with their password before."""
    return {}


@pytest.fixture
def sign_in(open_browser: Callable[..., Page], signed_in: dict[str, list[Any]]) -> SignIn:
    """One of the demo's people, signed in, in a browser of their own; ``afresh``: by the form in any case."""

    def sign_in_(who: str, path: str | None = None, *, afresh: bool = False, **options: Any) -> Page:
        page = open_browser(**options)
        if who in signed_in and not afresh:
            page.context.add_cookies(signed_in[who])
        page.goto(path or "/")
        by_form = urlsplit(page.url).path == "/sign-in"
        if by_form:
            page.fill("[name=email]", f"{who}@demo.cambista")
            page.fill("[name=password]", PASSWORD)
            page.click("main button[type=submit]")
        expect(page.locator("#connection")).to_have_attribute("data-state", "connected")
        if by_form:
            signed_in[who] = page.context.cookies()
        return page

    return sign_in_


@pytest.fixture(scope="session")
def axe() -> str:
    return (Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js").read_text()
