"""Exact amounts: parsing, scales, and all rounding of money."""

from __future__ import annotations

import decimal
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

# 38 digits are stored; products of two such numbers must stay exact until they are rounded here.
# Every thread and green thread starts from DefaultContext, so the setting reaches all of them.
decimal.DefaultContext.prec = 80
decimal.DefaultContext.rounding = decimal.ROUND_HALF_EVEN
decimal.setcontext(decimal.DefaultContext.copy())

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
MAX_SCALE: Final = 18
MAX_AMOUNT: Final = Decimal(10) ** 20  # NUMERIC(38,18) has 20 digits before the point

Scales = Mapping[str, int]
"""Decimals of every currency the firm keeps amounts of, by code: ISO 4217's, and the catalogue's for crypto."""
USD_STABLECOINS: Final = frozenset({"USDT", "USDC"})


class InvalidAmount(ValueError):
    """Not a finite decimal number in ASCII digits. ``code`` is stable for the API."""

    code = "invalid_amount"


def parse_decimal(value: object) -> Decimal:
    """A finite Decimal from a string, an int or a Decimal. Raises ``InvalidAmount`` for anything else.

    Floats and booleans are refused: neither can say exactly what was meant.
    """
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, bool):
        raise InvalidAmount("must be a decimal number, not true or false")
    elif isinstance(value, int):
        number = Decimal(value) if abs(value) < 10**40 else Decimal("NaN")
    elif isinstance(value, str):
        text = value.strip()
        if not text or len(text) > 64 or not text.isascii() or not set(text) <= set("0123456789.+-eE"):
            raise InvalidAmount("must be a decimal number such as 12.50")
        try:
            number = Decimal(text)
        except decimal.InvalidOperation as error:
            raise InvalidAmount("must be a decimal number such as 12.50") from error
    else:
        raise InvalidAmount("must be a decimal number such as 12.50")
    if not number.is_finite():
        raise InvalidAmount("must be a finite decimal number")
    if not number:
        return ZERO  # whatever its sign and exponent
    if not -40 <= number.adjusted() <= 40 or len(number.as_tuple().digits) > 64:
        # beyond 80 digits arithmetic would round without a word
        raise InvalidAmount("is too large, too small or too long to be an amount")
    return number


def plain(value: Decimal) -> Decimal:
    """The same number without trailing zeros and without an exponent; zero has no sign."""
    if not value:
        return ZERO
    number = value.normalize()
    return number.quantize(ONE) if "E+" in str(number) else number


def text(value: Decimal) -> str:
    """How amounts are written in JSON, FIX and exports: plain digits, no exponent, no trailing zeros."""
    if not value:
        return "0"
    digits = format(value, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def decimals(value: Decimal) -> int:
    """How many digits stand after the point once trailing zeros are gone."""
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def unit(scale: int) -> Decimal:
    """The smallest amount of a scale: ``unit(2) == Decimal("0.01")``."""
    return Decimal(1).scaleb(-scale)


def round_amount(value: Decimal, scale: int) -> Decimal:
    """Round half-even to a currency's scale, as every amount of money but a hold is."""
    return value.quantize(unit(scale), rounding=decimal.ROUND_HALF_EVEN)


def round_up(value: Decimal, scale: int) -> Decimal:
    """Round away from zero to a currency's scale; for holds, which must never be a cent short."""
    return value.quantize(unit(scale), rounding=decimal.ROUND_UP)


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Whether ``value`` is an exact multiple of ``step``."""
    return not value % step


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of ``step`` that is not above ``value``."""
    return (value / step).to_integral_value(rounding=decimal.ROUND_FLOOR) * step
