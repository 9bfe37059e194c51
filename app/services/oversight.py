"""What supervisors read: the engine's lease and the audit trail."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.models import AuditRecord, EngineLease, table_of

audit, leases = table_of(AuditRecord), table_of(EngineLease)


def lease(session: Session) -> dict[str, Any] | None:
    """Who led last, and since when."""
    row = session.execute(sa.select(leases).where(leases.c.shard == 0)).mappings().one_or_none()
    if row is None:
        return None
    return {"epoch": row["epoch"], "holder": row["holder"], "acquired_at": iso(row["acquired_at"])}


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
