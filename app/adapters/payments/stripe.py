"""Stripe Checkout through Stripe's own library. Our deposit's id travels in the metadata of session and payment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

import stripe

from app.core import json
from app.core.errors import Malformed
from app.domain.deposits import PaymentReport, ReportKind
from app.domain.money import decimals

from .base import (
    BadSignature,
    PaymentIntent,
    PaymentPage,
    ProviderMessage,
    ProviderRefused,
    ProviderUnavailable,
    Unreadable,
)

API: Final = "https://api.stripe.com"
TOLERANCE: Final = timedelta(seconds=300)
TIMEOUT_SECONDS: Final = 20
RETRIES: Final = 1
RETRIEVED: Final = "checkout.session.retrieved"  # ours: a session as Stripe answered when we asked

# https://docs.stripe.com/currencies: amounts are in the smallest unit, for most currencies a hundredth
WITHOUT_CENTS: Final = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"}
)
OF_THOUSANDTHS: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})

_SESSION: Final = {
    "checkout.session.async_payment_succeeded": ReportKind.PAID,
    "checkout.session.async_payment_failed": ReportKind.FAILED,
    "checkout.session.expired": ReportKind.EXPIRED,
}
_DISPUTE: Final = {
    "charge.dispute.created": ReportKind.DISPUTE_OPENED,
    "charge.dispute.funds_withdrawn": ReportKind.DISPUTE_TAKEN,
    "charge.dispute.funds_reinstated": ReportKind.DISPUTE_RETURNED,
    "charge.dispute.closed": ReportKind.DISPUTE_CLOSED,
}
T = TypeVar("T")


def exponent(currency: str) -> int:
    """How many decimals Stripe's smallest unit of a currency has."""
    return 0 if currency in WITHOUT_CENTS else 3 if currency in OF_THOUSANDTHS else 2


def minor_units(amount: Decimal, currency: str) -> int:
    """An amount as Stripe counts it. Raises ``ProviderRefused`` for parts of its smallest unit."""
    if decimals(amount) > exponent(currency):
        raise ProviderRefused(f"{amount} {currency} has more decimals than a card payment can have")
    return int(amount.scaleb(exponent(currency)))


def from_minor_units(units: int, currency: str) -> Decimal:
    return Decimal(units).scaleb(-exponent(currency))


