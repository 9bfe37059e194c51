from __future__ import annotations

from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from app.domain.money import ZERO, round_amount
from app.domain.orders import Side
from app.domain.risk import reserve_for
from app.domain.settlement import ROUNDING_UNITS_MAX, settle

RATE = D("0.001")


def test_the_posting_table_of_the_book() -> None:
    """Limit buy 0.01 at 50,000 holds 500.50; 0.004 at 49,900 takes 199.7996 of it and frees 0.4004."""
    settled = settle(Side.BUY, D("0.004"), D(49900), RATE, 8, D("500.50"), D("300.30"), ZERO)
    assert (settled.value, settled.fee) == (D("199.60"), D("0.1996"))
    assert (settled.from_hold, settled.freed, settled.held) == (D("199.7996"), D("0.4004"), D("300.30"))


def test_a_sale_pays_with_what_it_held() -> None:
    settled = settle(Side.SELL, D("0.4"), D(50000), RATE, 8, D(1), D("0.6"), ZERO)
    assert (settled.value, settled.fee) == (D(20000), D(20))
    assert (settled.from_hold, settled.freed, settled.held) == (D("0.4"), ZERO, D("0.6"))


def test_the_fee_gives_way_first_where_roundings_ask_for_more_than_was_held() -> None:
    """Half a cent up in the value: the house takes a smaller fee before it adds anything of its own."""
    settled = settle(Side.BUY, D(1), D("10.00"), RATE, 2, D("10.00"), ZERO, D(5))
    assert (settled.value, settled.fee, settled.rounding) == (D("10.00"), ZERO, ZERO)
    assert (settled.from_hold, settled.owed, settled.held) == (D("10.00"), ZERO, ZERO)
    settled = settle(Side.BUY, D(1), D("20.00"), RATE, 2, D("20.01"), ZERO, D(5))
    assert (settled.value, settled.fee, settled.rounding) == (D("20.00"), D("0.01"), ZERO)


def test_what_the_fee_does_not_cover_is_the_houses() -> None:
    settled = settle(Side.BUY, D(1), D("10.03"), RATE, 2, D("10.00"), ZERO, D(5))
    assert (settled.value, settled.fee, settled.rounding) == (D("10.00"), ZERO, D("0.03"))
    assert settled.from_hold == D("10.00"), "the client pays nothing beyond the hold"


def test_beyond_roundings_the_client_pays_and_the_fee_stands() -> None:
    """50,000 filled at 50,030 costs 30.03 more than was held: the fee of 50.03 is not cut by it."""
    held = reserve_for(Side.BUY, D(1), D(50000), RATE, 2)
    settled = settle(Side.BUY, D(1), D(50030), RATE, 2, held, ZERO, D(1000))
    assert (settled.value, settled.fee, settled.rounding) == (D(50030), D("50.03"), ZERO)
    assert (settled.from_hold, settled.owed) == (held, ZERO)
    settled = settle(Side.BUY, D(1), D(50030), RATE, 2, held, ZERO, D(10))
    assert (settled.value, settled.fee, settled.owed) == (D(50030), D("50.03"), D("20.03"))


def test_the_bound_of_roundings_is_exact() -> None:
    most = ROUNDING_UNITS_MAX * D("0.01")
    for excess, waived in ((most, D("0.10")), (most + D("0.01"), ZERO)):
        settled = settle(Side.BUY, D(1), D(100), RATE, 2, D("100.10") - excess, ZERO, ZERO)
        assert settled.fee == D("0.10") - waived
        assert settled.owed == (ZERO if waived else excess)


def test_a_late_fill_is_paid_from_what_is_there_and_then_owed() -> None:
    """Its hold was given back as the order ended; the house gives nothing away, however small the amount."""
    settled = settle(Side.BUY, D(1), D(100), RATE, 2, ZERO, ZERO, D(1000), live=False)
    assert (settled.value, settled.fee, settled.from_hold, settled.owed) == (D(100), D("0.10"), ZERO, ZERO)
    settled = settle(Side.BUY, D(1), D(100), RATE, 2, ZERO, ZERO, D(40), live=False)
    assert settled.owed == D("60.10")
    settled = settle(Side.BUY, D("0.001"), D(100), RATE, 2, ZERO, ZERO, ZERO, live=False)
    assert (settled.value, settled.rounding, settled.owed) == (D("0.10"), ZERO, D("0.10"))
    settled = settle(Side.SELL, D(2), D(100), RATE, 2, ZERO, ZERO, D("0.5"), live=False)
    assert (settled.value, settled.fee, settled.owed) == (D(200), D("0.20"), D("1.5"))


def test_a_sale_at_a_worse_price_than_its_limit_owes_nothing() -> None:
    settled = settle(Side.SELL, D(1), D(90), RATE, 2, D(1), ZERO, ZERO)
    assert (settled.from_hold, settled.owed, settled.rounding) == (D(1), ZERO, ZERO)


@given(
    st.sampled_from(Side),
    st.booleans(),
    st.integers(1, 500),
    st.integers(1, 500_000),
    st.integers(0, 10_000_000),
    st.integers(0, 10_000_000),
    st.integers(0, 10_000_000),
)
def test_every_fill_is_paid_to_the_cent_by_somebody(
    side: Side, live: bool, lots: int, cents: int, held_cents: int, needed_cents: int, free_cents: int
) -> None:
    qty, price = D(lots) / 100, D(cents) / 100
    held, needed, free = D(held_cents) / 100, D(needed_cents) / 100, D(free_cents) / 100
    settled = settle(side, qty, price, RATE, 2, held, needed, free, live=live)
    spent = qty if side is Side.SELL else settled.value + settled.fee
    from_free = spent - settled.from_hold - settled.owed
    assert ZERO <= from_free <= free
    assert settled.owed == 0 or from_free == free, "nothing is owed while there is something to pay with"
    assert held == settled.from_hold + settled.freed + settled.held
    assert min(settled.from_hold, settled.freed, settled.held, settled.fee, settled.rounding, settled.owed) >= 0
    assert settled.held <= needed
    assert settled.value + settled.rounding == round_amount(qty * price, 2)
    assert live or settled.rounding == 0
    assert settled.rounding == 0 or settled.fee == 0, "the fee gives way first"


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=12),
    st.integers(1, 500_000),
    st.sampled_from([2, 0, 8]),
)
def test_a_hold_suffices_for_every_way_its_order_may_fill(lots: list[int], cents: int, scale: int) -> None:
    """Roundings of many small fills never ask for more than was held, and nothing stays behind."""
    price, qty = D(cents) / 100, sum((D(lot) / 100 for lot in lots), ZERO)
    held = reserve_for(Side.BUY, qty, price, RATE, scale)
    start, paid, freed, left = held, ZERO, ZERO, qty
    for lot in lots:
        left -= D(lot) / 100
        needed = reserve_for(Side.BUY, left, price, RATE, scale) if left else ZERO
        settled = settle(Side.BUY, D(lot) / 100, price, RATE, scale, held, needed, ZERO)
        assert settled.fee >= 0
        assert settled.owed == 0
        assert settled.value + settled.rounding == round_amount(D(lot) / 100 * price, scale)
        paid += settled.from_hold
        freed += settled.freed
        assert held == settled.from_hold + settled.freed + settled.held
        assert settled.from_hold == settled.value + settled.fee, "the client pays nothing beyond the hold"
        held = settled.held
    assert held == 0
    assert paid + freed == start
