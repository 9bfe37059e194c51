"""Deposits over JSON: declare, pay, match, and what does not fit."""

from __future__ import annotations

from typing import Any

from flask import request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.adapters.payments.base import ProviderUnavailable
from app.core.errors import Conflict, Invalid, NotFound
from app.core.permissions import HANDLE, READ, WRITE, Resource
from app.domain.deposits import OPEN, DepositMethod, DepositStatus
from app.routes.access import endpoint, principal
from app.routes.application import no_transaction
from app.routes.request import body, db, named_client, now, query, services, tagged
from app.schemas.deposits import (
    DepositIn,
    DepositOut,
    DepositQuery,
    DepositRejectIn,
    MatchIn,
    MismatchOut,
    MismatchQuery,
    ResolveIn,
)
from app.schemas.system import Empty
from app.services import access, bank_transfers, deposit_mismatches, deposits
from app.services.bank_transfers import BankMovement
from app.services.deposits import DepositFilter, DepositRequest

from . import blueprint, page

READING, WRITING, HANDLING = ((Resource.DEPOSITS, right) for right in (READ, WRITE, HANDLE))
REFUSALS = ("gate_closed", "unknown_asset", "precision", "required", "contradiction", "too_large")


def declare(wanted: DepositRequest, client_ref: str | None) -> str:
    """Store an intent and commit, then have its page made; returns the deposit's id.

    Where the provider does not answer the deposit stays pending, and the sweep goes on with it.
    """
    who, moment, ip, parts = principal(), now(), request.remote_addr, services()
    _require_method(wanted.method)
    quotes = parts.quotes.fresh(moment)

    def work(session: Session) -> str:
        client = access.acting_client(session, who, client_ref, Resource.DEPOSITS)
        currencies = parts.settings.deposit_currency_codes
        return deposits.declare(session, client, wanted, currencies, quotes, who, moment, ip).id

    deposit_id = parts.database.run(work)
    try:
        parts.payments.open_page(parts.database, deposit_id, moment)
    except ProviderUnavailable:
        parts.wake_chores()
    return deposit_id


def _require_method(method: DepositMethod) -> None:
    """Raises ``NotFound`` for a sandbox's in production, ``Invalid`` where its provider is not set up."""
    if method is DepositMethod.MOCK and services().settings.production:
        raise NotFound("there is no such method")
    if method is not DepositMethod.BANK_TRANSFER and deposits.PROVIDERS[method] not in services().payments.providers:
        raise Invalid.field("method", "method_not_available", "is not set up on this server", method.value)


def _shown(deposit_id: str) -> dict[str, Any]:
    who = principal()
    return services().database.read(lambda session: deposits.show(deposits.by_id(session, who, deposit_id, WRITE)))


@blueprint.get("/deposits")
@endpoint("List deposits", tag="deposits", query=DepositQuery, response=DepositOut, many=True, needs=READING)
def list_deposits() -> ResponseReturnValue:
    asked = query(DepositQuery)
    ref = named_client(asked.client_id)
    client_id = None if ref is None else access.client(db(), principal(), ref, READ, Resource.DEPOSITS).id
    wanted = DepositFilter(asked.status, asked.method, client_id)
    found, total = deposits.search(db(), principal(), wanted, asked.limit, asked.offset)
    return page([deposits.show(deposit) for deposit in found], total, asked.limit, asked.offset)


@blueprint.post("/deposits")
@endpoint(
    "Declare a deposit",
    tag="deposits",
    body=DepositIn,
    response=DepositOut,
    status=201,
    needs=WRITING,
    etag=True,
    errors=(*REFUSALS, "method_not_available", "unknown_proof"),
    description="A card deposit has the address to pay at in payment_url; null while the provider does not answer: "
    "it follows as the event deposit.updated. A deposit the provider refuses is answered as failed, with the reason.",
)
@no_transaction
def create_deposit() -> ResponseReturnValue:
    given = body(DepositIn)
    wanted = DepositRequest(
        given.method,
        given.amount,
        given.currency.upper(),
        given.wallet_id,
        given.bank_reference,
        given.proof_document_id,
        given.details,
    )
    return tagged(_shown(declare(wanted, named_client(given.client_id))), 201)


