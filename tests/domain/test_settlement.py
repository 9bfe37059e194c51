from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.money import round_amount
from app.domain.orders import Side
from app.domain.risk import reserve_for
from app.domain.settlement import Settlement, settle

BUY, SELL = Side.BUY, Side.SELL


@pytest.mark.parametrize(
    ("side", "qty", "price", "held", "needed", "wanted"),
    [
        # the product book's example: 0.01 at 50,000 held 500.50, then 0.004 fill at 49,900
        (BUY, "0.004", "49900", "500.50", "300.30", ("199.60", "0.1996", "199.7996", "0.4004", "300.30")),
        (BUY, "0.01", "50000", "500.50", "0", ("500", "0.5", "500.50", "0", "0")),
        (BUY, "0.01", "49000", "500.50", "0", ("490", "0.49", "490.49", "10.01", "0")),
        (BUY, "0.01", "50000", "0", "0", ("500", "0.5", "0", "0", "0")),  # nothing was held: available pays
        (SELL, "0.004", "50000", "0.01", "0.006", ("200", "0.2", "0.004", "0", "0.006")),
        (SELL, "0.01", "50000", "0.01", "0", ("500", "0.5", "0.01", "0", "0")),
        (SELL, "0.01", "50000", "0", "0", ("500", "0.5", "0", "0", "0")),
        (BUY, "0.01", "50000", "500.3", "0", ("500", "0.3", "500.3", "0", "0")),  # the house gives way
        (BUY, "0.01", "50000", "500.3", "1", ("500", "0.5", "500.3", "0", "0")),
        (BUY, "0.01", "50000", "499.9", "0", ("500", "0.5", "499.9", "0", "0")),  # by no more than its fee
        (BUY, "0.01", "50000", "500", "0", ("500", "0", "500", "0", "0")),
    ],
)
def test_worked_examples(side: Side, qty: str, price: str, held: str, needed: str, wanted: tuple[str, ...]) -> None:
    settled = settle(side, D(qty), D(price), D("0.001"), "USDT", D(held), D(needed))
    assert settled == Settlement(*map(D, wanted))


@given(
    st.sampled_from(list(Side)), st.decimals("0.001", "100", places=3), st.decimals("0.01", "1000", places=2),
    st.decimals("0", "1", places=3), st.sampled_from(["0", "0.001", "0.015"]), st.sampled_from(["USD", "JPY", "USDT"]),
)  # fmt: skip
def test_one_fill_within_its_price_is_paid_out_of_its_hold(
    side: Side, qty: D, limit: D, better: D, rate: str, currency: str
) -> None:
    price = limit * (1 - better) if side is BUY else limit * (1 + better)
    held = reserve_for(side, qty, limit, D(rate), currency)
    settled = settle(side, qty, price, D(rate), currency, held, D(0))
    assert settled.value == round_amount(qty * price, currency)
    assert settled.from_hold == (settled.value + settled.fee if side is BUY else qty)
    assert settled.from_hold + settled.freed == held
    assert settled.held == 0
    assert settled.fee >= 0


@given(
    st.sampled_from(list(Side)), st.decimals("0.001", "100", places=3), st.decimals("0.01", "1000", places=2),
    st.decimals("0", "100000", places=2), st.decimals("0", "100000", places=2),
)  # fmt: skip
def test_what_was_held_is_paid_freed_or_still_held(side: Side, qty: D, price: D, held: D, needed: D) -> None:
    settled = settle(side, qty, price, D("0.001"), "USD", held, needed)
    assert settled.from_hold + settled.freed + settled.held == held
    assert min(settled.from_hold, settled.freed, settled.held, settled.fee) >= 0
    assert settled.held <= needed
    assert settled.from_hold <= (settled.value + settled.fee if side is BUY else qty)
