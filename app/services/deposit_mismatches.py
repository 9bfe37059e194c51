"""What a provider reported and does not fit its deposit: kept apart, told to the firm, dealt with by a person."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.errors import Conflict, NotFound
from app.core.ids import new_id
from app.core.permissions import HANDLE, READ, Principal, Resource
from app.domain.deposits import Mismatch
from app.models import Deposit, DepositMismatch, ProviderEvent

from . import audit, faults
from .access import is_uuid, visible_clients


def quarantine(
    session: Session, event: ProviderEvent, deposit: Deposit | None, mismatch: Mismatch, now: datetime
) -> None:
    """Keep it apart and alert the firm; what an open one says already is not said twice."""
    if deposit is not None and _is_known(session, deposit, mismatch):
        return
    row = DepositMismatch(
        id=new_id(),
        provider_event_id=event.id,
        deposit_id=None if deposit is None else deposit.id,
        code=mismatch.code,
        expected=mismatch.expected,
        found=mismatch.found,
        created_at=now,
    )
    session.add(row)
    session.flush()
    found = f"{mismatch.found.get('amount')} {mismatch.found.get('currency')}"
    faults.alert(
        session,
        now,
        mismatch.code,
        f"a payment of {found} does not fit its deposit: {mismatch.code}",
        "deposit_mismatch",
        row.id,
        "alert.deposit",
        deposit_id=row.deposit_id,
        client_id=None if deposit is None else deposit.client_id,
    )


def _is_known(session: Session, deposit: Deposit, mismatch: Mismatch) -> bool:
    open_ = sa.select(DepositMismatch).where(
        DepositMismatch.deposit_id == deposit.id,
        DepositMismatch.code == mismatch.code,
        DepositMismatch.resolved_at.is_(None),
    )
    return any(row.found == mismatch.found for row in session.scalars(open_))


def search(
    session: Session, principal: Principal, unresolved: bool | None, limit: int, offset: int
) -> tuple[list[dict[str, Any]], int]:
    """For the firm's people, the newest first, and how many there are. Raises ``NotFound`` for a client's caller."""
    if visible_clients(principal, Resource.DEPOSITS, READ) is not None:
        raise NotFound("mismatches are the firm's")
    query = sa.select(DepositMismatch, ProviderEvent).join(
        ProviderEvent, ProviderEvent.id == DepositMismatch.provider_event_id
    )
    if unresolved is not None:
        resolved = DepositMismatch.resolved_at
        query = query.where(resolved.is_(None) if unresolved else resolved.is_not(None))
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    newest = query.order_by(DepositMismatch.created_at.desc(), DepositMismatch.id.desc())
    return [show(row, event) for row, event in session.execute(newest.limit(limit).offset(offset))], total


def resolve(
    session: Session, mismatch_id: str, resolution: str, principal: Principal, now: datetime, ip: str | None = None
) -> dict[str, Any]:
    """Note what a person has done about it. Raises ``NotFound``, ``Conflict`` (``unchanged``) for a resolved one."""
    principal.require(Resource.DEPOSITS, HANDLE)
    query = sa.select(DepositMismatch).where(DepositMismatch.id == mismatch_id.lower()).with_for_update()
    row = session.scalars(query).one_or_none() if is_uuid(mismatch_id) else None
    if row is None:
        raise NotFound("there is no such mismatch")
    if row.resolved_at is not None:
        raise Conflict("it has been dealt with already", code="unchanged")
    row.resolved_at, row.resolved_by, row.resolution = now, principal.actor, resolution
    session.flush()
    audit.record(
        session,
        principal,
        "deposit_mismatch.resolve",
        "deposit_mismatch",
        row.id,
        now,
        ip=ip,
        code=row.code,
        deposit_id=row.deposit_id,
        resolution=resolution,
    )
    return show(row, session.get_one(ProviderEvent, row.provider_event_id))


def show(row: DepositMismatch, event: ProviderEvent) -> dict[str, Any]:
    return {
        "id": row.id,
        "deposit_id": row.deposit_id,
        "code": row.code,
        "expected": row.expected,
        "found": row.found,
        "provider": event.provider,
        "provider_event_id": event.external_id,
        "type": event.type,
        "created_at": iso(row.created_at),
        "resolved_at": None if row.resolved_at is None else iso(row.resolved_at),
        "resolved_by": row.resolved_by,
        "resolution": row.resolution,
    }
