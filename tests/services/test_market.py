"""The catalog, from its first rows to the domain's rules."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from app.core.transaction import Database
from app.domain.calendars import Calendar
from app.domain.instruments import Market
from app.domain.money import CURRENCY_SCALES, scale_of
from app.models.market import InstrumentRow
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
        assert instrument.lot_size == round(instrument.lot_size, scale_of(instrument.base))


def test_seeding_again_adds_what_is_missing_and_changes_nothing(database: Database) -> None:
    database.run(seed_instruments)
    database.run(lambda s: s.execute(sa.update(InstrumentRow).where(InstrumentRow.symbol == "AAPL").values(name="X")))
    database.run(lambda s: s.execute(sa.delete(InstrumentRow).where(InstrumentRow.symbol == "TSLA")))
    assert database.run(seed_instruments) == 1
    assert database.run(seed_instruments) == 0
    table = database.read(load_instruments)
    assert len(list(table)) == 10
    assert table.resolve("AAPL").name == "X"


def test_loading_tells_the_scale_of_catalog_assets(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for currency in ("SOL", "JPY"):
        monkeypatch.delitem(CURRENCY_SCALES, currency)
    sqlite_database.run(seed_instruments)
    sqlite_database.read(load_instruments)
    assert (scale_of("SOL"), scale_of("JPY")) == (8, 0)


def test_two_scales_for_one_asset_are_refused(sqlite_database: Database) -> None:
    sqlite_database.run(seed_instruments)
    change = sa.update(InstrumentRow).where(InstrumentRow.symbol == "GBP/USD").values(quote_scale=4)
    sqlite_database.run(lambda session: session.execute(change))
    with pytest.raises(ValueError, match="GBP/USD gives USD 4 decimals, others 2"):
        sqlite_database.read(load_instruments)
