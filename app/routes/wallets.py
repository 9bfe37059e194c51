"""Wallets: the list, and one with balances, movements and limits."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.core.permissions import READ, Resource
from app.services import access
from app.services import wallets as wallet_records

from .access import principal
from .page import client_choices, instrument_choices, is_staff, may, needs
from .request import db

blueprint = Blueprint("wallets", __name__, url_prefix="/wallets")


@blueprint.get("")
@needs(Resource.WALLETS)
def index() -> ResponseReturnValue:
    return render_template(
        "wallets/index.html", clients=client_choices(Resource.WALLETS), staff=is_staff(), create=may(Resource.WALLETS)
    )


@blueprint.get("/<wallet_id>")
@needs(Resource.WALLETS)
def detail(wallet_id: str) -> ResponseReturnValue:
    wallet = access.wallet(db(), principal(), wallet_id, READ)
    client = access.client_of(db(), wallet)
    return render_template(
        "wallets/detail.html",
        wallet=wallet_records.show(wallet),
        client={"code": client.code, "name": client.name},
        edit=may(Resource.WALLETS),
        stop=may(Resource.WALLETS) or may(Resource.ORDERS),
        staff=is_staff(),
        instruments=instrument_choices(),
    )
