"""Receipts and statements: as PDF and on the page that verifies them, the same figures, whoever's name it is."""

from __future__ import annotations

import shutil
import subprocess
import time
import unicodedata
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.adapters.documents.base import Paper, Section, Verification
from app.adapters.documents.lettering import Style
from app.adapters.documents.pdf import PdfPapers
from app.core.ids import new_id
from app.domain.deposits import DepositStatus
from app.domain.ledger import EntryKind, deposit_lines
from app.domain.withdrawals import WithdrawalStatus
from app.models import Client, ClientBankAccount, Deposit, Withdrawal
from app.services import market, papers
from app.services.ledger import Journal

from .conftest import Firm

ACCOUNT = "00219100123456785634"
needs_reader = pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed")


def money_out(firm: Firm, client: str = "ana", **values: Any) -> str:
    """A withdrawal that was paid, as the desk leaves it."""
    id_, account_id, now = new_id(), new_id(), firm.clock.now()
    account = ClientBankAccount(
        id=account_id,
        client_id=firm.ids[client],
        scheme="cci",
        number=ACCOUNT,
        bank_code="002",
        bank_name="BCP",
        account_type="savings",
        currency="USD",
        holder="Ana Quispe",
        country="PE",
        status="active",
        created_by="system",
        created_at=now,
        updated_at=now,
    )
    defaults: dict[str, Any] = {
        "id": id_,
        "client_id": firm.ids[client],
        "wallet_id": firm.ids[f"{client}:wallet"],
        "bank_account_id": account_id,
        "amount": Decimal("12500.00"),
        "fee": Decimal("25.00"),
        "tax": Decimal("4.50"),
        "currency": "USD",
        "amount_usd": Decimal(12500),
        "destination": {"holder": "Ana Quispe", "bank_name": "BCP", "number": ACCOUNT, "scheme": "cci"},
        "details": {},
        "status": WithdrawalStatus.COMPLETED.value,
        "requested_by": "system",
        "bank_reference": f"OP-{id_[-6:]}",
        "verification_code": f"code-{id_[-12:]}",
        "created_at": now,
        "updated_at": now,
        "completed_at": now,
    }

    def work(session: Any) -> None:
        session.add(account)
        session.flush()
        session.add(Withdrawal(**{**defaults, **values}))

    firm.run(work)
    return id_


def money_in(firm: Firm, client: str = "ana", **values: Any) -> str:
    id_, now = new_id(), firm.clock.now()
    defaults: dict[str, Any] = {
        "id": id_,
        "client_id": firm.ids[client],
        "wallet_id": firm.ids[f"{client}:wallet"],
        "amount": Decimal(1000),
        "currency": "USD",
        "amount_usd": Decimal(1000),
        "method": "bank_transfer",
        "provider": "bank_transfer",
        "status": DepositStatus.COMPLETED.value,
        "confirmed_amount": Decimal(1000),
        "refunded_amount": Decimal(0),
        "details": {},
        "requested_by": "system",
        "created_at": now,
        "updated_at": now,
        "completed_at": now,
    }
    firm.run(lambda session: session.add(Deposit(**{**defaults, **values})))
    return id_


def read(content: bytes, tmp_path: Path) -> str:
    """The text of a PDF, without the breaks of its lines."""
    file = tmp_path / "paper.pdf"
    file.write_bytes(content)
    done = subprocess.run(["pdftotext", "-layout", file, "-"], check=True, capture_output=True)
    return " ".join(unicodedata.normalize("NFC", done.stdout.decode()).split())


def receipt(firm: Firm, kind: str, id_: str, who: str = "client", language: str = "en") -> Any:
    return firm.call(who, "GET", f"/api/v1/{kind}s/{id_}/receipt.pdf?language={language}")


