"""Receipts and statements in the reader's words: the same lines for the PDF and for the page that verifies it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from flask import Blueprint, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import format_date, get_locale
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app.adapters.documents.base import Paper, Section, Verification
from app.core.errors import NotFound
from app.domain.deposits import DepositStatus
from app.domain.ledger import EntryKind
from app.domain.money import text
from app.domain.withdrawals import WithdrawalStatus
from app.services import papers
from app.services.papers import Receipt, Statement

from .request import db, now, services

blueprint = Blueprint("papers", __name__)
_TITLES: Final = {"withdrawal": _l("Receipt of a withdrawal"), "deposit": _l("Receipt of a deposit")}
_STATUSES: Final[dict[str, dict[Any, Any]]] = {
    "withdrawal": {
        WithdrawalStatus.PENDING_REVIEW: _l("in review"),
        WithdrawalStatus.APPROVED: _l("approved"),
        WithdrawalStatus.PROCESSING: _l("being paid"),
        WithdrawalStatus.COMPLETED: _l("completed"),
        WithdrawalStatus.REJECTED: _l("rejected"),
        WithdrawalStatus.CANCELED: _l("canceled"),
        WithdrawalStatus.FAILED: _l("failed, given back"),
    },
    "deposit": {
        DepositStatus.PENDING: _l("waiting"),
        DepositStatus.PROCESSING: _l("being processed"),
        DepositStatus.COMPLETED: _l("completed"),
        DepositStatus.FAILED: _l("failed"),
        DepositStatus.CANCELED: _l("canceled"),
    },
}
_KINDS: Final = {
    EntryKind.DEPOSIT: _l("Deposit"),
    EntryKind.WITHDRAWAL: _l("Withdrawal"),
    EntryKind.TRADE: _l("Trade"),
    EntryKind.REFUND: _l("Refund"),
    EntryKind.REVERSAL: _l("Correction"),
}


def money(amount: Decimal, currency: str) -> str:
    return f"{number(amount)} {currency}"


def number(amount: Decimal) -> str:
    """With two decimals at least, thousands apart: the same in both languages, as banks in Peru write it."""
    whole, _point, part = text(abs(amount)).partition(".")
    return f"{'-' if amount < 0 else ''}{int(whole):,}.{part:0<2}"


def moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def title(found: Receipt | Statement) -> str:
    if isinstance(found, Receipt):
        return str(_TITLES[found.kind])
    return str(_("Statement of %(month)s", month=format_date(found.month, "MMMM yyyy")))


def facts(found: Receipt | Statement) -> list[tuple[str, str]]:
    """Pairs of a name and a value, without those that do not apply."""
    client = (_("Client"), f"{found.client_name} ({found.client_code})")
    if isinstance(found, Statement):
        return [client, (_("Month"), f"{found.month:%Y-%m}"), (_("Times"), "UTC")]
    listed: list[tuple[str, str | None]] = [
        (_("Number"), found.id),
        client,
        (_("Status"), str(_STATUSES[found.kind][_status(found)])),
        (_("Requested"), moment(found.created_at)),
        (_("Completed"), None if found.completed_at is None else moment(found.completed_at)),
        (_("Beneficiary"), found.beneficiary),
        (_("Bank"), found.bank),
        (_("Account"), found.account),
        (_("Bank reference"), found.reference),
        (_("Concept"), found.concept),
        (_("Amount"), money(found.amount, found.currency)),
        (_("Fee"), None if found.fee is None else money(-found.fee, found.currency)),
        (_("Tax"), None if found.tax is None else money(-found.tax, found.currency)),
        (_("Given back"), None if found.refunded is None else money(-found.refunded, found.currency)),
    ]
    return [(name, value) for name, value in listed if value is not None]


def _status(found: Receipt) -> Any:
    return WithdrawalStatus(found.status) if found.kind == "withdrawal" else DepositStatus(found.status)


def total(found: Receipt) -> tuple[str, str]:
    name = _("Arrives") if found.kind == "withdrawal" else _("Credited")
    return name, money(found.net, found.currency)


def sections(found: Statement) -> list[Section]:
    """A table for each currency of each wallet."""
    heads = (_("Date"), _("Movement"), _("Entry"), _("Amount"), _("Balance"))

    def rows(account: papers.Account) -> tuple[tuple[str, ...], ...]:
        first = ("", _("Balance at the start"), "", "", number(account.opening))
        last = ("", _("Balance at the end"), "", "", number(account.closing))
        lines = (
            (
                f"{line.at.astimezone(UTC):%Y-%m-%d %H:%M}" if line.number else f"{line.at.astimezone(UTC):%Y-%m-%d}",
                str(_KINDS[EntryKind(line.kind)]) if line.number else _("Trades of the day"),
                f"#{line.number}" if line.number else "",
                number(line.amount),
                number(line.balance),
            )
            for line in account.lines
        )
        return (first, *lines, last)

    return [Section(f"{account.wallet} · {account.currency}", heads, rows(account)) for account in found.accounts]


def paper(found: Receipt | Statement) -> Paper:
    url = url_for("papers.verify", code=found.code, _external=True)
    return Paper(
        firm=services().settings.firm_name,
        title=title(found),
        language=str(get_locale() or "en"),
        facts=tuple(facts(found)),
        verification=Verification(url, _("Scan the code, or open the address, to see that this paper is genuine:")),
        total=total(found) if isinstance(found, Receipt) else None,
        sections=tuple(sections(found)) if isinstance(found, Statement) else (),
    )


def month_of(written: str) -> date:
    """The first day of ``YYYY-MM``."""
    return date(int(written[:4]), int(written[5:7]), 1)


@blueprint.get("/verify/<code>")
def verify(code: str) -> ResponseReturnValue:
    """For whoever holds the paper: nobody signs in, and who has no code learns nothing."""
    try:
        found = papers.find(db(), code, now(), services().settings.secret_key)
    except NotFound:
        return render_template("papers/verify.html", found=None), 404
    return render_template(
        "papers/verify.html",
        found=found,
        firm=services().settings.firm_name,
        title=title(found),
        facts=facts(found),
        total=total(found) if isinstance(found, Receipt) else None,
        sections=sections(found) if isinstance(found, Statement) else (),
    )
