from __future__ import annotations

from collections import defaultdict
from decimal import ROUND_DOWN
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ledger import (
    HOUSE,
    AccountKind,
    AccountRef,
    PostingLine,
    Unbalanced,
    check_balanced,
    deposit_lines,
    hold_lines,
    receivable,
    trade_lines,
)

W = "wallet-1"
SCALES = {"USD": 2, "PEN": 2, "EUR": 2, "JPY": 0, "BTC": 8, "USDT": 8}
AMOUNTS = st.decimals(min_value=D("0.01"), max_value=D(10**9), places=2)


def line(amount: str, currency: str = "USD", owner: str = W) -> PostingLine:
    return PostingLine(AccountRef(owner, currency, AccountKind.AVAILABLE), D(amount))


def sums(lines: list[PostingLine]) -> dict[tuple[str, str, str], D]:
    result: dict[tuple[str, str, str], D] = defaultdict(D)
    for item in lines:
        result[item.account.owner, item.account.currency, item.account.kind.value] += item.amount
    return dict(result)


@pytest.mark.parametrize(
    "entry",
    [
        [line("1"), line("-1", owner=HOUSE)],
        [line("1"), line("-0.5", owner=HOUSE), line("-0.5", owner="bank")],
        [line("10"), line("-10", owner=HOUSE), line("-37.45", "PEN"), line("37.45", "PEN", HOUSE)],
    ],
)
def test_an_entry_that_sums_to_zero_in_each_currency_balances(entry: list[PostingLine]) -> None:
    check_balanced(entry, SCALES)
    check_balanced(iter(entry), SCALES)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ([], "at least two"),
        ([line("0")], "at least two"),
        ([line("1"), line("-0.99", owner=HOUSE)], "USD sum to 0.01"),
        ([line("10"), line("-10", "PEN")], "sum to"),
        ([line("1"), line("-1"), line("1", "PEN")], "PEN sum to 1"),
        ([line("0.001"), line("-0.001", owner=HOUSE)], "more decimals than USD"),
        ([line("0.5", "JPY"), line("-0.5", "JPY", HOUSE)], "more decimals than JPY"),
        ([line("1", "PEPE"), line("-1", "PEPE", HOUSE)], "PEPE is no currency"),
    ],
)
def test_an_entry_that_does_not_balance_is_refused(entry: list[PostingLine], why: str) -> None:
    with pytest.raises(Unbalanced, match=why):
        check_balanced(entry, SCALES)


def test_a_deposit_comes_from_outside() -> None:
    lines = deposit_lines(W, "USD", D(100), "paper")
    check_balanced(lines, SCALES)
    assert sums(lines) == {("paper", "USD", "external"): D(-100), (W, "USD", "available"): D(100)}


@pytest.mark.parametrize("amount", ["500.50", "-500.50"])
def test_a_hold_moves_between_available_and_held_and_a_negative_one_releases(amount: str) -> None:
    lines = hold_lines(W, "USDT", D(amount))
    check_balanced(lines, SCALES)
    assert sums(lines) == {(W, "USDT", "available"): -D(amount), (W, "USDT", "held"): D(amount)}


def test_the_worked_example_of_a_limit_buy_that_fills_better() -> None:
    """Limit buy at 50,000, 0.004 BTC fill at 49,900, fee 0.1 %."""
    lines = trade_lines(
        W,
        "BTC",
        "USDT",
        buy=True,
        qty=D("0.004"),
        value=D("199.60"),
        fee=D("0.1996"),
        from_hold=D("199.7996"),
        freed=D("0.4004"),
    )
    check_balanced(lines, SCALES)
    assert sums(lines) == {
        (W, "USDT", "held"): D("-200.20"),
        (W, "USDT", "available"): D("0.4004"),
        (HOUSE, "USDT", "clearing"): D("199.60"),
        (HOUSE, "USDT", "fees"): D("0.1996"),
        (W, "BTC", "available"): D("0.004"),
        (HOUSE, "BTC", "clearing"): D("-0.004"),
    }


def test_a_sale_pays_its_fee_out_of_what_it_brings() -> None:
    lines = trade_lines(
        W, "BTC", "USDT", buy=False, qty=D("0.5"), value=D("25000"), fee=D("25"), from_hold=D("0.5"), freed=D(0)
    )
    check_balanced(lines, SCALES)
    assert sums(lines) == {
        (W, "BTC", "held"): D("-0.5"),
        (HOUSE, "BTC", "clearing"): D("0.5"),
        (HOUSE, "USDT", "clearing"): D("-25000"),
        (HOUSE, "USDT", "fees"): D("25"),
        (W, "USDT", "available"): D("24975"),
    }


