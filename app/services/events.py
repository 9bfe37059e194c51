"""Events are written here, in the transaction of what they tell, and numbered later by the relay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core import json
from app.core.bulk import BulkInsert
from app.core.clock import iso
from app.core.ids import new_id
from app.models import Event, table_of

FIRM = "firm"

table = table_of(Event)
_INSERT = BulkInsert(
    table, ("event_id", "stream", "type", "object_type", "object_id", "object_version", "payload", "at")
)


@dataclass(slots=True)
class Events:
    """Collects events of one transaction and writes them in one statement, in the order they happened."""

    now: datetime
    _rows: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        stream: str,
        type_: str,
        object_type: str,
        object_id: str,
        data: dict[str, Any],
        *,
        version: int | None = None,
        **changed: Any,
    ) -> None:
        """``stream`` is a client id or ``FIRM``; ``data`` the object as the API shows it; ``changed`` what changed."""
        self._rows.append(
            {
                "event_id": new_id(),
                "stream": stream,
                "type": type_,
                "object_type": object_type,
                "object_id": object_id,
                "object_version": version,
                "payload": json.dumps({"data": data, **changed}),
                "at": self.now,
            }
        )

    def __len__(self) -> int:
        return len(self._rows)

    def flush(self, session: Session) -> None:
        _INSERT.run(session, self._rows)
        self._rows = []


def since(
    session: Session,
    streams: list[str] | None,
    after: int,
    limit: int,
    types: list[str] | None = None,
    without: list[str] | None = None,
) -> list[dict[str, Any]]:
    """Numbered events after a cursor, oldest first; ``streams`` None means every stream."""
    query = sa.select(table).where(table.c.ordinal > after, *_of(streams, types, without))
    return [event_json(row) for row in session.execute(query.order_by(table.c.ordinal).limit(limit)).mappings()]


def newest(
    session: Session,
    streams: list[str] | None,
    before: int | None,
    limit: int,
    types: list[str] | None = None,
    without: list[str] | None = None,
) -> list[dict[str, Any]]:
    """Numbered events before a cursor, or the last ones, newest first.

    Of one stream they are walked by its own numbers: however busy the house is, no other's are looked at.
    """
    query = sa.select(table).where(table.c.ordinal.is_not(None), *_of(streams, types, without))
    if before is not None:
        query = query.where(table.c.ordinal < before)
    order = table.c.seq if streams is not None and len(streams) == 1 else table.c.ordinal
    return [event_json(row) for row in session.execute(query.order_by(order.desc()).limit(limit)).mappings()]


def _of(streams: list[str] | None, types: list[str] | None, without: list[str] | None) -> list[Any]:
    conditions: list[Any] = []
    if streams is not None:
        conditions.append(table.c.stream == streams[0] if len(streams) == 1 else table.c.stream.in_(streams))
    if types:
        conditions.append(sa.or_(*(_like(pattern) for pattern in types)))
    if without:
        conditions.append(sa.not_(sa.or_(*(_like(pattern) for pattern in without))))
    return conditions


def _like(pattern: str) -> Any:
    escaped = pattern.replace("_", "/_").replace("*", "%")
    return table.c.type.like(escaped, escape="/")


def last_ordinal(session: Session) -> int:
    """The newest cursor; what a snapshot taken now is complete up to."""
    return session.scalar(sa.select(sa.func.max(table.c.ordinal))) or 0


def event_json(row: Mapping[Any, Any]) -> dict[str, Any]:
    """An event as every channel carries it. ``cursor`` is what a reader names to get what follows."""
    return {
        "id": row["event_id"],
        "cursor": row["ordinal"],
        "seq": row["seq"],
        "stream": row["stream"],
        "type": row["type"],
        "object_type": row["object_type"],
        "object_id": row["object_id"],
        "version": row["object_version"],
        "at": iso(row["at"]),
        **json.loads_stored(row["payload"]),
    }
