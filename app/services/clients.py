"""Clients of the firm: the basic record."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.errors import Conflict, Forbidden, Invalid
from app.core.ids import new_id
from app.core.permissions import READ, WRITE, Principal, Reach, Resource, Role
from app.models import Client, User

from . import api_keys, audit, emails, user_sessions
from .access import is_uuid, visible_clients
from .events import Events

_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


@dataclass(frozen=True, slots=True)
class ClientFilter:
    text: str | None = None
    active: bool | None = None
    trader_id: str | None = None


def create(
    session: Session,
    code: str,
    name: str,
    principal: Principal,
    now: datetime,
    *,
    email: str | None = None,
    trader_id: str | None = None,
) -> Client:
    """Register a client. A trader's new client is the trader's own.

    Raises ``Invalid`` for a bad code, mail or trader, ``Conflict`` for a code that is taken.
    """
    reach = principal.require(Resource.CLIENTS, WRITE)
    if reach is Reach.OWN:
        raise Forbidden("a client's own key cannot register clients")
    if reach is Reach.ASSIGNED:
        if trader_id not in (None, principal.id):
            raise Forbidden("a trader registers clients of their own")
        trader_id = principal.id
    if not _CODE.fullmatch(code) or is_uuid(code):
        raise Invalid.field("code", "invalid_code", "must be 1 to 32 letters, digits, points or dashes", code[:40])
    if email is not None:
        emails.check(email)
    _check_trader(session, trader_id)
    if session.scalar(sa.select(Client.id).where(sa.func.lower(Client.code) == code.lower())) is not None:
        raise Conflict(f"the code {code} is taken", code="code_taken")
    client = Client(
        id=new_id(),
        code=code,
        name=name,
        email=email,
        active=True,
        trader_id=trader_id,
        version=1,
        created_at=now,
        updated_at=now,
    )
    session.add(client)
    try:
        session.flush()
    except sa.exc.IntegrityError as error:  # somebody took it between the look and the insert
        raise Conflict(f"the code {code} is taken", code="code_taken") from error
    _event(session, client, "client.created", now)
    audit.record(
        session, principal, "client.create", "client", client.id, now, code=code, name=name, trader_id=trader_id
    )
    return client


@dataclass(frozen=True, slots=True)
class Dismissed:
    """Who is out with a client that was deactivated: their open sockets are to be ended after the commit."""

    users: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


def lock(session: Session, client: Client) -> None:
    """Lock a client's row and read it again. NO KEY UPDATE: orders, which reference it, do not wait."""
    session.refresh(client, with_for_update={"key_share": True})


def update(session: Session, client: Client, changes: dict[str, Any], principal: Principal, now: datetime) -> Dismissed:
    """Change name, email, active or trader; ``client`` must be locked. Raises ``Invalid``, ``Forbidden``.

    A client that is deactivated is out at once: the sessions of its people end, its keys are refused.
    """
    if "trader_id" in changes:
        if principal.reach(Resource.CLIENTS, WRITE) is not Reach.ALL:
            raise Forbidden("only the firm's management assigns clients")
        _check_trader(session, changes["trader_id"])
    if changes.get("email") is not None:
        emails.check(changes["email"])
    changed = {name: value for name, value in changes.items() if getattr(client, name) != value}
    if not changed:
        return Dismissed()
    previous = {name: getattr(client, name) for name in changed}
    for name, value in changed.items():
        setattr(client, name, value)
    client.version += 1
    client.updated_at = now
    _event(session, client, "client.updated", now, changed=sorted(changed))
    audit.record(session, principal, "client.update", "client", client.id, now, changed=changed, previous=previous)
    if changed.get("active") is not False:
        return Dismissed()
    return Dismissed(user_sessions.end_of_client(session, client.id, now), api_keys.ids_of_client(session, client.id))


def _event(session: Session, client: Client, type_: str, now: datetime, **changed: Any) -> None:
    events = Events(now)
    events.add(client.id, type_, "client", client.id, show(client), version=client.version, **changed)
    events.flush(session)


def search(
    session: Session, principal: Principal, wanted: ClientFilter, limit: int, offset: int
) -> tuple[list[Client], int]:
    """The clients the caller may see, by code, and how many there are."""
    query = sa.select(Client)
    visible = visible_clients(principal, Resource.CLIENTS, READ)
    if visible is not None:
        query = query.where(Client.id.in_(visible))
    if wanted.text:
        escaped = re.sub(r"([%_/])", r"/\1", wanted.text.lower())
        columns = (Client.code, Client.name, Client.email)
        query = query.where(sa.or_(*(sa.func.lower(column).like(f"%{escaped}%", escape="/") for column in columns)))
    if wanted.active is not None:
        query = query.where(Client.active == wanted.active)
    if wanted.trader_id is not None:
        query = query.where(Client.trader_id == wanted.trader_id)
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    return list(session.scalars(query.order_by(Client.code).limit(limit).offset(offset))), total


def choices(session: Session, principal: Principal, resource: Resource, limit: int) -> list[dict[str, Any]]:
    """The clients whose objects of this kind the caller may read, for a picker: by code."""
    query = sa.select(Client.id, Client.code, Client.name, Client.active).order_by(Client.code).limit(limit)
    visible = visible_clients(principal, resource, READ)
    if visible is not None:
        query = query.where(Client.id.in_(visible))
    return [{"id": row.id, "code": row.code, "name": row.name, "active": row.active} for row in session.execute(query)]


def show(client: Client) -> dict[str, Any]:
    return {
        "id": client.id,
        "code": client.code,
        "name": client.name,
        "email": client.email,
        "active": client.active,
        "trader_id": client.trader_id,
        "version": client.version,
        "created_at": iso(client.created_at),
        "updated_at": iso(client.updated_at),
    }


def _check_trader(session: Session, trader_id: str | None) -> None:
    if trader_id is None:
        return
    role = session.scalar(sa.select(User.role).where(User.id == trader_id)) if is_uuid(trader_id) else None
    if role != Role.TRADER:
        raise Invalid.field("trader_id", "unknown_trader", "names no trader", trader_id[:40])
