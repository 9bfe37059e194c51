"""Keys of programs: ``prefix_secret``, shown once, kept as a SHA-256, bound to a client or to the firm."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import NEVER, Clock, Seconds, iso
from app.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from app.core.ids import new_id
from app.core.permissions import WRITE, Principal, Reach, Resource, Scope
from app.domain.identifiers import is_visible
from app.models import ApiKey, Client, table_of

from . import audit
from .access import is_uuid

table = table_of(ApiKey)
clients = table_of(Client)

PREFIX, PREFIX_LENGTH = "ck_", 13
_ALPHABET: Final = "abcdefghijkmnopqrstuvwxyz23456789"
_DUMMY: Final = hashlib.sha256(secrets.token_bytes(32)).hexdigest()
USED_INTERVAL: Final = timedelta(minutes=1)
STAFF_SCOPES: Final = frozenset({Scope.ADMIN, Scope.CLIENTS, Scope.OPERATIONS})
MAX_KEYS, MAX_NETWORKS, LONGEST_OVERLAP_HOURS = 100, 50, 24 * 30


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a key speaks for, and when it was last noted as used."""

    principal: Principal
    last_used_at: datetime | None

    def is_touch_due(self, now: datetime) -> bool:
        return self.last_used_at is None or now - self.last_used_at >= USED_INTERVAL


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What a new key shall be. ``client`` for a bound one, ``system`` for one of the firm."""

    name: str
    scopes: Iterable[str]
    client: Client | None = None
    system: bool = False
    act_for_clients: bool = False
    allowed_ips: Iterable[str] | None = None
    expires_at: datetime | None = None
    orders_per_second: int | None = None
    requests_per_second: int | None = None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


# making and ending keys


def create(session: Session, request: KeyRequest, principal: Principal, now: datetime) -> tuple[ApiKey, str]:
    """A new key and its full text, which cannot be had again.

    Raises ``Forbidden`` for callers who may not have such a key (no key can make keys), ``Invalid``.
    """
    _require_maker(request, principal)
    scopes = _check_scopes(request)
    name = request.name.strip()
    if not 1 <= len(name) <= 100 or not is_visible(name):
        raise Invalid.field("name", "invalid_name", "must have 1 to 100 characters that can be seen", name[:100])
    if request.expires_at is not None and request.expires_at <= now:
        raise Invalid.field("expires_at", "in_the_past", "must be in the future", iso(request.expires_at))
    for field in ("orders_per_second", "requests_per_second"):
        rate = getattr(request, field)
        if rate is not None and not 1 <= rate <= 100_000:
            raise Invalid.field(field, "out_of_range", "must be 1 to 100000", rate)
    _check_count(session, request.client)
    secret = secrets.token_urlsafe(32)
    prefix = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(PREFIX_LENGTH - len(PREFIX)))
    key = ApiKey(
        id=new_id(),
        prefix=prefix,
        secret_hash=_hash(secret),
        name=name,
        scopes=scopes,
        client_id=request.client.id if request.client else None,
        system=request.system,
        act_for_clients=request.act_for_clients,
        allowed_ips=_networks(request.allowed_ips),
        orders_per_second=request.orders_per_second,
        requests_per_second=request.requests_per_second,
        created_at=now,
        created_by=principal.actor,
        expires_at=request.expires_at,
    )
    session.add(key)
    session.flush()
    audit.record(
        session,
        principal,
        "key.create",
        "api_key",
        key.id,
        now,
        prefix=prefix,
        name=name,
        scopes=scopes,
        client_id=key.client_id,
        system=key.system,
        act_for_clients=key.act_for_clients,
    )
    return key, f"{prefix}_{secret}"


def _require_maker(request: KeyRequest, principal: Principal) -> None:
    if principal.kind == "key":
        raise Forbidden("no key can make keys", code="keys_cannot_make_keys")
    reach = principal.require(Resource.API_KEYS, WRITE)
    if reach is Reach.ALL:
        return
    if request.system:
        raise Forbidden("only a master may make keys of the firm")
    if principal.client_id is None or request.client is None or request.client.id != principal.client_id:
        raise Forbidden("a key can be made for one's own client only")


def _check_scopes(request: KeyRequest) -> list[str]:
    scopes = sorted(set(request.scopes))
    known = [scope.value for scope in Scope]
    if not scopes:
        raise Invalid.field("scopes", "required", "must name at least one scope")
    for scope in scopes:
        if scope not in known:
            raise Invalid.field("scopes", "unknown_scope", f"must be of {', '.join(known)}", scope[:20])
    if request.system == (request.client is not None):
        raise Invalid.field("client", "client_or_system", "is named for a client's key and not for one of the firm")
    if request.act_for_clients and not request.system:
        raise Invalid.field("act_for_clients", "system_only", "is for keys of the firm")
    refused = sorted(STAFF_SCOPES & {Scope(scope) for scope in scopes}) if request.client else []
    if refused:
        raise Invalid.field("scopes", "scope_not_for_clients", "of a client's key cannot reach the firm", refused[0])
    return scopes


def _networks(allowed: Iterable[str] | None) -> list[str] | None:
    listed = [item.strip() for item in allowed or () if item.strip()]
    if len(listed) > MAX_NETWORKS:
        raise Invalid.field("allowed_ips", "too_many", f"may name at most {MAX_NETWORKS} networks")
    result = []
    for item in listed:
        try:
            result.append(str(ip_network(item)))
        except ValueError as error:
            raise Invalid.field("allowed_ips", "invalid_network", "must be addresses or networks", item[:50]) from error
    return result or None


def _check_count(session: Session, client: Client | None) -> None:
    if client is None:
        return
    live = sa.select(sa.func.count()).where(table.c.client_id == client.id, table.c.revoked_at.is_(None))
    if (session.scalar(live) or 0) >= MAX_KEYS:
        raise Conflict(f"a client may have {MAX_KEYS} keys; revoke one first", code="too_many_keys")


def visible(principal: Principal, right: str) -> sa.Select[Any]:
    """A select of the keys the caller may see or end. Raises ``Forbidden``."""
    reach = principal.require(Resource.API_KEYS, right)
    query = sa.select(ApiKey)
    if reach is Reach.ALL:
        return query
    if principal.client_id is not None:
        return query.where(ApiKey.client_id == principal.client_id)
    return query.where(ApiKey.created_by == principal.actor)


def list_keys(session: Session, principal: Principal, limit: int, offset: int) -> tuple[list[ApiKey], int]:
    """The caller's keys, newest first, and how many there are."""
    query = visible(principal, "read")
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    return list(session.scalars(query.order_by(ApiKey.id.desc()).limit(limit).offset(offset))), total


