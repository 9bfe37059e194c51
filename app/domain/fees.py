"""Trading fees."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .money import round_amount


@dataclass(frozen=True, slots=True)
class FeeRates:
    """Fractions of the traded value (0.001 is 0.1 %), charged in the quote currency."""

    maker: Decimal
    taker: Decimal


def fee_for(value: Decimal, rate: Decimal, scale: int) -> Decimal:
    """Fee on a traded value, rounded half-even to the quote currency's scale."""
    return round_amount(value * rate, scale)
