"""A payment provider, seen from inside: it makes pages where people pay, and reports what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from app.domain.deposits import PaymentReport


class ProviderUnavailable(Exception):
    """No answer, or one that says to ask again: it may have been done, and asking again with the same id is safe."""


class ProviderRefused(Exception):
    """The provider will not do it, however often it is asked. The text says why, for people."""


class BadSignature(Exception):
    """A webhook that the provider has not sent, that was altered, or that is too old."""


class Unreadable(Exception):
    """A report that is signed and still makes no sense."""


@dataclass(frozen=True, slots=True)
class PaymentIntent:
    """What is to be paid. ``deposit_id`` makes asking twice harmless."""

    deposit_id: str
    client_id: str
    wallet_id: str
    amount: Decimal
    currency: str
    description: str
    return_url: str
    cancel_url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class ProviderMessage:
    """A report as it came. ``id`` is the provider's own: the same one is taken once."""

    id: str
    type: str
    body: str


@dataclass(frozen=True, slots=True)
class PaymentPage:
    """Where to pay. ``message`` where the provider can tell at once how it ended."""

    reference: str
    url: str | None
    message: ProviderMessage | None = None


class PaymentProvider(Protocol):
    """One provider. Calls that go outside raise ``ProviderUnavailable`` or ``ProviderRefused``."""

    name: str
    live: bool | None  # whether it moves real money; None where it has no test mode

    def open_page(self, intent: PaymentIntent) -> PaymentPage:
        """Make the page, or return the one that was made for the same deposit."""

    def ask(self, reference: str) -> ProviderMessage:
        """How a page stands now, in the form of a report; the same state has the same id."""

    def close_page(self, reference: str) -> ProviderMessage:
        """Nobody shall pay on it any more; tells how it stands after that, which may be paid."""

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> ProviderMessage:
        """A webhook, once its signature over the raw body is right and fresh. Raises ``BadSignature``."""

    def read(self, type_: str, body: str) -> PaymentReport | None:
        """What a stored message says; None for what concerns no deposit. Raises ``Unreadable``."""
