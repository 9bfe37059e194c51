"""Money that goes out: the states of a withdrawal, what it costs, and when it arrives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from .money import floor_to, round_amount, unit


class WithdrawalStatus(StrEnum):
    PENDING_REVIEW = "pending_review"
    APPROVED = "approved"
    PROCESSING = "processing"
    COMPLETED = "completed"
    REJECTED = "rejected"
    CANCELED = "canceled"
    FAILED = "failed"


STEPS: Final[dict[WithdrawalStatus, frozenset[WithdrawalStatus]]] = {
    WithdrawalStatus.PENDING_REVIEW: frozenset(
        {WithdrawalStatus.APPROVED, WithdrawalStatus.REJECTED, WithdrawalStatus.CANCELED}
    ),
    WithdrawalStatus.APPROVED: frozenset(
        {WithdrawalStatus.PROCESSING, WithdrawalStatus.REJECTED, WithdrawalStatus.CANCELED}
    ),
    WithdrawalStatus.PROCESSING: frozenset({WithdrawalStatus.COMPLETED, WithdrawalStatus.FAILED}),
}
HOLDS: Final = frozenset({WithdrawalStatus.PENDING_REVIEW, WithdrawalStatus.APPROVED, WithdrawalStatus.PROCESSING})

BANK_CURRENCIES: Final = ("EUR", "GBP", "JPY", "PEN", "USD")  # what banks keep accounts in
TAX_STEP: Final = Decimal("0.05")
_SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class WithdrawalRequest:
    """What is asked for. ``amount`` is what leaves the wallet, in ``currency``, which is the account's.

    ``bank_account_id`` None: the client's first choice in that currency.
    """

    amount: Decimal
    currency: str
    bank_account_id: str | None = None
    wallet_id: str | None = None
    email: str | None = None
    phone: str | None = None
    concept: str | None = None
    details: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """``fee_rate`` and ``tax_rate`` are fractions of what leaves the wallet: 0.001 is 0.1 %."""

    fee_rate: Decimal
    tax_rate: Decimal
    payout_days: int  # Mondays to Fridays until the money is there


@dataclass(frozen=True, slots=True)
class Charge:
    """What leaves the wallet, and what of it stays with the house and goes to the tax office; in one currency."""

    amount: Decimal
    fee: Decimal
    tax: Decimal

    @property
    def arrives(self) -> Decimal:
        return self.amount - self.fee - self.tax


def charge(amount: Decimal, terms: Terms, scale: int) -> Charge:
    """Fee, half-even to the currency's scale, and tax on an amount.

    The tax is Peru's on financial transactions (ITF): what does not reach five hundredths is dropped.
    """
    step = max(TAX_STEP, unit(scale))
    return Charge(amount, round_amount(amount * terms.fee_rate, scale), floor_to(amount * terms.tax_rate, step))


def arrives_on(moment: datetime, terms: Terms) -> date:
    """The day on which what is paid out from ``moment`` on is there; Saturdays and Sundays do not count."""
    day, left = moment.date(), terms.payout_days
    while left > 0 or day.weekday() >= _SATURDAY:
        day += timedelta(days=1)
        if day.weekday() < _SATURDAY:
            left -= 1
    return day


def mask(number: str) -> str:
    """An account's number as others may see it: its last four characters."""
    return "•" * (len(number) - 4) + number[-4:]