class StripePayments:
    """One Stripe account. ``api`` is its base address, another one for tests."""

    name = "stripe"

    def __init__(self, secret_key: str, webhook_secret: str, api: str = API) -> None:
        self.live: bool | None = "_live_" in secret_key[:8]
        self._webhook_secret = webhook_secret
        http = stripe.RequestsClient(timeout=TIMEOUT_SECONDS)
        self._client = stripe.StripeClient(
            secret_key, base_addresses={"api": api}, http_client=http, max_network_retries=RETRIES
        )

    def open_page(self, intent: PaymentIntent) -> PaymentPage:
        ours = {"deposit_id": intent.deposit_id, "client_id": intent.client_id, "wallet_id": intent.wallet_id}
        price: Any = {
            "currency": intent.currency.lower(),
            "unit_amount": minor_units(intent.amount, intent.currency),
            "product_data": {"name": intent.description},
        }
        wanted: Any = {
            "mode": "payment",
            "line_items": [{"price_data": price, "quantity": 1}],
            "client_reference_id": intent.deposit_id,
            "metadata": ours,
            "payment_intent_data": {"metadata": ours},  # charges take it over, and with them refunds name us
            "success_url": intent.return_url,
            "cancel_url": intent.cancel_url,
            "expires_at": int(intent.expires_at.timestamp()),
        }
        options: Any = {"idempotency_key": intent.deposit_id}
        session = _ask(lambda: self._client.v1.checkout.sessions.create(wanted, options))
        return PaymentPage(session.id, session.url)

    def ask(self, reference: str) -> ProviderMessage:
        return _retrieved(_ask(lambda: self._client.v1.checkout.sessions.retrieve(reference)))

    def close_page(self, reference: str) -> ProviderMessage:
        try:
            return _retrieved(_ask(lambda: self._client.v1.checkout.sessions.expire(reference)))
        except ProviderRefused:  # it is closed already: paid, or expired by itself
            return self.ask(reference)

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> ProviderMessage:
        header = headers.get("Stripe-Signature")
        try:
            stripe.WebhookSignature.verify_header(body, header, self._webhook_secret)
            # the header is right, so that its first t= is what was signed; our clock judges its age
            sent = int(next(part for part in str(header).split(",") if part.startswith("t="))[2:])
        except (stripe.SignatureVerificationError, ValueError, StopIteration) as error:
            raise BadSignature("the signature is missing or does not fit the body") from error
        if abs(now.timestamp() - sent) > TOLERANCE.total_seconds():
            raise BadSignature("the signature is too old")
        said = json.loads(body)
        if not isinstance(said, dict) or not isinstance(said.get("id"), str) or not isinstance(said.get("type"), str):
            raise Malformed("the body is no event of Stripe")
        return ProviderMessage(said["id"][:100], said["type"][:80], body.decode("utf-8"))

    def read(self, type_: str, body: str) -> PaymentReport | None:
        try:
            said = json.loads(body)
            thing = said["data"]["object"] if type_ != RETRIEVED else said
            report = _report(type_, thing)
            return None if report is None else replace(report, live=said.get("livemode"))
        except (Malformed, KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise Unreadable(f"{type_}: {error!r}") from error


def _ask(call: Callable[[], T]) -> T:
    """One call, with Stripe's errors as ours: what a repeat may mend, and what it cannot."""
    try:
        return call()
    except stripe.InvalidRequestError as error:
        raise ProviderRefused(error.user_message or "Stripe does not take it") from error
    except stripe.StripeError as error:  # no answer, too many, theirs, or a key that is not right (yet)
        raise ProviderUnavailable(f"{type(error).__name__}: {error.user_message or 'no answer'}") from error


def _retrieved(session: Any) -> ProviderMessage:
    """A session's state as a message: once for each state it can be in."""
    body = json.dumps(session.to_dict())
    return ProviderMessage(f"{session.id}:{session.status}:{session.payment_status}"[-100:], RETRIEVED, body)


def _report(type_: str, thing: dict[str, Any]) -> PaymentReport | None:
    if type_.startswith("checkout.session."):
        kind = _session_kind(type_, thing)
        return None if kind is None else _of_session(kind, thing)
    if type_ == "payment_intent.payment_failed":
        return _of_payment(thing)
    if type_ == "charge.refunded":
        return _of_charge(thing)
    if type_ in _DISPUTE:
        return _of_dispute(_DISPUTE[type_], thing)
    return None


def _session_kind(type_: str, session: dict[str, Any]) -> ReportKind | None:
    if type_ in _SESSION:
        return _SESSION[type_]
    if type_ not in ("checkout.session.completed", RETRIEVED):
        return None
    if session["status"] == "complete":
        return ReportKind.PROCESSING if session["payment_status"] == "unpaid" else ReportKind.PAID
    return ReportKind.EXPIRED if session["status"] == "expired" else ReportKind.OPEN


def _of_session(kind: ReportKind, session: dict[str, Any]) -> PaymentReport:
    ours = session["metadata"] or {}
    currency = _currency(session)
    total = session["amount_total"]
    return PaymentReport(
        kind,
        deposit_id=ours.get("deposit_id") or session["client_reference_id"],
        client_id=ours.get("client_id"),
        wallet_id=ours.get("wallet_id"),
        reference=session["id"],
        payment=_id(session["payment_intent"]),
        amount=None if total is None else from_minor_units(int(total), currency),
        currency=currency,
    )


def _of_payment(payment: dict[str, Any]) -> PaymentReport:
    wrong = payment.get("last_payment_error") or {}
    return PaymentReport(
        ReportKind.ATTEMPT_FAILED,
        deposit_id=(payment["metadata"] or {}).get("deposit_id"),
        payment=payment["id"],
        reason=wrong.get("message") or wrong.get("code"),
    )


def _of_charge(charge: dict[str, Any]) -> PaymentReport:
    currency = _currency(charge)
    return PaymentReport(
        ReportKind.REFUNDED,
        deposit_id=(charge["metadata"] or {}).get("deposit_id"),
        payment=_id(charge["payment_intent"]),
        amount=from_minor_units(int(charge["amount_refunded"]), currency),
        currency=currency,
    )


def _of_dispute(kind: ReportKind, dispute: dict[str, Any]) -> PaymentReport:
    currency = _currency(dispute)
    return PaymentReport(
        kind,
        payment=_id(dispute["payment_intent"]),
        dispute=dispute["id"],
        amount=from_minor_units(int(dispute["amount"]), currency),
        currency=currency,
        won=dispute["status"] in ("won", "warning_closed"),
        reason=dispute.get("reason"),
    )


def _currency(thing: dict[str, Any]) -> str:
    return str(thing["currency"] or "").upper()


def _id(thing: Any) -> str | None:
    """Of what Stripe names by its id, or puts in whole where that was asked for."""
    named = thing["id"] if isinstance(thing, dict) else thing
    return None if named is None else str(named)
