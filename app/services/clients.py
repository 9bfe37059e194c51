"""Clients of the firm: persons and companies, what is known of them, and whether they may act."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.errors import Conflict, FieldError, Forbidden, Invalid
from app.core.ids import new_id
from app.core.permissions import READ, WRITE, Principal, Reach, Resource, Role
from app.domain.clients import ClientKind
from app.models import Client, User

from . import api_keys, audit, client_profiles, emails, user_sessions
from .access import is_uuid, visible_clients
from .events import Events

_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


# what a unique index says in its name (PostgreSQL) or by its columns (SQLite): the code and the sentence
_TAKEN: Final = {
    "code": ("code_taken", "another client has this code"),
    "email": ("email_taken", "another client has this address"),
    "identity": ("identity_taken", "another client has this document"),
}
_TAKEN_INDEX: Final = re.compile(r"uq_clients_(code|email|identity)|clients\.(code|email|identity)")


@dataclass(frozen=True, slots=True)
class ClientFilter:
    """``status`` is active, inactive or blocked; ``text`` part of code, name, mail or document number."""

    text: str | None = None
    active: bool | None = None
    trader_id: str | None = None
    status: str | None = None
    kind: str | None = None


def create(
    session: Session,
    code: str,
    name: str | None,
    principal: Principal,
    now: datetime,
    *,
    trader_id: str | None = None,
    kind: ClientKind = ClientKind.PERSON,
    **profile: Any,
) -> Client:
    """Register a client. A trader's new client is the trader's own.

    ``profile`` holds any of ``client_profiles.FIELDS``; a person's name may be made of its parts. Raises ``Invalid``
    for what cannot be right, ``Conflict`` for a code, an address or a document that is another client's.
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
    values = client_profiles.checked(kind, profile, now)
    name = name or client_profiles.full_name(values)
    if name is None:
        raise Invalid.field("name", "required", "is needed")
    _check_trader(session, trader_id)
    if session.scalar(sa.select(Client.id).where(sa.func.lower(Client.code) == code.lower())) is not None:
        raise Conflict(f"the code {code} is taken", code="code_taken")
    client = Client(
        id=new_id(),
        code=code,
        name=name,
        kind=kind.value,
        active=True,
        trader_id=trader_id,
        created_by=principal.actor,
        version=1,
        created_at=now,
        updated_at=now,
        **values,
    )
    session.add(client)
    _store(session, client)
    _event(session, client, "client.created", now)
    told = {field: value for field, value in values.items() if value is not None}
    audit.record(
        session,
        principal,
        "client.create",
        "client",
        client.id,
        now,
        code=code,
        name=name,
        trader_id=trader_id,
        **_plain({"kind": kind.value, **told}),
    )
    return client


def _store(session: Session, client: Client) -> None:
    """Write it now. Raises ``Conflict`` for what a unique index says is another client's."""
    _check_taken(session, client)
    try:
        session.flush()
    except sa.exc.IntegrityError as error:  # somebody took it between the look and the write
        named = _TAKEN_INDEX.search(str(error.orig))
        if named is None:
            raise
        code, sentence = _TAKEN[named[1] or named[2]]
        raise Conflict(sentence, code=code) from error


def _check_taken(session: Session, client: Client) -> None:
    """Raises ``Conflict``; the unique indices decide where two come at once."""
    with session.no_autoflush:
        others = sa.select(Client.id).where(Client.id != client.id).limit(1)
        if client.email is not None:
            address = emails.normalize(client.email)
            if session.scalar(others.where(sa.func.lower(Client.email) == address)) is not None:
                raise _taken("email", client.email)
        if client.identity_number is not None:
            document = (client.identity_country, client.identity_type, client.identity_number)
            columns = (Client.identity_country, Client.identity_type, Client.identity_number)
            same = (column == value for column, value in zip(columns, document, strict=True))
            if session.scalar(others.where(*same)) is not None:
                raise _taken("identity", client.identity_number)


def _taken(what: str, value: str) -> Conflict:
    code, sentence = _TAKEN[what]
    field = "identity_number" if what == "identity" else what
    return Conflict(sentence, code=code, errors=[FieldError(field, code, sentence, value)])


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON has them."""
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in values.items()}


@dataclass(frozen=True, slots=True)
class Dismissed:
    """Who is out with a client that was deactivated: their open sockets are to be ended after the commit."""

    users: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


def lock(session: Session, client: Client) -> None:
    """Lock a client's row and read it again. NO KEY UPDATE: orders, which reference it, do not wait."""
    session.refresh(client, with_for_update={"key_share": True})


def update(session: Session, client: Client, changes: dict[str, Any], principal: Principal, now: datetime) -> Dismissed:
    """Change name, profile, active or trader; ``client`` must be locked.

    A client that is deactivated is out at once: the sessions of its people end, its keys are refused. Raises
    ``Invalid``, ``Forbidden``, and ``Conflict`` for what is another client's or a client the firm has blocked.
    """
    if "trader_id" in changes:
        if principal.reach(Resource.CLIENTS, WRITE) is not Reach.ALL:
            raise Forbidden("only the firm's management assigns clients")
        _check_trader(session, changes["trader_id"])
    if changes.get("active") and client.blocked_reason is not None:
        raise Conflict("the firm has blocked the client; unblock it", code="client_blocked")
    wanted = {**changes, **_profile_with(client, changes, now)}
    return _change(session, client, wanted, "update", principal, now)


