"""What a fill costs and what its hold gives back, in a cash wallet."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .fees import fee_for
from .money import ZERO, round_amount, unit
from .orders import Side

ROUNDING_UNITS_MAX = 100  # a fill adds at most one unit; nobody fills an order in more parts than this unseen


@dataclass(frozen=True, slots=True)
class Settlement:
    """``value``, ``fee`` and ``rounding`` in the quote currency, the rest in what the order spends."""

    value: Decimal  # what the client pays or gets for the quantity
    fee: Decimal
    rounding: Decimal  # what the house adds where roundings ask for more than was held
    from_hold: Decimal  # paid out of what was held
    owed: Decimal  # neither held nor available: the client owes it to the house
    freed: Decimal  # held before, not needed any more
    held: Decimal  # still held for what is left of the order


def settle(
    side: Side,
    qty: Decimal,
    price: Decimal,
    rate: Decimal,
    scale: int,
    held: Decimal,
    still_needed: Decimal,
    available: Decimal,
    *,
    live: bool = True,
) -> Settlement:
    """Settle one fill: it always books.

    Value and fee are rounded half-even to the quote currency's ``scale``, each once. ``still_needed`` is the
    reserve of what is left of the order. Where the roundings of many partial fills add up to more than was
    held, the house gives way, first with its fee, then in a posting of its own. What is beyond roundings (a
    fill after the order's end, which is not ``live`` any more, or one above its limit) is paid from
    ``available``, and what that does not cover is owed.
    """
    value = round_amount(qty * price, scale)
    fee = fee_for(value, rate, scale)
    rounding = ZERO
    excess = value + fee - held
    if side is Side.BUY and live and ZERO < excess <= ROUNDING_UNITS_MAX * unit(scale):
        waived = min(excess, fee)
        rounding = excess - waived
        fee -= waived
        value -= rounding
    spent = qty if side is Side.SELL else value + fee
    from_hold = min(held, spent)
    owed = max(spent - from_hold - available, ZERO)
    left = min(held - from_hold, still_needed)
    return Settlement(value, fee, rounding, from_hold, owed, held - from_hold - left, left)
