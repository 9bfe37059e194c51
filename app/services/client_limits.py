"""Limits of a client's trading, set by the firm: for one instrument, or for all that have none of their own.

Nobody changes one alone: a change is proposed, and carried out once a second person has agreed (``approvals``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Conflict, Invalid, NotFound
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Principal
from app.domain.approvals import ApprovalKind
from app.domain.calendars import TradingHours
from app.domain.instruments import Instrument, SymbolTable, UnknownSymbol
from app.domain.money import text
from app.models import Approval, Client, ClientLimit

from . import approvals, audit, clients
from .access import is_uuid
from .events import Events

EVERY_INSTRUMENT = "*"
VALUES = ("blocked", "max_order_qty", "max_notional_usd", "hours", "time_zone")


@dataclass(frozen=True, slots=True)
class LimitValues:
    """A limit as it shall be. Quantities in base currency, values in USD; None: not limited."""

    blocked: bool = False
    max_order_qty: Decimal | None = None
    max_notional_usd: Decimal | None = None
    hours: str | None = None  # HH:MM-HH:MM
    time_zone: str | None = None


def _number(value: Decimal | None) -> str | None:
    return None if value is None else text(value)


def _values(limit: LimitValues | ClientLimit) -> dict[str, Any]:
    """The values alone, as they are shown and proposed."""
    return {
        "blocked": limit.blocked,
        "max_order_qty": _number(limit.max_order_qty),
        "max_notional_usd": _number(limit.max_notional_usd),
        "hours": limit.hours,
        "time_zone": limit.time_zone,
    }


def show(row: ClientLimit, instruments: SymbolTable) -> dict[str, Any]:
    symbol = EVERY_INSTRUMENT if row.instrument_id is None else instruments.by_id(row.instrument_id).symbol
    return {"id": row.id, "client_id": row.client_id, "symbol": symbol, **_values(row)}


def of_client(session: Session, client: Client, instruments: SymbolTable) -> list[dict[str, Any]]:
    """The limits of a client: the one for every instrument first, then by symbol."""
    rows = session.scalars(sa.select(ClientLimit).where(ClientLimit.client_id == client.id))
    shown = [show(row, instruments) for row in rows]
    return sorted(shown, key=lambda limit: (limit["symbol"] != EVERY_INSTRUMENT, limit["symbol"]))


def _row(session: Session, client_id: str, instrument_id: int | None) -> ClientLimit | None:
    query = sa.select(ClientLimit).where(
        ClientLimit.client_id == client_id, ClientLimit.instrument_id.is_not_distinct_from(instrument_id)
    )
    return session.scalars(query).one_or_none()


def propose(
    session: Session,
    client: Client,
    instrument: Instrument | None,
    wanted: LimitValues | None,
    principal: Principal,
    now: datetime,
    ip: str | None = None,
) -> Approval:
    """Ask a second person to set the client's limit for an instrument, or for all others with None.

    ``wanted`` None lifts it. The client's row must be locked. Raises ``Invalid`` for trading hours that make no
    sense, ``Conflict`` where it is so already (``unchanged``) or a change of it waits (``approval_pending``).
    """
    if wanted is not None:
        _check_hours(wanted.hours, wanted.time_zone)
    symbol = EVERY_INSTRUMENT if instrument is None else instrument.symbol
    content = {
        "client_id": client.id,
        "symbol": symbol,
        "before": _present(session, client.id, None if instrument is None else instrument.id),
        "after": None if wanted is None else _values(wanted),
    }
    if content["before"] == content["after"]:
        raise Conflict("the limit is so already", code="unchanged")
    return approvals.propose(
        session,
        ApprovalKind.CLIENT_LIMIT,
        str(uuid5(UUID(client.id), symbol)),
        content,
        f"{client.code} {client.name}: {'lift the' if wanted is None else 'set a'} limit for {symbol}",
        principal,
        now,
        client_id=client.id,
        ip=ip,
    )


def propose_lifting(
    session: Session,
    client: Client,
    limit_id: str,
    instruments: SymbolTable,
    principal: Principal,
    now: datetime,
    ip: str | None = None,
) -> Approval:
    """Ask a second person to take a limit away; as ``propose``, and ``NotFound``."""
    query = sa.select(ClientLimit).where(ClientLimit.id == limit_id.lower(), ClientLimit.client_id == client.id)
    row = session.scalars(query).one_or_none() if is_uuid(limit_id) else None
    if row is None:
        raise NotFound("there is no such limit")
    instrument = None if row.instrument_id is None else instruments.by_id(row.instrument_id)
    return propose(session, client, instrument, None, principal, now, ip)


def _present(session: Session, client_id: str, instrument_id: int | None) -> dict[str, Any] | None:
    row = _row(session, client_id, instrument_id)
    return None if row is None else _values(row)


def _check_hours(window: str | None, zone: str | None) -> None:
    if (window is None) != (zone is None):
        raise Invalid.field("time_zone", "hours_need_zone", "is named with hours, and only with them")
    if window is None or zone is None:
        return
    try:
        TradingHours.parse(window, zone)
    except ValueError as error:
        raise Invalid.field("hours", "invalid_hours", "are no HH:MM-HH:MM in a known time zone", window) from error


class LimitChanges:
    """The subject of proposals about limits: what one stands on is read again, what it wants stays as proposed."""

    def __init__(self, instruments: SymbolTable) -> None:
        self.instruments = instruments

    def content(self, session: Session, object_id: str) -> dict[str, Any]:
        proposed = approvals.open_about(session, ApprovalKind.CLIENT_LIMIT, object_id).content
        clients.lock(session, session.get_one(Client, proposed["client_id"]))
        before = _present(session, proposed["client_id"], self._instrument_id(proposed["symbol"]))
        return {**proposed, "before": before}

    def carry_out(self, session: Session, approval: Approval, now: datetime) -> None:
        proposed = approval.content
        client = session.get_one(Client, proposed["client_id"])
        instrument_id = self._instrument_id(proposed["symbol"])
        row = _row(session, client.id, instrument_id)
        previous = None if row is None else show(row, self.instruments)
        if proposed["after"] is None:
            session.delete(row)
            _note(session, client, "remove", None, previous, approval, now)
            return
        if row is None:
            row = ClientLimit(id=new_id(), client_id=client.id, instrument_id=instrument_id)
            session.add(row)
        for name in VALUES:
            value = proposed["after"][name]
            is_amount = name in ("max_order_qty", "max_notional_usd") and value is not None
            setattr(row, name, Decimal(value) if is_amount else value)
        session.flush()
        _note(session, client, "set", show(row, self.instruments), previous, approval, now)

    def turn_down(self, session: Session, approval: Approval, now: datetime) -> None:
        """The limits stay as they are."""

    def _instrument_id(self, symbol: str) -> int | None:
        if symbol == EVERY_INSTRUMENT:
            return None
        try:
            return self.instruments.resolve(symbol).id
        except UnknownSymbol as error:
            raise Conflict(f"{symbol} is not traded any more", code="content_changed") from error


def _note(
    session: Session,
    client: Client,
    what: str,
    shown: dict[str, Any] | None,
    previous: dict[str, Any] | None,
    approval: Approval,
    now: datetime,
) -> None:
    events = Events(now)
    events.add(client.id, f"client.limit_{what}", "client", client.id, shown or previous or {})
    events.flush(session)
    audit.record(
        session,
        SYSTEM,
        f"client.limit_{what}",
        "client",
        client.id,
        now,
        limit=shown,
        previous=previous,
        approval=approval.id,
        proposed_by=approval.maker,
    )
