from __future__ import annotations

from decimal import Decimal as D

import pytest

from app.domain.fees import FeeRates, fee_for


@pytest.mark.parametrize(
    ("value", "rate", "scale", "fee"),
    [
        ("199.60", "0.001", 8, "0.1996"),
        ("25000", "0.001", 2, "25"),
        ("25750", "0.001", 2, "25.75"),
        ("2.50", "0.01", 2, "0.02"),
        ("3.50", "0.01", 2, "0.04"),  # 0.025 and 0.035: half to even
        ("49", "0.01", 0, "0"),
        ("50", "0.01", 0, "0"),
        ("51", "0.01", 0, "1"),
        ("100", "0", 2, "0"),
    ],
)
def test_a_fee_is_a_fraction_of_the_value_in_its_currencys_scale(value: str, rate: str, scale: int, fee: str) -> None:
    assert fee_for(D(value), D(rate), scale) == D(fee)


def test_rates_cannot_change_under_an_order() -> None:
    rates = FeeRates(maker=D("0.0005"), taker=D("0.001"))
    with pytest.raises(AttributeError):
        rates.taker = D(0)  # type: ignore[misc]