def _profile_with(client: Client, changes: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The profile with these changes, checked as a whole, and the name that follows from its parts."""
    if not changes.keys() & set(client_profiles.FIELDS):
        return {}
    before = {field: getattr(client, field) for field in client_profiles.FIELDS}
    values = client_profiles.checked(ClientKind(client.kind), {**before, **changes}, now)
    if "name" not in changes and client.name == client_profiles.full_name(before):
        values["name"] = client_profiles.full_name(values) or client.name
    return values


def block(session: Session, client: Client, reason: str, principal: Principal, now: datetime) -> Dismissed:
    """Stop a client: nobody of it signs in, its keys are refused, its orders are rejected. It must be locked.

    Raises ``Forbidden``, ``Conflict`` when it is blocked already.
    """
    _management(principal)
    if client.blocked_reason is not None:
        raise Conflict("the client is blocked already", code="unchanged")
    return _change(session, client, {"blocked_reason": reason, "active": False}, "block", principal, now)


def unblock(session: Session, client: Client, principal: Principal, now: datetime) -> None:
    """Let a blocked client act again. It must be locked. Raises ``Forbidden``, ``Conflict`` when it is not blocked."""
    _management(principal)
    if client.blocked_reason is None:
        raise Conflict("the client is not blocked", code="unchanged")
    _change(session, client, {"blocked_reason": None, "active": True}, "unblock", principal, now)


def _management(principal: Principal) -> None:
    if principal.reach(Resource.CLIENTS, WRITE) is not Reach.ALL:
        raise Forbidden("only the firm's management blocks clients")


_PAST: Final = {"update": "updated", "block": "blocked", "unblock": "unblocked"}


def _change(
    session: Session, client: Client, wanted: dict[str, Any], verb: str, principal: Principal, now: datetime
) -> Dismissed:
    """Store what differs, with its event and its audit record, whose reason the client never reads."""
    changed = {name: value for name, value in wanted.items() if getattr(client, name) != value}
    if not changed:
        return Dismissed()
    previous = {name: getattr(client, name) for name in changed}
    for name, value in changed.items():
        setattr(client, name, value)
    client.version += 1
    client.updated_at = now
    _store(session, client)
    told = sorted(changed.keys() - {"blocked_reason"})
    _event(session, client, f"client.{_PAST[verb]}", now, changed=told)
    audit.record(
        session,
        principal,
        f"client.{verb}",
        "client",
        client.id,
        now,
        changed=_plain(changed),
        previous=_plain(previous),
    )
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
    query = matching(principal, wanted)
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    return list(session.scalars(query.order_by(Client.code).limit(limit).offset(offset))), total


def matching(principal: Principal, wanted: ClientFilter) -> sa.Select[Client]:
    """A query of the clients the caller may see and the filter lets through."""
    query = sa.select(Client)
    visible = visible_clients(principal, Resource.CLIENTS, READ)
    if visible is not None:
        query = query.where(Client.id.in_(visible))
    if wanted.text:
        escaped = re.sub(r"([%_/])", r"/\1", wanted.text.lower())
        columns = (Client.code, Client.name, Client.email, Client.identity_number)
        query = query.where(sa.or_(*(sa.func.lower(column).like(f"%{escaped}%", escape="/") for column in columns)))
    if wanted.active is not None:
        query = query.where(Client.active == wanted.active)
    if wanted.trader_id is not None:
        query = query.where(Client.trader_id == wanted.trader_id)
    if wanted.kind is not None:
        query = query.where(Client.kind == wanted.kind)
    if wanted.status is not None:
        query = query.where(_STATUS_IS[wanted.status])
    return query


_STATUS_IS: Final = {
    "active": Client.active.is_(True),
    "inactive": sa.and_(Client.active.is_(False), Client.blocked_reason.is_(None)),
    "blocked": Client.blocked_reason.is_not(None),
}


def choices(session: Session, principal: Principal, resource: Resource, limit: int) -> list[dict[str, Any]]:
    """The clients whose objects of this kind the caller may read, for a picker: by code."""
    query = sa.select(Client.id, Client.code, Client.name, Client.active).order_by(Client.code).limit(limit)
    visible = visible_clients(principal, resource, READ)
    if visible is not None:
        query = query.where(Client.id.in_(visible))
    return [{"id": row.id, "code": row.code, "name": row.name, "active": row.active} for row in session.execute(query)]


def status(client: Client) -> str:
    """``active``, ``inactive``: has left, or ``blocked``: stopped by the firm."""
    if client.blocked_reason is not None:
        return "blocked"
    return "active" if client.active else "inactive"


def show(client: Client, *, to_firm: bool = False) -> dict[str, Any]:
    """The client as API and events show it; why it is blocked is for the firm's people alone."""
    return {
        "id": client.id,
        "code": client.code,
        "kind": client.kind,
        "name": client.name,
        **{name: getattr(client, name) for name in (*client_profiles.NAME_PARTS, *client_profiles.IDENTITY)},
        "born_on": None if client.born_on is None else client.born_on.isoformat(),
        "nationality": client.nationality,
        "email": client.email,
        "phones": client.phones or [],
        "address": client.address,
        "occupation": client.occupation,
        "source_of_funds": client.source_of_funds,
        "active": client.active,
        "status": status(client),
        "blocked_reason": client.blocked_reason if to_firm else None,
        "trader_id": client.trader_id,
        "kyc_status": client.kyc_status,
        "kyc_level": client.kyc_level,
        "kyc_expires_at": None if client.kyc_expires_at is None else iso(client.kyc_expires_at),
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
