"""Money that comes in: the states of a deposit, and what a report of a payment does to one."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from .money import text


class DepositMethod(StrEnum):
    CARD = "card"
    BANK_TRANSFER = "bank_transfer"
    MOCK = "mock"  # a sandbox's: completes at once


class DepositStatus(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class DisputeStatus(StrEnum):
    """Of a payment that its payer contests at the bank."""

    OPEN = "open"
    WON = "won"  # by the firm: the money stays, or comes back
    LOST = "lost"


STEPS: Final[dict[DepositStatus, frozenset[DepositStatus]]] = {
    DepositStatus.PENDING: frozenset(
        {DepositStatus.PROCESSING, DepositStatus.COMPLETED, DepositStatus.FAILED, DepositStatus.CANCELED}
    ),
    # back to PENDING: the second person did not confirm the bank movement it was matched to
    DepositStatus.PROCESSING: frozenset(
        {DepositStatus.PENDING, DepositStatus.COMPLETED, DepositStatus.FAILED, DepositStatus.CANCELED}
    ),
    # money that arrives although we had given it up is money: it is credited
    DepositStatus.FAILED: frozenset({DepositStatus.COMPLETED}),
    DepositStatus.CANCELED: frozenset({DepositStatus.COMPLETED}),
}
OPEN: Final = frozenset({DepositStatus.PENDING, DepositStatus.PROCESSING})


class ReportKind(StrEnum):
    """What a payment provider can tell of a payment."""

    OPEN = "open"  # its page waits for the payer
    PROCESSING = "processing"  # the payer has done their part, the money is on its way
    PAID = "paid"
    ATTEMPT_FAILED = "attempt_failed"  # the payer may try again until the page expires
    FAILED = "failed"
    EXPIRED = "expired"
    REFUNDED = "refunded"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_TAKEN = "dispute_taken"  # the bank has taken the money back
    DISPUTE_RETURNED = "dispute_returned"
    DISPUTE_CLOSED = "dispute_closed"


@dataclass(frozen=True, slots=True)
class PaymentReport:
    """One report, in our terms. What is None was not said.

    ``amount`` is what was paid, refunded in all, or disputed, in units of ``currency``; ``reference`` names the
    payment page, ``payment`` the payment within it, ``dispute`` the dispute.
    """

    kind: ReportKind
    deposit_id: str | None = None
    client_id: str | None = None
    wallet_id: str | None = None
    reference: str | None = None
    payment: str | None = None
    dispute: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    live: bool | None = None  # real money, not the provider's test mode
    won: bool = False  # of a dispute that was closed
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What a report must fit: the intent, as it was stored."""

    deposit_id: str
    client_id: str
    wallet_id: str
    amount: Decimal
    currency: str
    reference: str | None  # None until the provider's answer to the intent is stored
    live: bool | None  # None where the provider has no test mode


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What does not fit. ``code`` is stable; both sides as the API shows them."""

    code: str
    expected: dict[str, str | None]
    found: dict[str, str | None]


# the fields that must agree in this order, with the code of a difference
_AGREE: Final = (
    ("live", "wrong_mode"),
    ("reference", "wrong_reference"),
    ("client_id", "wrong_client"),
    ("wallet_id", "wrong_wallet"),
    ("currency", "wrong_currency"),
    ("amount", "wrong_amount"),
)


def find_mismatch(expected: Expected, report: PaymentReport) -> Mismatch | None:
    """The first way in which a report of a payment does not fit its deposit; None where all of it does.

    A payment has to name amount and currency; of the rest, what it does not name contradicts nothing.
    """
    for name, code in _AGREE:
        wanted, found = getattr(expected, name), getattr(report, name)
        must_be_named = name in ("amount", "currency")
        if (found is None and must_be_named) or (wanted is not None and found is not None and found != wanted):
            return Mismatch(code, _shown(expected), _shown(report))
    return None


def _shown(of: Expected | PaymentReport) -> dict[str, str | None]:
    return {
        "amount": None if of.amount is None else text(of.amount),
        "currency": of.currency,
        "deposit_id": of.deposit_id,
        "client_id": of.client_id,
        "wallet_id": of.wallet_id,
        "reference": of.reference,
        "mode": {True: "live", False: "test", None: None}[of.live],
    }


def unknown_deposit(report: PaymentReport) -> Mismatch:
    """A payment that names no deposit of ours."""
    return Mismatch("unknown_deposit", {}, _shown(report))


def unknown_payment(report: PaymentReport) -> Mismatch:
    """What followed a payment that nobody has reported to us."""
    return Mismatch("unknown_payment", {}, _shown(report))
