"""Parked work: what the engine could not do even alone. It is listed, retried and resolved by people."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.errors import Conflict, NotFound
from app.core.ids import new_id
from app.core.permissions import Principal
from app.domain import reports as kinds
from app.domain.orders import OrderStatus
from app.domain.reports import Fill, Report
from app.models import ApiKey, AuditRecord, EngineFault, User, table_of

from . import audit
from .access import is_uuid
from .events import FIRM, Events

OF_THE_RELAY = frozenset({"audit", "relay"})  # stages whose work is retried there
table = table_of(EngineFault)


def alert(
    session: Session,
    now: datetime,
    code: str,
    message: str,
    object_type: str,
    object_id: str,
    type_: str = "alert.engine",
    **about: Any,
) -> None:
    """Tell the firm's staff."""
    events = Events(now)
    data = {"code": code, "message": message[:300], f"{object_type}_id": object_id, **about}
    events.add(FIRM, type_, object_type, object_id if is_uuid(object_id) else new_id(), data)
    events.flush(session)


def park(
    session: Session,
    now: datetime,
    stage: str,
    object_type: str,
    object_id: str,
    error: str,
    reports: Iterable[Report] = (),
) -> str:
    """Store work that failed, with the venue's reports that wait for it, and raise an alert; returns its id."""
    waiting, object_id = list(reports), object_id[:60]  # a venue may call an order anything
    context = "\n".join(report.message.decode("ascii", "replace") for report in waiting)
    fault_id = new_id()
    session.execute(
        sa.insert(table),
        {
            "id": fault_id,
            "at": now,
            "stage": stage,
            "object_type": object_type,
            "object_id": object_id,
            "error": error[:2000],
            "context": context or None,
            "attempts": 1,
            "reports": [report_json(report) for report in waiting] or None,
        },
    )
    alert(session, now, "engine_fault", f"{stage}: {error}", object_type, object_id, fault_id=fault_id)
    return fault_id


def wait_behind(session: Session, fault_id: str, more: Iterable[Report]) -> bool:
    """Reports about an order that is parked wait for it, in order; False when it is not parked any more."""
    query = sa.select(table.c.reports).where(table.c.id == fault_id, table.c.resolved_at.is_(None))
    row = session.execute(query.with_for_update()).one_or_none()
    if row is None:
        return False
    waiting = [*(row.reports or ()), *(report_json(report) for report in more)]
    session.execute(sa.update(table).where(table.c.id == fault_id).values(reports=waiting))
    return True


def open_faults(session: Session) -> list[dict[str, Any]]:
    """What is parked now, oldest first."""
    query = sa.select(table).where(table.c.resolved_at.is_(None)).order_by(table.c.id)
    return [dict(row) for row in session.execute(query).mappings()]


def count_open(session: Session) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(table).where(table.c.resolved_at.is_(None))) or 0


# -- what people see and do ----------------------------------------------------------------------------------


def listed(session: Session, limit: int, offset: int, *, open_only: bool = False) -> tuple[list[dict[str, Any]], int]:
    """Faults as the API shows them, newest first."""
    query = sa.select(table)
    if open_only:
        query = query.where(table.c.resolved_at.is_(None))
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    rows = session.execute(query.order_by(table.c.id.desc()).limit(limit).offset(offset)).mappings().all()
    names = _names(session, {row["resolved_by"] for row in rows if row["resolved_by"]})
    return [show(row, names) for row in rows], total


def find(session: Session, fault_id: str) -> dict[str, Any]:
    """One fault as the API shows it. Raises ``NotFound``."""
    return _shown(session, _row(session, fault_id))


