"""The journal and the trial balance."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.core.errors import Forbidden
from app.core.permissions import READ, Reach, Resource
from app.domain.ledger import EntryKind
from app.services import journal_reports

from .access import principal
from .page import actor_name, client_choices, is_staff, needs
from .request import db

blueprint = Blueprint("journal", __name__, url_prefix="/journal")


def _sees_firm() -> bool:
    return principal().reach(Resource.LEDGER, READ) is Reach.ALL


@blueprint.get("")
@needs(Resource.LEDGER)
def index() -> ResponseReturnValue:
    return render_template(
        "journal/index.html",
        clients=client_choices(Resource.LEDGER),
        kinds=[kind.value for kind in EntryKind],
        staff=is_staff(),
        firm=_sees_firm(),
    )


@blueprint.get("/trial-balance")
@needs(Resource.LEDGER)
def trial_balance() -> ResponseReturnValue:
    if not _sees_firm():
        raise Forbidden("the trial balance is the firm's", code="firm_only")
    return render_template("journal/trial_balance.html")


@blueprint.get("/<entry_id>")
@needs(Resource.LEDGER)
def detail(entry_id: str) -> ResponseReturnValue:
    entry = journal_reports.entry(db(), principal(), entry_id)
    return render_template("journal/detail.html", entry=entry, booked_by=actor_name(entry["created_by"]))
