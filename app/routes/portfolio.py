"""The portfolio page: a client's own, or for staff that of a client they look after."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.core.permissions import Resource

from .page import client_choices, instrument_choices, is_staff, needs

blueprint = Blueprint("portfolio", __name__, url_prefix="/portfolio")


@blueprint.get("")
@needs(Resource.WALLETS)
def index() -> ResponseReturnValue:
    return render_template(
        "portfolio/index.html",
        clients=client_choices(Resource.WALLETS),
        instruments=instrument_choices(),
        staff=is_staff(),
    )
