"""Limits of a client's trading, set by the firm: for one instrument, or for all that have none of their own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Invalid, NotFound
from app.core.ids import new_id
from app.core.permissions import Principal
from app.domain.calendars import TradingHours
from app.domain.instruments import Instrument, SymbolTable
from app.domain.money import text
from app.models import Client, ClientLimit

from . import audit
from .access import is_uuid
from .events import Events

EVERY_INSTRUMENT = "*"


@dataclass(frozen=True, slots=True)
class LimitValues:
    """A limit as it shall be. Quantities in base currency, values in USD; None: not limited."""

    blocked: bool = False
    max_order_qty: Decimal | None = None
    max_notional_usd: Decimal | None = None
    hours: str | None = None  # HH:MM-HH:MM
    time_zone: str | None = None


def show(row: ClientLimit, instruments: SymbolTable) -> dict[str, Any]:
    def number(value: Decimal | None) -> str | None:
        return None if value is None else text(value)

    return {
        "id": row.id,
        "client_id": row.client_id,
        "symbol": EVERY_INSTRUMENT if row.instrument_id is None else instruments.by_id(row.instrument_id).symbol,
        "blocked": row.blocked,
        "max_order_qty": number(row.max_order_qty),
        "max_notional_usd": number(row.max_notional_usd),
        "hours": row.hours,
        "time_zone": row.time_zone,
    }


def of_client(session: Session, client: Client, instruments: SymbolTable) -> list[dict[str, Any]]:
    """The limits of a client: the one for every instrument first, then by symbol."""
    rows = session.scalars(sa.select(ClientLimit).where(ClientLimit.client_id == client.id))
    shown = [show(row, instruments) for row in rows]
    return sorted(shown, key=lambda limit: (limit["symbol"] != EVERY_INSTRUMENT, limit["symbol"]))


def put(
    session: Session,
    client: Client,
    instrument: Instrument | None,
    wanted: LimitValues,
    instruments: SymbolTable,
    principal: Principal,
    now: datetime,
    ip: str | None = None,
) -> dict[str, Any]:
    """Set the client's limit for an instrument, or for all others with None. The client's row must be locked.

    Raises ``Invalid`` for trading hours that make no sense.
    """
    if (wanted.hours is None) != (wanted.time_zone is None):
        raise Invalid.field("time_zone", "hours_need_zone", "is named with hours, and only with them")
    if wanted.hours is not None:
        _check_hours(wanted.hours, wanted.time_zone or "")
    where = sa.select(ClientLimit).where(
        ClientLimit.client_id == client.id,
        ClientLimit.instrument_id.is_not_distinct_from(None if instrument is None else instrument.id),
    )
    row, previous = session.scalars(where).one_or_none(), None
    if row is None:
        row = ClientLimit(id=new_id(), client_id=client.id, instrument_id=None if instrument is None else instrument.id)
        session.add(row)
    else:
        previous = show(row, instruments)
    row.blocked, row.max_order_qty, row.max_notional_usd = wanted.blocked, wanted.max_order_qty, wanted.max_notional_usd
    row.hours, row.time_zone = wanted.hours, wanted.time_zone
    session.flush()
    shown = show(row, instruments)
    if shown != previous:
        _note(session, client, "set", shown, previous, principal, now, ip)
    return shown


def _check_hours(window: str, zone: str) -> None:
    try:
        TradingHours.parse(window, zone)
    except ValueError as error:
        raise Invalid.field("hours", "invalid_hours", "are no HH:MM-HH:MM in a known time zone", window) from error


def remove(
    session: Session,
    client: Client,
    limit_id: str,
    instruments: SymbolTable,
    principal: Principal,
    now: datetime,
    ip: str | None = None,
) -> dict[str, Any]:
    """Take a limit away and return what it was; the client's row must be locked. Raises ``NotFound``."""
    query = sa.select(ClientLimit).where(ClientLimit.id == limit_id.lower(), ClientLimit.client_id == client.id)
    row = session.scalars(query).one_or_none() if is_uuid(limit_id) else None
    if row is None:
        raise NotFound("there is no such limit")
    shown = show(row, instruments)
    session.delete(row)
    _note(session, client, "remove", None, shown, principal, now, ip)
    return shown


def _note(
    session: Session,
    client: Client,
    what: str,
    shown: dict[str, Any] | None,
    previous: dict[str, Any] | None,
    principal: Principal,
    now: datetime,
    ip: str | None,
) -> None:
    about = shown or previous or {}
    events = Events(now)
    events.add(client.id, f"client.limit_{what}", "client", client.id, about)
    events.flush(session)
    audit.record(
        session, principal, f"client.limit_{what}", "client", client.id, now, ip=ip, limit=shown, previous=previous
    )
