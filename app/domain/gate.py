"""The gate: whether a client may do what is intended, and if not, why, and what would change that."""

from __future__ import annotations

from enum import StrEnum


class Act(StrEnum):
    """What a client intends."""

    ORDER = "order"
    OPERATION = "operation"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    WALLET = "wallet"
