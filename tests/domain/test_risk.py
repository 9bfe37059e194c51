from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest

from app.domain.calendars import Calendar, TradingHours
from app.domain.instruments import Instrument, InstrumentStatus, Market
from app.domain.orders import OrderType, Side
from app.domain.quotes import Quote
from app.domain.risk import (
    Account,
    Candidate,
    ClientLimits,
    Failure,
    WalletLimits,
    check_order,
    exit_reference,
    reference_price,
    reserve_for,
    usd_rate,
)

NOW = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)  # Monday
BUY, SELL = Side.BUY, Side.SELL


def quote(symbol: str, bid: str, ask: str) -> Quote:
    return Quote(symbol, D(bid), D(ask), None, NOW, NOW, "test")


@dataclass
class Case:
    """An order that passes every check; a test changes one thing."""

    order: dict[str, Any] = field(default_factory=dict)
    instrument: dict[str, Any] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)
    wallet: dict[str, Any] = field(default_factory=dict)
    quote: Quote | None = field(default_factory=lambda: quote("BTC/USDT", "49990", "50000"))
    now: datetime = NOW

    def failures(self) -> list[Failure]:
        order = Candidate(BUY, OrderType.LIMIT, D("0.1"), D(50000), False, "USDT", D("5005"), D(5000))
        instrument = Instrument(
            1,
            "BTC/USDT",
            "Bitcoin",
            Market.CRYPTO,
            "BTC",
            "USDT",
            8,
            8,
            D("0.01"),
            D("0.00001"),
            D("0.0001"),
            D(100),
            D(5),
            D("0.1"),
            Calendar.US_STOCKS,
            InstrumentStatus.TRADING,
            timedelta(seconds=10),
        )
        account = Account(True, "active", D(100_000), 3, False, D(1000), D(2000), D(99_000), D(100_000), D(110_000), 0)
        return check_order(
            replace(order, **self.order),
            replace(instrument, **self.instrument),
            self.quote,
            replace(account, **self.account),
            ClientLimits(**self.client),
            WalletLimits(**self.wallet),
            self.now,
        )

    def codes(self) -> list[str]:
        return [failure.code for failure in self.failures()]


