from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal as D
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.money import round_amount
from app.domain.orders import Side
from app.domain.positions import (
    Applied,
    ExitReason,
    Fill,
    Holding,
    IllegalPositionTransition,
    PositionState,
    PositionStatus,
    apply_fill,
    begin_exit,
    book_fill,
    move,
    protect,
    take_back_exit,
)
from app.domain.protection import Protection, Trail, TrailType
from tests.data import oracle

EXAMPLES = oracle("pnl_average_cost.json")


def fill(side: str, qty: str, price: str, fee: str = "0") -> Fill:
    return Fill(Side(side), D(qty), D(price), D(qty) * D(price), D(fee))


def book(holding: Holding, new: Fill, scale: int | None = None) -> tuple[Holding, Applied]:
    """Apply a fill and, when it crosses zero, its remainder to the position that follows."""
    applied = apply_fill(holding, new, scale)
    after = applied.holding
    if applied.remainder is not None:
        assert after.qty == 0
        after = apply_fill(Holding(realized=after.realized), applied.remainder, scale).holding
    return after, applied


@pytest.mark.parametrize("example", EXAMPLES["average_cost"], ids=lambda example: example["id"])
def test_worked_examples_of_average_cost(example: dict[str, Any]) -> None:
    holding = Holding()
    for item, wanted in zip(example["fills"], example["after_each_fill"], strict=True):
        holding, _ = book(holding, fill(item["side"], item["qty"], item["price"]))
        assert holding.qty == D(wanted["signed_qty"])
        if wanted["avg_open"] == "None":
            assert holding == Holding(realized=holding.realized)
        else:
            assert round(holding.avg_px, 14) == D(wanted["avg_open"])
        assert round(holding.realized, 10) == D(wanted["realized_gross_cum"])


def test_worked_example_with_fees_after_each_fill() -> None:
    """The source counts an entry fee when it is paid; here it counts when its part of the position closes."""
    example = next(item for item in EXAMPLES["average_cost"] if "fee_rate" in item)
    rate, holding = D(example["fee_rate"]), Holding()
    for item, wanted in zip(example["fills"], example["realized_net_of_fees_cum"], strict=True):
        qty, price = D(item["qty"]), D(item["price"])
        holding, _ = book(holding, fill(item["side"], item["qty"], item["price"], str(qty * price * rate)))
        if wanted is not None:
            assert round(holding.realized - holding.open_fees, 8) == D(wanted)


def test_worked_example_of_a_round_trip_net_of_commissions() -> None:
    example = next(item for item in EXAMPLES["average_cost"] if "realized_net" in item)
    holding, half = Holding(), str(D(example["commission_total"]) / 2)
    for item in example["fills"]:
        holding, _ = book(holding, fill(item["side"], item["qty"], item["price"], half))
    assert holding == Holding(realized=D(example["realized_net"]))


@pytest.mark.parametrize("example", EXAMPLES["unrealized"], ids=lambda example: f"{example['side']}-{example['qty']}")
def test_worked_examples_of_unrealized_profit(example: dict[str, Any]) -> None:
    side = "BUY" if example["side"] == "LONG" else "SELL"
    holding, _ = book(Holding(), fill(side, example["qty"], example["entry"]))
    assert holding.unrealized(D(example["mark"])) == D(example["unrealized"])
    if "total_after_fee_0.001_entry" in example:
        fee = D(example["qty"]) * D(example["entry"]) * D("0.001")
        holding, _ = book(Holding(), fill(side, example["qty"], example["entry"], str(fee)))
        assert holding.unrealized(D(example["mark"])) == D(example["total_after_fee_0.001_entry"])


def test_the_product_books_example() -> None:
    holding, _ = book(Holding(), fill("BUY", "0.5", "50000", "25"), "USDT")
    assert holding.unrealized(D("51000")) == D("475.00")
    assert holding.unrealized_percent(D("51000")) == D("1.9")
    holding, applied = book(holding, fill("SELL", "0.5", "51500", "25.75"), "USDT")
    assert applied.realized == holding.realized == D("699.25")
    assert applied.closed_qty == D("0.5")
    assert holding.realized * 100 / 25_000 == D("2.797")


def test_a_flat_position_is_worth_nothing() -> None:
    assert Holding().unrealized(D(100)) == 0
    assert Holding().unrealized_percent(D(100)) == 0


def test_a_short_position_wins_when_the_price_falls() -> None:
    holding, applied = book(Holding(), fill("SELL", "2", "100", "1"))
    assert (holding.qty, applied.realized, applied.closed_qty) == (D(-2), D(0), D(0))
    assert holding.unrealized(D(90)) == D(19)
    assert holding.unrealized_percent(D(90)) == D("9.5")
    holding, applied = book(holding, fill("BUY", "1", "90", "0.5"))
    assert (applied.realized, applied.closed_qty, holding.open_fees) == (D(9), D(1), D("0.5"))


