"""Maker-checker: what is proposed by one person and decided by others."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class ApprovalKind(StrEnum):
    """What may need more than one person."""

    WITHDRAWAL = "withdrawal"
    BANK_ACCOUNT = "bank_account"  # a client's account to be paid to
    CLIENT_LIMIT = "client_limit"
    KYC_DECISION = "kyc_decision"
    STAFF = "staff"  # new staff, and changes of roles
    DEPOSIT = "deposit"  # a bank transfer that an operator has matched


class ApprovalStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"  # by enough people; not carried out yet
    EXECUTED = "executed"
    FAILED = "failed"  # approved, and refused when it was to be carried out
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOIDED = "voided"  # what it was about has changed


STEPS: Final[dict[ApprovalStatus, frozenset[ApprovalStatus]]] = {
    ApprovalStatus.PENDING: frozenset(
        {ApprovalStatus.APPROVED, ApprovalStatus.REJECTED, ApprovalStatus.EXPIRED, ApprovalStatus.VOIDED}
    ),
    ApprovalStatus.APPROVED: frozenset(
        {ApprovalStatus.EXECUTED, ApprovalStatus.FAILED, ApprovalStatus.EXPIRED, ApprovalStatus.VOIDED}
    ),
}
