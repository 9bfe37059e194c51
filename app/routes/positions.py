"""Positions: the list, and one with its figures and executions."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.core.permissions import READ, Resource
from app.services import access

from .access import principal
from .page import client_choices, instrument_choices, is_staff, may, needs
from .request import db, now, services

blueprint = Blueprint("positions", __name__, url_prefix="/positions")


@blueprint.get("")
@needs(Resource.ORDERS)
def index() -> ResponseReturnValue:
    return render_template(
        "positions/index.html", clients=client_choices(), instruments=instrument_choices(), staff=is_staff()
    )


@blueprint.get("/<position_id>")
@needs(Resource.ORDERS)
def detail(position_id: str) -> ResponseReturnValue:
    position = access.position(db(), principal(), position_id, READ)
    return render_template(
        "positions/detail.html",
        position=services().positions.show(position, now()),
        client=access.client_of(db(), position),
        wallet=access.wallet_of(db(), position),
        instruments=instrument_choices(),
        staff=is_staff(),
        trade=may(Resource.ORDERS),
    )
