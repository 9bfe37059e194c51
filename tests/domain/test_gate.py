"""The gate's answer: each reason alone, what would change it, and the same again from what was stored."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from app.core import json
from app.domain.gate import Act, Inputs, Limit, Remedy, Used, decide
from app.domain.kyc import KycStatus
from tests.conftest import START

D = Decimal
LIMITS = {0: Limit(D(500), D(500), D(1000)), 1: Limit(D(10_000), D(20_000), D(50_000)), 2: Limit()}
VERIFIED = Inputs(
    act=Act.WITHDRAWAL,
    at=START,
    active=True,
    blocked=False,
    kyc_status=KycStatus.APPROVED,
    kyc_level=1,
    kyc_expires_at=START + timedelta(days=1),
    moves_money=True,
    amount_usd=D(100),
    limits=LIMITS,
)
NEW = replace(VERIFIED, act=Act.DEPOSIT, kyc_status=KycStatus.NONE, kyc_level=0, kyc_expires_at=None)


def codes(inputs: Inputs) -> list[str]:
    return [reason.code for reason in decide(inputs).reasons]


def test_a_verified_client_within_the_limits_may() -> None:
    assert decide(VERIFIED).allowed
    assert decide(NEW).allowed


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"blocked": True, "active": False}, ["client_blocked"]),
        ({"active": False}, ["client_inactive"]),
        ({"kyc_status": KycStatus.REJECTED}, ["kyc_rejected"]),
        ({"kyc_status": KycStatus.PENDING}, ["kyc_pending"]),
        ({"kyc_status": KycStatus.NONE}, ["kyc_required"]),
        ({"kyc_status": KycStatus.EXPIRED}, ["kyc_expired"]),
        ({"kyc_expires_at": START}, ["kyc_expired"]),
        ({"amount_usd": None}, ["value_unknown"]),
        ({"amount_usd": D("10000.01")}, ["limit_each"]),
        ({"used": Used(D("19900.01"), D("19900.01"))}, ["limit_day"]),
        ({"used": Used(D(0), D("49900.01"))}, ["limit_month"]),
        ({"used": Used(D(19_900), D(49_900))}, []),
        ({"active": False, "kyc_status": KycStatus.NONE}, ["client_inactive", "kyc_required"]),
    ],
)
def test_each_reason_against_a_withdrawal(changes: dict[str, object], expected: list[str]) -> None:
    assert codes(replace(VERIFIED, **changes)) == expected  # type: ignore[arg-type]


def test_an_expired_approval_leaves_the_limits_of_level_zero() -> None:
    expired = replace(VERIFIED, act=Act.DEPOSIT, kyc_expires_at=START, amount_usd=D(501))
    assert codes(expired) == ["limit_each", "limit_day"]
    assert decide(replace(expired, amount_usd=D(500))).allowed


def test_a_reason_names_the_lowest_level_that_would_do() -> None:
    (each, *_) = decide(replace(NEW, amount_usd=D(5_000))).reasons
    assert (each.remedy, each.values["level"], each.values["left_usd"]) == (Remedy.VERIFY, "1", "500")
    (each, *_) = decide(replace(NEW, amount_usd=D(50_000))).reasons
    assert (each.remedy, each.values["level"]) == (Remedy.VERIFY, "2")


def test_the_highest_level_waits_or_takes_less() -> None:
    most = replace(VERIFIED, kyc_level=2, limits={2: Limit(D(10), D(20))}, amount_usd=D(11), used=Used(D(10), D(10)))
    assert [reason.remedy for reason in decide(most).reasons] == [Remedy.LESS, Remedy.LESS_OR_LATER]


def test_an_order_is_not_stopped_for_want_of_papers_but_by_a_rejection() -> None:
    order = replace(NEW, act=Act.ORDER, moves_money=False, amount_usd=None)
    assert decide(order).allowed
    assert codes(replace(order, kyc_status=KycStatus.REJECTED)) == ["kyc_rejected"]


@pytest.mark.parametrize("inputs", [VERIFIED, NEW, replace(NEW, amount_usd=D("700.123456789"), used=Used(D(1), D(2)))])
def test_what_was_stored_gives_the_same_answer(inputs: Inputs) -> None:
    stored = json.loads_stored(json.dumps(inputs.to_json()))
    assert Inputs.from_json(stored) == inputs
    assert decide(Inputs.from_json(stored)) == decide(inputs)
