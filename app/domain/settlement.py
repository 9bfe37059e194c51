"""What a fill costs and what its hold gives back, in a cash wallet."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .fees import fee_for
from .money import ZERO, round_amount, scale_of, unit
from .orders import Side

ROUNDING_UNITS_MAX = 100  # a fill adds at most one unit; nobody fills an order in more parts than this unseen


class HoldTooSmall(Exception):
    """A fill costs more than its hold by more than roundings can explain: something is wrong, book nothing."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """Amounts in the quote currency, but ``from_hold``, ``freed`` and ``held`` in what the order spends."""

    value: Decimal  # what the client pays or gets for the quantity
    fee: Decimal
    rounding: Decimal  # what the house adds where roundings ask for more than was held
    from_hold: Decimal  # paid out of what was held
    freed: Decimal  # held before, not needed any more
    held: Decimal  # still held for what is left of the order


def settle(
    side: Side,
    qty: Decimal,
    price: Decimal,
    rate: Decimal,
    currency: str,
    held: Decimal,
    still_needed: Decimal,
    *,
    covered: bool = True,
) -> Settlement:
    """Settle one fill against the order's hold.

    Value and fee are rounded half-even, each once. ``still_needed`` is the reserve of what is left of the
    order. Where the roundings of many partial fills add up to more than was held, the house gives way,
    first with its fee, then in a posting of its own: a hold always suffices. A fill after the order's end
    is not ``covered`` by a hold any more and pays from the available balance.
    """
    value = round_amount(qty * price, currency)
    fee = fee_for(value, rate, currency)
    rounding = ZERO
    if side is Side.SELL:
        spent = qty
    else:
        excess = max(value + fee - held, ZERO) if covered else ZERO
        waived = min(excess, fee)
        rounding = excess - waived
        if rounding > ROUNDING_UNITS_MAX * unit(scale_of(currency)):
            raise HoldTooSmall(f"{value + fee} {currency} to pay, {held} held")
        fee -= waived
        value -= rounding
        spent = value + fee
    from_hold = min(held, spent)
    left = min(held - from_hold, still_needed)
    return Settlement(value, fee, rounding, from_hold, held - from_hold - left, left)