def test_what_was_not_held_comes_from_available() -> None:
    lines = trade_lines(
        W, "BTC", "USDT", buy=True, qty=D("0.01"), value=D("510"), fee=D("0.51"), from_hold=D("500"), freed=D(0)
    )
    check_balanced(lines, SCALES)
    assert sums(lines)[W, "USDT", "held"] == D("-500")
    assert sums(lines)[W, "USDT", "available"] == D("-10.51")


def test_what_a_buyer_cannot_pay_is_a_receivable_of_the_house() -> None:
    lines = trade_lines(
        W,
        "BTC",
        "USDT",
        buy=True,
        qty=D("0.01"),
        value=D("510"),
        fee=D("0.51"),
        from_hold=D("500"),
        freed=D(0),
        owed=D("4.51"),
    )
    check_balanced(lines, SCALES)
    assert sums(lines) == {
        (W, "USDT", "held"): D("-500"),
        (W, "USDT", "available"): D("-6"),
        (f"{HOUSE}:{W}", "USDT", "receivable"): D("-4.51"),
        (HOUSE, "USDT", "clearing"): D("510"),
        (HOUSE, "USDT", "fees"): D("0.51"),
        (W, "BTC", "available"): D("0.01"),
        (HOUSE, "BTC", "clearing"): D("-0.01"),
    }
    assert receivable(W, "USDT").owner != receivable("another", "USDT").owner, "who owes is in its name"


def test_an_asset_that_was_sold_and_is_not_there_is_owed_too() -> None:
    lines = trade_lines(
        W,
        "BTC",
        "USDT",
        buy=False,
        qty=D("0.5"),
        value=D("25000"),
        fee=D("25"),
        from_hold=D("0.1"),
        freed=D(0),
        owed=D("0.4"),
    )
    check_balanced(lines, SCALES)
    assert sums(lines)[f"{HOUSE}:{W}", "BTC", "receivable"] == D("-0.4")
    assert sums(lines)[W, "BTC", "held"] == D("-0.1")
    assert (W, "BTC", "available") not in sums(lines)


def test_what_the_house_adds_for_roundings_is_a_posting_of_its_own() -> None:
    lines = trade_lines(
        W,
        "BTC",
        "USDT",
        buy=True,
        qty=D("0.01"),
        value=D("499.99"),
        fee=D(0),
        from_hold=D("499.99"),
        freed=D(0),
        rounding=D("0.01"),
    )
    check_balanced(lines, SCALES)
    assert sums(lines)[HOUSE, "USDT", "clearing"] == D("500.00")
    assert sums(lines)[HOUSE, "USDT", "rounding"] == D("-0.01")


def test_no_line_is_empty() -> None:
    lines = trade_lines(
        W, "BTC", "USDT", buy=True, qty=D("0.01"), value=D("500"), fee=D(0), from_hold=D("500"), freed=D(0)
    )
    check_balanced(lines, SCALES)
    assert {(item.account.kind, item.account.currency) for item in lines} == {
        (AccountKind.HELD, "USDT"),
        (AccountKind.CLEARING, "BTC"),
        (AccountKind.CLEARING, "USDT"),
        (AccountKind.AVAILABLE, "BTC"),
    }


SHARES = st.decimals(0, 1, places=2)


@given(st.booleans(), AMOUNTS, AMOUNTS, AMOUNTS, SHARES, SHARES, AMOUNTS)
def test_every_trade_balances_and_takes_from_the_wallet_what_it_spends(
    buy: bool, qty: D, value: D, fee: D, held_share: D, owed_share: D, freed: D
) -> None:
    spent = value + fee if buy else qty
    from_hold = (spent * held_share).quantize(D("0.01"))
    owed = ((spent - from_hold) * owed_share).quantize(D("0.01"), ROUND_DOWN)
    lines = trade_lines(
        W, "EUR", "USD", buy=buy, qty=qty, value=value, fee=fee, from_hold=from_hold, freed=freed, owed=owed
    )
    check_balanced(lines, SCALES)
    moved: dict[str, D] = defaultdict(D)
    for (owner, currency, _), amount in sums(lines).items():
        if owner == W:
            moved[currency] += amount
    assert moved["EUR"] == (qty if buy else -qty + owed)
    assert moved["USD"] == (-value - fee + owed if buy else value - fee)
    spends = "USD" if buy else "EUR"
    assert sums(lines).get((W, spends, "held"), D(0)) == -(from_hold + freed)
    assert sums(lines).get((f"{HOUSE}:{W}", spends, "receivable"), D(0)) == -owed
