"""People: their passwords, their sign-ins and the browsers they are signed in with."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.blocking import run_blocking
from app.core.clock import iso
from app.core.errors import Conflict, Invalid, NotFound, RateLimited, Unauthenticated
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Principal, Role
from app.core.transaction import Database
from app.domain.identifiers import is_visible
from app.models import Client, SignInAttempt, User, UserSession

from . import audit
from .access import is_uuid
from .passwords import (
    HASHER,
    PASSWORD_MAX,
    PASSWORD_MIN,
    check_password_rules,
    hash_password,
    normalize_email,
    one_time_password,
    prepared,
    verify_password,
)

__all__ = [
    "HASHER", "PASSWORD_MAX", "PASSWORD_MIN", "check_password_rules", "hash_password", "normalize_email",
    "one_time_password", "verify_password",
]  # fmt: skip

SEEN_INTERVAL: Final = timedelta(minutes=1)
FREE_ATTEMPTS, FREE_ATTEMPTS_OF_ADDRESS = 5, 30
LONGEST_WAIT: Final = timedelta(minutes=15)
ATTEMPTS_COUNT_FOR: Final = timedelta(hours=1)
LANGUAGES, THEMES = ("en", "es"), ("light", "dark")
NUMBER_FORMATS = ("point", "comma")  # 1,234.56 and 1.234,56
WRONG: Final = "the e-mail or the password is wrong"

_LABEL = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_EMAIL = re.compile(rf"[a-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})+")


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long a session lasts unused, and at most."""

    idle: timedelta = timedelta(minutes=30)
    absolute: timedelta = timedelta(hours=12)


