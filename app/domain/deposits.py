"""Money that comes in: the states of a deposit."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class DepositMethod(StrEnum):
    CARD = "card"
    BANK_TRANSFER = "bank_transfer"
    MOCK = "mock"  # a sandbox's: completes at once


class DepositStatus(StrEnum):
    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


STEPS: Final[dict[DepositStatus, frozenset[DepositStatus]]] = {
    DepositStatus.PENDING: frozenset(
        {DepositStatus.PROCESSING, DepositStatus.COMPLETED, DepositStatus.FAILED, DepositStatus.CANCELED}
    ),
    DepositStatus.PROCESSING: frozenset({DepositStatus.COMPLETED, DepositStatus.FAILED, DepositStatus.CANCELED}),
    # money that arrives although we had given it up is money: it is credited
    DepositStatus.FAILED: frozenset({DepositStatus.COMPLETED}),
    DepositStatus.CANCELED: frozenset({DepositStatus.COMPLETED}),
}
