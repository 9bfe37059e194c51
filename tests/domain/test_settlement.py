from __future__ import annotations

from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from app.domain.money import ZERO, round_amount
from app.domain.orders import Side
from app.domain.risk import reserve_for
from app.domain.settlement import settle

RATE = D("0.001")


def test_the_posting_table_of_the_book() -> None:
    """Limit buy 0.01 at 50,000 holds 500.50; 0.004 at 49,900 takes 199.7996 of it and frees 0.4004."""
    settled = settle(Side.BUY, D("0.004"), D(49900), RATE, "USDT", D("500.50"), D("300.30"))
    assert (settled.value, settled.fee) == (D("199.60"), D("0.1996"))
    assert (settled.from_hold, settled.freed, settled.held) == (D("199.7996"), D("0.4004"), D("300.30"))


def test_a_sale_pays_with_what_it_held() -> None:
    settled = settle(Side.SELL, D("0.4"), D(50000), RATE, "USDT", D(1), D("0.6"))
    assert (settled.value, settled.fee) == (D(20000), D(20))
    assert (settled.from_hold, settled.freed, settled.held) == (D("0.4"), ZERO, D("0.6"))


def test_what_the_hold_does_not_cover_comes_from_elsewhere() -> None:
    """A fill that arrives after the cancel: its hold is gone."""
    settled = settle(Side.BUY, D(1), D(100), RATE, "USD", ZERO, ZERO, covered=False)
    assert (settled.value, settled.fee, settled.from_hold) == (D(100), D("0.10"), ZERO)


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=12),
    st.integers(1, 500_000),
    st.sampled_from(["USD", "JPY", "USDT"]),
)
def test_a_hold_suffices_for_every_way_its_order_may_fill(lots: list[int], cents: int, currency: str) -> None:
    """Roundings of many small fills never ask for more than was held, and nothing stays behind."""
    price, qty = D(cents) / 100, sum((D(lot) / 100 for lot in lots), ZERO)
    held = reserve_for(Side.BUY, qty, price, RATE, currency)
    start, paid, freed, left = held, ZERO, ZERO, qty
    for lot in lots:
        left -= D(lot) / 100
        needed = reserve_for(Side.BUY, left, price, RATE, currency) if left else ZERO
        settled = settle(Side.BUY, D(lot) / 100, price, RATE, currency, held, needed)
        assert settled.fee >= 0
        assert settled.value + settled.rounding == round_amount(D(lot) / 100 * price, currency)
        paid += settled.from_hold
        freed += settled.freed
        assert held == settled.from_hold + settled.freed + settled.held
        assert settled.from_hold == settled.value + settled.fee, "the client pays nothing beyond the hold"
        held = settled.held
    assert held == 0
    assert paid + freed == start