@blueprint.get("/deposits/mismatches")
@endpoint(
    "Reports that do not fit their deposit",
    tag="deposits",
    query=MismatchQuery,
    response=MismatchOut,
    many=True,
    needs=READING,
    description="For the firm's people; others get 404. Nothing of them has been credited.",
)
def list_mismatches() -> ResponseReturnValue:
    asked = query(MismatchQuery)
    found, total = deposit_mismatches.search(db(), principal(), asked.unresolved, asked.limit, asked.offset)
    return page(found, total, asked.limit, asked.offset)


@blueprint.post("/deposits/mismatches/<mismatch_id>/resolve")
@endpoint(
    "Note what was done about a mismatch",
    tag="deposits",
    body=ResolveIn,
    response=MismatchOut,
    needs=HANDLING,
    errors=("unchanged",),
    description="Moves no money: refund the payer at the provider, or have the client declare what came.",
)
def resolve_mismatch(mismatch_id: str) -> ResponseReturnValue:
    resolution = body(ResolveIn).resolution
    return deposit_mismatches.resolve(db(), mismatch_id, resolution, principal(), now(), request.remote_addr)


@blueprint.get("/deposits/<deposit_id>")
@endpoint("Get a deposit", tag="deposits", response=DepositOut, needs=READING, etag=True)
def get_deposit(deposit_id: str) -> ResponseReturnValue:
    return tagged(deposits.show(deposits.by_id(db(), principal(), deposit_id, READ)))


@blueprint.post("/deposits/<deposit_id>/cancel")
@endpoint(
    "Cancel a pending deposit",
    tag="deposits",
    body=Empty,
    response=DepositOut,
    needs=WRITING,
    etag=True,
    errors=("too_late",),
    description="Its payment page is closed. Money that has been paid nevertheless is credited.",
)
@no_transaction
def cancel_deposit(deposit_id: str) -> ResponseReturnValue:
    body(Empty)
    who, moment, ip, parts = principal(), now(), request.remote_addr, services()

    def work(session: Session) -> bool:
        deposit = deposits.by_id(session, who, deposit_id, WRITE, lock=True)
        deposits.cancel(session, deposit, who, moment, ip)
        return deposit.payment_url is not None

    if parts.database.run(work):
        try:
            parts.payments.close_page(parts.database, deposit_id.lower(), moment)
        except ProviderUnavailable:
            parts.wake_chores()
    return tagged(_shown(deposit_id))


@blueprint.post("/deposits/<deposit_id>/match")
@endpoint(
    "Match a bank transfer to what came in",
    tag="deposits",
    body=MatchIn,
    response=DepositOut,
    needs=HANDLING,
    etag=True,
    errors=("too_late", "wrong_amount", "movement_taken", "not_a_transfer"),
    description="It is credited once a second person has approved it.",
)
def match_deposit(deposit_id: str) -> ResponseReturnValue:
    given = body(MatchIn)
    movement = BankMovement(given.reference, given.account, given.amount, given.received_on)
    deposit = bank_transfers.match(db(), deposit_id, movement, principal(), now(), request.remote_addr)
    return tagged(deposits.show(deposit))


@blueprint.post("/deposits/<deposit_id>/reject")
@endpoint(
    "Give up a bank transfer that never came",
    tag="deposits",
    body=DepositRejectIn,
    response=DepositOut,
    needs=HANDLING,
    etag=True,
    errors=("too_late", "not_a_transfer"),
)
def reject_deposit(deposit_id: str) -> ResponseReturnValue:
    reason = body(DepositRejectIn).reason
    deposit = bank_transfers.reject(db(), deposit_id, reason, principal(), now(), request.remote_addr)
    return tagged(deposits.show(deposit))


@blueprint.post("/deposits/simulate-payment-success/<deposit_id>")
@endpoint(
    "Pretend that an open deposit was paid",
    tag="deposits",
    body=Empty,
    response=DepositOut,
    needs=WRITING,
    etag=True,
    errors=("too_late",),
    description="Of a sandbox: in production there is no such address.",
)
def simulate_payment_success(deposit_id: str) -> ResponseReturnValue:
    body(Empty)
    parts = services()
    if parts.settings.production:
        raise NotFound("there is no such address")
    deposit = deposits.by_id(db(), principal(), deposit_id, WRITE, lock=True)
    is_matched = deposit.method == DepositMethod.BANK_TRANSFER and deposit.status != DepositStatus.PENDING
    if DepositStatus(deposit.status) not in OPEN or is_matched:
        raise Conflict(f"the deposit is {deposit.status}", code="too_late", extra={"status": deposit.status})
    parts.payments.simulate(db(), deposit, now())
    return tagged(deposits.show(deposit))
