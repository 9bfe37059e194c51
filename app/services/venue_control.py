"""How the simulated venue behaves, and changing it while it runs, in whatever process the engine is."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.errors import Conflict
from app.core.permissions import Principal
from app.models import EngineHeartbeat, table_of

from . import audit, commands

COMMAND = "venue"
VENUE = "SIM"
heartbeats = table_of(EngineHeartbeat)


def show(session: Session, *, production: bool) -> dict[str, Any]:
    """What the engine that leads last said of the venue, and what it was told and has not taken yet."""
    leader = _leader(session)
    behaviour = None if leader is None else leader["status"].get("venue_behaviour")
    last = commands.newest(session, COMMAND)
    return {
        "venue": VENUE,
        "changeable": not production,
        "behaviour": behaviour,
        "at": iso(leader["at"]) if leader is not None and behaviour is not None else None,
        "waiting": [
            {"changes": row["payload"], "asked_at": iso(row["created_at"])}
            for row in commands.waiting(session, COMMAND)
        ],
        "last_error": None if last is None else last["error"],
    }


def change(
    session: Session,
    changes: Mapping[str, str | int | bool],
    principal: Principal,
    now: datetime,
    *,
    production: bool,
    ip: str | None = None,
) -> None:
    """Tell the engine that leads; ``changes`` are checked already. Wake it after the commit.

    Raises ``Conflict`` in production, ``Unavailable`` when no engine takes commands.
    """
    if production:
        raise Conflict("the venue does not misbehave on demand in production", code="not_in_production")
    before = (_leader(session) or {"status": {}})["status"].get("venue_behaviour") or {}
    commands.hand_over(session, COMMAND, changes, principal, now)
    previous = {f"previous_{name}": before.get(name) for name in changes}
    audit.record(session, principal, "venue.change", "venue", VENUE, now, ip=ip, **changes, **previous)


def _leader(session: Session) -> Mapping[Any, Any] | None:
    query = sa.select(heartbeats.c.at, heartbeats.c.status).where(heartbeats.c.leading.is_(True))
    return session.execute(query.order_by(heartbeats.c.at.desc()).limit(1)).mappings().first()
