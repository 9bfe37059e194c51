"""The first page of each role, and the help."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.core.permissions import READ, Resource

from .identity import person_required
from .page import client_choices, instrument_choices, is_staff, may

blueprint = Blueprint("dashboard", __name__)


@blueprint.get("/")
@person_required
def index() -> ResponseReturnValue:
    template = "dashboard/staff.html" if is_staff() else "dashboard/client.html"
    return render_template(
        template,
        instruments=instrument_choices(),
        system=may(Resource.SYSTEM, READ),
        trade=may(Resource.ORDERS),
        withdraw=may(Resource.WITHDRAWALS, READ),
        clients=client_choices() if is_staff() else [],
    )


@blueprint.get("/help")
@person_required
def help_page() -> ResponseReturnValue:
    return render_template(
        "dashboard/help.html",
        staff=is_staff(),
        users=may(Resource.USERS, READ),
        audit=may(Resource.AUDIT, READ),
        system=may(Resource.SYSTEM, READ),
        trade=may(Resource.ORDERS),
    )
