"""Stripe over JSON: its webhooks, and payment pages by Stripe's own names."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from flask import request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.adapters.payments.base import BadSignature, PaymentProvider, ProviderUnavailable
from app.core.errors import Malformed, NotFound
from app.core.permissions import WRITE, Resource
from app.domain.deposits import OPEN, DepositMethod, DepositStatus
from app.models import Deposit
from app.routes.access import endpoint, principal
from app.routes.application import no_transaction
from app.routes.request import body, named_client, now, services, whole_body
from app.schemas.deposits import CheckoutIn, CheckoutOut, ReceivedOut
from app.services import deposits, payments, provider_events
from app.services.deposits import DepositRequest

from . import blueprint
from .deposits import REFUSALS, declare

WRITING = (Resource.DEPOSITS, WRITE)


def _stripe() -> PaymentProvider:
    provider = services().payments.providers.get("stripe")
    if provider is None:
        raise NotFound("card payments are not set up on this server")
    return provider


def _checkout(deposit: Deposit) -> dict[str, object]:
    shown = deposits.show(deposit)
    return {
        "session_id": shown["provider_reference"],
        "url": shown["payment_url"],
        "deposit_id": shown["id"],
        **{name: shown[name] for name in ("status", "amount", "currency", "expires_at")},
    }


@blueprint.post("/stripe/webhook")
@endpoint(
    "Take a report from Stripe",
    tag="deposits",
    response=ReceivedOut,
    public=True,
    errors=("bad_signature", "malformed", "not_found"),
    description="Signed by Stripe over the raw body, at most 300 seconds old. It is stored once by its id and "
    "answered; what it says is worked off from there.",
)
@no_transaction
def stripe_webhook() -> ResponseReturnValue:
    moment, parts = now(), services()
    try:
        message = _stripe().verify(whole_body(), dict(request.headers), moment)
    except BadSignature as error:
        raise Malformed(str(error), code="bad_signature") from error

    def work(session: Session) -> bool:
        return provider_events.receive(session, "stripe", message.id, message.type, message.body, moment)

    if parts.database.run(work):
        parts.wake()
        parts.wake_chores()
    return {"received": True}


stripe_webhook.csrf_exempt = True  # type: ignore[attr-defined]


@blueprint.post("/stripe/create-checkout-session")
@endpoint(
    "Declare a card deposit and open its payment page",
    tag="deposits",
    body=CheckoutIn,
    response=CheckoutOut,
    status=201,
    needs=WRITING,
    errors=REFUSALS,
    description="The same as POST /deposits with the method card, in Stripe's names.",
)
@no_transaction
def create_checkout_session() -> ResponseReturnValue:
    given, who = body(CheckoutIn), principal()
    _stripe()
    wanted = DepositRequest(
        DepositMethod.CARD, given.amount, given.currency.upper(), given.wallet_id, details=given.details
    )
    made = declare(wanted, named_client(given.client_id))
    return services().database.read(lambda session: _checkout(deposits.by_id(session, who, made, WRITE))), 201


@blueprint.get("/stripe/session/<session_id>")
@endpoint(
    "State of a payment page",
    tag="deposits",
    response=CheckoutOut,
    needs=WRITING,
    description="For the client whose deposit it is. While it is open Stripe is asked, at most every 5 seconds; "
    "what Stripe says is applied at once, as a webhook would be.",
)
@no_transaction
def get_checkout_session(session_id: str) -> ResponseReturnValue:
    who, moment, parts = principal(), now(), services()
    found = parts.database.read(lambda session: _asked(session, session_id, moment))
    if found is not None:
        with suppress(ProviderUnavailable):  # what we know is the answer then
            parts.payments.ask(parts.database, found, moment)
    return parts.database.read(lambda session: _checkout(deposits.of_session(session, who, session_id, WRITE)))


def _asked(session: Session, session_id: str, moment: datetime) -> str | None:
    """The id of the deposit whose page is to be asked about; None where nothing new is to be heard."""
    deposit = deposits.of_session(session, principal(), session_id, WRITE)
    heard = deposit.asked_at or deposit.created_at
    is_due = moment - heard >= payments.ASK_AGAIN_AFTER
    return deposit.id if DepositStatus(deposit.status) in OPEN and is_due else None
