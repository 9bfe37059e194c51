"""Money that goes out: the states of a withdrawal."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class WithdrawalStatus(StrEnum):
    PENDING_REVIEW = "pending_review"
    APPROVED = "approved"
    PROCESSING = "processing"
    COMPLETED = "completed"
    REJECTED = "rejected"
    CANCELED = "canceled"
    FAILED = "failed"


STEPS: Final[dict[WithdrawalStatus, frozenset[WithdrawalStatus]]] = {
    WithdrawalStatus.PENDING_REVIEW: frozenset(
        {WithdrawalStatus.APPROVED, WithdrawalStatus.REJECTED, WithdrawalStatus.CANCELED}
    ),
    WithdrawalStatus.APPROVED: frozenset(
        {WithdrawalStatus.PROCESSING, WithdrawalStatus.REJECTED, WithdrawalStatus.CANCELED}
    ),
    WithdrawalStatus.PROCESSING: frozenset({WithdrawalStatus.COMPLETED, WithdrawalStatus.FAILED}),
}
HOLDS: Final = frozenset({WithdrawalStatus.PENDING_REVIEW, WithdrawalStatus.APPROVED, WithdrawalStatus.PROCESSING})
