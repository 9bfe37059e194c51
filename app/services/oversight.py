"""What supervisors read: the engines and their lease."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.transaction import database_now
from app.models import EngineHeartbeat, EngineLease, table_of

SILENT_SECONDS = 3  # a leader without a heartbeat for so long does not lead any more
leases, heartbeats = table_of(EngineLease), table_of(EngineHeartbeat)
LEASE_KEY: Final = 6_174_100  # + shard: PostgreSQL's advisory lock of the engine that leads
_ENGINE: Final = "cambista-engine "


def application_name(holder: str) -> str:
    """What PostgreSQL is told about an engine's connections."""
    return f"{_ENGINE}{holder}"[:63]


def answers(session: Session) -> bool:
    """Whether the database does; an error says that it does not."""
    return session.scalar(sa.select(1)) == 1


def lease(session: Session) -> dict[str, Any] | None:
    """Who led last, and since when."""
    row = session.execute(sa.select(leases).where(leases.c.shard == 0)).mappings().one_or_none()
    if row is None:
        return None
    return {"epoch": row["epoch"], "holder": row["holder"], "acquired_at": iso(row["acquired_at"])}


def leader(session: Session) -> dict[str, Any] | None:
    """The engine that leads, as its last heartbeat tells; ``age_seconds`` by the database's clock.

    ``leading`` is False as soon as PostgreSQL has lost its lock: a heartbeat outlives its process and a restart
    of the database. None where no engine has ever led.
    """
    query = sa.select(heartbeats).where(heartbeats.c.shard == 0, heartbeats.c.epoch.is_not(None))
    row = session.execute(query.order_by(heartbeats.c.epoch.desc()).limit(1)).mappings().one_or_none()
    if row is None:
        return None
    age = (database_now(session) - row["at"]).total_seconds()
    return {
        "holder": row["holder"],
        "epoch": row["epoch"],
        "at": iso(row["at"]),
        "leading": row["leading"] and _holds_lease(session, row["shard"], row["holder"]),
        "age_seconds": round(max(age, 0.0), 3),
        "status": row["status"],
    }


def _holds_lease(session: Session, shard: int, holder: str) -> bool:
    """Whether somebody has the lock, and it is no other engine; True on SQLite, where nobody can ask."""
    if session.get_bind().dialect.name == "sqlite":
        return True
    query = sa.text(
        "SELECT activity.application_name FROM pg_locks JOIN pg_stat_activity AS activity USING (pid) WHERE "
        "locktype = 'advisory' AND classid = 0 AND objid = :key AND granted AND database = (SELECT oid "
        "FROM pg_database WHERE datname = current_database())"
    )
    name = session.scalar(query, {"key": LEASE_KEY + shard})
    return name is not None and (not name.startswith(_ENGINE) or name == application_name(holder))


def feeds(session: Session) -> list[dict[str, Any]]:
    """The price sources of the engine that leads, as its heartbeat tells."""
    found = leader(session)
    return found["status"].get("feeds", []) if found is not None else []


def is_led(session: Session) -> bool:
    """Whether an engine leads somewhere."""
    found = leader(session)
    return found is not None and found["leading"] and found["age_seconds"] <= SILENT_SECONDS


def engines(session: Session) -> list[dict[str, Any]]:
    """Every engine process that has been heard of lately, the leader first."""
    query = sa.select(heartbeats).order_by(heartbeats.c.leading.desc(), heartbeats.c.at.desc()).limit(50)
    now = database_now(session)
    return [
        {
            "holder": row["holder"],
            "leading": row["leading"],
            "epoch": row["epoch"],
            "at": iso(row["at"]),
            "age_seconds": round(max((now - row["at"]).total_seconds(), 0.0), 3),
        }
        for row in session.execute(query).mappings()
    ]
