"""The trading desk."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.core.permissions import Resource

from .page import client_choices, instrument_choices, is_staff, may, needs

blueprint = Blueprint("desk", __name__)


@blueprint.get("/desk")
@needs(Resource.ORDERS)
def index() -> ResponseReturnValue:
    return render_template(
        "desk/index.html",
        instruments=instrument_choices(),
        clients=client_choices(),
        staff=is_staff(),
        trade=may(Resource.ORDERS),
    )
