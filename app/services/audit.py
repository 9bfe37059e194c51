"""The audit trail: who did what to what, when, from where. The relay chains the records by hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core import json
from app.core.clock import iso
from app.core.errors import Invalid
from app.core.ids import new_id
from app.core.permissions import Principal
from app.core.spreadsheets import csv_text
from app.models import AuditRecord, table_of

GENESIS = "0" * 64
CHAINED_AT_ONCE = 500
MOST_BREAKS = 100  # of one report
MOST_EXPORTED: Final = 50_000
table = table_of(AuditRecord)
UNCHAINED = sa.exists().where(table.c.seq.is_(None))  # whether a record waits for its place


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
            id=new_id(),
            at=now,
            actor=principal.actor,
            actor_label=principal.label,
            ip=ip,
            action=action,
            object_type=object_type,
            object_id=object_id,
            details=details,
        )
    )


def chain_hash(previous: str, row: Mapping[Any, Any], seq: int) -> str:
    """SHA-256 over the previous hash and everything the record says."""
    content = {
        "seq": seq,
        "id": row["id"],
        "at": iso(row["at"]),
        "actor": row["actor"],
        "actor_label": row["actor_label"],
        "ip": row["ip"],
        "action": row["action"],
        "object_type": row["object_type"],
        "object_id": row["object_id"],
        "details": row["details"],
    }
    return hashlib.sha256((previous + json.dumps(content)).encode()).hexdigest()


class Unreadable(Exception):
    """A record that cannot be hashed as it stands."""

    def __init__(self, record_id: str, cause: Exception) -> None:
        super().__init__(f"audit record {record_id}: {cause!r}")
        self.record_id = record_id


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
    """Every place where the chain is broken: a gap, a changed record, a wrong link, details that are no JSON."""
    breaks = []
    expected, previous = 1, GENESIS
    for row in session.execute(_RAW.where(table.c.seq.is_not(None)).order_by(table.c.seq)).mappings():
        if row["seq"] != expected or row["previous_hash"] != previous:
            breaks.append({"seq": row["seq"], "problem": "gap or wrong link"})
        else:
            details, readable = _parsed(row["stored"])
            if not readable:
                breaks.append({"seq": row["seq"], "problem": "the details are no JSON"})
            elif chain_hash(previous, {**row, "details": details}, row["seq"]) != row["hash"]:
                breaks.append({"seq": row["seq"], "problem": "the record was changed"})
        expected, previous = row["seq"] + 1, row["hash"]
    return breaks


# the details as they are stored: one record that is no JSON must not hide all others
_RAW: Final = sa.select(
    *(column for column in table.c if column is not table.c.details),
    sa.type_coerce(table.c.details, sa.Text).label("stored"),
)


def _parsed(stored: str | None) -> tuple[Any, bool]:
    try:
        return None if stored is None else json.loads_stored(stored), True
    except ValueError:
        return stored, False


def report(session: Session) -> dict[str, Any]:
    """``verify`` with the length and the head of the chain."""
    breaks = verify(session)
    last = session.execute(
        sa.select(table.c.seq, table.c.hash).where(table.c.seq.is_not(None)).order_by(table.c.seq.desc()).limit(1)
    ).first()
    waiting = session.scalar(sa.select(sa.func.count()).where(table.c.seq.is_(None)))
    chained = session.scalar(sa.select(sa.func.count()).where(table.c.seq.is_not(None)))
    return {
        "ok": not breaks,
        "records": chained or 0,
        "unchained": waiting or 0,
        "head": last.hash if last else None,
        "breaks": breaks[:MOST_BREAKS],
    }


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """``actor`` is an exact one or part of its label; an ``action`` may end in ``*``."""

    actor: str | None = None
    action: str | None = None
    object_type: str | None = None
    object_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def _escaped(text: str) -> str:
    return re.sub(r"([%_/])", r"/\1", text)


def search(session: Session, wanted: AuditFilter, limit: int, offset: int) -> tuple[list[dict[str, Any]], int]:
    """Records, newest first, and how many there are; the last ones may not be in the chain yet."""
    conditions = _conditions(wanted)
    total = session.scalar(sa.select(sa.func.count()).select_from(table).where(*conditions)) or 0
    rows = session.execute(_RAW.where(*conditions).order_by(table.c.id.desc()).limit(limit).offset(offset)).mappings()
    return [_show(row) for row in rows], total


def _conditions(wanted: AuditFilter) -> list[Any]:
    conditions: list[Any] = []
    if wanted.actor is not None:
        label = sa.func.lower(table.c.actor_label).like(f"%{_escaped(wanted.actor.lower())}%", escape="/")
        conditions.append(sa.or_(table.c.actor == wanted.actor, label))
    if wanted.action is not None and wanted.action.endswith("*"):
        conditions.append(table.c.action.like(_escaped(wanted.action[:-1]) + "%", escape="/"))
    elif wanted.action is not None:
        conditions.append(table.c.action == wanted.action)
    for column, value in ((table.c.object_type, wanted.object_type), (table.c.object_id, wanted.object_id)):
        if value is not None:
            conditions.append(column == value)
    if wanted.since is not None:
        conditions.append(table.c.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(table.c.at < wanted.until)
    return conditions


def export(
    session: Session, wanted: AuditFilter, principal: Principal, now: datetime, *, ip: str | None = None
) -> list[dict[str, Any]]:
    """All that the filters let through, newest first; it is recorded that the caller took it.

    Raises ``Invalid`` (``too_many_records``) where that is more than ``MOST_EXPORTED``.
    """
    items, total = search(session, wanted, MOST_EXPORTED, 0)
    if total > MOST_EXPORTED:
        raise Invalid(f"these are {total} records; an export has at most {MOST_EXPORTED}", code="too_many_records")
    record(session, principal, "audit.export", "audit", "trail", now, ip=ip, records=total)
    return items


COLUMNS: Final = (
    "seq",
    "id",
    "at",
    "actor",
    "actor_label",
    "ip",
    "action",
    "object_type",
    "object_id",
    "details",
    "hash",
)


def as_csv(items: Iterable[Mapping[str, Any]]) -> str:
    """One record a line, its details as JSON."""
    return csv_text(COLUMNS, ([_cell(item, name) for name in COLUMNS] for item in items))


def _cell(item: Mapping[str, Any], name: str) -> Any:
    value = item[name]
    return json.dumps(value) if name == "details" and item["readable"] else value


# -- the head, kept elsewhere --------------------------------------------------------------------------------


def head(session: Session) -> dict[str, Any] | None:
    """The last record of the chain; None: there is none yet. Kept elsewhere, it shows what was cut off since."""
    query = sa.select(table.c.seq, table.c.hash, table.c.at).where(table.c.seq.is_not(None))
    row = session.execute(query.order_by(table.c.seq.desc()).limit(1)).first()
    return None if row is None else {"seq": row.seq, "hash": row.hash, "at": iso(row.at)}


def check_heads(session: Session, heads: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each head that was kept and that the chain does not have: it was cut off, or written anew."""
    breaks = []
    for kept in heads:
        found = session.scalar(sa.select(table.c.hash).where(table.c.seq == kept["seq"]))
        if found is None:
            breaks.append({"seq": kept["seq"], "problem": "the chain ends before a head that was kept"})
        elif found != kept["hash"]:
            breaks.append({"seq": kept["seq"], "problem": "the chain is not the one of a head that was kept"})
    return breaks


def oldest_unsealed(session: Session, skip: Collection[str] = ()) -> tuple[str, datetime] | None:
    """The record that has waited longest for its place in the chain, without those to ``skip``."""
    query = sa.select(table.c.id, table.c.at).where(table.c.seq.is_(None))
    query = query.where(table.c.id.not_in(skip)) if skip else query
    row = session.execute(query.order_by(table.c.id).limit(1)).first()
    return None if row is None else (row.id, row.at)


def _show(row: Mapping[Any, Any]) -> dict[str, Any]:
    details, readable = _parsed(row["stored"])
    return {
        "id": row["id"],
        "seq": row["seq"],
        "at": iso(row["at"]),
        "actor": row["actor"],
        "actor_label": row["actor_label"],
        "ip": row["ip"],
        "action": row["action"],
        "object_type": row["object_type"],
        "object_id": row["object_id"],
        "details": details,
        "readable": readable,
        "hash": row["hash"],
    }


def actions(session: Session) -> list[str]:
    """Every action that has been recorded, for a picker."""
    return list(session.scalars(sa.select(table.c.action).distinct().order_by(table.c.action)))
