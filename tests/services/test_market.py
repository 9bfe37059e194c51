"""The catalog, from its first rows to the domain's rules."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from app.core.transaction import Database
from app.domain.calendars import Calendar
from app.domain.instruments import Market
from app.models.market import Currency, InstrumentRow
from app.services.market import load_instruments, seed_instruments


def test_the_ten_instruments_arrive_as_the_issue_names_them(database: Database) -> None:
    assert database.run(seed_instruments) == 10
    table = database.read(load_instruments)
    assert {instrument.symbol for instrument in table} == {
        "BTC/USDT",
        "ETH/USDT",
        "SOL/USDT",
        "EUR/USD",
        "GBP/USD",
        "USD/JPY",
        "USD/PEN",
        "XAU/USD",
        "AAPL",
        "TSLA",
    }
    gold = table.resolve("XAUUSD")
    assert (gold.symbol, gold.market, gold.calendar) == ("XAU/USD", Market.COMMODITIES, Calendar.FOREX)
    assert (gold.tick_size, gold.lot_size, gold.min_qty) == (Decimal("0.01"), Decimal("0.01"), Decimal("0.01"))
    assert (gold.price_band, gold.max_qty, gold.stale_after) == (Decimal("0.05"), 10_000, timedelta(seconds=15))
    yen = table.resolve("USD-JPY")
    assert (yen.tick_size, yen.lot_size, yen.min_notional) == (Decimal("0.001"), 1, 100)
    assert table.resolve("btcusdt").lot_size == Decimal("0.00001")


def test_no_price_band_is_finer_than_a_tick_and_every_lot_fits_its_asset(database: Database) -> None:
    database.run(seed_instruments)
    for instrument in database.read(load_instruments):
        assert instrument.qty_errors(instrument.min_qty) == []
        assert instrument.qty_errors(instrument.max_qty) == []
        assert instrument.lot_size == round(instrument.lot_size, instrument.base_scale)


def test_seeding_again_adds_what_is_missing_and_changes_nothing(database: Database) -> None:
    database.run(seed_instruments)
    database.run(lambda s: s.execute(sa.update(InstrumentRow).where(InstrumentRow.symbol == "AAPL").values(name="X")))
    database.run(lambda s: s.execute(sa.delete(InstrumentRow).where(InstrumentRow.symbol == "TSLA")))
    assert database.run(seed_instruments) == 1
    assert database.run(seed_instruments) == 0
    table = database.read(load_instruments)
    assert len(list(table)) == 10
    assert table.resolve("AAPL").name == "X"


def test_a_currency_has_one_scale_which_comes_with_its_instruments(database: Database) -> None:
    database.run(seed_instruments)
    table = database.read(load_instruments)
    yen, gold = table.resolve("USD/JPY"), table.resolve("XAU/USD")
    assert (yen.base_scale, yen.quote_scale, gold.base_scale, gold.quote_scale) == (2, 0, 4, 2)
    assert table.scales["USDC"] == 8, "no instrument trades it, and yet it may be held"
    finer = sa.update(Currency).where(Currency.code == "JPY").values(scale=1)
    database.run(lambda session: session.execute(finer))
    assert database.read(load_instruments).resolve("USD/JPY").quote_scale == 1
    assert (table.scales["JPY"], yen.quote_scale) == (0, 0), "what was loaded does not change"


@pytest.mark.parametrize("scale", [-1, 19])
def test_a_scale_outside_what_is_stored_is_refused(database: Database, scale: int) -> None:
    with pytest.raises(IntegrityError):
        database.run(lambda session: session.execute(sa.insert(Currency).values(code="PEPE", scale=scale)))
    assert "PEPE" not in database.read(load_instruments).scales


def test_an_instrument_in_a_currency_nobody_knows_is_refused(database: Database) -> None:
    database.run(seed_instruments)
    change = sa.update(InstrumentRow).where(InstrumentRow.symbol == "GBP/USD").values(quote="PEPE")
    with pytest.raises(IntegrityError):
        database.run(lambda session: session.execute(change))