@needs_reader
@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["Receipt of a withdrawal", "Beneficiary", "12,500.00 USD", "-25.00 USD", "-4.50 USD", "12,470.50 USD"]),
        ("es", ["12,500.00 USD", "-25.00 USD", "-4.50 USD", "12,470.50 USD"]),
    ],
)
def test_a_receipt_says_what_was_paid(firm_on_each: Firm, tmp_path: Path, language: str, words: list[str]) -> None:
    firm = firm_on_each
    id_ = money_out(firm)
    answer = receipt(firm, "withdrawal", id_, language=language)
    assert (answer.status_code, answer.content_type) == (200, "application/pdf")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="receipt_withdrawal_{id_}.pdf"'
    said = read(answer.data, tmp_path)
    for word in [*words, id_, "Ana Quispe (C-1)", "BCP", "•••• 5634", f"OP-{id_[-6:]}", f"/verify/code-{id_[-12:]}"]:
        assert word in said, word
    assert ACCOUNT not in said


@needs_reader
@pytest.mark.parametrize("kind", ["withdrawal", "deposit"])
def test_the_page_that_verifies_it_shows_the_same_figures(firm: Firm, tmp_path: Path, kind: str) -> None:
    id_ = money_out(firm) if kind == "withdrawal" else money_in(firm, refunded_amount=Decimal("100.5"))
    said = read(receipt(firm, kind, id_).data, tmp_path)
    code = said.split("/verify/")[1].split()[0]
    answer = firm.call(None, "GET", f"/verify/{code}", headers={"Accept-Language": "en"})
    page = answer.get_data(as_text=True)
    assert answer.status_code == 200 and 'id="genuine"' in page and ACCOUNT not in page
    figures = [word for word in said.split() if word[:1].isdigit() or word[:1] == "-"]
    shown = " ".join(page.split())
    assert len([word for word in figures if "." in word]) >= 3
    for word in figures:
        assert word in shown or word == "1", word  # the number of the page


def test_a_code_that_is_not_ours_learns_nothing(firm: Firm) -> None:
    id_ = money_in(firm)
    secret = firm.app.extensions["services"].settings.secret_key
    good = papers._signed(papers.DEPOSIT, id_, secret)
    assert firm.call(None, "GET", f"/verify/{good}").status_code == 200
    another = papers._signed(papers.DEPOSIT, new_id(), secret)
    for code in (
        good[:-1],
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        "c" + good[1:],
        another,
        id_,
        "x",
        "ñ",
        "%00",
    ):
        answer = firm.call(None, "GET", f"/verify/{code}")
        assert answer.status_code in (404, 422), code
        assert "Ana" not in answer.get_data(as_text=True)


def test_nobody_gets_the_paper_of_another(firm: Firm) -> None:
    out, into = money_out(firm, "luis"), money_in(firm, "luis")
    month = "/api/v1/clients/C-2/statement.pdf?month=2025-12"
    for who in ("client", "key:read"):
        for path in (f"/api/v1/withdrawals/{out}/receipt.pdf", f"/api/v1/deposits/{into}/receipt.pdf", month):
            assert firm.call(who, "GET", path).status_code == 404, (who, path)
    assert firm.call("trader", "GET", f"/api/v1/deposits/{into}/receipt.pdf").status_code == 404  # not the trader's
    assert firm.call("operator", "GET", f"/api/v1/withdrawals/{out}/receipt.pdf").status_code == 200
    assert firm.call("client", "GET", f"/api/v1/withdrawals/{new_id()}/receipt.pdf").status_code == 404


def credit(firm: Firm, amount: str, ref: str, at: datetime) -> None:
    def work(session: Any) -> None:
        journal = Journal(session, market.load_scales(session), at, "system")
        lines = deposit_lines(firm.ids["ana:wallet"], "USD", Decimal(amount), "bank:test")
        journal.add(EntryKind.DEPOSIT, ("deposit", new_id()), ref, lines)
        journal.flush()

    firm.run(work)


