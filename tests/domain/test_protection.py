from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal as D
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.orders import Side
from app.domain.protection import Protection, Trail, TrailType, break_even_price, protection_errors
from app.domain.triggers import Fired, Leg, Levels, TriggerBook, to_units
from tests.data import oracle

EXAMPLES = oracle("trailing_stop.json")
BUY, SELL = Side.BUY, Side.SELL


def trail_of(kind: str, value: Any) -> Trail:
    if kind == "bps":
        return Trail(TrailType.BPS, D(value))
    return Trail(TrailType.AMOUNT, D(value) * (D("0.01") if kind.startswith("ticks") else 1))


def ratcheted(side: Side, trigger: Any, trail: Trail, price: Any) -> D:
    """A trigger only moves in the position's favour."""
    return (min if side is BUY else max)(D(trigger), trail.trigger(side, D(price)))


@pytest.mark.parametrize("row", EXAMPLES["single_update_last_price"]["rows"], ids=str)
def test_worked_updates_from_the_last_price(row: list[Any]) -> None:
    side, kind, initial, offset, _, last, wanted = row
    assert ratcheted(Side(side), initial, trail_of(kind, offset), last) == D(initial if wanted is None else wanted)


@pytest.mark.parametrize("row", EXAMPLES["single_update_bid_ask"]["rows"], ids=str)
def test_worked_updates_from_bid_and_ask(row: list[Any]) -> None:
    side, kind, initial, offset, bid, ask, wanted = row
    basis = ask if Side(side) is BUY else bid
    assert ratcheted(Side(side), initial, trail_of(kind, offset), basis) == D(initial if wanted is None else wanted)


@pytest.mark.parametrize("row", EXAMPLES["tick_sequences"]["rows"], ids=str)
def test_worked_sequences_of_ticks(row: list[Any]) -> None:
    side, offset, first, then, initial, final = row
    value, kind = offset.split()
    trigger = D(initial)
    for bid, ask in [first, *then]:
        trigger = ratcheted(Side(side), trigger, trail_of(kind, value), ask if Side(side) is BUY else bid)
    assert trigger == D(final)


def walk(points: list[int]) -> Iterator[D]:
    """From point to point in steps of a half."""
    yield D(points[0])
    for start, end in pairwise(points):
        for step in range(1, abs(end - start) * 2 + 1):
            yield D(start) + D(step) / 2 * (1 if end > start else -1)


@pytest.mark.parametrize("case", EXAMPLES["scenarios_price_path"]["cases"], ids=lambda case: case["id"])
def test_worked_paths_trigger_at_the_same_price_in_the_book(case: dict[str, Any]) -> None:
    """A short position's exit is a BUY: the same book on negated prices."""
    sign = 1 if case["side"] == "SELL" else -1
    book, tracking, fired = TriggerBook(), False, list[Fired]()
    for price in walk(case["path"]):
        units = sign * to_units(price)
        if not tracking and price == case["activates_at"]:
            tracking = True
            book.arm(Levels("position", trail=Trail(TrailType.BPS, D(case["bips"])), extreme=units))
        if tracking and not fired:
            fired, _ = book.on_price(units)
    assert tracking
    (exit_,) = fired
    assert exit_.leg is Leg.TRAILING_STOP
    assert exit_.price == exit_.level == sign * to_units(D(case["triggers_at"]))
    assert Trail(TrailType.BPS, D(case["bips"])).trigger(Side(case["side"]), D(case["extreme"])) == case["triggers_at"]


@pytest.mark.parametrize(
    ("type_", "value", "sell", "buy"),
    [
        ("amount", "15", "985", "1015"),
        ("percent", "1.5", "985", "1015"),
        ("bps", "150", "985", "1015"),
        ("percent", "0.001", "999.99", "1000.01"),
        ("bps", "0.5", "999.95", "1000.05"),
    ],
)
def test_the_trigger_stands_the_distance_away_from_the_extreme(type_: str, value: str, sell: str, buy: str) -> None:
    trail = Trail(TrailType(type_), D(value))
    assert trail.trigger(SELL, D(1000)) == D(sell)
    assert trail.trigger(BUY, D(1000)) == D(buy)


