"""A quote: best bid and ask of one instrument at one moment, with where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from .money import ZERO
from .orders import Side


class BadQuote(ValueError):
    """A quote no price may be taken from. ``code`` names the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Quote:
    """Prices in the instrument's quote currency; times in UTC.

    ``at`` is the source's time, ``received_at`` ours: age and staleness go by ours.
    """

    symbol: str
    bid: Decimal
    ask: Decimal
    last: Decimal | None
    at: datetime
    received_at: datetime
    source: str
    by_hand: bool = False  # somebody set it: a jump is meant, not an error of a feed
    volume: Decimal = ZERO  # traded since the source's quote before it, in base; 0 when the source does not say

    @property
    def mid(self) -> Decimal:
        return (self.bid + self.ask) / 2

    @property
    def spread(self) -> Decimal:
        return self.ask - self.bid

    def taken_by(self, side: Side) -> Decimal:
        """The price at which an order of this side executes at once: a sale at the bid, a purchase at the ask."""
        return self.bid if side is Side.SELL else self.ask

    def age(self, now: datetime) -> timedelta:
        return now - self.received_at

    def is_stale(self, now: datetime, limit: timedelta) -> bool:
        """The one place that decides whether a quote is too old to trade on."""
        return self.age(now) > limit


def check_quote(quote: Quote, previous: Quote | None, band: Decimal | None) -> None:
    """Raise ``BadQuote`` for a quote that must not trigger anything: it is quarantined and counted.

    ``band`` is the largest believable move of the mid against the previous quote, as a fraction.
    """
    if not (quote.bid.is_finite() and quote.ask.is_finite()) or quote.bid <= 0 or quote.ask <= 0:
        raise BadQuote("non_positive_price", f"{quote.symbol}: bid {quote.bid} ask {quote.ask}")
    if quote.last is not None and (not quote.last.is_finite() or quote.last <= 0):
        raise BadQuote("non_positive_price", f"{quote.symbol}: last {quote.last}")
    if quote.bid > quote.ask:
        raise BadQuote("crossed", f"{quote.symbol}: bid {quote.bid} above ask {quote.ask}")
    if quote.by_hand and quote.ask > quote.bid * 10:
        raise BadQuote("spread", f"{quote.symbol}: bid {quote.bid} and ask {quote.ask} are no market")
    if previous is None or band is None or quote.by_hand:
        return
    if abs(quote.mid - previous.mid) > previous.mid * band:
        raise BadQuote("jump", f"{quote.symbol}: mid {quote.mid} after {previous.mid} leaves the band {band}")