def test_a_fill_that_crosses_zero_closes_one_position_and_hands_back_the_rest() -> None:
    holding, _ = book(Holding(), fill("BUY", "3", "10", "0.30"), 2)
    applied = apply_fill(holding, fill("SELL", "7", "11", "0.77"), 2)
    assert applied.holding == Holding(realized=D("3") - D("0.30") - D("0.33"))
    assert applied.remainder == Fill(Side.SELL, D(4), D(11), D("44"), D("0.44"))
    assert applied.closed_qty == D(3)


def test_released_cost_is_rounded_and_the_last_part_takes_what_is_left() -> None:
    holding, _ = book(Holding(), Fill(Side.BUY, D(3), D("3.3333"), D("10.00"), D("0.10")), 2)
    costs = []
    for _ in range(3):
        before = holding
        holding, _ = book(holding, Fill(Side.SELL, D(1), D("3"), D("3.00"), D(0)), 2)
        costs.append((before.cost - holding.cost, before.open_fees - holding.open_fees))
    assert costs == [(D("3.33"), D("0.03")), (D("3.34"), D("0.04")), (D("3.33"), D("0.03"))]
    assert holding == Holding(realized=D("-1.10"))


FILLS = st.lists(
    st.tuples(
        st.sampled_from(list(Side)),
        st.decimals("0.0001", "1000", places=4),
        st.decimals("0.01", "100000", places=2),
        st.decimals("0", "0.01", places=5),
    ),
    min_size=1,
    max_size=12,
)


@given(FILLS, st.sampled_from([2, 0, 8, None]))
def test_at_flat_what_was_realized_is_the_money_that_moved(
    drawn: list[tuple[Side, D, D, D]], scale: int | None
) -> None:
    holding, cash, position = Holding(), D(0), D(0)
    for side, qty, price, rate in drawn:
        value, fee = qty * price, qty * price * rate
        if scale is not None:
            value, fee = round_amount(value, scale), round_amount(fee, scale)
        holding, _ = book(holding, Fill(side, qty, price, value, fee), scale)
        cash += (value if side is Side.SELL else -value) - fee
        position += qty if side is Side.BUY else -qty
        assert holding.qty == position
    if holding.qty:
        side = Side.SELL if holding.qty > 0 else Side.BUY
        last = Fill(side, abs(holding.qty), D(7), abs(holding.qty) * 7, D(1))
        if scale is not None:
            last = Fill(side, last.qty, D(7), round_amount(last.value, scale), D(1))
        holding, _ = book(holding, last, scale)
        cash += (last.value if side is Side.SELL else -last.value) - 1
    if scale is None:
        assert abs(holding.realized - cash) < D("1e-50")
        assert max(abs(holding.cost), abs(holding.open_fees)) < D("1e-50")
    else:
        assert holding == Holding(realized=cash)


@given(
    st.decimals("0.01", "100000", places=2),
    st.decimals("0", "100", places=2),
    st.lists(st.decimals("0.001", "50", places=3), min_size=1, max_size=15),
    st.sampled_from([2, 0, 8]),
)
def test_closing_in_parts_shares_cost_and_fees_without_losing_a_cent(
    value: D, fee: D, parts: list[D], scale: int
) -> None:
    value, fee = round_amount(value, scale), round_amount(fee, scale)
    opened = apply_fill(Holding(), Fill(Side.BUY, sum(parts, D(0)), D(1), value, fee), scale).holding
    holding, realized = opened, D(0)
    for part in parts:
        before = holding
        applied = apply_fill(holding, Fill(Side.SELL, part, D(1), D(0), D(0)), scale)
        holding = applied.holding
        realized += applied.realized
        for released in (before.cost - holding.cost, before.open_fees - holding.open_fees):
            assert released == round_amount(released, scale)
        assert applied.realized == holding.realized - before.realized
        assert holding.avg_px == (opened.avg_px if holding.qty else 0)
    assert holding == Holding(realized=-value - fee)
    assert realized == -value - fee


@given(
    st.decimals("0.001", "50", places=3),
    st.decimals("0.001", "50", places=3),
    st.decimals("0.01", "9999", places=2),
    st.decimals("0", "99", places=2),
    st.sampled_from([2, 0, 8]),
)
def test_a_flipping_fill_is_split_without_losing_a_cent(held: D, more: D, value: D, fee: D, scale: int) -> None:
    value, fee = round_amount(value, scale), round_amount(fee, scale)
    opened = apply_fill(Holding(), Fill(Side.SELL, held, D(1), D(0), D(0)), scale).holding
    applied = apply_fill(opened, Fill(Side.BUY, held + more, D(1), value, fee), scale)
    rest = applied.remainder
    assert rest is not None
    assert (rest.qty, rest.side, applied.closed_qty) == (more, Side.BUY, held)
    assert applied.realized - rest.value - rest.fee == -value - fee
    assert rest.value == round_amount(rest.value, scale)
    assert rest.fee == round_amount(rest.fee, scale)


