"""Withdrawals over JSON: what one would come to, asking for it, paying it."""

from __future__ import annotations

from flask import request
from flask.typing import ResponseReturnValue

from app.core.errors import Invalid
from app.core.permissions import HANDLE, READ, WRITE, Resource
from app.models import Client, Withdrawal
from app.routes.access import endpoint, principal
from app.routes.request import body, check_version, db, named_client, now, query, services, tagged
from app.schemas.system import Empty
from app.schemas.withdrawals import (
    WithdrawableOut,
    WithdrawableQuery,
    WithdrawalCancelIn,
    WithdrawalIn,
    WithdrawalOut,
    WithdrawalPaidIn,
    WithdrawalPreviewIn,
    WithdrawalPreviewOut,
    WithdrawalQuery,
    WithdrawalRefusalIn,
)
from app.services import access, wallets, withdrawals

from . import blueprint, page, whole

READING = (Resource.WITHDRAWALS, READ)
WRITING = (Resource.WITHDRAWALS, WRITE)
HANDLING = (Resource.WITHDRAWALS, HANDLE)
BAD_INPUT = (
    "amount_out_of_range",
    "precision",
    "unknown_account",
    "currency_mismatch",
    "invalid_email",
    "invisible",
    "required",
)


@blueprint.get("/funding/withdrawable")
@endpoint(
    "What may be withdrawn, with its parts",
    tag="funding",
    query=WithdrawableQuery,
    response=WithdrawableOut,
    many=True,
    needs=READING,
    errors=("required",),
    description="One for each wallet and currency that banks know. withdrawable is available minus what the house "
    "keeps back: owed, disputed and play_money; never below zero.",
)
def get_withdrawable() -> ResponseReturnValue:
    caller = principal()
    ref = named_client(query(WithdrawableQuery).client_id) or caller.client_id
    if ref is None:
        raise Invalid.field("client_id", "required", "must name the client whose money it is")
    client = access.client(db(), caller, ref, READ, Resource.WITHDRAWALS)
    ids = wallets.ids_of_client(db(), client.id)
    return whole([parts.show() for parts in services().withdrawals.balance.of_wallets(db(), ids)])


@blueprint.get("/withdrawals")
@endpoint(
    "List withdrawals, the newest first",
    tag="funding",
    query=WithdrawalQuery,
    response=WithdrawalOut,
    many=True,
    needs=READING,
    errors=("reversed_range",),
)
def list_withdrawals() -> ResponseReturnValue:
    asked = query(WithdrawalQuery)
    ref = named_client(asked.client_id)
    client_id = None if ref is None else access.client(db(), principal(), ref, READ, Resource.WITHDRAWALS).id
    wanted = withdrawals.WithdrawalFilter(client_id, asked.status, asked.currency, asked.created_from, asked.created_to)
    found, total = withdrawals.search(db(), principal(), wanted, asked.limit, asked.offset)
    return page([withdrawals.show(withdrawal) for withdrawal in found], total, asked.limit, asked.offset)


@blueprint.post("/withdrawals/preview")
@endpoint(
    "What a withdrawal would come to",
    tag="funding",
    body=WithdrawalPreviewIn,
    response=WithdrawalPreviewOut,
    needs=WRITING,
    errors=BAD_INPUT,
    description="Fee, tax, what arrives and when; or what is missing. Stores nothing.",
)
def preview_withdrawal() -> ResponseReturnValue:
    given = body(WithdrawalPreviewIn)
    return services().withdrawals.preview(db(), _client(given), given.wanted(), now())


@blueprint.post("/withdrawals")
@endpoint(
    "Ask for a withdrawal",
    tag="funding",
    body=WithdrawalIn,
    response=WithdrawalOut,
    status=201,
    also={200: WithdrawalPreviewOut},
    needs=WRITING,
    etag=True,
    errors=(*BAD_INPUT, "account_not_usable", "gate_closed", "insufficient_funds"),
    description="The money is set aside at once, and leaves when people of the firm have agreed and one has paid. "
    "With dry_run the answer is that of the preview, with 200.",
)
def create_withdrawal() -> ResponseReturnValue:
    given = body(WithdrawalIn)
    client = _client(given)
    if given.dry_run:
        return services().withdrawals.preview(db(), client, given.wanted(), now())
    made = services().withdrawals.request(db(), client, given.wanted(), principal(), now(), request.remote_addr)
    return tagged(withdrawals.show(made), 201)


