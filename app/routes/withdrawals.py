"""Withdrawals: what may be withdrawn and the accounts it goes to, the list, and one with its steps."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.core.permissions import HANDLE, READ, Resource
from app.domain.withdrawals import BANK_CURRENCIES, WithdrawalStatus
from app.services import access
from app.services import withdrawals as withdrawal_records

from .access import principal
from .page import client_choices, is_staff, may, needs
from .request import db

blueprint = Blueprint("withdrawals", __name__, url_prefix="/withdrawals")


@blueprint.get("")
@needs(Resource.WITHDRAWALS)
def index() -> ResponseReturnValue:
    return render_template(
        "withdrawals/index.html",
        clients=client_choices(Resource.WITHDRAWALS),
        staff=is_staff(),
        ask=may(Resource.WITHDRAWALS),
        accounts=may(Resource.BANK_ACCOUNTS),
        currencies=BANK_CURRENCIES,
        statuses=[status.value for status in WithdrawalStatus],
    )


@blueprint.get("/<withdrawal_id>")
@needs(Resource.WITHDRAWALS)
def detail(withdrawal_id: str) -> ResponseReturnValue:
    withdrawal = access.withdrawal(db(), principal(), withdrawal_id, READ)
    client = access.client_of(db(), withdrawal)
    return render_template(
        "withdrawals/detail.html",
        withdrawal=withdrawal_records.show(withdrawal),
        client={"id": client.id, "code": client.code, "name": client.name},
        wallet=access.wallet_of(db(), withdrawal).name,
        staff=is_staff(),
        cancel=may(Resource.WITHDRAWALS),
        handle=may(Resource.WITHDRAWALS, HANDLE),
        approvals=may(Resource.APPROVALS, READ),
    )
