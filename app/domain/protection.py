"""What protects a position: stop loss, take profit, trailing stop, break-even.

Prices are in the instrument's quote currency. A long position is closed by selling: it is judged at the
bid; a short one by buying, at the ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from .money import ONE, text
from .orders import Side


class TrailType(StrEnum):
    AMOUNT = "amount"  # distance in price
    PERCENT = "percent"  # 1 means 1 %
    BPS = "bps"  # 1 means 0.01 %


@dataclass(frozen=True, slots=True)
class Trail:
    """A trailing distance; tracking starts at once, or when ``activation`` is reached."""

    type: TrailType
    value: Decimal
    activation: Decimal | None = None

    def trigger(self, exit_side: Side, extreme: Decimal) -> Decimal:
        """The trigger price for the best price seen so far; exact, not on the tick grid.

        SELL: extreme − distance; BUY: extreme + distance (Binance trailing stop FAQ; FIX PegOffset).
        """
        sign = -1 if exit_side is Side.SELL else 1
        if self.type is TrailType.AMOUNT:
            return extreme + sign * self.value
        fraction = self.value / (100 if self.type is TrailType.PERCENT else 10_000)
        return extreme * (ONE + sign * fraction)


@dataclass(frozen=True, slots=True)
class Protection:
    """The wanted exits of a position. ``break_even`` is the profit percent at which the stop moves to entry."""

    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    trail: Trail | None = None
    break_even: Decimal | None = None

    def __bool__(self) -> bool:
        return any(leg is not None for leg in (self.stop_loss, self.take_profit, self.trail, self.break_even))

    def over(self, base: Protection) -> Protection:
        """These legs, and ``base``'s where nothing is said."""
        return Protection(
            stop_loss=self.stop_loss if self.stop_loss is not None else base.stop_loss,
            take_profit=self.take_profit if self.take_profit is not None else base.take_profit,
            trail=self.trail if self.trail is not None else base.trail,
            break_even=self.break_even if self.break_even is not None else base.break_even,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for storage and the API; decimals as strings."""
        trail = self.trail
        return {
            "stop_loss": text(self.stop_loss) if self.stop_loss is not None else None,
            "take_profit": text(self.take_profit) if self.take_profit is not None else None,
            "trailing_stop": None
            if trail is None
            else {
                "type": trail.type.value,
                "value": text(trail.value),
                "activation_price": text(trail.activation) if trail.activation is not None else None,
            },
            "break_even_percent": text(self.break_even) if self.break_even is not None else None,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any] | None) -> Protection:
        if not data:
            return cls()
        trail = data.get("trailing_stop")

        def number(value: str | None) -> Decimal | None:
            return Decimal(value) if value is not None else None

        return cls(
            stop_loss=number(data.get("stop_loss")),
            take_profit=number(data.get("take_profit")),
            trail=None
            if trail is None
            else Trail(TrailType(trail["type"]), Decimal(trail["value"]), number(trail.get("activation_price"))),
            break_even=number(data.get("break_even_percent")),
        )


def protection_errors(
    entry_side: Side, reference: Decimal, tick: Decimal, protection: Protection
) -> list[tuple[str, str, str]]:
    """(field, code, sentence) for every leg that would exit at once.

    That is one on the wrong side of ``reference``, and a trail that follows at less than a ``tick``.
    """
    errors = []
    buy = entry_side is Side.BUY
    stop, target, trail = protection.stop_loss, protection.take_profit, protection.trail
    if stop is not None and (stop >= reference if buy else stop <= reference):
        errors.append(
            (
                "stop_loss",
                "stop_wrong_side",
                f"must be {'below' if buy else 'above'} the reference price {text(reference)}",
            )
        )
    if target is not None and (target <= reference if buy else target >= reference):
        errors.append(
            (
                "take_profit",
                "target_wrong_side",
                f"must be {'above' if buy else 'below'} the reference price {text(reference)}",
            )
        )
    if trail is not None:
        limit = (
            reference if trail.type is TrailType.AMOUNT else Decimal(100 if trail.type is TrailType.PERCENT else 10_000)
        )
        if buy and trail.value >= limit:
            errors.append(("trailing_stop", "trail_too_wide", f"must be less than {text(limit)}"))
        elif abs(trail.trigger(entry_side.opposite, reference) - reference) < tick:
            errors.append(("trailing_stop", "trail_too_narrow", f"must follow at the tick of {text(tick)} or more"))
    return errors


def break_even_price(entry: Decimal, qty: Decimal, fees: Decimal, exit_rate: Decimal, side: Side) -> Decimal:
    """Where closing neither wins nor loses: entry plus entry fees and the exit's own fee, per unit.

    For a long position p solves p·qty·(1 − exit_rate) = entry·qty + fees.
    """
    if side is Side.BUY:
        return (entry * qty + fees) / (qty * (ONE - exit_rate))
    return (entry * qty - fees) / (qty * (ONE + exit_rate))