def show(row: Mapping[Any, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """``names`` has the name of each actor that is a person or a key."""

    def time(value: datetime | None) -> str | None:
        return None if value is None else iso(value)

    by = row["resolved_by"]
    return {
        "id": row["id"],
        "at": iso(row["at"]),
        "stage": row["stage"],
        "object_type": row["object_type"],
        "object_id": row["object_id"],
        "order_id": row["object_id"] if row["object_type"] == "order" else None,
        "error": row["error"],
        "context": row["context"],
        "waiting_reports": len(row["reports"] or ()),
        "attempts": row["attempts"],
        "retry_at": time(row["retry_at"]),
        "resolved_at": time(row["resolved_at"]),
        "resolved_by": by,
        "resolved_by_name": None if by is None else names.get(by, by),
        "resolution": row["resolution"],
    }


def ask_retry(
    session: Session, fault_id: str, principal: Principal, now: datetime, ip: str | None = None
) -> dict[str, Any]:
    """Have the engine try again; raises ``NotFound``, or ``Conflict`` when it is resolved already."""
    row = _open(session, fault_id)
    session.execute(sa.update(table).where(table.c.id == row["id"]).values(retry_at=now))
    _record(session, principal, "fault.retry", row, now, ip)
    return _shown(session, {**row, "retry_at": now})


def resolve(
    session: Session, fault_id: str, principal: Principal, now: datetime, note: str, ip: str | None = None
) -> dict[str, Any]:
    """Say that it is dealt with; reports that wait are not booked any more. Raises as ``ask_retry``."""
    row = _open(session, fault_id)
    _end(session, row, now, principal.actor, note)
    _record(session, principal, "fault.resolve", row, now, ip, note=note)
    return find(session, row["id"])


def _open(session: Session, fault_id: str) -> dict[str, Any]:
    """The row, locked."""
    row = _row(session, fault_id, lock=True)
    if row["resolved_at"] is not None:
        raise Conflict("the fault is resolved already", code="unchanged")
    return row


def _row(session: Session, fault_id: str, *, lock: bool = False) -> dict[str, Any]:
    query = sa.select(table).where(table.c.id == fault_id.lower())
    if lock:
        query = query.with_for_update()
    row = session.execute(query).mappings().one_or_none() if is_uuid(fault_id) else None
    if row is None:
        raise NotFound("there is no such fault")
    return dict(row)


def _shown(session: Session, row: Mapping[str, Any]) -> dict[str, Any]:
    return show(row, _names(session, {row["resolved_by"]} - {None}))


def _names(session: Session, actors: Collection[str]) -> dict[str, str]:
    """People and keys by name, each with its actor."""
    named = {}
    for kind, model in (("user", User), ("key", ApiKey)):
        ids = [actor.partition(":")[2] for actor in actors if actor.startswith(f"{kind}:")]
        if ids:
            found = session.execute(sa.select(model.id, model.name).where(model.id.in_(ids)))
            named.update({f"{kind}:{row.id}": row.name for row in found})
    return named


def _record(
    session: Session,
    principal: Principal,
    action: str,
    row: Mapping[str, Any],
    now: datetime,
    ip: str | None,
    **details: Any,
) -> None:
    about = {"object_type": row["object_type"], "object_id": row["object_id"]}
    details = {"stage": row["stage"], "about": about, "waiting_reports": len(row["reports"] or ()), **details}
    audit.record(session, principal, action, "fault", row["id"], now, ip=ip, **details)


# -- what the engine says ------------------------------------------------------------------------------------


def retried(session: Session, fault_id: str, now: datetime) -> None:
    """The engine has done what was parked, for who asked. Raises ``Conflict`` when somebody has resolved it."""
    asked = sa.select(AuditRecord.actor).where(AuditRecord.object_id == fault_id, AuditRecord.action == "fault.retry")
    who = session.scalar(asked.order_by(AuditRecord.id.desc()).limit(1))
    _end(session, _open(session, fault_id), now, who or "engine", "retried")


def failed_again(session: Session, fault_id: str, error: str, now: datetime) -> None:
    """What somebody asked to be retried has failed like before, or differently."""
    row = _row(session, fault_id, lock=True)
    if row["resolved_at"] is not None:
        return
    changes = {"error": error[:2000], "attempts": table.c.attempts + 1, "retry_at": None}
    session.execute(sa.update(table).where(table.c.id == fault_id).values(changes))
    alert(
        session,
        now,
        "engine_fault",
        f"{row['stage']}: {error}",
        row["object_type"],
        row["object_id"],
        fault_id=fault_id,
        attempts=row["attempts"] + 1,
    )


def _end(session: Session, row: Mapping[str, Any], now: datetime, actor: str, resolution: str) -> None:
    """Out of what is parked, and told to the staff."""
    changes = {"resolved_at": now, "resolved_by": actor, "resolution": resolution[:300]}
    session.execute(sa.update(table).where(table.c.id == row["id"]).values(changes))
    message = f"{row['stage']}: {resolution}"
    alert(
        session,
        now,
        "fault_resolved",
        message,
        row["object_type"],
        row["object_id"],
        type_="alert.resolved",
        fault_id=row["id"],
    )


# -- reports as JSON -----------------------------------------------------------------------------------------


def report_json(report: Report) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": type(report).__name__}
    for item in fields(report):
        value = getattr(report, item.name)
        if isinstance(value, tuple):
            value = [report_json(fill) for fill in value]
        elif isinstance(value, datetime):
            value = iso(value)
        elif isinstance(value, bytes):
            value = value.decode("latin-1")
        found[item.name] = value
    return found


_DECIMALS = frozenset({"qty", "price", "cum_qty", "leaves_qty"})
_TIMES = frozenset({"at", "answer_by"})


def report_of(found: dict[str, Any]) -> Report:
    """What ``report_json`` wrote."""
    values = dict(found)
    kind: type[Report] = getattr(kinds, values.pop("kind"))
    for name in _TIMES & values.keys():
        values[name] = None if values[name] is None else datetime.fromisoformat(values[name])
    values["message"] = values["message"].encode("latin-1")
    for name in _DECIMALS & values.keys():
        values[name] = None if values[name] is None else Decimal(values[name])
    if values.get("status") is not None:
        values["status"] = OrderStatus(values["status"])
    if "fills" in values:
        values["fills"] = tuple(fill for fill in map(report_of, values["fills"]) if isinstance(fill, Fill))
    return kind(**values)
