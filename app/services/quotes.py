"""The quote book: the latest believable quote of every instrument, and what was not believed."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from app.adapters.marketdata.base import QuoteCache
from app.core.clock import NEVER, Clock
from app.domain.calendars import is_open
from app.domain.instruments import Instrument, SymbolTable, UnknownSymbol
from app.domain.money import MAX_AMOUNT
from app.domain.quotes import BadQuote, Quote, check_quote
from app.domain.triggers import to_units

GAP_QUOTES: Final = 3
REFRESH_SECONDS: Final = 0.2
WAIT_SECONDS: Final = 0.5  # for somebody else's answer from the cache
_UNKNOWN: Final = "?"  # one bucket for all unknown symbols: a bad source must not grow our memory


@dataclass(frozen=True, slots=True)
class QuarantinedQuote:
    """The last quote of an instrument that was not believed, and why."""

    quote: Quote
    code: str
    message: str
    at: datetime


class QuoteBook:
    """Latest quotes in memory, for any number of threads.

    A quote that must not trigger anything raises ``BadQuote``, is counted in ``quarantined`` per
    ``(symbol, code)`` and leaves the book as it was. A jump beyond the instrument's band is refused too,
    until ``GAP_QUOTES`` refused quotes in a row agree with each other within the band: then the market
    has really moved there (an opening gap, a devaluation), and the last of them is the new level. One
    good quote at the old level, or any other bad quote, starts that count again.

    With a ``cache`` the book beside the engine that leads writes every accepted quote to it, and every
    other one reads it at most every 200 ms.
    """

    def __init__(
        self,
        clock: Clock,
        instruments: SymbolTable,
        *,
        cache: QuoteCache | None = None,
    ) -> None:
        self._clock = clock
        self._instruments = instruments
        self._cache = cache
        self._cache_out: QuoteCache | None = None
        self._cache_in = cache
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._refreshed_seconds = NEVER
        self._quotes: dict[str, Quote] = {}
        self._gaps: dict[str, list[Quote]] = {}
        self.quarantined: Counter[tuple[str, str]] = Counter()
        self.last_quarantined: dict[str, QuarantinedQuote] = {}

    def lead(self, leads: bool) -> None:
        """Whether the prices come from here (beside the engine that leads) or from the cache."""
        self._cache_out = self._cache if leads else None
        self._cache_in = None if leads else self._cache

    def put(self, quote: Quote) -> Quote:
        """Take a quote, under its canonical symbol. Raises ``BadQuote``."""
        instrument = self._instrument(quote)
        if quote.symbol != instrument.symbol:
            quote = replace(quote, symbol=instrument.symbol)
        with self._lock:
            try:
                _check_prices(quote)
                self._check_jump(quote, instrument.price_band)
            except BadQuote as error:
                if error.code != "jump":
                    self._gaps.pop(quote.symbol, None)
                self._quarantine(quote, error, instrument.symbol)
                raise
            self._gaps.pop(quote.symbol, None)
            self._quotes[quote.symbol] = quote
        if self._cache_out is not None:
            self._cache_out.publish(quote)
        return quote

    def get(self, symbol: str) -> Quote | None:
        """The latest quote of a canonical symbol, however old."""
        self._refresh()
        return self._quotes.get(symbol)

    def get_fresh(self, symbol: str, now: datetime) -> Quote | None:
        """The latest quote; None when there is none or it is older than the instrument allows.

        Raises ``UnknownSymbol``.
        """
        limit = self._instruments.resolve(symbol).stale_after
        quote = self.get(symbol)
        return None if quote is None or quote.is_stale(now, limit) else quote

    def snapshot(self) -> dict[str, Quote]:
        """All latest quotes by canonical symbol; the caller may keep it, it never changes."""
        self._refresh()
        with self._lock:
            return dict(self._quotes)

    def fresh(self, now: datetime) -> dict[str, Quote]:
        """``snapshot`` without what is too old to value anything by.

        A market that is closed has no newer price than its last one, which stands until it opens.
        """

        def stands(quote: Quote) -> bool:
            instrument = self._instruments.resolve(quote.symbol)
            return not quote.is_stale(now, instrument.stale_after) or not is_open(instrument.calendar, now)

        return {symbol: quote for symbol, quote in self.snapshot().items() if stands(quote)}

    def _instrument(self, quote: Quote) -> Instrument:
        try:
            return self._instruments.resolve(quote.symbol)
        except UnknownSymbol:
            error = BadQuote("unknown_symbol", f"no instrument is written {quote.symbol[:32]}")
            with self._lock:
                self._quarantine(quote, error, _UNKNOWN)
            raise error from None

    def _check_jump(self, quote: Quote, band: Decimal) -> None:
        """Raise ``BadQuote`` for a jump until enough quotes in a row stand on the far side of it."""
        try:
            check_quote(quote, self._quotes.get(quote.symbol), band)
        except BadQuote:
            gap = self._gaps.get(quote.symbol, [])
            if not all(_within(quote, other, band) for other in gap):
                gap = []
            gap = [*gap, quote]
            if len(gap) < GAP_QUOTES:
                self._gaps[quote.symbol] = gap
                raise

    def _quarantine(self, quote: Quote, error: BadQuote, symbol: str) -> None:
        self.quarantined[symbol, error.code] += 1
        self.last_quarantined[symbol] = QuarantinedQuote(quote, error.code, str(error), self._clock.now())

    def _refresh(self) -> None:
        age = self._clock.monotonic() - self._refreshed_seconds
        if self._cache_in is None or age < REFRESH_SECONDS:
            return
        # somebody is at it: what we have is hardly older; after a pause, or at first, it may be nothing at all
        if not (
            self._refreshing.acquire(timeout=WAIT_SECONDS) if age > 1 else self._refreshing.acquire(blocking=False)
        ):
            return
        try:
            if self._clock.monotonic() - self._refreshed_seconds < REFRESH_SECONDS:
                return
            fetched = self._cache_in.fetch([instrument.symbol for instrument in self._instruments])
            with self._lock:
                for symbol, quote in fetched.items():
                    known = self._quotes.get(symbol)
                    if known is None or quote.received_at >= known.received_at:
                        self._quotes[symbol] = quote
            self._refreshed_seconds = self._clock.monotonic()
        finally:
            self._refreshing.release()


def _check_prices(quote: Quote) -> None:
    check_quote(quote, None, None)
    for price in (quote.bid, quote.ask, quote.last):
        if price is None:
            continue
        if price >= MAX_AMOUNT:
            raise BadQuote("out_of_range", f"{quote.symbol}: {price} is no price")
        try:
            to_units(price)
        except ValueError as error:
            raise BadQuote("precision", f"{quote.symbol}: {error}") from error


def _within(quote: Quote, other: Quote, band: Decimal) -> bool:
    return abs(quote.mid - other.mid) <= other.mid * band
