"""Messages are kept as they travelled, in the transaction that books what they say."""

from __future__ import annotations

from collections.abc import Container, Iterable
from datetime import datetime

from sqlalchemy.orm import Session

from app.core.bulk import BulkInsert
from app.domain.reports import Report, Sent
from app.models import FixMessage, table_of

fix_messages = table_of(FixMessage)
_INSERT = BulkInsert(fix_messages, ("order_id", "direction", "msg_type", "raw", "at"))


def store_messages(session: Session, reports: Iterable[Report], known: Container[str], now: datetime) -> None:
    """What was sent and what came back; ``known`` are the orders that exist."""
    rows = [
        {
            "order_id": report.order_id if report.order_id in known else None,
            "direction": "out" if isinstance(report, Sent) else "in",
            "msg_type": report.msg_type,
            "raw": report.message.decode("ascii", "replace"),
            "at": now,
        }
        for report in reports
        if report.message
    ]
    _INSERT.run(session, rows)
