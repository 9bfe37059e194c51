"""Clients: the list, and one with everything about it."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from flask_babel import get_locale

from app.core.errors import Forbidden
from app.core.permissions import HANDLE, READ, WRITE, Reach, Resource
from app.domain.countries import COUNTRIES
from app.services import access, actors, client_import, users
from app.services import clients as client_records

from .access import principal
from .page import instrument_choices, is_staff, may, needs
from .request import db

blueprint = Blueprint("clients", __name__, url_prefix="/clients")


def _staff_only() -> None:
    if not is_staff():
        raise Forbidden("clients are listed for the firm's people")


def _traders() -> list[dict[str, str]]:
    """For assigning a client; only management assigns."""
    if principal().reach(Resource.CLIENTS, WRITE) is not Reach.ALL:
        return []
    return users.traders(db())


def _country(code: str | None) -> str:
    """Its name in the reader's language."""
    locale = get_locale()
    return "–" if code is None else str(code if locale is None else locale.territories.get(code, code))


@blueprint.get("")
@needs(Resource.CLIENTS)
def index() -> ResponseReturnValue:
    _staff_only()
    create, countries = may(Resource.CLIENTS), sorted(COUNTRIES)
    return render_template("clients/index.html", create=create, traders=_traders(), countries=countries)


@blueprint.get("/import")
@needs(Resource.CLIENTS, WRITE)
def import_() -> ResponseReturnValue:
    _staff_only()
    return render_template("clients/import.html", columns=client_import.COLUMNS)


@blueprint.get("/<ref>")
@needs(Resource.CLIENTS)
def detail(ref: str) -> ResponseReturnValue:
    _staff_only()
    client = access.client(db(), principal(), ref, READ)
    return render_template(
        "clients/detail.html",
        client=client_records.show(client, to_firm=True),
        country=_country,
        countries=sorted(COUNTRIES),
        block=principal().reach(Resource.CLIENTS, WRITE) is Reach.ALL,
        add_documents=may(Resource.DOCUMENTS),
        trader=client.trader_id and actors.name(db(), principal(), f"user:{client.trader_id}"),
        edit=may(Resource.CLIENTS),
        open_wallet=may(Resource.WALLETS),
        trade=may(Resource.ORDERS),
        traders=_traders(),
        limits=may(Resource.LIMITS, READ),
        set_limits=may(Resource.LIMITS),
        accounts=may(Resource.BANK_ACCOUNTS, READ),
        write_accounts=may(Resource.BANK_ACCOUNTS),
        kyc=may(Resource.KYC, READ),
        decide_kyc=may(Resource.KYC, HANDLE),
        instruments=instrument_choices(),
    )
