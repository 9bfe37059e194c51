from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest

from app.domain.quotes import BadQuote, Quote, check_quote

AT = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
QUOTE = Quote("BTC/USDT", D("49990"), D("50010"), D("50000"), AT, AT + timedelta(seconds=1), "simulated")


def test_mid_and_spread() -> None:
    assert (QUOTE.mid, QUOTE.spread) == (D("50000"), D("20"))


def test_age_goes_by_when_we_received_it() -> None:
    assert QUOTE.age(AT + timedelta(seconds=11)) == timedelta(seconds=10)


@pytest.mark.parametrize(("seconds", "stale"), [(10, False), (11, False), (12, True)])
def test_a_quote_is_stale_once_it_is_older_than_the_limit(seconds: int, stale: bool) -> None:
    assert QUOTE.is_stale(AT + timedelta(seconds=seconds), timedelta(seconds=10)) is stale


@pytest.mark.parametrize(
    "fine",
    [
        QUOTE,
        replace(QUOTE, last=None),
        replace(QUOTE, bid=D("50010")),
        replace(QUOTE, bid=D("54990"), ask=D("55010")),  # exactly at the band of 10 %
        replace(QUOTE, bid=D("44990"), ask=D("45010")),
    ],
)
def test_a_believable_quote_passes(fine: Quote) -> None:
    check_quote(fine, QUOTE, D("0.1"))


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (replace(QUOTE, bid=D(0)), "non_positive_price"),
        (replace(QUOTE, bid=D("-1")), "non_positive_price"),
        (replace(QUOTE, ask=D(0)), "non_positive_price"),
        (replace(QUOTE, bid=D("NaN")), "non_positive_price"),
        (replace(QUOTE, ask=D("Infinity")), "non_positive_price"),
        (replace(QUOTE, last=D(0)), "non_positive_price"),
        (replace(QUOTE, last=D("NaN")), "non_positive_price"),
        (replace(QUOTE, bid=D("50010.01")), "crossed"),
        (replace(QUOTE, bid=D("54990"), ask=D("55010.01")), "jump"),
        (replace(QUOTE, bid=D("44989.99"), ask=D("45010")), "jump"),
    ],
)
def test_a_quote_no_price_may_be_taken_from_is_named(bad: Quote, code: str) -> None:
    with pytest.raises(BadQuote, match="BTC/USDT") as caught:
        check_quote(bad, QUOTE, D("0.1"))
    assert caught.value.code == code


def test_any_move_is_believed_without_a_previous_quote_or_without_a_band() -> None:
    far = replace(QUOTE, bid=D(1), ask=D(2))
    check_quote(far, None, D("0.1"))
    check_quote(far, QUOTE, None)


def test_a_jump_set_by_hand_is_meant() -> None:
    before = Quote("XAU/USD", D(1985), D(1986), None, AT, AT, "feed")
    after = Quote("XAU/USD", D(1500), D(1501), None, AT, AT, "manual", by_hand=True)
    check_quote(after, before, D("0.05"))


def test_an_ask_of_more_than_ten_times_the_bid_is_no_market() -> None:
    with pytest.raises(BadQuote) as refused:
        check_quote(Quote("BTC/USDT", D(1), D(99999999), None, AT, AT, "manual", by_hand=True), None, None)
    assert refused.value.code == "spread"
