"""The audit trail: who did what to what, when, from where. The relay chains the records by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core import json
from app.core.clock import iso
from app.core.ids import new_id
from app.core.permissions import Principal
from app.models import AuditRecord, table_of

GENESIS = "0" * 64
CHAINED_AT_ONCE = 500
table = table_of(AuditRecord)


def record(
    session: Session,
    principal: Principal,
    action: str,
    object_type: str,
    object_id: str,
    now: datetime,
    *,
    ip: str | None = None,
    **details: Any,
) -> None:
    """Add a record to this transaction; ``details`` must not hold secrets."""
    session.add(
        AuditRecord(
            id=new_id(), at=now, actor=principal.actor, actor_label=principal.label, ip=ip, action=action,
            object_type=object_type, object_id=object_id, details=details,
        )
    )  # fmt: skip


def chain_hash(previous: str, row: Mapping[Any, Any], seq: int) -> str:
    """SHA-256 over the previous hash and everything the record says."""
    content = {
        "seq": seq, "id": row["id"], "at": iso(row["at"]), "actor": row["actor"], "actor_label": row["actor_label"],
        "ip": row["ip"], "action": row["action"], "object_type": row["object_type"], "object_id": row["object_id"],
        "details": row["details"],
    }  # fmt: skip
    return hashlib.sha256((previous + json.dumps(content)).encode()).hexdigest()


class Unreadable(Exception):
    """A record that cannot be hashed as it stands."""

    def __init__(self, record_id: str, cause: Exception) -> None:
        super().__init__(f"audit record {record_id}: {cause!r}")
        self.record_id = record_id


def unchained(session: Session) -> bool:
    """Whether a record waits for its place."""
    return session.execute(sa.select(table.c.id).where(table.c.seq.is_(None)).limit(1)).first() is not None


def chain(session: Session, limit: int = CHAINED_AT_ONCE, skip: Collection[str] = (), only: str | None = None) -> int:
    """Give unchained records their place, or the one named; only the relay calls this. Returns how many.

    Raises ``Unreadable`` for a record that is not among those to ``skip``.
    """
    waiting = sa.select(table.c.id).where(table.c.seq.is_(None)).order_by(table.c.id).limit(limit)
    if only is not None:
        waiting = waiting.where(table.c.id == only)
    ids = list(session.scalars(waiting.where(table.c.id.not_in(skip)) if skip else waiting))
    if not ids:
        return 0
    last = session.execute(
        sa.select(table.c.seq, table.c.hash).where(table.c.seq.is_not(None)).order_by(table.c.seq.desc()).limit(1)
    ).first()
    seq, previous = (last.seq, last.hash) if last else (0, GENESIS)
    for record_id in ids:
        seq += 1
        try:
            row = session.execute(sa.select(table).where(table.c.id == record_id)).mappings().one()
            current = chain_hash(previous, row, seq)
        except ValueError as error:  # its details are no JSON
            raise Unreadable(record_id, error) from error
        session.execute(
            sa.update(table).where(table.c.id == record_id).values(seq=seq, previous_hash=previous, hash=current)
        )
        previous = current
    return len(ids)


def verify(session: Session) -> list[dict[str, Any]]:
    """Every place where the chain is broken: a gap, a changed record, a wrong link."""
    breaks = []
    expected, previous = 1, GENESIS
    for row in session.execute(sa.select(table).where(table.c.seq.is_not(None)).order_by(table.c.seq)).mappings():
        if row["seq"] != expected or row["previous_hash"] != previous:
            breaks.append({"seq": row["seq"], "problem": "gap or wrong link"})
        elif chain_hash(previous, row, row["seq"]) != row["hash"]:
            breaks.append({"seq": row["seq"], "problem": "the record was changed"})
        expected, previous = row["seq"] + 1, row["hash"]
    return breaks
