"""A client is verified in the browser, by way of the provider's page; then the firm looks at it and takes it back."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.stubs import sumsub as stubs
from tests.stubs.sumsub import SumsubStub

from .conftest import SignIn, Watched
from .server import Server, start


@pytest.fixture(scope="module")
def stub() -> Iterator[SumsubStub]:
    found = SumsubStub().start()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def server(stub: SumsubStub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = start(
        tmp_path_factory,
        KYC_PROVIDER="sumsub",
        SUMSUB_URL=stub.url,
        SUMSUB_APP_TOKEN=stubs.APP_TOKEN,
        SUMSUB_SECRET_KEY=stubs.SECRET_KEY,
        SUMSUB_WEBHOOK_SECRET=stubs.WEBHOOK_SECRET,
    )
    stub.webhook_url = f"{running.url}/api/v1/kyc/webhook"
    yield running
    running.stop()


def test_from_the_clients_page_over_the_providers_to_a_higher_limit(
    sign_in: SignIn, stub: SumsubStub, watched: Watched
) -> None:
    watched.expected.append(stub.url)
    page = sign_in("luis", "/kyc")
    expect(page.locator("[data-kyc=none]")).to_be_visible()
    expect(page.locator("[data-act=deposit]")).to_contain_text("0.00 USD of 500.00 USD used, 500.00 USD left")
    expect(page.locator("[data-act=withdrawal]")).to_contain_text("Not before the verification")
    page.get_by_role("button", name="Verify for level 1, with documents").click()
    expect(page.locator("#status")).to_have_text("init")
    page.locator("#submit").click()
    page.locator("#retry").click()
    page.goto("/kyc")
    expect(page.locator("[data-kyc=pending]")).to_contain_text("Please send a sharper picture of the document.")
    page.get_by_role("button", name="Continue the verification").click()
    expect(page.locator("#status")).to_have_text("completed")
    page.goto("/kyc")
    expect(page.locator("#start-kyc")).to_be_visible()
    stub.act(stub.only().id, "approve")  # while the page is open
    expect(page.locator("[data-kyc=approved]")).to_contain_text("1, with documents")
    expect(page.locator("[data-act=deposit]")).to_contain_text("20,000.00 USD left")

    theirs = sign_in("compliance", "/clients/C-1002")
    theirs.get_by_role("tab", name="Verification").click()
    expect(theirs.locator("[data-tab=kyc] [data-kyc=approved]")).to_be_visible()
    expect(theirs.locator("[data-tab=kyc]")).to_contain_text("Nothing was asked yet")
    theirs.get_by_role("button", name="Approve").click()
    dialog = theirs.get_by_role("dialog")
    expect(dialog.get_by_label("Level")).to_have_value("2")
    dialog.get_by_label("Reason").fill("papers were shown")
    dialog.get_by_role("button", name="Approve").click()
    expect(theirs.locator("#toasts")).to_contain_text("Proposed to a second person")
    theirs.locator("#reject-kyc").click()
    dialog.get_by_label("Reason").fill("the papers were forged")
    dialog.get_by_role("button", name="Reject").click()
    expect(theirs.locator("[data-tab=kyc] [data-kyc=rejected]")).to_contain_text("the papers were forged")
    expect(page.locator("#kyc")).to_contain_text(re.compile("Your verification was rejected"))
