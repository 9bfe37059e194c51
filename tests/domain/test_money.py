from __future__ import annotations

import threading
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import money
from app.domain.money import InvalidAmount

AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=18)


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ("12.50", "12.5"),
        (" 7 ", "7"),
        ("-0.01", "-0.01"),
        ("+3", "3"),
        ("1e3", "1000"),
        ("1E-3", "0.001"),
        (5, "5"),
        (-5, "-5"),
        (0, "0"),
        (D("1.10"), "1.1"),
        ("1e40", "1" + "0" * 40),
        ("1e-40", "0." + "0" * 39 + "1"),
        (10**39, "1" + "0" * 39),
        ("-0", "0"),
        ("0e999999", "0"),
        (D("-0.00"), "0"),
        ("1234567890123456789012345678901234567890.123456789012345678901", None),
    ],
)
def test_decimals_are_parsed_exactly(given_: object, wanted: str | None) -> None:
    assert money.text(money.parse_decimal(given_)) == (wanted or str(given_))


@pytest.mark.parametrize(
    "refused",
    [
        "",
        " ",
        "abc",
        "1,5",
        "1_000",
        "0x10",
        "--1",
        "1e",
        ".",
        "NaN",
        "nan",
        "Infinity",
        "-inf",
        "1e400",
        "1e-400",
        "1e41",
        "1e99999999999999999999",
        "٣",
        "１２",
        "1" * 65,
        "5 0",
        1.5,
        0.0,
        float("nan"),
        True,
        False,
        None,
        [],
        {},
        b"1",
        D("NaN"),
        D("sNaN"),
        D("Infinity"),
        D("1e41"),
        D("1e-41"),
        10**40,
        -(10**40),
        10**5000,
        D("1." + "0" * 90 + "1"),
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) else "int",
)
def test_anything_but_a_finite_decimal_is_refused(refused: object) -> None:
    with pytest.raises(InvalidAmount) as caught:
        money.parse_decimal(refused)
    assert caught.value.code == "invalid_amount"


@given(AMOUNTS)
def test_written_and_parsed_again_an_amount_is_the_same(amount: D) -> None:
    written = money.text(amount)
    assert money.parse_decimal(written) == amount
    assert set(written) <= set("-0123456789.")
    assert "." not in written or not written.endswith(("0", "."))
    assert written == "0" or not written.startswith("-0") or written.startswith("-0.")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("1E+3", "1000"),
        ("1.500", "1.5"),
        ("0E-10", "0"),
        ("-0.00", "0"),
        ("0E+5", "0"),
        ("-2.50", "-2.5"),
        ("1E-18", "0.000000000000000001"),
    ],
)
def test_text_has_no_exponent_no_trailing_zeros_and_no_negative_zero(value: str, wanted: str) -> None:
    assert money.text(D(value)) == wanted
    assert str(money.plain(D(value))) == (wanted if len(wanted) < 8 else "1E-18")


@pytest.mark.parametrize(("value", "wanted"), [("1.10", 1), ("100", 0), ("1E+2", 0), ("0.001", 3), ("0.000", 0)])
def test_decimals_counts_what_is_significant(value: str, wanted: int) -> None:
    assert money.decimals(D(value)) == wanted
    assert money.decimals(-D(value)) == wanted


def test_a_number_that_is_none_has_no_decimals() -> None:
    assert money.decimals(D("NaN")) == 0


@pytest.mark.parametrize(
    ("value", "scale", "even", "up"),
    [
        ("2.345", 2, "2.34", "2.35"),
        ("2.355", 2, "2.36", "2.36"),
        ("-2.345", 2, "-2.34", "-2.35"),
        ("2.3450001", 2, "2.35", "2.35"),
        ("0.5", 0, "0", "1"),
        ("1.5", 0, "2", "2"),
        ("0.000000005", 8, "0", "0.00000001"),
        ("0.00005", 4, "0", "0.0001"),
        ("2", 2, "2", "2"),
        ("0.000000015", 8, "0.00000002", "0.00000002"),
    ],
)
def test_money_is_rounded_half_even_and_holds_away_from_zero(value: str, scale: int, even: str, up: str) -> None:
    assert money.round_amount(D(value), scale) == D(even)
    assert money.round_up(D(value), scale) == D(up)


@pytest.mark.parametrize(
    ("value", "step", "multiple", "floor"),
    [
        ("1.05", "0.05", True, "1.05"),
        ("1.07", "0.05", False, "1.05"),
        ("3", "1", True, "3"),
        ("0.3", "0.1", True, "0.3"),
        ("-0.07", "0.05", False, "-0.10"),
        ("0", "0.01", True, "0"),
        ("0.04", "0.05", False, "0"),
    ],
)
def test_multiples_of_a_step(value: str, step: str, multiple: bool, floor: str) -> None:
    assert money.is_multiple(D(value), D(step)) is multiple
    assert money.floor_to(D(value), D(step)) == D(floor)


@pytest.mark.parametrize(("scale", "wanted"), [(0, "1"), (2, "0.01"), (18, "0.000000000000000001")])
def test_the_unit_of_a_scale(scale: int, wanted: str) -> None:
    assert money.unit(scale) == D(wanted)


def test_products_of_stored_numbers_are_exact_in_every_thread() -> None:
    largest = D("99999999999999999999.999999999999999999")
    products: list[D] = []
    thread = threading.Thread(target=lambda: products.append(largest * largest))
    thread.start()
    thread.join()
    wanted = int(str(largest).replace(".", "")) ** 2
    assert products == [D(wanted).scaleb(-36)]
    assert int(products[0].scaleb(36)) == wanted