@pytest.mark.parametrize(
    ("side", "protection", "wanted"),
    [
        (BUY, Protection(D("99.99"), D("100.01")), []),
        (BUY, Protection(stop_loss=D("100")), [("stop_loss", "stop_wrong_side")]),
        (BUY, Protection(stop_loss=D("100.01")), [("stop_loss", "stop_wrong_side")]),
        (BUY, Protection(take_profit=D("100")), [("take_profit", "target_wrong_side")]),
        (BUY, Protection(take_profit=D("99.99")), [("take_profit", "target_wrong_side")]),
        (SELL, Protection(D("100.01"), D("99.99")), []),
        (SELL, Protection(stop_loss=D("100")), [("stop_loss", "stop_wrong_side")]),
        (SELL, Protection(stop_loss=D("99.99")), [("stop_loss", "stop_wrong_side")]),
        (SELL, Protection(take_profit=D("100")), [("take_profit", "target_wrong_side")]),
        (SELL, Protection(take_profit=D("100.01")), [("take_profit", "target_wrong_side")]),
        (BUY, Protection(D("101"), D("99")), [("stop_loss", "stop_wrong_side"), ("take_profit", "target_wrong_side")]),
        (BUY, Protection(trail=Trail(TrailType.AMOUNT, D("99.99"))), []),
        (BUY, Protection(trail=Trail(TrailType.AMOUNT, D("100"))), [("trailing_stop", "trail_too_wide")]),
        (BUY, Protection(trail=Trail(TrailType.PERCENT, D("99.9"))), []),
        (BUY, Protection(trail=Trail(TrailType.PERCENT, D("100"))), [("trailing_stop", "trail_too_wide")]),
        (BUY, Protection(trail=Trail(TrailType.BPS, D("9999"))), []),
        (BUY, Protection(trail=Trail(TrailType.BPS, D("10000"))), [("trailing_stop", "trail_too_wide")]),
        (SELL, Protection(trail=Trail(TrailType.AMOUNT, D("1000"))), []),
        (BUY, Protection(trail=Trail(TrailType.PERCENT, D("0.01"))), []),
        (BUY, Protection(trail=Trail(TrailType.PERCENT, D("0.0099"))), [("trailing_stop", "trail_too_narrow")]),
        (SELL, Protection(trail=Trail(TrailType.BPS, D("0.99"))), [("trailing_stop", "trail_too_narrow")]),
        (BUY, Protection(trail=Trail(TrailType.AMOUNT, D("0.009"))), [("trailing_stop", "trail_too_narrow")]),
        (BUY, Protection(), []),
    ],
)
def test_a_leg_that_would_exit_at_once_is_named(
    side: Side, protection: Protection, wanted: list[tuple[str, str]]
) -> None:
    errors = protection_errors(side, D(100), D("0.01"), protection)
    assert [(field, code) for field, code, _ in errors] == wanted
    assert all("100" in sentence or "0.01" in sentence for _, _, sentence in errors)


@pytest.mark.parametrize(
    "protection",
    [
        Protection(),
        Protection(D("49000.5"), D("52000"), Trail(TrailType.BPS, D("150")), D("2")),
        Protection(trail=Trail(TrailType.PERCENT, D("1.5"), activation=D("51000"))),
        Protection(break_even=D(0)),
    ],
)
def test_stored_and_read_again_protection_is_the_same(protection: Protection) -> None:
    stored = protection.to_json()
    assert Protection.from_json(stored) == protection
    assert set(stored) == {"stop_loss", "take_profit", "trailing_stop", "break_even_percent"}


def test_stored_values_are_plain_strings() -> None:
    protection = Protection(D("1E+3"), D("2.50"), Trail(TrailType.AMOUNT, D("0.10"), D("5")), D("1.0"))
    assert protection.to_json() == {
        "stop_loss": "1000",
        "take_profit": "2.5",
        "trailing_stop": {"type": "amount", "value": "0.1", "activation_price": "5"},
        "break_even_percent": "1",
    }


@pytest.mark.parametrize("nothing", [None, {}])
def test_nothing_stored_is_no_protection(nothing: dict[str, Any] | None) -> None:
    assert Protection.from_json(nothing) == Protection()
    assert not Protection.from_json(nothing)


@pytest.mark.parametrize(
    "one_leg",
    [{"stop_loss": D(1)}, {"take_profit": D(1)}, {"trail": Trail(TrailType.BPS, D(1))}, {"break_even": D(0)}],
)
def test_any_single_leg_is_a_protection(one_leg: dict[str, Any]) -> None:
    assert Protection(**one_leg)


def test_break_even_covers_both_fees() -> None:
    assert break_even_price(D(50000), D("0.5"), D(25), D(0), BUY) == D(50050)
    assert break_even_price(D(50000), D("0.5"), D(25), D(0), SELL) == D(49950)
    assert break_even_price(D(999), D(1), D(0), D("0.001"), BUY) == D(1000)
    assert break_even_price(D(1001), D(1), D(0), D("0.001"), SELL) == D(1000)


@given(
    st.decimals("0.01", "100000", places=2),
    st.decimals("0.001", "100", places=3),
    st.decimals("0", "50", places=2),
    st.decimals("0", "0.05", places=4),
    st.sampled_from(list(Side)),
)
def test_closing_at_break_even_neither_wins_nor_loses(entry: D, qty: D, fees: D, rate: D, side: Side) -> None:
    price = break_even_price(entry, qty, fees, rate, side)
    gross = (price - entry) * qty * (1 if side is BUY else -1)
    assert abs(gross - fees - price * qty * rate) < D("1e-40")
