"""A sandbox's payment provider: whatever is to be paid is paid at once. Nothing of it exists in production."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from app.core import json
from app.domain.deposits import PaymentReport, ReportKind
from app.domain.money import parse_decimal, text

from .base import BadSignature, PaymentIntent, PaymentPage, ProviderMessage, ProviderRefused, Unreadable

PAID: Final = "mock.paid"


class MockPayments:
    """No network, and no state: a page is paid as it is opened, and a repeat is the same message."""

    name = "mock"
    live: bool | None = None

    def open_page(self, intent: PaymentIntent) -> PaymentPage:
        return PaymentPage(f"mock_{intent.deposit_id}", None, paid_message(intent))

    def ask(self, reference: str) -> ProviderMessage:
        raise ProviderRefused(f"{reference} was paid as it was opened; there is nothing to ask")

    def close_page(self, reference: str) -> ProviderMessage:
        raise ProviderRefused(f"{reference} was paid as it was opened; there is nothing to close")

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> ProviderMessage:
        raise BadSignature("the mock provider sends no webhooks")

    def read(self, type_: str, body: str) -> PaymentReport | None:
        if type_ != PAID:
            return None
        try:
            said = json.loads_stored(body)
            return PaymentReport(
                ReportKind.PAID,
                deposit_id=said["deposit_id"],
                client_id=said["client_id"],
                wallet_id=said["wallet_id"],
                amount=parse_decimal(said["amount"]),
                currency=said["currency"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Unreadable(f"{type_}: {error!r}") from error


def paid_message(intent: PaymentIntent) -> ProviderMessage:
    """As if the payer had paid exactly what was asked."""
    body = {
        "deposit_id": intent.deposit_id,
        "client_id": intent.client_id,
        "wallet_id": intent.wallet_id,
        "amount": text(intent.amount),
        "currency": intent.currency,
    }
    return ProviderMessage(f"{PAID}:{intent.deposit_id}", PAID, json.dumps(body))
