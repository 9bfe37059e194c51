"""What a withdrawal costs, when it arrives, and every cell of its table of states."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as D

import pytest

from app.domain.withdrawals import HOLDS, STEPS, Terms, WithdrawalStatus, arrives_on, charge, mask

PERU = Terms(fee_rate=D("0.001"), tax_rate=D("0.00005"), payout_days=1)


@pytest.mark.parametrize(
    ("amount", "scale", "fee", "tax"),
    [
        ("100", 2, "0.10", "0"),  # half a cent of tax does not reach five
        ("999.99", 2, "1.00", "0"),
        ("1000", 2, "1.00", "0.05"),
        ("1999.99", 2, "2.00", "0.05"),
        ("2000", 2, "2.00", "0.10"),
        ("5", 2, "0.00", "0"),  # half-even: 0.005
        ("15", 2, "0.02", "0"),  # half-even: 0.015
        ("100000", 0, "100", "5"),  # a currency without cents has whole tax too
        ("15000", 0, "15", "0"),
    ],
)
def test_fee_and_tax(amount: str, scale: int, fee: str, tax: str) -> None:
    charged = charge(D(amount), PERU, scale)
    assert (charged.fee, charged.tax) == (D(fee), D(tax))
    assert charged.arrives + charged.fee + charged.tax == D(amount)


@pytest.mark.parametrize(
    ("asked", "days", "arrives"),
    [
        (2, 0, 2),  # a Friday in January 2026
        (2, 1, 5),
        (2, 3, 7),
        (3, 0, 5),  # Saturday and Sunday: as if on Monday
        (3, 1, 5),
        (4, 1, 5),
        (5, 1, 6),
        (5, 5, 12),
    ],
)
def test_weekends_do_not_count(asked: int, days: int, arrives: int) -> None:
    moment = datetime(2026, 1, asked, 23, 59, tzinfo=UTC)
    assert arrives_on(moment, Terms(D(0), D(0), days)) == date(2026, 1, arrives)


def test_the_table_of_states() -> None:
    status = WithdrawalStatus
    assert {(before.value, after.value) for before, found in STEPS.items() for after in found} == {
        ("pending_review", "approved"),
        ("pending_review", "rejected"),
        ("pending_review", "canceled"),
        ("approved", "processing"),
        ("approved", "rejected"),
        ("approved", "canceled"),
        ("processing", "completed"),
        ("processing", "failed"),
    }
    assert {status.PENDING_REVIEW, status.APPROVED, status.PROCESSING} == HOLDS == STEPS.keys()


def test_a_masked_number_shows_its_end_alone() -> None:
    assert mask("01136600010003254221") == "•" * 16 + "4221"