def _client(given: WithdrawalPreviewIn) -> Client:
    return access.acting_client(db(), principal(), named_client(given.client_id), Resource.WITHDRAWALS)


@blueprint.get("/withdrawals/<withdrawal_id>")
@endpoint("Get a withdrawal", tag="funding", response=WithdrawalOut, needs=READING, etag=True)
def get_withdrawal(withdrawal_id: str) -> ResponseReturnValue:
    return tagged(withdrawals.show(access.withdrawal(db(), principal(), withdrawal_id, READ)))


@blueprint.post("/withdrawals/<withdrawal_id>/cancel")
@endpoint(
    "Cancel a withdrawal",
    tag="funding",
    body=WithdrawalCancelIn,
    response=WithdrawalOut,
    needs=WRITING,
    etag=True,
    if_match=True,
    errors=("wrong_status", "invisible"),
    description="Possible until an operator has begun to pay it. The money is available again.",
)
def cancel_withdrawal(withdrawal_id: str) -> ResponseReturnValue:
    reason, found = body(WithdrawalCancelIn).reason, _at_version(withdrawal_id, WRITE)
    return tagged(withdrawals.show(services().withdrawals.cancel(db(), found, reason, principal(), now())))


@blueprint.post("/withdrawals/<withdrawal_id>/reject")
@endpoint(
    "Refuse a withdrawal that was approved",
    tag="funding",
    body=WithdrawalRefusalIn,
    response=WithdrawalOut,
    needs=HANDLING,
    session_only=True,
    etag=True,
    if_match=True,
    errors=("wrong_status", "invisible"),
    description="For an operator who finds at the payout that it must not be paid. One that is in review is decided "
    "among the approvals.",
)
def reject_withdrawal(withdrawal_id: str) -> ResponseReturnValue:
    reason, found = body(WithdrawalRefusalIn).reason, _at_version(withdrawal_id, HANDLE)
    return tagged(withdrawals.show(services().withdrawals.reject(db(), found, reason, principal(), now())))


@blueprint.post("/withdrawals/<withdrawal_id>/start")
@endpoint(
    "Begin to pay a withdrawal",
    tag="funding",
    body=Empty,
    response=WithdrawalOut,
    needs=HANDLING,
    session_only=True,
    etag=True,
    if_match=True,
    errors=("wrong_status", "payer_not_independent", "account_not_usable", "gate_closed", "insufficient_funds"),
    description="From here on the client cannot cancel it. Everything that was asked at the request is asked again.",
)
def start_withdrawal(withdrawal_id: str) -> ResponseReturnValue:
    body(Empty)
    found = _at_version(withdrawal_id, HANDLE)
    return tagged(withdrawals.show(services().withdrawals.start(db(), found, principal(), now())))


@blueprint.post("/withdrawals/<withdrawal_id>/complete")
@endpoint(
    "Say that the bank has paid a withdrawal",
    tag="funding",
    body=WithdrawalPaidIn,
    response=WithdrawalOut,
    needs=HANDLING,
    session_only=True,
    etag=True,
    if_match=True,
    errors=("wrong_status", "payer_not_independent", "reference_taken", "unknown_document", "required", "invisible"),
)
def complete_withdrawal(withdrawal_id: str) -> ResponseReturnValue:
    given, found = body(WithdrawalPaidIn), _at_version(withdrawal_id, HANDLE)
    done = services().withdrawals.complete(db(), found, given.bank_reference, given.proof_id, principal(), now())
    return tagged(withdrawals.show(done))


@blueprint.post("/withdrawals/<withdrawal_id>/fail")
@endpoint(
    "Say that the bank has not paid a withdrawal",
    tag="funding",
    body=WithdrawalRefusalIn,
    response=WithdrawalOut,
    needs=HANDLING,
    session_only=True,
    etag=True,
    if_match=True,
    errors=("wrong_status", "payer_not_independent", "invisible"),
    description="The client has the money back.",
)
def fail_withdrawal(withdrawal_id: str) -> ResponseReturnValue:
    reason, found = body(WithdrawalRefusalIn).reason, _at_version(withdrawal_id, HANDLE)
    return tagged(withdrawals.show(services().withdrawals.fail(db(), found, reason, principal(), now())))


def _at_version(withdrawal_id: str, right: str) -> Withdrawal:
    """One that the caller may act on, as they have seen it."""
    found = access.withdrawal(db(), principal(), withdrawal_id, right)
    check_version(found.version)
    return found