def find(session: Session, principal: Principal, ref: str) -> ApiKey:
    """One of the caller's keys to change, by id or prefix, under its row lock. Raises ``NotFound``."""
    condition = ApiKey.id == ref.lower() if is_uuid(ref) else ApiKey.prefix == ref
    key: ApiKey | None = session.scalars(visible(principal, WRITE).where(condition).with_for_update()).one_or_none()
    if key is None:
        raise NotFound("there is no such key")
    return key


def revoke(session: Session, key: ApiKey, principal: Principal, now: datetime) -> None:
    """End a key at once; again does nothing."""
    if key.revoked_at is not None:
        return
    key.revoked_at = now
    audit.record(session, principal, "key.revoke", "api_key", key.id, now, prefix=key.prefix)


def is_live(key: ApiKey, now: datetime) -> bool:
    """Neither revoked nor expired."""
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def ids_of_client(session: Session, client_id: str) -> list[str]:
    """The keys of a client that are not revoked. They are refused while the client is not active."""
    return list(
        session.scalars(sa.select(table.c.id).where(table.c.client_id == client_id, table.c.revoked_at.is_(None)))
    )


def rotate(session: Session, key: ApiKey, hours: int, principal: Principal, now: datetime) -> tuple[ApiKey, str]:
    """A new key like ``key``, which itself ends after ``hours``. Raises ``Conflict`` for a dead one, ``Invalid``."""
    if not 0 <= hours <= LONGEST_OVERLAP_HOURS:
        raise Invalid.field("hours", "out_of_range", f"must be 0 to {LONGEST_OVERLAP_HOURS}", hours)
    if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
        raise Conflict("this key has ended", code="key_ended")
    client = session.get(Client, key.client_id) if key.client_id else None
    request = KeyRequest(
        name=key.name,
        scopes=key.scopes,
        client=client,
        system=key.system,
        act_for_clients=key.act_for_clients,
        allowed_ips=key.allowed_ips,
        expires_at=key.expires_at,
        orders_per_second=key.orders_per_second,
        requests_per_second=key.requests_per_second,
    )
    made = create(session, request, principal, now)
    end = now + timedelta(hours=hours)
    key.expires_at = end if key.expires_at is None else min(end, key.expires_at)
    audit.record(
        session,
        principal,
        "key.rotate",
        "api_key",
        key.id,
        now,
        prefix=key.prefix,
        successor=made[0].prefix,
        expires_at=iso(key.expires_at),
    )
    return made


