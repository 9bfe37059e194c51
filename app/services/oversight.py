"""What supervisors read: the engines and their lease, and the audit trail."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.transaction import database_now
from app.models import AuditRecord, EngineHeartbeat, EngineLease, table_of

SILENT_SECONDS = 3  # a leader without a heartbeat for so long does not lead any more
audit, leases, heartbeats = table_of(AuditRecord), table_of(EngineLease), table_of(EngineHeartbeat)
LEASE_KEY: Final = 6_174_100  # + shard: PostgreSQL's advisory lock of the engine that leads
_ENGINE: Final = "cambista-engine "


def application_name(holder: str) -> str:
    """What PostgreSQL is told about an engine's connections."""
    return f"{_ENGINE}{holder}"[:63]


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
        "holder": row["holder"], "epoch": row["epoch"], "at": iso(row["at"]),
        "leading": row["leading"] and _holds_lease(session, row["shard"], row["holder"]),
        "age_seconds": round(max(age, 0.0), 3), "status": row["status"],
    }  # fmt: skip


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
        {"holder": row["holder"], "leading": row["leading"], "epoch": row["epoch"], "at": iso(row["at"]),
         "age_seconds": round(max((now - row["at"]).total_seconds(), 0.0), 3)}
        for row in session.execute(query).mappings()
    ]  # fmt: skip


def list_audit(
    session: Session, limit: int, offset: int, *, action: str | None, object_id: str | None, actor: str | None
) -> tuple[list[dict[str, Any]], int]:
    """Audit records, newest first; the last ones may not be in the chain yet."""
    query = sa.select(audit)
    for column, value in ((audit.c.action, action), (audit.c.object_id, object_id), (audit.c.actor, actor)):
        if value is not None:
            query = query.where(column == value)
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    rows = session.execute(query.order_by(audit.c.id.desc()).limit(limit).offset(offset)).mappings()
    return [
        {
            "id": row["id"], "seq": row["seq"], "at": iso(row["at"]), "actor": row["actor"],
            "actor_label": row["actor_label"], "ip": row["ip"], "action": row["action"],
            "object_type": row["object_type"], "object_id": row["object_id"], "details": row["details"],
            "hash": row["hash"],
        }
        for row in rows
    ], total  # fmt: skip
