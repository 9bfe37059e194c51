"""The instrument catalog: what can be traded, from the database to the rules of the domain."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.domain.calendars import Calendar
from app.domain.instruments import Instrument, InstrumentStatus, Market, SymbolTable
from app.domain.money import Scales
from app.models.market import Currency, InstrumentRow

_CLASSES: Final[dict[Market, tuple[str, Calendar]]] = {  # price band, calendar
    Market.CRYPTO: ("0.10", Calendar.ALWAYS),
    Market.FOREX: ("0.05", Calendar.FOREX),
    Market.COMMODITIES: ("0.05", Calendar.FOREX),
    Market.STOCKS: ("0.10", Calendar.US_STOCKS),
}

# symbol, name, market, base, quote, tick, lot (also the least quantity), most, least notional
_CATALOG: Final = (
    ("BTC/USDT", "Bitcoin / Tether", Market.CRYPTO, "BTC", "USDT", "0.01", "0.00001", "1000", "5"),
    ("ETH/USDT", "Ethereum / Tether", Market.CRYPTO, "ETH", "USDT", "0.01", "0.0001", "10000", "5"),
    ("SOL/USDT", "Solana / Tether", Market.CRYPTO, "SOL", "USDT", "0.01", "0.01", "100000", "5"),
    ("EUR/USD", "Euro / US dollar", Market.FOREX, "EUR", "USD", "0.00001", "1", "10000000", "1"),
    ("GBP/USD", "Pound sterling / US dollar", Market.FOREX, "GBP", "USD", "0.00001", "1", "10000000", "1"),
    ("USD/JPY", "US dollar / Japanese yen", Market.FOREX, "USD", "JPY", "0.001", "1", "10000000", "100"),
    ("USD/PEN", "US dollar / Peruvian sol", Market.FOREX, "USD", "PEN", "0.0001", "1", "10000000", "1"),
    ("XAU/USD", "Gold, troy ounce / US dollar", Market.COMMODITIES, "XAU", "USD", "0.01", "0.01", "10000", "1"),
    ("AAPL", "Apple Inc.", Market.STOCKS, "AAPL", "USD", "0.01", "1", "1000000", "1"),
    ("TSLA", "Tesla, Inc.", Market.STOCKS, "TSLA", "USD", "0.01", "1", "1000000", "1"),
)
STALE_AFTER_SECONDS: Final = 15


def seed_instruments(session: Session) -> int:
    """Insert the instruments of the first catalog that are missing and return how many those were.

    What is there already stays as the firm has set it.
    """
    known = set(session.scalars(sa.select(InstrumentRow.symbol)))
    missing = [entry for entry in _CATALOG if entry[0] not in known]
    if missing:
        insert: Any = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        rows = [_columns(*entry) for entry in missing]
        # two processes may start on the same empty database
        session.execute(insert(InstrumentRow).values(rows).on_conflict_do_nothing(index_elements=["symbol"]))
    return len(missing)


def _columns(
    symbol: str, name: str, market: Market, base: str, quote: str, tick: str, lot: str, most: str, notional: str
) -> dict[str, Any]:
    band, calendar = _CLASSES[market]
    return {
        "symbol": symbol,
        "name": name,
        "market": market.value,
        "base": base,
        "quote": quote,
        "tick_size": Decimal(tick),
        "lot_size": Decimal(lot),
        "min_qty": Decimal(lot),
        "max_qty": Decimal(most),
        "min_notional": Decimal(notional),
        "price_band": Decimal(band),
        "calendar": calendar.value,
        "status": InstrumentStatus.TRADING.value,
        "stale_after_seconds": STALE_AFTER_SECONDS,
    }


def load_scales(session: Session) -> Scales:
    """Decimals of every currency, by code."""
    return MappingProxyType({row.code: row.scale for row in session.execute(sa.select(Currency.code, Currency.scale))})


def load_instruments(session: Session) -> SymbolTable:
    """The whole catalog as the domain sees it, with the scales of all currencies."""
    scales = load_scales(session)
    rows = session.scalars(sa.select(InstrumentRow).order_by(InstrumentRow.id))
    return SymbolTable((_instrument(row, scales) for row in rows), scales)


def _instrument(row: InstrumentRow, scales: Scales) -> Instrument:
    return Instrument(
        id=row.id,
        symbol=row.symbol,
        name=row.name,
        market=Market(row.market),
        base=row.base,
        quote=row.quote,
        base_scale=scales[row.base],
        quote_scale=scales[row.quote],
        tick_size=row.tick_size,
        lot_size=row.lot_size,
        min_qty=row.min_qty,
        max_qty=row.max_qty,
        min_notional=row.min_notional,
        price_band=row.price_band,
        calendar=Calendar(row.calendar),
        status=InstrumentStatus(row.status),
        stale_after=timedelta(seconds=row.stale_after_seconds),
    )