def show(key: ApiKey) -> dict[str, Any]:
    """A key as its owner sees it, without anything of the secret."""

    def time(moment: datetime | None) -> str | None:
        return None if moment is None else iso(moment)

    return {
        "id": key.id,
        "prefix": key.prefix,
        "name": key.name,
        "scopes": key.scopes,
        "client_id": key.client_id,
        "system": key.system,
        "act_for_clients": key.act_for_clients,
        "allowed_ips": key.allowed_ips,
        "orders_per_second": key.orders_per_second,
        "requests_per_second": key.requests_per_second,
        "created_at": iso(key.created_at),
        "created_by": key.created_by,
        "expires_at": time(key.expires_at),
        "revoked_at": time(key.revoked_at),
        "last_used_at": time(key.last_used_at),
    }


# using keys


def identify(session: Session, raw: str, ip: str, now: datetime) -> Caller:
    """Whom a key speaks for. Raises ``Unauthenticated``, in one wording whatever is wrong with it."""
    prefix, separator, secret = raw[:PREFIX_LENGTH], raw[PREFIX_LENGTH : PREFIX_LENGTH + 1], raw[PREFIX_LENGTH + 1 :]
    well_formed = (
        raw.startswith(PREFIX) and separator == "_" and len(raw) <= 200 and raw.isascii() and raw.isprintable()
    )
    row = _lookup(session, prefix) if well_formed else None
    same = hmac.compare_digest(_DUMMY if row is None else row["secret_hash"], _hash(secret))
    if row is None or not same or not _is_live(row, now) or not _is_allowed_from(row["allowed_ips"], ip):
        raise Unauthenticated
    principal = Principal(
        kind="key",
        id=row["id"],
        label=f"{row['name']} ({row['prefix']})",
        client_id=row["client_id"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        act_for_clients=row["act_for_clients"],
        orders_per_second=row["orders_per_second"],
        requests_per_second=row["requests_per_second"],
    )
    return Caller(principal, row["last_used_at"])


class RecentKeys:
    """Keys that were good within the last moment: a program that sends order after order is looked up once.

    Such a key may have ended meanwhile: what it does is checked again where it is done (``live_key_ids``).
    """

    SECONDS: Final = 2
    MOST: Final = 10_000

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._callers: dict[tuple[str, str], tuple[Seconds, Caller]] = {}

    def find(self, raw: str, ip: str) -> Caller | None:
        until, caller = self._callers.get((_hash(raw), ip), (NEVER, None))
        return caller if self._clock.monotonic() < until else None

    def keep(self, raw: str, ip: str, caller: Caller) -> None:
        if len(self._callers) >= self.MOST:
            self._callers.clear()
        self._callers[_hash(raw), ip] = self._clock.monotonic() + self.SECONDS, caller


def authenticate(session: Session, raw: str, ip: str, now: datetime) -> Principal:
    """The same without the time of last use."""
    return identify(session, raw, ip, now).principal


def _rows(condition: Any) -> sa.Select[Any]:
    return (
        sa.select(table, clients.c.active.label("client_active"))
        .outerjoin(clients, clients.c.id == table.c.client_id)
        .where(condition)
    )


_BY_ID = _rows(table.c.id.in_(sa.bindparam("ids", expanding=True)))
_BY_PREFIX = _rows(table.c.prefix == sa.bindparam("prefix"))


def _lookup(session: Session, prefix: str) -> Any:
    return session.execute(_BY_PREFIX, {"prefix": prefix}).mappings().one_or_none()


def _is_live(row: Any, now: datetime) -> bool:
    expired = row["expires_at"] is not None and row["expires_at"] <= now
    return row["revoked_at"] is None and not expired and row["client_active"] is not False


def _is_allowed_from(networks: list[str] | None, ip: str) -> bool:
    if not networks:
        return True
    try:
        address = ip_address(ip)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ip_network(network) for network in networks)


def live_key_ids(session: Session, key_ids: set[str], now: datetime) -> set[str]:
    """Those of the given keys that are still good."""
    rows = session.execute(_BY_ID, {"ids": list(key_ids)}).mappings()
    return {row["id"] for row in rows if _is_live(row, now)}


def require_live(session: Session, caller: Principal, now: datetime) -> None:
    """Raises ``Unauthenticated`` for a key that has ended since it was looked up."""
    if caller.kind == "key" and caller.id not in live_key_ids(session, {caller.id}, now):
        raise Unauthenticated


def touch(session: Session, key_id: str, now: datetime) -> None:
    """Note a use; call it when ``is_touch_due`` says so, in a transaction of its own."""
    session.execute(sa.update(table).where(table.c.id == key_id).values(last_used_at=now))
