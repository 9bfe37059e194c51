"""The requests that the API reference shows. A test sends each to a fresh demo and looks at what it changed."""

from __future__ import annotations

from typing import Final

from . import clients, firm, funding, trading
from .example import CLIENT, FIRM, OFFICER, OPERATOR, PERSON, Example

# what operations without a body add, and what they change by table and column
ADDED_WITHOUT_BODY: Final[dict[str, dict[str, int]]] = {"remove_client_limit": {"approvals": 1}}
WITHOUT_BODY: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "remove_document": {"client_documents": ("removed_at",)},
    "delete_order": {"orders": ("status", "held", "closed_at", "leaves_qty")},
    "remove_bank_account": {"client_bank_accounts": ("status", "is_default")},
    "retry_fault": {"engine_faults": ("retry_at", "attempts", "error", "resolved_at", "resolved_by", "resolution")},
}
REQUESTS: Final[dict[str, tuple[Example, ...]]] = {
    **trading.REQUESTS,
    **clients.REQUESTS,
    **funding.REQUESTS,
    **firm.REQUESTS,
}

__all__ = [
    "ADDED_WITHOUT_BODY",
    "CLIENT",
    "FIRM",
    "OFFICER",
    "OPERATOR",
    "PERSON",
    "REQUESTS",
    "WITHOUT_BODY",
    "Example",
]
