"""Parked work: what the engine could not do even alone. It is listed, retried and resolved by people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.errors import Conflict, NotFound
from app.core.ids import new_id
from app.core.permissions import Principal
from app.domain import reports as kinds
from app.domain.orders import OrderStatus
from app.domain.reports import Fill, Report
from app.models import EngineFault, table_of

from . import audit
from .access import is_uuid
from .events import FIRM, Events

table = table_of(EngineFault)
OF_THE_RELAY: Final = frozenset({"audit", "relay"})  # stages that the relay takes up again, not the engine


def alert(
    session: Session, now: datetime, code: str, message: str, object_type: str, object_id: str, **about: Any
) -> None:
    """Tell the firm's staff."""
    events = Events(now)
    data = {"code": code, "message": message[:300], f"{object_type}_id": object_id, **about}
    events.add(FIRM, "alert.engine", object_type, object_id if is_uuid(object_id) else new_id(), data)
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
    waiting = list(reports)
    context = "\n".join(report.message.decode("ascii", "replace") for report in waiting)
    fault_id = new_id()
    session.execute(
        sa.insert(table),
        {
            "id": fault_id, "at": now, "stage": stage, "object_type": object_type,
            "object_id": object_id[:60], "error": error[:2000], "context": context or None, "attempts": 1,
            "reports": [report_json(report) for report in waiting] or None,
        },
    )  # fmt: skip
    alert(session, now, "engine_fault", f"{stage}: {error}", object_type, object_id, fault_id=fault_id)
    return fault_id


def wait_behind(session: Session, fault_id: str, more: Iterable[Report]) -> bool:
    """Reports about an order that is parked wait for it, in order; False when it is not parked any more."""
    still_open = sa.and_(table.c.id == fault_id, table.c.resolved_at.is_(None))
    found = session.execute(sa.select(table.c.reports).where(still_open).with_for_update()).one_or_none()
    if found is None:
        return False
    waiting = [*(found.reports or ()), *(report_json(report) for report in more)]
    session.execute(sa.update(table).where(table.c.id == fault_id).values(reports=waiting))
    return True


def open_faults(session: Session) -> list[dict[str, Any]]:
    """What is parked now, oldest first."""
    query = sa.select(table).where(table.c.resolved_at.is_(None)).order_by(table.c.id)
    return [dict(row) for row in session.execute(query).mappings()]


def count_open(session: Session) -> int:
    return session.scalar(sa.select(sa.func.count()).select_from(table).where(table.c.resolved_at.is_(None))) or 0


def listed(session: Session, limit: int, offset: int, *, open_only: bool = False) -> tuple[list[dict[str, Any]], int]:
    """Faults as the API shows them, newest first."""
    query = sa.select(table)
    if open_only:
        query = query.where(table.c.resolved_at.is_(None))
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    rows = session.execute(query.order_by(table.c.id.desc()).limit(limit).offset(offset)).mappings()
    return [show(row) for row in rows], total


def show(row: Any) -> dict[str, Any]:
    def time(value: datetime | None) -> str | None:
        return None if value is None else iso(value)

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
        "resolved_by": row["resolved_by"],
        "resolution": row["resolution"],
    }


def ask_retry(session: Session, fault_id: str, principal: Principal, now: datetime) -> dict[str, Any]:
    """Have the engine try again; raises ``NotFound``, or ``Conflict`` when it is resolved already."""
    row = _locked(session, fault_id)
    session.execute(sa.update(table).where(table.c.id == fault_id).values(retry_at=now))
    audit.record(session, principal, "fault.retry", "fault", fault_id, now, stage=row["stage"])
    return show({**row, "retry_at": now})


def resolve(session: Session, fault_id: str, principal: Principal, now: datetime, note: str) -> dict[str, Any]:
    """Say that it is dealt with; reports that wait are not booked any more. Raises as ``ask_retry``."""
    row = _locked(session, fault_id)
    changes = {"resolved_at": now, "resolved_by": principal.actor, "resolution": note[:300]}
    session.execute(sa.update(table).where(table.c.id == fault_id).values(changes))
    audit.record(session, principal, "fault.resolve", "fault", fault_id, now, stage=row["stage"], note=note)
    return show({**row, **changes})


def _locked(session: Session, fault_id: str) -> dict[str, Any]:
    query = sa.select(table).where(table.c.id == fault_id.lower()).with_for_update()
    row = session.execute(query).mappings().one_or_none() if is_uuid(fault_id) else None
    if row is None:
        raise NotFound("there is no such fault")
    if row["resolved_at"] is not None:
        raise Conflict("the fault is resolved already", code="unchanged")
    return dict(row)


def retried(session: Session, fault_id: str, now: datetime) -> None:
    """The engine has done what was parked."""
    changes = {"resolved_at": now, "resolved_by": "engine", "resolution": "retried"}
    session.execute(sa.update(table).where(table.c.id == fault_id).values(changes))


def failed_again(session: Session, fault_id: str, error: str) -> None:
    session.execute(
        sa.update(table)
        .where(table.c.id == fault_id)
        .values(error=error[:2000], attempts=table.c.attempts + 1, retry_at=None)
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


def report_of(found: dict[str, Any]) -> Report:
    """What ``report_json`` wrote."""
    values = dict(found)
    kind: type[Report] = getattr(kinds, values.pop("kind"))
    values["at"] = datetime.fromisoformat(values["at"])
    values["message"] = values["message"].encode("latin-1")
    for name in _DECIMALS & values.keys():
        values[name] = None if values[name] is None else Decimal(values[name])
    if values.get("status") is not None:
        values["status"] = OrderStatus(values["status"])
    if "fills" in values:
        values["fills"] = tuple(fill for fill in map(report_of, values["fills"]) if isinstance(fill, Fill))
    return kind(**values)