DEFAULT_LIMITS: Final = SessionLimits()


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A caller with a browser session. ``token`` is set only by ``sign_in``: it exists nowhere else."""

    principal: Principal
    user: User
    session_id: str
    seen_at: datetime
    token: str = ""

    def is_touch_due(self, now: datetime) -> bool:
        return now - self.seen_at >= SEEN_INTERVAL


def principal_of(user: User) -> Principal:
    return Principal(kind="user", id=user.id, label=user.email, role=Role(user.role), client_id=user.client_id)


# people


def create(
    session: Session,
    *,
    email: str,
    name: str,
    role: Role,
    password_hash: str,
    principal: Principal,
    now: datetime,
    client: Client | None = None,
    one_time: bool = False,
    ip: str | None = None,
) -> User:
    """A new user; ``client`` exactly for the client role. Raises ``Invalid``, ``Conflict``.

    ``one_time``: somebody else knows the password; nothing is open to the user before they chose their own.
    """
    email, name = normalize_email(email), name.strip()
    if len(email) > 254 or not _EMAIL.fullmatch(email):
        raise Invalid.field("email", "invalid_email", "must be an e-mail address", email[:100])
    if not 1 <= len(name) <= 200 or not is_visible(name):
        raise Invalid.field("name", "invalid_name", "must have 1 to 200 characters that can be seen", name[:100])
    if (role is Role.CLIENT) != (client is not None):
        raise Invalid.field("client", "client_of_client", "is named for users of the client role, and only for them")
    if session.scalar(sa.select(User.id).where(User.email == email)):
        raise Conflict("there is a user with this e-mail address", code="email_taken")
    user = User(
        id=new_id(), email=email, name=name, role=role.value, client_id=client.id if client else None,
        password_hash=password_hash, active=True, must_change_password=one_time, created_at=now,
    )  # fmt: skip
    session.add(user)
    session.flush()
    audit.record(session, principal, "user.create", "user", user.id, now, ip=ip, email=email, role=role.value,
                 client_id=user.client_id)  # fmt: skip
    return user


@dataclass(frozen=True, slots=True)
class UserFilter:
    text: str | None = None
    role: Role | None = None
    active: bool | None = None


def search(session: Session, wanted: UserFilter, limit: int, offset: int) -> tuple[list[User], int]:
    """Users by name, and how many there are; for callers who may read users."""
    query = sa.select(User)
    if wanted.text:
        escaped = re.sub(r"([%_/])", r"/\1", wanted.text.lower())
        columns = (User.name, User.email)
        query = query.where(sa.or_(*(sa.func.lower(column).like(f"%{escaped}%", escape="/") for column in columns)))
    if wanted.role is not None:
        query = query.where(User.role == wanted.role.value)
    if wanted.active is not None:
        query = query.where(User.active == wanted.active)
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    return list(session.scalars(query.order_by(User.name, User.id).limit(limit).offset(offset))), total


def by_id(session: Session, user_id: str, *, lock: bool = False) -> User:
    """Raises ``NotFound``."""
    query = sa.select(User).where(User.id == user_id.lower())
    user = session.scalars(query.with_for_update() if lock else query).one_or_none() if is_uuid(user_id) else None
    if user is None:
        raise NotFound("there is no such user")
    return user


def change(
    session: Session, user: User, changes: dict[str, Any], principal: Principal, now: datetime, ip: str | None = None
) -> bool:
    """Change name, role or active; ``user`` must be locked. Returns whether its sessions ended.

    Raises ``Invalid`` for a role that is or was a client's, ``Conflict`` for oneself and for the last Master.
    """
    changed = {name: value for name, value in changes.items() if getattr(user, name) != value}
    if not changed:
        return False
    if "role" in changed and Role.CLIENT in (user.role, changed["role"]):
        raise Invalid.field("role", "role_of_client", "of a client's user is fixed; create another user")
    if "role" in changed:
        _check_loss(session, user, principal)
    if changed.get("active") is False:
        disable(session, user, principal, now, ip=ip)
        del changed["active"]
    if changed:
        previous = {name: getattr(user, name) for name in changed}
        for name, value in changed.items():
            setattr(user, name, value)
        user.version += 1
        audit.record(session, principal, "user.update", "user", user.id, now, ip=ip, changed=changed, previous=previous)
    return not user.active


def _check_loss(session: Session, user: User, principal: Principal) -> None:
    """Refuse what would leave the firm without a Master. Locks all of them: two at once must not remove both."""
    if principal.kind == "user" and principal.id == user.id:
        raise Conflict("nobody changes their own role or disables themselves", code="own_account")
    masters = sa.select(User.id).where(User.role == Role.MASTER.value, User.active).order_by(User.id).with_for_update()
    if user.role == Role.MASTER and set(session.scalars(masters)) <= {user.id}:
        raise Conflict("the firm keeps at least one active Master", code="last_master")


def reset_password(
    session: Session, user: User, password_hash: str, principal: Principal, now: datetime, *, ip: str | None = None,
    one_time: bool = True,
) -> int:  # fmt: skip
    """Replace a forgotten password; ``user`` must be locked. Returns how many sessions that ended."""
    user.password_hash, user.must_change_password = password_hash, one_time
    user.version += 1
    ended = _end(session, now, UserSession.user_id == user.id)
    audit.record(session, principal, "user.password_reset", "user", user.id, now, ip=ip, sessions_ended=ended)
    return ended


def by_email(session: Session, email: str) -> User:
    """Raises ``NotFound``."""
    user = session.scalars(sa.select(User).where(User.email == normalize_email(email))).one_or_none()
    if user is None:
        raise NotFound("there is no such user")
    return user


def disable(session: Session, user: User, principal: Principal, now: datetime, *, ip: str | None = None) -> int:
    """Keep a user out from now on; returns how many sessions that ended. Raises ``Conflict`` as ``change`` does."""
    _check_loss(session, user, principal)
    user.active = False
    user.version += 1
    ended = _end(session, now, UserSession.user_id == user.id)
    audit.record(session, principal, "user.disable", "user", user.id, now, ip=ip, email=user.email,
                 sessions_ended=ended)  # fmt: skip
    return ended


def end_sessions_of_client(session: Session, client_id: str, now: datetime) -> list[str]:
    """End every session of a client's people; returns their user ids."""
    people = list(session.scalars(sa.select(User.id).where(User.client_id == client_id).order_by(User.id)))
    _end(session, now, UserSession.user_id.in_(people))
    return people


