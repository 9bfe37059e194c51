"""Feeds, engine, faults, reconciliation, the simulated market and the simulated venue."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l

from app.core.permissions import Resource
from app.schemas.venue_control import MOST_BPS, MOST_MS

from .page import instrument_choices, may, needs
from .request import services

blueprint = Blueprint("system", __name__, url_prefix="/system")
VENUE_FIELDS = (  # name, label, unit, most
    ("latency_ms", _l("Latency"), "ms", MOST_MS),
    ("reject_rate", _l("Orders rejected"), "%", 100),
    ("partial_rate", _l("Orders filled in parts"), "%", 100),
    ("slippage_bps", _l("Slippage"), "bps", MOST_BPS),
    ("lost_ack_rate", _l("Acknowledgements lost"), "%", 100),
    ("duplicate_rate", _l("Messages said twice"), "%", 100),
    ("late_rate", _l("Messages late"), "%", 100),
)


@blueprint.get("")
@needs(Resource.SYSTEM)
def index() -> ResponseReturnValue:
    settings = services().settings
    settable = settings.market_feed == "manual" or (settings.market_feed == "simulated" and not settings.production)
    return render_template(
        "system/index.html",
        instruments=instrument_choices(),
        feed=settings.market_feed,
        control=settable and may(Resource.MARKET_CONTROL),
        decides=may(Resource.SYSTEM),
        switches=may(Resource.MARKET_CONTROL) and not settings.production,
        venue_fields=VENUE_FIELDS,
    )
