"""Clients in the browser: registered with a look at those that may be the same, papers, blocking, files of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, expect

from .conftest import SignIn, Watched


def picture(path: Path) -> Path:
    out = io.BytesIO()
    Image.new("RGB", (40, 25), "white").save(out, "PNG")
    path.write_bytes(out.getvalue())
    return path


def is_ready(page: Page, root: str = "#client") -> None:
    """A click on what is shown before its script has run does nothing."""
    expect(page.locator(f"{root}[data-ready=true]")).to_be_attached()


def test_a_person_is_registered_and_their_papers_with_them(sign_in: SignIn, watched: Watched, tmp_path: Path) -> None:
    watched.expected.append("status of 422")
    page = sign_in("master", "/clients")
    page.get_by_role("button", name="New client").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Code").fill("C-8001")
    dialog.get_by_label("Given names").fill("Anna")
    dialog.get_by_label("First surname").fill("Flores")
    dialog.get_by_label("Document").select_option("dni")
    dialog.get_by_label("Number", exact=True).fill("10117410-3")
    dialog.get_by_label("Phones").fill("+51 987 654 321; 014445566")
    dialog.get_by_role("button", name="Register").click()
    expect(dialog).to_contain_text("The check digit is wrong")
    dialog.get_by_label("Number", exact=True).fill("10117410-2")
    dialog.get_by_role("button", name="Register").click()
    expect(dialog.locator("#duplicates")).to_contain_text("C-1001 · Ana Flores: nearly the same name")
    dialog.get_by_role("button", name="Register").click()
    expect(page.get_by_role("heading", name="Anna Flores")).to_be_visible()
    is_ready(page)
    facts = page.locator("#pane-data")
    expect(facts).to_contain_text("DNI 10117410")
    expect(facts).to_contain_text("+51 987 654 321, 014445566")

    page.get_by_role("tab", name="Documents").click()
    page.locator("#new-document").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("File").set_input_files(picture(tmp_path / "dni.png"))
    dialog.get_by_role("button", name="Upload").click()
    row = page.locator("[data-tab=documents] tbody tr", has_text="dni.png")
    expect(row).to_contain_text("Document, front")
    with page.expect_download() as download:
        row.get_by_role("link", name="dni.png").click()
    assert download.value.suggested_filename == "dni.png"
    assert Path(str(download.value.path())).read_bytes() == (tmp_path / "dni.png").read_bytes()
    row.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.locator("[data-tab=documents]")).to_contain_text("No documents yet")


def test_a_client_is_blocked_with_a_reason_and_let_go(sign_in: SignIn, server: Any) -> None:
    server.api("POST", "/clients", code="C-8002", name="Luis Rojas")
    page = sign_in("master", "/clients/C-8002")
    is_ready(page)
    page.locator("#block-client").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("Odd papers")
    dialog.get_by_role("button", name="Block").click()
    expect(page.get_by_text("Blocked: Odd papers")).to_be_visible()
    is_ready(page)
    page.locator("#unblock-client").click()
    page.get_by_role("dialog").get_by_role("button", name="Unblock").click()
    expect(page.locator("#block-client")).to_be_visible()
    expect(page.get_by_text("Odd papers")).to_have_count(0)


def test_those_behind_a_company_are_named(sign_in: SignIn, watched: Watched, server: Any) -> None:
    watched.expected.append("status of 422")
    server.api("POST", "/clients", code="C-8003", name="Ñandú S.A.C.", kind="company")
    page = sign_in("master", "/clients/C-8003")
    is_ready(page)
    page.get_by_role("tab", name="Behind the company").click()
    page.locator("#new-person").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Role").select_option("beneficial_owner")
    dialog.get_by_label("Name").fill("Rosa Paredes")
    dialog.get_by_label("Number", exact=True).fill("10586119")
    dialog.get_by_label("Share in percent").fill("20")
    dialog.get_by_role("button", name="Add").click()
    expect(dialog).to_contain_text("Must be above 25 percent")
    dialog.get_by_label("Share in percent").fill("60")
    dialog.get_by_role("button", name="Add").click()
    expect(page.locator("[data-tab=related] tbody tr")).to_contain_text("60 %")


def test_a_file_is_tried_and_then_imported(sign_in: SignIn, tmp_path: Path) -> None:
    file = tmp_path / "clients.csv"
    rows = [f"C-9{number:03d},Cliente {number}" for number in range(250)]
    file.write_text("\n".join(["code,name", *rows, "C-1001,Ana Flores", '"C-9 bad","Two\nlines"']))
    page = sign_in("master", "/clients/import")
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Try").click()
    expect(page.locator("#summary[data-finished]")).to_have_text(
        "250 can be registered, 2 are refused.", timeout=20_000
    )
    expect(page.locator("#result tbody tr").first).to_contain_text("252")
    page.get_by_role("button", name="Register them").click()
    expect(page.locator("#summary[data-finished]")).to_have_text("250 registered, 2 refused.", timeout=20_000)
    page.goto("/clients?q=C-9")
    with page.expect_download() as download:
        page.locator("#export").click()
    text = Path(str(download.value.path())).read_text(encoding="utf-8")
    assert text.count("\n") == 251


def test_a_client_sees_their_own_documents(sign_in: SignIn, tmp_path: Path) -> None:
    page = sign_in("ana", "/documents")
    is_ready(page, "#documents")
    page.locator("#new-document").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("File").set_input_files(picture(tmp_path / "selfie.png"))
    dialog.get_by_role("button", name="Upload").click()
    expect(page.locator("#documents tbody tr")).to_contain_text("selfie.png")
