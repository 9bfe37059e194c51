"""The trigger book against a scan of everything that is armed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_FLOOR
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.orders import Side
from app.domain.protection import Trail, TrailType
from app.domain.triggers import EXITS, PRICE_UNITS, Fired, Leg, Levels, TriggerBook, from_units, to_units

U = PRICE_UNITS


@dataclass
class Armed:
    stop: int | None
    target: int | None
    trail: Trail | None
    extreme: int | None
    activation: int | None
    break_even: int | None


class Scan:
    """What the book has to do, done by looking at every armed position."""

    def __init__(self, short: bool) -> None:
        self.armed: dict[int, Armed] = {}
        self.side = Side.BUY if short else Side.SELL

    def arm(self, levels: Levels) -> None:
        assert isinstance(levels.key, int)
        self.armed[levels.key] = Armed(
            levels.stop,
            levels.target,
            levels.trail,
            levels.extreme,
            levels.activation if levels.extreme is None else None,
            levels.break_even,
        )

    def trail_level(self, item: Armed) -> int | None:
        """The trigger by its definition, on the real price: a short position's price is the negated one."""
        if item.trail is None or item.extreme is None:
            return None
        sign = -1 if self.side is Side.BUY else 1
        exact = sign * item.trail.trigger(self.side, sign * from_units(item.extreme))
        return int((exact * U).to_integral_value(ROUND_FLOOR))

    def on_price(self, price: int) -> tuple[set[tuple[int, Leg, int]], bool]:
        fired: set[tuple[int, Leg, int]] = set()
        moved = False
        for key, item in list(self.armed.items()):
            if item.break_even is not None and price >= item.break_even:
                fired.add((key, Leg.BREAK_EVEN, item.break_even))
                item.break_even = None
            if item.activation is not None and price >= item.activation:
                fired.add((key, Leg.TRAIL_ACTIVATION, item.activation))
                item.extreme, item.activation = price, None
            if item.target is not None and price >= item.target:
                # the price reaches the target first, and the rest of the position's levels are gone
                fired = {one for one in fired if one[0] != key or one[2] < item.target}
                fired.add((key, Leg.TAKE_PROFIT, item.target))
                del self.armed[key]
                continue
            if item.extreme is not None and item.trail is not None and item.extreme < price:
                item.extreme, moved = price, True
            stop, trail = item.stop, self.trail_level(item)
            exits = [
                (level, leg)
                for level, leg in ((stop, Leg.STOP_LOSS), (trail, Leg.TRAILING_STOP))
                if level is not None and level >= price
            ]
            if exits:
                level, leg = max(exits, key=lambda exit_: (exit_[0], exit_[1] is Leg.STOP_LOSS))
                fired.add((key, leg, level))
                del self.armed[key]
        return fired, moved


Draw = Callable[[int, int], int]  # an integer from the first to the second, both included


def draw_levels(key: int, price: int, draw: Draw) -> Levels:
    levels = Levels(key)
    if draw(0, 9) < 6:
        levels.stop = price - draw(1, 300) * U
    if draw(0, 9) < 5:
        levels.target = price + draw(1, 300) * U
    if draw(0, 9) < 3:
        levels.break_even = price + draw(1, 150) * U
    if draw(0, 9) < 6:
        type_ = list(TrailType)[draw(0, 2)]
        scale = {TrailType.AMOUNT: D(1), TrailType.PERCENT: D("0.01"), TrailType.BPS: D(1)}[type_]
        levels.trail = Trail(type_, draw(1, 300) * scale)
        start = draw(0, 2)
        if start == 0:
            levels.extreme = price
        elif start == 1:
            levels.extreme = price + draw(0, 100) * U  # restored: its best price lies behind
            levels.activation = price + draw(0, 200) * U  # long reached
        else:
            levels.activation = price + draw(0, 200) * U
    return levels


def compare(draw: Draw, steps: int, keys: int, short: bool) -> int:
    """Random arming, disarming and prices; the number of levels that fired."""
    book, scan, price, total = TriggerBook(), Scan(short), (-10_000 if short else 10_000) * U, 0
    for _ in range(steps):
        action = draw(0, 9)
        if action < 5:
            levels = draw_levels(draw(0, keys), price, draw)
            scan.arm(levels)
            book.arm(levels)
        elif action < 7:
            key = draw(0, keys)
            scan.armed.pop(key, None)
            book.disarm(key)
        price += draw(-40, 40) * U
        wanted, wanted_move = scan.on_price(price)
        fired, moved = book.on_price(price)
        assert {(item.key, item.leg, item.level) for item in fired} == wanted
        assert len(fired) == len(wanted)
        assert all(item.price == price for item in fired)
        assert moved is wanted_move
        falling = [item.level for item in fired if item.leg in EXITS - {Leg.TAKE_PROFIT}]
        assert falling == sorted(falling, reverse=True)
        assert len(book) == len(scan.armed)
        total += len(fired)
        for key, item in scan.armed.items():
            assert key in book
            assert book.extreme_of(key) == (item.extreme if item.trail else None)
    return total


@pytest.mark.parametrize("short", [False, True], ids=["long", "short"])
@pytest.mark.parametrize("seed", range(15))
def test_what_fires_equals_a_scan_of_everything(seed: int, short: bool) -> None:
    assert compare(random.Random(seed).randint, steps=400, keys=60, short=short) > 50