MARKET = {"type": OrderType.MARKET, "price": None}
HOURS = TradingHours.parse("09:00-10:00", "UTC")
ALONE = [
    (Case(account={"client_active": False}), "CLIENT_INACTIVE", {}),
    (Case(account={"wallet_status": "paused"}), "WALLET_PAUSED", {"status": "paused"}),
    (Case(account={"wallet_status": "suspended"}), "WALLET_SUSPENDED", {"status": "suspended"}),
    (Case(instrument={"status": InstrumentStatus.HALTED}), "HALTED", {"status": "halted"}),
    (Case(instrument={"status": InstrumentStatus.DELISTED}), "HALTED", {"status": "delisted"}),
    (Case(client={"blocked": True}), "SYMBOL_BLOCKED", {"symbol": "BTC/USDT"}),
    (Case(wallet={"blocked_symbols": frozenset({"BTC/USDT"})}), "SYMBOL_NOT_ALLOWED", {"symbol": "BTC/USDT"}),
    (Case(wallet={"allowed_symbols": frozenset({"ETH/USDT"})}), "SYMBOL_NOT_ALLOWED", {"symbol": "BTC/USDT"}),
    (Case(wallet={"allowed_symbols": frozenset()}), "SYMBOL_NOT_ALLOWED", {"symbol": "BTC/USDT"}),
    (
        Case(client={"hours": HOURS}),
        "OUTSIDE_TRADING_HOURS",
        {"now": "2026-01-05T14:30:00+00:00", "hours": "09:00-10:00 UTC"},
    ),
    (
        Case(wallet={"respect_market_hours": True}, now=NOW - timedelta(seconds=1)),
        "MARKET_CLOSED",
        {"now": "2026-01-05T14:29:59+00:00", "calendar": "us_stocks"},
    ),
    (Case(quote=None), "MISSING_REFERENCE_PRICE", {"symbol": "BTC/USDT"}),
    (
        Case(order=MARKET, now=NOW + timedelta(seconds=10.5)),
        "STALE_QUOTE",
        {"age_seconds": "10.5", "limit_seconds": "10"},
    ),
    (Case(order={"price": D("55000.01")}), "PRICE_OUT_OF_BAND", {"price": "55000.01", "low": "45000", "high": "55000"}),
    (
        Case(order={"side": SELL, "price": D("44990.99")}),
        "PRICE_OUT_OF_BAND",
        {"price": "44990.99", "low": "44991", "high": "54989"},
    ),
    (
        Case(account={"orders_in_last_second": 5, "max_orders_per_second": 5}),
        "RATE_LIMITED",
        {"orders": "5", "limit": "5"},
    ),
    (Case(client={"max_order_qty": D("0.09999")}), "ORDER_SIZE_LIMIT_EXCEEDED", {"qty": "0.1", "limit": "0.09999"}),
    (
        Case(client={"max_notional_usd": D("4999.99")}),
        "NOTIONAL_LIMIT_EXCEEDED",
        {"notional_usd": "5000", "limit_usd": "4999.99"},
    ),
    (
        Case(client={"max_notional_usd": D("4999.99")}, order={"side": SELL}),
        "NOTIONAL_LIMIT_EXCEEDED",
        {"notional_usd": "5000", "limit_usd": "4999.99"},
    ),
    (
        Case(wallet={"max_position_usd": D("5999.99")}),
        "POSITION_LIMIT_EXCEEDED",
        {"position_usd": "1000", "notional_usd": "5000", "limit_usd": "5999.99"},
    ),
    (
        Case(wallet={"max_exposure_usd": D("6999.99")}),
        "EXPOSURE_LIMIT_EXCEEDED",
        {"exposure_usd": "2000", "notional_usd": "5000", "limit_usd": "6999.99"},
    ),
    (Case(wallet={"max_open_positions": 3}), "MAX_OPEN_POSITIONS", {"open": "3", "limit": "3"}),
    (Case(wallet={"daily_loss_usd": D(1000)}), "DAILY_LOSS_LIMIT", {"loss_usd": "1000", "limit_usd": "1000"}),
    (Case(wallet={"daily_loss_percent": D(1)}), "DAILY_LOSS_LIMIT", {"loss_usd": "1000", "limit_usd": "1000"}),
    (
        Case(wallet={"daily_loss_usd": D(5000), "daily_loss_percent": D("0.5")}),
        "DAILY_LOSS_LIMIT",
        {"loss_usd": "1000", "limit_usd": "500"},
    ),
    (Case(wallet={"max_drawdown_percent": D(10)}), "MAX_DRAWDOWN", {"drawdown_percent": "10", "limit_percent": "10"}),
    (
        Case(wallet={"max_drawdown_percent": D(5)}, account={"peak_equity_usd": D(105_000), "equity_usd": D(99_000)}),
        "MAX_DRAWDOWN",
        {"drawdown_percent": "5.71428571", "limit_percent": "5"},
    ),
    (
        Case(order={"reserve": D("100000.01")}),
        "INSUFFICIENT_BALANCE",
        {"currency": "USDT", "required": "100000.01", "available": "100000"},
    ),
    # what cannot be priced fails the limit it stands under
    (
        Case(client={"max_notional_usd": D(10**9)}, order={"notional_usd": None}),
        "NOTIONAL_LIMIT_EXCEEDED",
        {"notional_usd": "unknown", "limit_usd": "1000000000", "unpriced": "BTC/USDT"},
    ),
    (
        Case(wallet={"max_position_usd": D(10**9)}, account={"position_usd": None}),
        "POSITION_LIMIT_EXCEEDED",
        {"position_usd": "unknown", "notional_usd": "5000", "limit_usd": "1000000000"},
    ),
    (
        Case(wallet={"max_exposure_usd": D(10**9)}, account={"exposure_usd": None}),
        "EXPOSURE_LIMIT_EXCEEDED",
        {"exposure_usd": "unknown", "notional_usd": "5000", "limit_usd": "1000000000"},
    ),
    (
        Case(wallet={"daily_loss_usd": D(10**9)}, account={"equity_usd": None}),
        "DAILY_LOSS_LIMIT",
        {"loss_usd": "unknown", "limit_usd": "1000000000"},
    ),
    (
        Case(wallet={"max_drawdown_percent": D(99)}, account={"equity_usd": None}),
        "MAX_DRAWDOWN",
        {"drawdown_percent": "unknown", "limit_percent": "99"},
    ),
]


