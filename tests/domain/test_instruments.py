from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal as D

import pytest

from app.domain.calendars import Calendar
from app.domain.instruments import Instrument, InstrumentStatus, Market, SymbolTable, UnknownSymbol, symbol_forms

BTC = Instrument(
    id=1,
    symbol="BTC/USDT",
    name="Bitcoin",
    market=Market.CRYPTO,
    base="BTC",
    quote="USDT",
    base_scale=8,
    quote_scale=8,
    tick_size=D("0.01"),
    lot_size=D("0.00001"),
    min_qty=D("0.0001"),
    max_qty=D("100"),
    min_notional=D("5"),
    price_band=D("0.1"),
    calendar=Calendar.ALWAYS,
    status=InstrumentStatus.TRADING,
    stale_after=timedelta(seconds=10),
)


def instrument(id_: int, symbol: str, market: Market, status: InstrumentStatus = BTC.status) -> Instrument:
    base, _, quote = symbol.partition("/")
    return replace(BTC, id=id_, symbol=symbol, market=market, base=base, quote=quote or "USD", status=status)


CATALOG = [
    BTC,
    instrument(2, "ETH/USDT", Market.CRYPTO),
    instrument(3, "EUR/USD", Market.FOREX),
    instrument(4, "USD/JPY", Market.FOREX),
    instrument(5, "USD/PEN", Market.FOREX),
    instrument(6, "XAU/USD", Market.COMMODITIES),
    instrument(7, "AAPL", Market.STOCKS),
    instrument(8, "LUNA/USDT", Market.CRYPTO, InstrumentStatus.DELISTED),
]
TABLE = SymbolTable(CATALOG)

FORMS = {
    "BTC/USDT": {
        "fix": "BTCUSDT",
        "binance": "BTCUSDT",
        "polygon": "X:BTC-USD",
        "polygon_ws": "XT.BTC-USD",
        "yahoo": "BTC-USD",
        "alphavantage": "BTCUSD",
    },
    "EUR/USD": {
        "fix": "EURUSD",
        "polygon": "C:EUR-USD",
        "polygon_ws": "C.EUR-USD",
        "yahoo": "EURUSD=X",
        "alphavantage": "EURUSD",
    },
    "USD/PEN": {
        "fix": "USDPEN",
        "polygon": "C:USD-PEN",
        "polygon_ws": "C.USD-PEN",
        "yahoo": "PEN=X",
        "alphavantage": "USDPEN",
    },
    "XAU/USD": {
        "fix": "XAUUSD",
        "polygon": "C:XAU-USD",
        "polygon_ws": "C.XAU-USD",
        "yahoo": "GC=F",
        "alphavantage": "XAUUSD",
    },
    "AAPL": {"fix": "AAPL", "polygon": "AAPL", "polygon_ws": "T.AAPL", "yahoo": "AAPL", "alphavantage": "AAPL"},
}
WRITTEN = [(form, source, symbol) for symbol, forms in FORMS.items() for source, form in forms.items()]


@pytest.mark.parametrize(("form", "source", "symbol"), WRITTEN)
def test_symbols_go_both_ways(form: str, source: str, symbol: str) -> None:
    assert TABLE.form(symbol, source) == form
    assert TABLE.resolve(form).symbol == symbol
    assert TABLE.resolve(form.lower()).symbol == symbol
    assert TABLE.resolve(f" {form}\t").symbol == symbol


@pytest.mark.parametrize("symbol", FORMS)
def test_a_source_writes_nothing_else(symbol: str) -> None:
    assert set(symbol_forms(symbol, next(i.market for i in CATALOG if i.symbol == symbol))) == set(FORMS[symbol])


@pytest.mark.parametrize("item", CATALOG, ids=lambda item: item.symbol)
def test_the_canonical_symbol_and_its_hyphenated_form_resolve(item: Instrument) -> None:
    assert TABLE.resolve(item.symbol) is item
    assert TABLE.resolve(item.symbol.replace("/", "-")) is item
    assert TABLE.resolve(item.symbol.lower()) is item
    assert TABLE.by_id(item.id) is item


def test_a_delisted_instrument_still_resolves_and_says_so() -> None:
    assert TABLE.resolve("LUNAUSDT").status is InstrumentStatus.DELISTED


def test_no_two_instruments_share_a_form_of_one_source() -> None:
    for source in ("fix", "binance", "polygon", "polygon_ws", "yahoo", "alphavantage"):
        forms = [symbol_forms(i.symbol, i.market).get(source) for i in CATALOG]
        present = [form for form in forms if form is not None]
        assert len(present) == len(set(present)), source


def test_a_canonical_symbol_goes_before_anothers_form() -> None:
    """BTC-USD is what Yahoo calls BTC/USDT, until BTC/USD itself is in the catalog."""
    both = SymbolTable([instrument(20, "BTC/USD", Market.CRYPTO), BTC])
    assert both.resolve("BTC-USD").symbol == "BTC/USD"
    assert both.resolve("BTCUSDT").symbol == "BTC/USDT"


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "/",
        "BTC",
        "BTC/",
        "/USDT",
        "BTC//USDT",
        "BTC/USDT/X",
        "BTC USDT",
        "DOGE/USDT",
        "X:BTC",
        "BTC\x00/USDT",
        "tſla",
        "ΒTC/USDT",
        "btc/usdт",
        "'; DROP TABLE orders; --",
        "BTC/USDT" + " " * 40,
        "A" * 10_000,
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_unknown_and_malformed_symbols_are_refused(written: str) -> None:
    with pytest.raises(UnknownSymbol) as caught:
        TABLE.resolve(written)
    assert len(str(caught.value)) <= 32


@pytest.mark.parametrize(("symbol", "source"), [("EUR/USD", "binance"), ("AAPL", "reuters"), ("DOGE/USDT", "fix")])
def test_a_source_that_does_not_carry_it_is_named(symbol: str, source: str) -> None:
    with pytest.raises(UnknownSymbol, match=source):
        TABLE.form(symbol, source)


def test_all_instruments_in_catalog_order() -> None:
    assert list(TABLE) == CATALOG


@pytest.mark.parametrize(
    ("qty", "codes"),
    [
        ("0.0001", []),
        ("100", []),
        ("1.23456", []),
        ("0", ["amount_out_of_range"]),
        ("-1", ["amount_out_of_range"]),
        ("0.000015", ["lot_size"]),
        ("0.00009", ["min_qty"]),
        ("100.00001", ["max_qty"]),
    ],
)
def test_quantity_rules(qty: str, codes: list[str]) -> None:
    assert [code for code, _ in BTC.qty_errors(D(qty))] == codes


@pytest.mark.parametrize(
    ("price", "codes"),
    [
        ("50000.01", []),
        ("0.01", []),
        ("0", ["amount_out_of_range"]),
        ("-1", ["amount_out_of_range"]),
        ("50000.001", ["tick_size"]),
        ("0.001", ["tick_size"]),
    ],
)
def test_price_rules(price: str, codes: list[str]) -> None:
    assert [code for code, _ in BTC.price_errors(D(price))] == codes


def test_the_sentences_name_the_rule() -> None:
    assert "0.00001" in BTC.qty_errors(D("0.000015"))[0][1]
    assert "0.0001" in BTC.qty_errors(D("0.00001"))[0][1]
    assert "100" in BTC.qty_errors(D("101"))[0][1]
    assert "0.01" in BTC.price_errors(D("0.001"))[0][1]
