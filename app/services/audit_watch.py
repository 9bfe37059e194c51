"""Chores about the audit trail: its head is kept elsewhere as it grows, and a tail without seals is an alert."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import structlog
from sqlalchemy.orm import Session

from app.core.transaction import Database

from . import audit, faults

log = structlog.get_logger("audit")
SEALED_WITHIN: Final = timedelta(seconds=5)  # the relay takes a second; a commit may take a few itself


class Heads(Protocol):
    """Where heads are kept, out of reach of whoever could cut the trail."""

    def add(self, head: Mapping[str, Any]) -> None:
        """Stored for good when it returns."""


class AuditWatch:
    """``heads`` None: they are not kept."""

    def __init__(self, database: Database, heads: Heads | None) -> None:
        self.database, self.heads = database, heads
        self._kept: int | None = None  # seq of the newest head that was kept
        self._alerted: str | None = None  # the unsealed record of the newest alert

    def keep_head(self, now: datetime) -> bool:
        """Keep the head where it has moved on."""
        head = self.database.read(audit.head)
        if self.heads is not None and head is not None and head["seq"] != self._kept:
            self.heads.add(head)
            self._kept = head["seq"]
        return False

    def look_at_tail(self, now: datetime) -> bool:
        """Raise one alert for records that wait for their place in the chain for longer than they should."""

        def work(session: Session) -> tuple[str, datetime] | None:
            known = [fault["object_id"] for fault in faults.open_faults(session) if fault["stage"] == "audit"]
            return audit.oldest_unsealed(session, known)

        found = self.database.read(work)
        if found is None or now - found[1] <= SEALED_WITHIN:
            self._alerted = None
        elif self._alerted is None:
            self._alerted, since = found[0], found[1]
            log.error("audit.unsealed", record_id=found[0], since=since.isoformat())
            message = f"audit records have waited for their place in the chain since {since.isoformat()}"
            self.database.run(
                lambda session: faults.alert(session, now, "audit_unsealed", message, "audit_record", found[0])
            )
        return False