# -- a position's row ------------------------------------------------------------------------------------------

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LEGAL = {
    ("OPENING", "OPEN"),
    ("OPENING", "CLOSING"),
    ("OPENING", "CLOSED"),
    ("OPEN", "CLOSING"),
    ("OPEN", "CLOSED"),
    ("CLOSING", "OPEN"),
    ("CLOSING", "CLOSED"),
}


def position(status: str = "OPEN", **changes: Any) -> PositionState:
    values = {"qty": D(2), "avg_entry_px": D(100), "cost": D(200), "open_fees": D(1), "entry_qty": D(2), "version": 3}
    return PositionState(
        id="p",
        client_id="c",
        wallet_id="w",
        instrument_id=1,
        status=PositionStatus(status),
        entry_order_id="o",
        entry_mark_px=None,
        opened_at=NOW,
        updated_at=NOW,
        **(values | changes),
    )


@pytest.mark.parametrize(("current", "wanted"), list(product(PositionStatus, PositionStatus)), ids=str)
def test_every_step_between_statuses(current: PositionStatus, wanted: PositionStatus) -> None:
    before = position(current)
    if (current.value, wanted.value) not in LEGAL:
        with pytest.raises(IllegalPositionTransition, match=f"p cannot go from {current} to {wanted}"):
            move(before, wanted, NOW)
        return
    after = move(before, wanted, NOW)
    assert (after.status, after.version, after.closed_at) == (wanted, 4, NOW if wanted == "CLOSED" else None)


def test_a_row_survives_the_way_through_the_state() -> None:
    before = position(trail_type=TrailType.BPS, trail_value=D(50))
    assert PositionState.of(before.row()) == before
    assert (before.row()["status"], before.row()["trail_type"]) == ("OPEN", "bps")


def test_an_exit_that_begins_or_is_taken_back_makes_old_levels_void() -> None:
    closing = begin_exit(position(protection_version=7), NOW, ExitReason.MANUAL, "exit-1")
    assert (closing.status, closing.exit_order_id, closing.exit_reason) == ("CLOSING", "exit-1", "manual")
    assert closing.protection_version == 8 and not closing.may_exit
    again = take_back_exit(closing, NOW)
    assert (again.status, again.exit_order_id, again.exit_reason) == ("OPEN", None, None)
    assert again.protection_version == 9 and again.may_exit


def test_a_trail_that_stays_keeps_the_best_price_it_has_seen() -> None:
    trail = Trail(TrailType.AMOUNT, D(5))
    tracking = protect(position(), Protection(trail=trail), D(100))
    assert tracking.trail_extreme_px == 100
    higher = tracking._replace(trail_extreme_px=D(120))
    kept = protect(higher, Protection(trail=trail, stop_loss=D(90)), D(110))
    assert (kept.trail_extreme_px, kept.stop_loss_px) == (120, 90)
    assert protect(higher, Protection(trail=Trail(TrailType.AMOUNT, D(6))), D(110)).trail_extreme_px == 110
    assert protect(higher, Protection(), D(110)).trail_extreme_px is None


@pytest.mark.parametrize(
    ("qty", "mark", "tracks"), [(2, 129, False), (2, 130, True), (-2, 131, False), (-2, 130, True)]
)
def test_a_trail_begins_where_it_is_activated_on_either_side(qty: int, mark: int, tracks: bool) -> None:
    wanted = Protection(trail=Trail(TrailType.AMOUNT, D(5), D(130)))
    after = protect(position(qty=D(qty)), wanted, D(mark))
    assert after.trail_extreme_px == (mark if tracks else None)


def test_a_changed_break_even_is_reached_anew() -> None:
    reached = position(break_even_percent=D(1), break_even_px=D(101))
    assert protect(reached, Protection(break_even=D(1)), None).break_even_px == 101
    assert protect(reached, Protection(break_even=D(2)), None).break_even_px is None


@pytest.mark.parametrize(("held", "side"), [(2, "SELL"), (-2, "BUY")], ids=["long", "short"])
def test_a_fill_reduces_and_closes_on_either_side(held: int, side: str) -> None:
    before = position(qty=D(held), high_px=D(100), low_px=D(100))
    part = book_fill(before, fill(side, "0.5", "110", "1"), 2, NOW)
    assert (part.qty, part.position.qty, part.position.exit_qty) == (-D(held) / 4, D(held) * 3 / 4, D("0.5"))
    assert (part.position.high_px, part.position.low_px, part.position.status) == (110, 100, "OPEN")
    flat = book_fill(part.position, fill(side, "1.5", "90"), 2, NOW)
    assert (flat.position.qty, flat.position.status, flat.position.closed_at) == (0, "CLOSED", NOW)
    assert flat.position.realized_pnl == part.realized + flat.realized


def test_what_is_sold_beyond_a_position_is_not_its_exit() -> None:
    sold = book_fill(position(open_fees=D(0)), fill("SELL", "3", "110", "3"), 2, NOW)
    assert (sold.position.exit_qty, sold.position.exit_value, sold.position.exit_fees) == (2, 220, 2)
    assert (sold.qty, sold.realized) == (-2, 18)