PREFERENCES: Final = {"language": LANGUAGES, "theme": THEMES, "number_format": NUMBER_FORMATS}


def set_preference(session: Session, user_id: str, **chosen: str) -> None:
    """Remember one of ``PREFERENCES``. Raises ``Invalid`` for a choice we do not have."""
    check_preference(**chosen)
    session.execute(sa.update(User).where(User.id == user_id).values(chosen))


def check_preference(**chosen: str) -> None:
    for name, value in chosen.items():
        if value not in PREFERENCES[name]:
            raise Invalid.field(name, "invalid_choice", f"must be one of {', '.join(PREFERENCES[name])}", value[:10])


def show(user: User) -> dict[str, Any]:
    return {
        "id": user.id, "email": user.email, "name": user.name, "role": user.role, "client_id": user.client_id,
        "active": user.active, "must_change_password": user.must_change_password, "version": user.version,
        "created_at": iso(user.created_at),
        "last_sign_in_at": None if user.last_sign_in_at is None else iso(user.last_sign_in_at),
    }  # fmt: skip


# signing in


def sign_in(database: Database, email: str, password: str, ip: str, user_agent: str | None, now: datetime) -> SignedIn:
    """Check a password and open a session with a new token.

    Two transactions with the hashing between them. The attempt is counted before the password is looked
    at, so that many at once do not slip past the throttle. Raises ``Unauthenticated`` in one wording for
    unknown, disabled and wrong; ``RateLimited`` with the seconds to wait.
    """
    email, ip = _attempted(email), _network(ip)
    user, welcome = database.run(lambda session: _begin_attempt(session, email, ip, now))
    correct = verify_password(user.password_hash if user else None, password)
    if user is None or not correct or not welcome:
        if user is not None:
            known = user
            database.run(
                lambda session: audit.record(session, SYSTEM, "user.sign_in_failed", "user", known.id, now, ip=ip)
            )
        raise Unauthenticated(WRONG)
    checked, stale = user, HASHER.check_needs_rehash(user.password_hash)
    renewed = run_blocking(HASHER.hash, prepared(password)) if stale else None
    token = secrets.token_urlsafe(32)

    def open_session(session: Session) -> SignedIn:
        current = session.get(User, checked.id, with_for_update=True)
        if current is None or not _is_welcome(session, current) or current.password_hash != checked.password_hash:
            raise Unauthenticated(WRONG)  # disabled or changed while we were hashing
        if renewed is not None:
            current.password_hash = renewed
        current.last_sign_in_at = now
        session.execute(sa.delete(SignInAttempt).where(SignInAttempt.email == email, SignInAttempt.ip == ip))
        row = UserSession(
            id=new_id(), user_id=current.id, token_hash=_token_hash(token), created_at=now, seen_at=now,
            ip=ip[:45], user_agent=_header_text(user_agent),
        )  # fmt: skip
        session.add(row)
        principal = principal_of(current)
        audit.record(session, principal, "user.sign_in", "user_session", row.id, now, ip=ip)
        return SignedIn(principal, current, row.id, now, token)

    return database.run(open_session)


def confirm_password(database: Database, user_id: str, password: str, ip: str, now: datetime) -> None:
    """A signed-in user proves to be the one, before something delicate.

    Throttled like a sign-in. Raises ``Invalid`` for a wrong password, ``RateLimited``.
    """
    ip = _network(ip)
    email = database.read(lambda session: session.scalar(sa.select(User.email).where(User.id == user_id))) or ""
    user, _ = database.run(lambda session: _begin_attempt(session, email, ip, now))
    if user is None or not verify_password(user.password_hash, password):
        raise Invalid.field("current_password", "wrong_password", "is wrong")
    database.run(
        lambda session: session.execute(
            sa.delete(SignInAttempt).where(SignInAttempt.email == email, SignInAttempt.ip == ip)
        )
    )


