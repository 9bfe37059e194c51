"""Know your customer: the states of a verification and what a decision of the provider means."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final


class KycStatus(StrEnum):
    """Of a client; a verification is never ``none``."""

    NONE = "none"
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


LEVELS: Final = (0, 1, 2)  # before documents, after documents, after enhanced diligence


def effective_level(status: KycStatus, level: int, expires_at: datetime | None, now: datetime) -> int:
    """The level a client has now; zero without an approval, or after it has expired."""
    if status is not KycStatus.APPROVED or (expires_at is not None and expires_at <= now):
        return 0
    return level
