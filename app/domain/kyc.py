"""Know your customer: the states of a verification and what a decision of the provider means."""

from __future__ import annotations

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
