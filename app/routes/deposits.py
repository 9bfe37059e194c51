"""Deposits: the list, one of them, and what did not fit."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.core.errors import NotFound
from app.core.permissions import HANDLE, READ, Resource
from app.domain.deposits import DepositMethod
from app.services import access
from app.services import deposits as deposit_records

from .access import principal
from .page import client_choices, is_staff, may, needs
from .request import db, services

blueprint = Blueprint("deposits", __name__, url_prefix="/deposits")


def _methods() -> list[str]:
    """How a deposit can be paid on this server."""
    providers = services().payments.providers
    return [
        method.value
        for method in DepositMethod
        if method is DepositMethod.BANK_TRANSFER or deposit_records.PROVIDERS[method] in providers
    ]


@blueprint.get("")
@needs(Resource.DEPOSITS)
def index() -> ResponseReturnValue:
    return render_template(
        "deposits/index.html",
        staff=is_staff(),
        create=may(Resource.DEPOSITS),
        clients=client_choices(Resource.DEPOSITS) if is_staff() else [],
        mismatches=_sees_mismatches(),
        methods=_methods(),
        currencies=sorted(services().settings.deposit_currency_codes, reverse=True),
        client_id=principal().client_id,
    )


def _sees_mismatches() -> bool:
    return access.visible_clients(principal(), Resource.DEPOSITS, READ) is None


@blueprint.get("/mismatches")
@needs(Resource.DEPOSITS)
def mismatches() -> ResponseReturnValue:
    if not _sees_mismatches():
        raise NotFound("mismatches are the firm's")
    return render_template("deposits/mismatches.html", handle=may(Resource.DEPOSITS, HANDLE))


@blueprint.get("/<deposit_id>")
@needs(Resource.DEPOSITS)
def detail(deposit_id: str) -> ResponseReturnValue:
    deposit = deposit_records.by_id(db(), principal(), deposit_id, READ)
    client = deposit_records.client_of(db(), deposit)
    return render_template(
        "deposits/detail.html",
        deposit=deposit_records.show(deposit),
        client={"code": client.code, "name": client.name},
        proofs=deposit_records.proofs(db(), deposit.id),
        staff=is_staff(),
        own=principal().client_id == deposit.client_id,
        handle=may(Resource.DEPOSITS, HANDLE),
        pretend=may(Resource.DEPOSITS) and not services().settings.production,
    )