@pytest.mark.parametrize(("case", "code", "values"), ALONE, ids=[f"{code}-{i}" for i, (_, code, _) in enumerate(ALONE)])
def test_each_check_fails_alone_with_its_values(case: Case, code: str, values: dict[str, str]) -> None:
    (failure,) = case.failures()
    assert (failure.code, failure.values) == (code, values)
    assert failure.message
    assert failure.to_json() == {"code": code, "message": failure.message, "values": values}


@pytest.mark.parametrize(
    "case",
    [
        Case(),
        Case(order=MARKET, now=NOW + timedelta(seconds=10)),
        Case(order={"price": D(55000)}),
        Case(order={"price": D("0.01")}),  # a buy far below the market harms nobody
        Case(order={"side": SELL, "price": D(44991)}),
        Case(order={"side": SELL, "price": D(999_999)}),
        Case(now=NOW + timedelta(days=1)),  # a stale quote may still band a resting order
        Case(account={"orders_in_last_second": 4, "max_orders_per_second": 5}),
        Case(client={"max_order_qty": D("0.1"), "max_notional_usd": D(5000)}),
        Case(client={"hours": TradingHours.parse("14:30-15:00", "UTC")}),
        Case(wallet={"respect_market_hours": True}),
        Case(wallet={"max_position_usd": D(6000), "max_exposure_usd": D(7000), "max_open_positions": 4}),
        Case(wallet={"max_open_positions": 3}, account={"has_position": True}),
        Case(wallet={"daily_loss_usd": D("1000.01"), "daily_loss_percent": D("1.01")}),
        Case(wallet={"max_drawdown_percent": D("10.01")}),
        Case(wallet={"max_drawdown_percent": D(1)}, account={"peak_equity_usd": None}),
        Case(wallet={"max_drawdown_percent": D(1)}, account={"peak_equity_usd": D(0)}),
        Case(order={"reserve": D(100_000)}),
        Case(wallet={"allowed_symbols": frozenset({"BTC/USDT"}), "blocked_symbols": frozenset({"ETH/USDT"})}),
        Case(order={"notional_usd": None}, account={"position_usd": None, "exposure_usd": None, "equity_usd": None}),
    ],
)
def test_exactly_at_a_limit_an_order_still_passes(case: Case) -> None:
    assert case.failures() == []


@pytest.mark.parametrize("order", [{"side": SELL}, {"reduce_only": True}], ids=["sell", "reduce_only"])
def test_limits_on_what_is_opened_do_not_hold_back_what_closes(order: dict[str, Any]) -> None:
    limits = {
        "max_position_usd": D(0),
        "max_exposure_usd": D(0),
        "max_open_positions": 0,
        "daily_loss_usd": D(0),
        "max_drawdown_percent": D(0),
    }
    assert Case(order=order, wallet=limits).codes() == []


def test_who_is_in_gets_out_whatever_entries_are_refused_for() -> None:
    case = Case(
        order={"side": SELL, "reduce_only": True},
        account={"client_active": False, "wallet_status": "suspended"},
        client={
            "blocked": True,
            "max_order_qty": D("0.01"),
            "max_notional_usd": D(1),
            "hours": TradingHours.parse("16:00-17:00", "UTC"),
        },
        wallet={"allowed_symbols": frozenset({"ETH/USDT"}), "blocked_symbols": frozenset({"BTC/USDT"})},
    )
    assert case.codes() == []


@pytest.mark.parametrize(
    ("side", "price", "wanted"),
    [
        (BUY, None, "49990"),  # it executes at once: its exits are judged at the bid
        (BUY, "50000", "49990"),
        (BUY, "54000", "49990"),
        (BUY, "49999.99", "49999.99"),  # it rests until the market comes to it
        (SELL, None, "50000"),
        (SELL, "49990", "50000"),
        (SELL, "49990.01", "49990.01"),
    ],
)
def test_exits_are_judged_where_the_order_will_be_filled(side: Side, price: str | None, wanted: str) -> None:
    limit = None if price is None else D(price)
    assert exit_reference(side, limit, quote("BTC/USDT", "49990", "50000")) == D(wanted)
    assert exit_reference(side, limit, None) == limit