@needs_reader
def test_a_statement_has_each_movement_and_the_balances_around_them(firm_on_each: Firm, tmp_path: Path) -> None:
    firm = firm_on_each
    january = firm.clock.now()
    credit(firm, "250.75", "in:1", january + timedelta(days=3))
    credit(firm, "1000", "in:2", datetime(2026, 2, 1, tzinfo=UTC))  # the next month's first moment
    path = "/api/v1/clients/C-1/statement.pdf?month=2026-01&language=en"
    early = firm.call("client", "GET", path)
    assert (early.status_code, early.get_json()["code"]) == (409, "month_not_over")
    firm.clock.advance((datetime(2026, 2, 1, tzinfo=UTC) - firm.clock.now()).total_seconds())
    answer = firm.call("key:firm", "GET", path)
    assert answer.status_code == 200
    said = read(answer.data, tmp_path)
    assert "Statement of January 2026" in said and "Main · USD" in said and "Main · USDT" in said
    assert "Balance at the start 0.00" in said  # opened in January, with what was paid in then
    assert "Deposit #" in said and "250.75 50,250.75" in said
    assert "Balance at the end 50,250.75" in said and "Balance at the end 100,000.00" in said
    assert "1,000.00 51,250.75" not in said
    february = firm.call("key:firm", "GET", path.replace("2026-01", "2026-02"))
    assert february.status_code == 409
    page = firm.call(None, "GET", "/verify/" + said.split("/verify/")[1].split()[0])
    assert page.status_code == 200 and "50,250.75" in page.get_data(as_text=True)
    for month in ("2026-13", "202601", "2026-1"):
        assert firm.call("key:firm", "GET", path.replace("2026-01", month)).status_code == 422


LONG = "Compañía Agroindustrial y Exportadora de Espárragos Ñusta Huaylas Áncash Sociedad Anónima Cerrada " * 2
NAMES = [
    "José Ángel Muñoz Ibáñez",
    "王小明 (陈大文商贸有限公司)",
    "株式会社カンビスタ",
    "김철수",
    "Жук Ольга",
    "W" * 200,
    "测试" * 90,
    LONG.strip()[:200],
    "<b>&amp;</b> ${x} %s",
]


@needs_reader
@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_length_and_script_are_on_it_whole(firm: Firm, tmp_path: Path, name: str) -> None:
    id_ = money_out(firm, destination={"holder": name, "bank_name": "BCP", "number": ACCOUNT})
    firm.run(lambda session: setattr(session.get_one(Client, firm.ids["ana"]), "name", name))
    said = read(receipt(firm, "withdrawal", id_).data, tmp_path).replace(" ", "")
    assert "".join(name.split()) in said
    assert "□" not in said


def test_no_line_is_wider_than_its_place() -> None:
    style = Style(10)
    for name in NAMES:
        lines = style.lines(name, 120)
        assert all(style.width(line) <= 120 for line in lines)
        assert "".join(lines).replace(" ", "") == name.replace(" ", "")
    assert style.lines("", 100) == [""]


def a_paper(rows: int = 0) -> Paper:
    lines = tuple((f"2026-01-{n % 28 + 1:02} 10:00", "Trade", f"#{n}", "1,250.00", "50,000.00") for n in range(rows))
    section = Section("Main · USD", ("Date", "Movement", "Entry", "Amount", "Balance"), lines)
    facts = tuple((f"Fact {n}", "José Ángel 王小明") for n in range(14))
    verification = Verification("https://desk.example.com/verify/0123456789abcdef01234567", "Scan the code")
    return Paper("Cambista", "Receipt", "en", facts, verification, ("Arrives", "1.00 USD"), (section,) if rows else ())


def test_a_receipt_takes_less_than_fifty_milliseconds() -> None:
    pdf = PdfPapers()
    pdf.draw(a_paper())  # the fonts are read once
    taken = []
    for _ in range(7):
        began = time.perf_counter()
        pdf.draw(a_paper())
        taken.append(time.perf_counter() - began)
    assert min(taken) < 0.05


@needs_reader
def test_a_long_statement_goes_on_page_after_page_with_its_heads(tmp_path: Path) -> None:
    said = read(PdfPapers().draw(a_paper(300)), tmp_path)
    assert all(f"#{n} " in said for n in range(300))
    assert said.count("Movement") > 4
