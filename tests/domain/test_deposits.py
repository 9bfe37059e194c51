"""What a deposit may become, and which reports fit it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from app.domain.deposits import (
    OPEN,
    STEPS,
    DepositStatus,
    Expected,
    PaymentReport,
    ReportKind,
    find_mismatch,
    unknown_deposit,
    unknown_payment,
)

EXPECTED = Expected("d-1", "c-1", "w-1", Decimal("100.50"), "USD", "cs_1", live=False)
PAID = PaymentReport(
    ReportKind.PAID,
    deposit_id="d-1",
    client_id="c-1",
    wallet_id="w-1",
    reference="cs_1",
    amount=Decimal("100.5"),
    currency="USD",
    live=False,
)
# from, to: every step there is
ALLOWED = {
    ("pending", "processing"),
    ("pending", "completed"),
    ("pending", "failed"),
    ("pending", "canceled"),
    ("processing", "pending"),
    ("processing", "completed"),
    ("processing", "failed"),
    ("processing", "canceled"),
    ("failed", "completed"),
    ("canceled", "completed"),
}


@pytest.mark.parametrize(("before", "after"), list(product(DepositStatus, DepositStatus)))
def test_the_whole_matrix_of_steps(before: DepositStatus, after: DepositStatus) -> None:
    assert (after in STEPS.get(before, ())) == ((before.value, after.value) in ALLOWED)


def test_what_is_credited_stays_credited() -> None:
    assert DepositStatus.COMPLETED not in STEPS
    assert frozenset({DepositStatus.PENDING, DepositStatus.PROCESSING}) == OPEN


def test_what_agrees_fits() -> None:
    assert find_mismatch(EXPECTED, PAID) is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": Decimal("100.51")}, "wrong_amount"),
        ({"amount": None}, "wrong_amount"),
        ({"currency": "PEN"}, "wrong_currency"),
        ({"currency": None}, "wrong_currency"),
        ({"reference": "cs_2"}, "wrong_reference"),
        ({"client_id": "c-2"}, "wrong_client"),
        ({"wallet_id": "w-2"}, "wrong_wallet"),
        ({"live": True}, "wrong_mode"),
        ({"live": True, "amount": Decimal(1)}, "wrong_mode"),  # the first that is wrong
    ],
)
def test_what_differs_is_named(change: dict[str, Any], code: str) -> None:
    found = find_mismatch(EXPECTED, replace(PAID, **change))
    assert found is not None
    assert found.code == code
    assert found.expected["amount"] == "100.5"


@pytest.mark.parametrize("name", ["client_id", "wallet_id", "reference", "live"])
def test_what_is_not_named_contradicts_nothing(name: str) -> None:
    assert find_mismatch(EXPECTED, replace(PAID, **{name: None})) is None


def test_a_page_whose_name_was_not_stored_yet_fits() -> None:
    assert find_mismatch(replace(EXPECTED, reference=None), PAID) is None


def test_a_payment_of_nobody_shows_what_was_found() -> None:
    assert unknown_deposit(PAID).found["currency"] == "USD"
    assert (unknown_deposit(PAID).code, unknown_payment(PAID).code) == ("unknown_deposit", "unknown_payment")
    assert unknown_payment(replace(PAID, amount=None, live=True)).found["mode"] == "live"
