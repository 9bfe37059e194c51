"""Armed levels of both sides: a short position is a long one in the mirror."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest

from app.domain.calendars import Calendar
from app.domain.instruments import Instrument, InstrumentStatus, Market, SymbolTable
from app.domain.orders import Side
from app.domain.positions import PositionState, PositionStatus
from app.domain.protection import TrailType
from app.domain.quotes import Quote
from app.domain.triggers import Leg, from_units
from app.engine.levels import ArmedLevels, TrailMove
from tests.conftest import START


def position(qty: str, **legs: Any) -> PositionState:
    return PositionState(
        id="p",
        client_id="c",
        wallet_id="w",
        instrument_id=1,
        status=PositionStatus.OPEN,
        qty=D(qty),
        avg_entry_px=D(100),
        entry_order_id="o",
        entry_mark_px=None,
        opened_at=START,
        updated_at=START,
        **{name: TrailType(value) if name == "trail_type" else D(value) for name, value in legs.items()},
    )


INSTRUMENT = Instrument(
    1,
    "BTC/USDT",
    "Bitcoin",
    Market.CRYPTO,
    "BTC",
    "USDT",
    8,
    8,
    D("0.01"),
    D("0.001"),
    D("0.001"),
    D(100),
    D(5),
    D("0.1"),
    Calendar.ALWAYS,
    InstrumentStatus.TRADING,
    timedelta(seconds=10),
)


@pytest.fixture
def levels() -> ArmedLevels:
    return ArmedLevels(SymbolTable([INSTRUMENT]))


def shown(levels: ArmedLevels, bid: str, ask: str) -> tuple[list[tuple[Leg, D, D]], list[TrailMove]]:
    """What a quote fires, with level and price, and which trails it moves."""
    fired, moves = levels.on_quote(Quote("BTC/USDT", D(bid), D(ask), None, START, START, "test"))
    return [(item.leg, from_units(item.level), from_units(item.price)) for _, item in fired], moves


@pytest.mark.parametrize(
    ("qty", "legs", "quiet", "reaching", "wanted"),
    [
        ("1", {"stop_loss_px": "95"}, ("95.01", "95.02"), ("95", "95.01"), (Leg.STOP_LOSS, "95", "95")),
        ("-1", {"stop_loss_px": "105"}, ("104.98", "104.99"), ("104.99", "105"), (Leg.STOP_LOSS, "105", "105")),
        ("1", {"take_profit_px": "110"}, ("109.99", "110"), ("110.5", "111"), (Leg.TAKE_PROFIT, "110", "110.5")),
        ("-1", {"take_profit_px": "90"}, ("90", "90.01"), ("89", "89.5"), (Leg.TAKE_PROFIT, "90", "89.5")),
        ("1", {"break_even_percent": "2"}, ("101.99", "103"), ("102", "103"), (Leg.BREAK_EVEN, "102", "102")),
        ("-1", {"break_even_percent": "2"}, ("97", "98.01"), ("97", "98"), (Leg.BREAK_EVEN, "98", "98")),
        # the nearer of two stops fires
        (
            "1",
            {"stop_loss_px": "95", "break_even_px": "100.2"},
            ("100.3", "101"),
            ("100.2", "101"),
            (Leg.STOP_LOSS, "100.2", "100.2"),
        ),
        (
            "-1",
            {"stop_loss_px": "105", "break_even_px": "99.8"},
            ("99", "99.7"),
            ("99", "99.8"),
            (Leg.STOP_LOSS, "99.8", "99.8"),
        ),
    ],
)
def test_a_level_fires_at_the_price_the_exit_would_get(
    levels: ArmedLevels,
    qty: str,
    legs: dict[str, str],
    quiet: tuple[str, str],
    reaching: tuple[str, str],
    wanted: tuple[Leg, str, str],
) -> None:
    levels.arm(position(qty, **legs))
    assert shown(levels, *quiet) == ([], [])
    leg, level, price = wanted
    assert shown(levels, *reaching) == ([(leg, D(level), D(price))], [])


@pytest.mark.parametrize(
    ("qty", "side", "better", "back", "level"),
    [("1", Side.SELL, ("120", "121"), ("108", "109"), "108"), ("-1", Side.BUY, ("79", "80"), ("87", "88"), "88")],
)
def test_a_trail_follows_in_the_direction_that_wins(
    levels: ArmedLevels, qty: str, side: Side, better: tuple[str, str], back: tuple[str, str], level: str
) -> None:
    levels.arm(position(qty, trail_type="percent", trail_value="10", trail_extreme_px="100"))
    extreme = D(better[0] if side is Side.SELL else better[1])
    assert shown(levels, *better) == ([], [TrailMove(1, side, extreme)])
    assert shown(levels, *back)[0] == [(Leg.TRAILING_STOP, D(level), D(level))]


def test_a_position_that_turned_is_watched_on_its_new_side_alone(levels: ArmedLevels) -> None:
    levels.arm(position("1", stop_loss_px="95"))
    levels.arm(position("-1", stop_loss_px="105"))
    assert len(levels) == 1
    assert shown(levels, "90", "91") == ([], [])
    levels.arm(position("-1"))
    assert len(levels) == 0
