"""What requests hand to the engine that leads, in whatever process: rows it reads after a wake, oldest first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Unavailable
from app.core.ids import new_id
from app.core.permissions import Principal
from app.models import EngineCommand, table_of

MOST_WAITING = 100
table = table_of(EngineCommand)


def hand_over(session: Session, kind: str, payload: Mapping[str, Any], principal: Principal, now: datetime) -> str:
    """Leave the engine something to do; wake it after the commit. Returns the command's id.

    Raises ``Unavailable`` when ``MOST_WAITING`` wait already: no engine takes them.
    """
    query = sa.select(sa.func.count()).select_from(table).where(table.c.taken_at.is_(None))
    if (session.scalar(query) or 0) >= MOST_WAITING:
        raise Unavailable("no engine takes commands", code="engine_not_listening", retry_after=5)
    command_id = new_id()
    session.execute(
        sa.insert(table),
        {
            "id": command_id,
            "kind": kind,
            "payload": dict(payload),
            "created_by": principal.actor,
            "created_at": now,
        },
    )
    return command_id


def waiting(session: Session, kind: str | None = None) -> list[dict[str, Any]]:
    """What no engine has taken yet, oldest first; of one kind, or of all."""
    query = sa.select(table).where(table.c.taken_at.is_(None)).order_by(table.c.id)
    if kind is not None:
        query = query.where(table.c.kind == kind)
    return [dict(row) for row in session.execute(query).mappings()]


def taken(session: Session, command_id: str, now: datetime, error: str | None = None) -> None:
    """The engine has done it, or ``error`` says why it could not; it is not tried again."""
    said = None if error is None else error[:300]
    session.execute(sa.update(table).where(table.c.id == command_id).values(taken_at=now, error=said))


def newest(session: Session, kind: str) -> dict[str, Any] | None:
    """The last command of a kind, taken or not."""
    query = sa.select(table).where(table.c.kind == kind).order_by(table.c.id.desc()).limit(1)
    row = session.execute(query).mappings().one_or_none()
    return None if row is None else dict(row)
