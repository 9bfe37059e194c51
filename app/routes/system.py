"""Feeds, engine, faults, reconciliation and the simulated market."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.core.permissions import Resource

from .edge import services
from .page import instrument_choices, may, needs

blueprint = Blueprint("system", __name__, url_prefix="/system")


@blueprint.get("")
@needs(Resource.SYSTEM)
def index() -> ResponseReturnValue:
    settings = services().settings
    settable = settings.market_feed == "manual" or (settings.market_feed == "simulated" and not settings.production)
    return render_template(
        "system/index.html", instruments=instrument_choices(), feed=settings.market_feed,
        control=settable and may(Resource.MARKET_CONTROL),
    )  # fmt: skip
