"""FIX messages are kept as they travelled, in the transaction they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.adapters.venues.base import Outgoing
from app.models import FixMessage, table_of

fix_messages = table_of(FixMessage)


def store_messages(
    session: Session, direction: str, messages: list[tuple[str, str, bytes]], known: Iterable[str], now: datetime
) -> None:
    """Keep FIX messages as they travelled."""
    known = set(known)
    rows = [
        {"order_id": order_id if order_id in known else None, "direction": direction, "msg_type": msg_type,
         "raw": raw.decode("ascii", "replace"), "at": now}
        for order_id, msg_type, raw in messages
    ]  # fmt: skip
    if rows:
        session.execute(sa.insert(fix_messages), rows)


def store_outgoing(session: Session, messages: list[Outgoing], now: datetime) -> None:
    """Keep what is about to be sent; the send follows the commit."""
    store_messages(
        session, "out", [(m.order_id, m.msg_type, m.raw) for m in messages], [m.order_id for m in messages], now
    )
