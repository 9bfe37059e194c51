from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.matching import match_price
from app.domain.orders import OrderType, Side
from app.domain.quotes import Quote

AT = datetime(2026, 1, 5, tzinfo=UTC)
BUY, SELL = Side.BUY, Side.SELL


def match(
    side: Side,
    limit: str | None,
    bid: str,
    ask: str,
    *,
    resting: bool = False,
    type_: OrderType = OrderType.LIMIT,
    slippage: str = "5",
    tick: str = "0.01",
) -> tuple[D, bool] | None:
    quote = Quote("BTC/USDT", D(bid), D(ask), None, AT, AT, "test")
    found = match_price(
        side,
        type_,
        None if limit is None else D(limit),
        quote,
        slippage_bps=D(slippage),
        tick=D(tick),
        resting=resting,
    )
    return None if found is None else (found.price, found.maker)


@pytest.mark.parametrize(
    ("side", "limit", "bid", "ask", "resting", "wanted"),
    [
        (BUY, "100", "98", "99", False, ("99", False)),  # takes the better price
        (BUY, "100", "99", "100", False, ("100", False)),  # exactly reached
        (BUY, "100", "99", "100.01", False, None),
        (BUY, "100", "98", "99", True, ("100", True)),  # it was there first
        (BUY, "100", "99", "100", True, ("100", True)),
        (BUY, "100", "99", "100.01", True, None),
        (SELL, "100", "101", "102", False, ("101", False)),
        (SELL, "100", "100", "101", False, ("100", False)),
        (SELL, "100", "99.99", "101", False, None),
        (SELL, "100", "101", "102", True, ("100", True)),
        (SELL, "100", "99.99", "101", True, None),
        (BUY, None, "98", "99", False, None),
    ],
)
def test_a_limit_fills_at_its_price_or_better_without_slippage(
    side: Side, limit: str | None, bid: str, ask: str, resting: bool, wanted: tuple[str, bool] | None
) -> None:
    assert match(side, limit, bid, ask, resting=resting) == (wanted and (D(wanted[0]), wanted[1]))


@pytest.mark.parametrize(
    ("side", "slippage", "tick", "limit", "wanted"),
    [
        (BUY, "0", "0.01", None, "100.50"),
        (SELL, "0", "0.01", None, "100.25"),
        (BUY, "5", "0.01", None, "100.56"),  # 100.55025 up
        (SELL, "5", "0.01", None, "100.19"),  # 100.199875 down
        (BUY, "5", "0.1", None, "100.6"),
        (SELL, "5", "0.1", None, "100.1"),
        (SELL, "10000", "0.01", None, "0.01"),  # never free
        (SELL, "20000", "0.01", None, "0.01"),
        (BUY, "5", "0.01", "100.56", "100.56"),
        (BUY, "5", "0.01", "100.55", None),  # beyond its protection price
        (SELL, "5", "0.01", "100.19", "100.19"),
        (SELL, "5", "0.01", "100.20", None),
    ],
)
def test_a_market_order_pays_the_opposite_side_plus_slippage_rounded_against_it(
    side: Side, slippage: str, tick: str, limit: str | None, wanted: str | None
) -> None:
    found = match(side, limit, "100.25", "100.50", type_=OrderType.MARKET, slippage=slippage, tick=tick)
    assert found == (wanted and (D(wanted), False))


PRICES = st.decimals("0.01", "1000", places=2)


@given(st.sampled_from(list(Side)), PRICES, PRICES, PRICES, st.booleans(), st.sampled_from(["0", "5", "250"]))
def test_no_limit_is_ever_filled_worse_than_its_price(
    side: Side, limit: D, one: D, other: D, resting: bool, slippage: str
) -> None:
    bid, ask = min(one, other), max(one, other)
    found = match(side, str(limit), str(bid), str(ask), resting=resting, slippage=slippage)
    reached = ask <= limit if side is BUY else bid >= limit
    assert (found is not None) is reached
    if found is not None:
        assert found[0] <= limit if side is BUY else found[0] >= limit


@given(st.sampled_from(list(Side)), PRICES, PRICES, st.decimals("0", "300", places=1), st.sampled_from(["0.01", "0.5"]))
def test_a_market_price_is_on_the_tick_and_no_better_than_the_quote(
    side: Side, one: D, other: D, slippage: D, tick: str
) -> None:
    bid, ask = min(one, other), max(one, other)
    found = match(side, None, str(bid), str(ask), type_=OrderType.MARKET, slippage=str(slippage), tick=tick)
    assert found is not None
    assert found[0] % D(tick) == 0
    assert found[0] >= D(tick)
    assert found[0] >= ask if side is BUY else (found[0] <= bid or found[0] == D(tick))