def change_password(
    database: Database, signed_in: SignedIn, current: str, new: str, ip: str, now: datetime
) -> tuple[str, int]:
    """Set a new password, end all other sessions and give this one a new token, so that no copy of it lives on.

    Returns the token and how many sessions ended. Raises ``Invalid``, ``RateLimited``, and ``Unauthenticated``
    when this session has ended meanwhile.
    """
    confirm_password(database, signed_in.user.id, current, ip, now)
    password_hash = hash_password(signed_in.user.email, new)
    token = secrets.token_urlsafe(32)

    def store(session: Session) -> int:
        session.execute(sa.update(User).where(User.id == signed_in.user.id).values(
            password_hash=password_hash, must_change_password=False, version=User.version + 1
        ))  # fmt: skip
        ended = _end(session, now, UserSession.user_id == signed_in.user.id, UserSession.id != signed_in.session_id)
        mine = sa.update(UserSession).where(UserSession.id == signed_in.session_id, UserSession.ended_at.is_(None))
        rotated: Any = session.execute(mine.values(token_hash=_token_hash(token)))
        if not rotated.rowcount:
            raise Unauthenticated
        audit.record(session, signed_in.principal, "user.password_change", "user", signed_in.user.id, now, ip=ip,
                     sessions_ended=ended)  # fmt: skip
        return ended

    return token, database.run(store)


def _attempted(email: str) -> str:
    return "".join(char for char in normalize_email(email[:1_000]) if char.isprintable() and char < "\ud800")[:254]