@given(st.data(), st.booleans())
def test_what_fires_equals_a_scan_in_short_sequences(data: st.DataObject, short: bool) -> None:
    compare(lambda low, high: data.draw(st.integers(low, high)), steps=8, keys=3, short=short)


def fired(book: TriggerBook, price: int) -> list[tuple[object, str]]:
    return [(item.key, item.leg.value) for item in book.on_price(price * U)[0]]


def test_a_stop_fires_once_at_exactly_its_level() -> None:
    book = TriggerBook()
    book.arm(Levels("a", stop=90 * U))
    assert fired(book, 91) == []
    assert book.on_price(90 * U)[0] == [Fired("a", Leg.STOP_LOSS, 90 * U, 90 * U)]
    assert fired(book, 80) == []
    assert "a" not in book


def test_a_target_fires_once_and_takes_the_stop_with_it() -> None:
    book = TriggerBook()
    book.arm(Levels("a", stop=90 * U, target=110 * U))
    assert fired(book, 109) == []
    assert fired(book, 110) == [("a", "take_profit")]
    assert fired(book, 80) == []


def test_the_tighter_of_stop_and_trail_rules_and_a_tie_is_the_stops() -> None:
    for stop, wanted in ((94, "trailing_stop"), (95, "stop_loss"), (96, "stop_loss")):
        book = TriggerBook()
        book.arm(Levels("a", stop=stop * U, trail=Trail(TrailType.AMOUNT, D(5)), extreme=100 * U))
        assert fired(book, 80) == [("a", wanted)], stop


def test_a_trail_rises_and_never_falls() -> None:
    book = TriggerBook()
    book.arm(Levels("a", trail=Trail(TrailType.PERCENT, D(10)), extreme=100 * U))
    assert book.on_price(200 * U) == ([], True)
    assert book.on_price(181 * U) == ([], False)
    assert book.extreme_of("a") == 200 * U
    assert fired(book, 180) == [("a", "trailing_stop")]


def test_a_trail_between_two_prices_waits_for_the_lower_one() -> None:
    """Half of three units is one and a half: one unit is below it, two are not; a short position's the same."""
    for extreme, above, below in ((3, 2, 1), (-3, -4, -5)):
        book = TriggerBook()
        book.arm(Levels("a", trail=Trail(TrailType.PERCENT, D(50)), extreme=extreme))
        assert book.on_price(above)[0] == []
        assert book.on_price(below)[0] == [Fired("a", Leg.TRAILING_STOP, below, below)]


def test_a_trail_waits_for_its_activation() -> None:
    book = TriggerBook()
    book.arm(Levels("a", trail=Trail(TrailType.AMOUNT, D(5)), activation=110 * U))
    assert fired(book, 50) == []
    assert book.extreme_of("a") is None
    assert fired(book, 112) == [("a", "trail_activation")]
    assert book.extreme_of("a") == 112 * U
    assert fired(book, 107) == [("a", "trailing_stop")]


def test_break_even_is_told_once_and_leaves_the_exits_armed() -> None:
    book = TriggerBook()
    book.arm(Levels("a", stop=90 * U, break_even=105 * U))
    assert fired(book, 105) == [("a", "break_even")]
    assert fired(book, 106) == []
    assert fired(book, 90) == [("a", "stop_loss")]


def test_arming_again_replaces_what_was_armed() -> None:
    book = TriggerBook()
    book.arm(Levels("a", stop=95 * U, target=105 * U))
    newer = Levels("a", stop=90 * U)
    book.arm(newer)
    assert book.get("a") is newer
    assert len(book) == 1
    assert fired(book, 200) == fired(book, 91) == []
    assert fired(book, 90) == [("a", "stop_loss")]
    assert book.get("a") is None


def test_disarming_what_is_not_armed_does_nothing() -> None:
    TriggerBook().disarm("nobody")


def test_all_levels_reached_by_a_gap_fire_tightest_first() -> None:
    book = TriggerBook()
    for key, stop in (("low", 80), ("high", 95), ("middle", 90)):
        book.arm(Levels(key, stop=stop * U))
    assert [key for key, _ in fired(book, 70)] == ["high", "middle", "low"]


def test_new_highs_and_rearming_leave_no_litter() -> None:
    book = TriggerBook()
    book.arm(Levels("a", trail=Trail(TrailType.AMOUNT, D(5)), extreme=0))
    for price in range(1, 5_000):
        book.on_price(price * U)
    assert len(book._trails) < 200
    for price in range(5_000):
        book.arm(Levels("b", stop=price * U // 2, target=10_000 * U, trail=Trail(TrailType.BPS, D(5)), extreme=0))
    kept = [len(book._down), len(book._up), len(book._trails), len(book._buckets), *map(len, book._buckets)]
    assert max(kept) < 200
    assert fired(book, 4_994) == [("a", "trailing_stop")]
    assert fired(book, 4_991) == [("b", "trailing_stop")]


@pytest.mark.parametrize("price", ["0.0000000001", "1985", "12345.6789", "99999999999.9999999999"])
def test_prices_are_exact_integers(price: str) -> None:
    assert from_units(to_units(D(price))) == D(price)


def test_a_price_too_fine_for_the_units_is_refused() -> None:
    with pytest.raises(ValueError, match="ten decimals"):
        to_units(D("0.00000000001"))