def test_all_failures_come_back_in_the_order_of_the_product_book() -> None:
    case = Case(
        order={**MARKET, "reserve": D(10**9)},
        instrument={"status": InstrumentStatus.HALTED},
        account={
            "client_active": False,
            "wallet_status": "suspended",
            "orders_in_last_second": 9,
            "max_orders_per_second": 1,
        },
        client={"blocked": True, "hours": HOURS, "max_order_qty": D(0), "max_notional_usd": D(0)},
        wallet={
            "blocked_symbols": frozenset({"BTC/USDT"}),
            "respect_market_hours": True,
            "max_position_usd": D(0),
            "max_exposure_usd": D(0),
            "max_open_positions": 0,
            "daily_loss_usd": D(0),
            "max_drawdown_percent": D(0),
        },
        now=NOW + timedelta(hours=12),
    )
    assert case.codes() == [
        "CLIENT_INACTIVE",
        "WALLET_SUSPENDED",
        "HALTED",
        "SYMBOL_BLOCKED",
        "SYMBOL_NOT_ALLOWED",
        "OUTSIDE_TRADING_HOURS",
        "MARKET_CLOSED",
        "STALE_QUOTE",
        "RATE_LIMITED",
        "ORDER_SIZE_LIMIT_EXCEEDED",
        "NOTIONAL_LIMIT_EXCEEDED",
        "POSITION_LIMIT_EXCEEDED",
        "EXPOSURE_LIMIT_EXCEEDED",
        "MAX_OPEN_POSITIONS",
        "DAILY_LOSS_LIMIT",
        "MAX_DRAWDOWN",
        "INSUFFICIENT_BALANCE",
    ]
    assert all(isinstance(value, str) for failure in case.failures() for value in failure.values.values())


def test_the_reference_price_is_the_limit_or_the_side_that_would_be_taken() -> None:
    book = quote("BTC/USDT", "49990", "50000")
    assert reference_price(BUY, D(1), book) == D(1)
    assert reference_price(BUY, None, book) == D(50000)
    assert reference_price(SELL, None, book) == D(49990)
    assert reference_price(SELL, D(2), None) == D(2)
    assert reference_price(BUY, None, None) is None


@pytest.mark.parametrize(
    ("side", "qty", "price", "rate", "scale", "wanted"),
    [
        (BUY, "0.01", "50000", "0.001", 8, "500.50"),
        (BUY, "0.333", "9.99", "0.001", 2, "3.33"),  # 3.32999667 up
        (BUY, "1", "1", "0.001", 0, "2"),
        (BUY, "1", "100", "0", 2, "100"),
        (SELL, "0.01", "50000", "0.001", 8, "0.01"),
    ],
)
def test_a_hold_is_never_a_cent_short(side: Side, qty: str, price: str, rate: str, scale: int, wanted: str) -> None:
    assert reserve_for(side, D(qty), D(price), D(rate), scale) == D(wanted)


QUOTES = {
    item.symbol: item
    for item in [
        quote("BTC/USDT", "49990", "50010"),
        quote("EUR/USD", "1.09", "1.11"),
        quote("USD/PEN", "3.7", "3.8"),
        quote("ETH/BTC", "0.04", "0.06"),
        quote("AAPL", "199", "201"),
        quote("XYZ/ABC", "1", "1"),
        quote("ADA/EUR", "0.5", "0.5"),
    ]
}


@pytest.mark.parametrize(
    ("currency", "rate"),
    [
        ("USD", "1"),
        ("USDT", "1"),
        ("USDC", "1"),
        ("EUR", "1.1"),
        ("BTC", "50000"),
        ("AAPL", "200"),
        ("ETH", "2500"),
        ("ADA", "0.55"),  # through one intermediate
        ("XYZ", None),
        ("ABC", None),
        ("GBP", None),
    ],
)
def test_usd_per_unit_through_at_most_one_intermediate(currency: str, rate: str | None) -> None:
    assert usd_rate(currency, QUOTES) == (None if rate is None else D(rate))


def test_a_currency_quoted_the_other_way_round_is_inverted() -> None:
    rate = usd_rate("PEN", QUOTES)
    assert rate is not None
    assert abs(rate * D("3.75") - 1) < D("1e-70")
