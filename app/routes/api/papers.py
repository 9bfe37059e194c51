"""Receipts and monthly statements as PDF."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response
from flask.typing import ResponseReturnValue
from flask_babel import force_locale, get_locale
from sqlalchemy.orm import Session

from app.core.blocking import run_blocking
from app.core.permissions import READ, Resource
from app.routes.access import endpoint, principal
from app.routes.application import no_transaction
from app.routes.papers import month_of, paper
from app.routes.request import now, query, services
from app.schemas.papers import PaperQuery, StatementQuery
from app.services import access, papers
from app.services.papers import Receipt, Statement

from . import blueprint

PDF = "application/pdf"
DESCRIPTION = "Its QR code leads to a public page that shows the same figures, and no more of the bank account."


@blueprint.get("/withdrawals/<withdrawal_id>/receipt.pdf")
@endpoint(
    "Receipt of a withdrawal",
    tag="wallets",
    query=PaperQuery,
    media_type=PDF,
    needs=(Resource.WITHDRAWALS, READ),
    description=DESCRIPTION,
)
@no_transaction
def withdrawal_receipt(withdrawal_id: str) -> ResponseReturnValue:
    asked, caller = query(PaperQuery), principal()
    return _drawn(
        lambda session: papers.withdrawal_receipt(session, caller, withdrawal_id),
        asked.language,
        f"receipt_withdrawal_{withdrawal_id.lower()}",
    )


@blueprint.get("/deposits/<deposit_id>/receipt.pdf")
@endpoint(
    "Receipt of a deposit",
    tag="wallets",
    query=PaperQuery,
    media_type=PDF,
    needs=(Resource.DEPOSITS, READ),
    description=DESCRIPTION,
)
@no_transaction
def deposit_receipt(deposit_id: str) -> ResponseReturnValue:
    asked, caller, secret = query(PaperQuery), principal(), services().settings.secret_key
    return _drawn(
        lambda session: papers.deposit_receipt(session, caller, deposit_id, secret),
        asked.language,
        f"receipt_deposit_{deposit_id.lower()}",
    )


@blueprint.get("/clients/<ref>/statement.pdf")
@endpoint(
    "Statement of a client for a month",
    tag="clients",
    query=StatementQuery,
    media_type=PDF,
    needs=(Resource.LEDGER, READ),
    errors=("month_not_over",),
    description="Every movement of every wallet with its balance before and after, available and held together. "
    f"Where an account has more than 1,000 movements its trades are summed by day. {DESCRIPTION}",
)
@no_transaction
def client_statement(ref: str) -> ResponseReturnValue:
    asked, caller, secret, moment = query(StatementQuery), principal(), services().settings.secret_key, now()

    def work(session: Session) -> Statement:
        client = access.client(session, caller, ref, READ, Resource.LEDGER)
        return papers.statement(session, client, month_of(asked.month), moment, secret)

    return _drawn(work, asked.language, f"statement_{asked.month}")


def _drawn(work: Callable[[Session], Receipt | Statement], language: str | None, name: str) -> Response:
    """Read in one transaction, drawn after it: a long statement holds nobody up."""
    found = services().database.read(work)
    with force_locale(language or str(get_locale() or "en")):
        described = paper(found)
    content = run_blocking(services().papers.draw, described)
    headers = {"Content-Disposition": f'attachment; filename="{name}.pdf"'}
    return Response(content, 200, headers, content_type=PDF)
