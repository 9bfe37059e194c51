"""Lists: bounded pages with a total, or a cursor where the table is big."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MAX_LIMIT = 500
DEFAULT_LIMIT = 50


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, as the API shows it."""

    items: list[Any]
    total: int
    limit: int
    offset: int

    def to_json(self) -> dict[str, Any]:
        return {
            "items": self.items,
            "total": self.total,
            "limit": self.limit,
            "offset": self.offset,
            "has_more": self.offset + len(self.items) < self.total,
        }
