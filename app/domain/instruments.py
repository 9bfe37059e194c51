"""Instruments: price and quantity rules, and the many ways their symbols are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from .calendars import Calendar
from .money import Scales, floor_to, is_multiple, text


class Market(StrEnum):
    CRYPTO = "crypto"
    STOCKS = "stocks"
    FOREX = "forex"
    COMMODITIES = "commodities"


class InstrumentStatus(StrEnum):
    TRADING = "trading"
    HALTED = "halted"
    DELISTED = "delisted"


class UnknownSymbol(LookupError):
    """No instrument is written this way."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """Quantities in ``base``, prices in ``quote`` per one base."""

    id: int
    symbol: str
    name: str
    market: Market
    base: str
    quote: str
    base_scale: int
    quote_scale: int
    tick_size: Decimal
    lot_size: Decimal
    min_qty: Decimal
    max_qty: Decimal
    min_notional: Decimal
    price_band: Decimal  # fraction: how far a limit may stand from the market, and a quote may jump
    calendar: Calendar
    status: InstrumentStatus
    stale_after: timedelta

    def qty_errors(self, qty: Decimal) -> list[tuple[str, str]]:
        """Codes and sentences for what is wrong with a quantity; empty when it is fine."""
        errors = []
        if qty <= 0:
            errors.append(("amount_out_of_range", "must be greater than zero"))
        elif not is_multiple(qty, self.lot_size):
            near = _nearest(qty, self.lot_size)
            errors.append(("lot_size", f"must be a multiple of the lot size {self.lot_size}; nearest: {near}"))
        elif qty < self.min_qty:
            errors.append(("min_qty", f"must be at least {self.min_qty}"))
        elif qty > self.max_qty:
            errors.append(("max_qty", f"must be at most {self.max_qty}"))
        return errors

    def price_errors(self, price: Decimal) -> list[tuple[str, str]]:
        """The same for a price."""
        if price <= 0:
            return [("amount_out_of_range", "must be greater than zero")]
        if not is_multiple(price, self.tick_size):
            near = _nearest(price, self.tick_size)
            return [("tick_size", f"must be a multiple of the tick size {self.tick_size}; nearest: {near}")]
        return []


def _nearest(value: Decimal, step: Decimal) -> str:
    below = floor_to(value, step)
    return " or ".join(text(multiple) for multiple in (below, below + step) if multiple > 0)


def symbol_forms(symbol: str, market: Market) -> dict[str, str]:
    """How each source writes the instrument, derived by rule; the catalog may add exceptions.

    Keys: ``fix``, ``binance``, ``polygon``, ``polygon_ws``, ``yahoo``, ``alphavantage``.
    """
    base, _, quote = symbol.partition("/")
    joined = base + quote
    if market is Market.STOCKS:
        return {
            "fix": symbol,
            "polygon": symbol,
            "polygon_ws": f"T.{symbol}",
            "yahoo": symbol,
            "alphavantage": symbol,
        }
    if market is Market.CRYPTO:
        usd = "USD" if quote == "USDT" else quote  # these sources quote crypto in dollars only
        return {
            "fix": joined,
            "binance": joined,
            "polygon": f"X:{base}-{usd}",
            "polygon_ws": f"XT.{base}-{usd}",
            "yahoo": f"{base}-{usd}",
            "alphavantage": f"{base}{usd}",
        }
    yahoo = {"XAU/USD": "GC=F"}.get(symbol, f"{quote}=X" if base == "USD" else f"{joined}=X")
    return {
        "fix": joined,
        "polygon": f"C:{base}-{quote}",
        "polygon_ws": f"C.{base}-{quote}",
        "yahoo": yahoo,
        "alphavantage": joined,
    }


class SymbolTable:
    """Both ways between canonical symbols and every source's form."""

    scales: Scales  # of every currency, those that no instrument trades included

    def __init__(self, instruments: Iterable[Instrument] = (), scales: Scales = MappingProxyType({})) -> None:
        self.fill(instruments, scales)

    def fill(self, instruments: Iterable[Instrument], scales: Scales) -> None:
        """Hold these instruments and currencies from now on; whoever has the table sees the change."""
        self.scales = scales
        self._by_symbol = {instrument.symbol: instrument for instrument in instruments}
        self._by_id = {instrument.id: instrument for instrument in self._by_symbol.values()}
        self._forms = {i.symbol: symbol_forms(i.symbol, i.market) for i in self._by_symbol.values()}
        self._canonical: dict[str, str] = {}
        for symbol, forms in self._forms.items():
            self._canonical[symbol] = symbol
            self._canonical.setdefault(symbol.replace("/", "-"), symbol)
            for form in forms.values():
                self._canonical.setdefault(form, symbol)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_symbol.values())

    def resolve(self, written: str) -> Instrument:
        """The instrument for any known form, upper or lower case. Raises ``UnknownSymbol``."""
        canonical = self._canonical.get(written.strip().upper()) if len(written) <= 32 and written.isascii() else None
        if canonical is None:
            raise UnknownSymbol(written[:32])
        return self._by_symbol[canonical]

    def by_id(self, instrument_id: int) -> Instrument:
        return self._by_id[instrument_id]

    def form(self, symbol: str, source: str) -> str:
        """How ``source`` writes a canonical symbol. Raises ``UnknownSymbol`` when it does not carry it."""
        try:
            return self._forms[symbol][source]
        except KeyError as error:
            raise UnknownSymbol(f"{symbol} at {source}") from error
