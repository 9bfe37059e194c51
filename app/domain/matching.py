"""How the simulated venue prices an order against a quote."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from .orders import OrderType, Side
from .quotes import Quote


@dataclass(frozen=True, slots=True)
class Match:
    price: Decimal
    maker: bool


def match_price(
    side: Side,
    type_: OrderType,
    limit: Decimal | None,
    quote: Quote,
    *,
    slippage_bps: Decimal,
    tick: Decimal,
    resting: bool,
) -> Match | None:
    """The price an order executes at against ``quote``, or None while it has to wait.

    MARKET: the opposite side plus slippage, rounded to the tick against the taker, never beyond its
    protection price ``limit`` if it carries one. LIMIT: when the opposite side reaches its price; a new
    order takes the opposite quote, a resting one its own price (it was there first) - at its price or
    better either way, without slippage.
    """
    buy = side is Side.BUY
    touch = quote.ask if buy else quote.bid
    if type_ is OrderType.LIMIT:
        if limit is None or (touch > limit if buy else touch < limit):
            return None
        return Match(limit, maker=True) if resting else Match(touch, maker=False)
    slip = touch * slippage_bps / 10_000
    ticks = ((touch + slip if buy else touch - slip) / tick).to_integral_value(ROUND_CEILING if buy else ROUND_FLOOR)
    price = max(ticks * tick, tick)
    if limit is not None and (price > limit if buy else price < limit):
        return None
    return Match(price, maker=False)
