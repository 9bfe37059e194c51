"""Positions at average cost: what a fill does to one, and what it is worth.

Worked example (03 of the product book): buy 0.5 at 50,000 with fee 25; at 51,000 the unrealized profit
is 475.00; sold at 51,500 with fee 25.75 the realized profit is 699.25.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from .money import ZERO, round_amount
from .orders import Side


class PositionStatus(StrEnum):
    OPENING = "OPENING"
    OPEN = "OPEN"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"


class ExitReason(StrEnum):
    TAKE_PROFIT = "take_profit"
    STOP_LOSS = "stop_loss"
    TRAILING_STOP = "trailing_stop"
    BREAK_EVEN = "break_even"
    MANUAL = "manual"
    AI_SIGNAL = "ai_signal"


@dataclass(frozen=True, slots=True)
class Fill:
    """``value`` is what changed hands in the quote currency: qty · price, rounded once when it was booked."""

    side: Side
    qty: Decimal
    price: Decimal
    value: Decimal
    fee: Decimal


@dataclass(frozen=True, slots=True)
class Holding:
    """A position's quantity and cost.

    ``qty`` is signed (short is negative); ``avg_px`` averages prices exactly; ``cost`` is the cash value
    of the entry still open and ``open_fees`` its entry fees, so that when a position is flat
    ``realized`` equals the money that moved, to the cent.
    """

    qty: Decimal = ZERO
    avg_px: Decimal = ZERO
    cost: Decimal = ZERO
    open_fees: Decimal = ZERO
    realized: Decimal = ZERO

    def unrealized(self, mark: Decimal) -> Decimal:
        """(mark − avg_px) · qty less the entry fees not yet realized; quote currency, not rounded."""
        return (mark - self.avg_px) * self.qty - self.open_fees

    def unrealized_percent(self, mark: Decimal) -> Decimal:
        """Unrealized profit as a percentage of the entry value; 0 when flat."""
        value = abs(self.avg_px * self.qty)
        return self.unrealized(mark) * 100 / value if value else ZERO


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of a fill: the holding afterwards, what it realized (net of fees), how much it closed."""

    holding: Holding
    realized: Decimal
    closed_qty: Decimal
    remainder: Fill | None  # the part that crossed zero and has to open the next position


def _split(fill: Fill, qty: Decimal, currency: str | None) -> tuple[Fill, Fill]:
    """The first ``qty`` of a fill and the rest; value and fee are shared without losing a cent."""
    share = qty / fill.qty
    value, fee = fill.value * share, fill.fee * share
    if currency is not None:
        value, fee = round_amount(value, currency), round_amount(fee, currency)
    first = replace(fill, qty=qty, value=value, fee=fee)
    rest = replace(fill, qty=fill.qty - qty, value=fill.value - value, fee=fill.fee - fee)
    return first, rest


def apply_fill(holding: Holding, fill: Fill, currency: str | None) -> Applied:
    """Book one fill at average cost.

    The same side re-averages; the opposite side realizes at the existing average; what crosses zero is
    handed back as ``remainder``. ``currency`` rounds the released cost to that currency's scale
    (half-even; the last part takes what is left); ``None`` computes exactly.
    """
    signed = fill.qty if fill.side is Side.BUY else -fill.qty
    if holding.qty * signed >= 0:
        qty = holding.qty + signed
        avg = (abs(holding.qty) * holding.avg_px + fill.qty * fill.price) / abs(qty)
        opened = replace(
            holding,
            qty=qty,
            avg_px=avg,
            cost=holding.cost + fill.value,
            open_fees=holding.open_fees + fill.fee,
        )
        return Applied(opened, ZERO, ZERO, None)

    remainder: Fill | None = None
    if fill.qty > abs(holding.qty):
        fill, remainder = _split(fill, abs(holding.qty), currency)
    share = fill.qty / abs(holding.qty)
    cost, fees = holding.cost * share, holding.open_fees * share
    if currency is not None and share != 1:
        cost, fees = round_amount(cost, currency), round_amount(fees, currency)
    gross = fill.value - cost if holding.qty > 0 else cost - fill.value
    realized = gross - fees - fill.fee
    left = holding.qty + (fill.qty if fill.side is Side.BUY else -fill.qty)
    closed = Holding(
        qty=left,
        avg_px=holding.avg_px if left else ZERO,
        cost=holding.cost - cost,
        open_fees=holding.open_fees - fees,
        realized=holding.realized + realized,
    )
    return Applied(closed, realized, fill.qty, remainder)