def _network(ip: str) -> str:
    """What one stranger owns: an IPv4 address, a /64 of IPv6."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip[:45]
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


def _begin_attempt(session: Session, email: str, ip: str, now: datetime) -> tuple[User | None, bool]:
    """Refuse while a wait is running, else count this attempt; the account, if there is one, and whether it may.

    What is counted belongs to this address alone: a stranger elsewhere cannot make the owner wait.
    """
    if session.get_bind().dialect.name == "postgresql":  # one at a time per address, or all of a burst count none
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"sign-in {ip}", 0))))
    recent = (SignInAttempt.ip == ip, SignInAttempt.at > now - ATTEMPTS_COUNT_FOR)
    for conditions, free in (
        ((*recent, SignInAttempt.email == email), FREE_ATTEMPTS),
        (recent, FREE_ATTEMPTS_OF_ADDRESS),
    ):
        count, last = session.execute(
            sa.select(sa.func.count(), sa.func.max(SignInAttempt.at)).where(*conditions)
        ).one()
        wait = wait_after(count, free)
        if wait and last + wait > now:
            seconds = int((last + wait - now).total_seconds()) + 1
            raise RateLimited("too many attempts; try again later", retry_after=seconds)
    session.execute(
        sa.delete(SignInAttempt).where(SignInAttempt.ip == ip, SignInAttempt.at <= now - ATTEMPTS_COUNT_FOR)
    )
    session.add(SignInAttempt(id=new_id(), email=email, ip=ip, at=now))
    user = session.scalars(sa.select(User).where(User.email == email)).one_or_none()
    return user, user is not None and _is_welcome(session, user)


def _is_welcome(session: Session, user: User) -> bool:
    """Whether the user is active, and the client they speak for too."""
    if user.client_id is None or not user.active:
        return user.active
    return bool(session.scalar(sa.select(Client.active).where(Client.id == user.client_id)))


def wait_after(failures: int, free: int) -> timedelta:
    """How long to wait after so many failures: nothing at first, then 1, 2, 4 … seconds up to 15 minutes."""
    if failures < free:
        return timedelta(0)
    return min(LONGEST_WAIT, timedelta(seconds=2 ** min(failures - free, 20)))


# sessions


_WELCOME: Final = sa.and_(User.active, Client.active.is_not(False))  # no client: one of the firm


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _header_text(value: str | None) -> str | None:
    return None if value is None else "".join(char for char in value if char.isprintable())[:200]


def _is_live(row: UserSession, now: datetime, limits: SessionLimits) -> bool:
    return row.ended_at is None and now < row.seen_at + limits.idle and now < row.created_at + limits.absolute


def find_session(
    session: Session, token: str, now: datetime, limits: SessionLimits = DEFAULT_LIMITS
) -> SignedIn | None:
    """The signed-in caller of a token; None when it is unknown, ended, too old, or the user is disabled."""
    query = (
        sa.select(UserSession, User)
        .join(User, User.id == UserSession.user_id)
        .outerjoin(Client, Client.id == User.client_id)
        .where(UserSession.token_hash == _token_hash(token), _WELCOME)
    )
    found = session.execute(query).one_or_none()
    if found is None:
        return None
    row, user = found
    if not _is_live(row, now, limits):
        return None
    return SignedIn(principal_of(user), user, row.id, row.seen_at)


def principal_of_session(
    session: Session, token: str, now: datetime, limits: SessionLimits = DEFAULT_LIMITS
) -> Principal | None:
    found = find_session(session, token, now, limits)
    return None if found is None else found.principal


def touch(session: Session, session_id: str, now: datetime) -> None:
    """Note that a session is in use; call it when ``is_touch_due`` says so, in a transaction of its own."""
    session.execute(
        sa.update(UserSession).where(UserSession.id == session_id, UserSession.seen_at < now).values(seen_at=now)
    )


def live_sessions(
    session: Session, user_id: str, now: datetime, limits: SessionLimits = DEFAULT_LIMITS
) -> list[UserSession]:
    """Where a user is signed in, last used first."""
    query = sa.select(UserSession).where(UserSession.user_id == user_id, UserSession.ended_at.is_(None))
    rows = session.scalars(query.order_by(UserSession.seen_at.desc(), UserSession.id))
    return [row for row in rows if _is_live(row, now, limits)]


def live_session_ids(
    session: Session, session_ids: set[str], now: datetime, limits: SessionLimits = DEFAULT_LIMITS
) -> set[str]:
    """Those of the given sessions that are still good."""
    query = (
        sa.select(UserSession)
        .join(User, User.id == UserSession.user_id)
        .outerjoin(Client, Client.id == User.client_id)
        .where(UserSession.id.in_(session_ids), UserSession.ended_at.is_(None), _WELCOME)
    )
    return {row.id for row in session.scalars(query) if _is_live(row, now, limits)}


def _end(session: Session, now: datetime, *conditions: Any) -> int:
    result: Any = session.execute(
        sa.update(UserSession).where(UserSession.ended_at.is_(None), *conditions).values(ended_at=now)
    )
    return int(result.rowcount)


def sign_out(session: Session, signed_in: SignedIn, now: datetime, ip: str | None = None) -> None:
    _end(session, now, UserSession.id == signed_in.session_id)
    audit.record(session, signed_in.principal, "user.sign_out", "user_session", signed_in.session_id, now, ip=ip)


def end_session(session: Session, principal: Principal, session_id: str, now: datetime) -> None:
    """End one of the caller's own sessions. Raises ``NotFound`` for any other."""
    if not _end(session, now, UserSession.id == session_id, UserSession.user_id == principal.id):
        raise NotFound("there is no such session")
    audit.record(session, principal, "user.session_end", "user_session", session_id, now)


def end_all_sessions(
    session: Session, user_id: str, principal: Principal, now: datetime, *, keep: str | None = None,
    ip: str | None = None,
) -> int:  # fmt: skip
    """End every session of a user but ``keep``; returns how many."""
    ended = _end(session, now, UserSession.user_id == user_id, UserSession.id != (keep or ""))
    audit.record(session, principal, "user.sessions_end", "user", user_id, now, ip=ip, count=ended)
    return ended
