"""The journal over JSON and CSV."""

from __future__ import annotations

from flask.typing import ResponseReturnValue

from app.core.clock import iso
from app.core.permissions import READ, Resource
from app.routes.access import endpoint, principal
from app.routes.request import db, named_client, query
from app.schemas.ledger import EntryOut, EntryQuery, TrialBalanceOut, TrialBalanceQuery
from app.services import access, journal_reports

from . import blueprint, csv, page

READING = (Resource.LEDGER, READ)


@blueprint.get("/journal/entries")
@endpoint(
    "List journal entries with their postings",
    tag="journal",
    query=EntryQuery,
    response=EntryOut,
    many=True,
    needs=READING,
    errors=("reversed_range",),
)
def list_entries() -> ResponseReturnValue:
    asked = query(EntryQuery)
    ref = named_client(asked.client_id)
    client_id = None if ref is None else access.client(db(), principal(), ref, READ, Resource.LEDGER).id
    wanted = journal_reports.EntryFilter(
        asked.kind, asked.about_type, asked.about_id, client_id, asked.wallet_id, asked.from_, asked.to
    )
    items, total = journal_reports.list_entries(db(), principal(), wanted, asked.limit, asked.offset)
    if asked.format == "csv":
        return csv(journal_reports.entries_csv(items), "journal")
    return page(items, total, asked.limit, asked.offset)


@blueprint.get("/journal/entries/<entry_id>")
@endpoint("Get a journal entry", tag="journal", response=EntryOut, needs=READING)
def get_entry(entry_id: str) -> ResponseReturnValue:
    return journal_reports.entry(db(), principal(), entry_id)


@blueprint.get("/journal/trial-balance")
@endpoint(
    "The firm's trial balance",
    tag="journal",
    query=TrialBalanceQuery,
    response=TrialBalanceOut,
    needs=READING,
    errors=("firm_only",),
)
def trial_balance() -> ResponseReturnValue:
    asked = query(TrialBalanceQuery)
    rows = journal_reports.trial_balance(db(), principal(), asked.until)
    if asked.format == "csv":
        return csv(journal_reports.trial_balance_csv(rows), "trial-balance")
    return {"until": None if asked.until is None else iso(asked.until), "items": rows}
