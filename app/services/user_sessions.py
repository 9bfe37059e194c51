"""The browsers people are signed in with: found by a secret token, noted as used, ended."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import NotFound, Unauthenticated
from app.core.ids import new_id
from app.core.permissions import Principal, Role
from app.models import Client, User, UserSession

from . import audit

SEEN_INTERVAL: Final = timedelta(minutes=1)
_MAY_SIGN_IN: Final = sa.and_(User.active, Client.active.is_not(False))  # no client: one of the firm
_BY_TOKEN: Final = (  # made once: it is asked at every request
    sa.select(UserSession, User)
    .join(User, User.id == UserSession.user_id)
    .outerjoin(Client, Client.id == User.client_id)
    .where(UserSession.token_hash == sa.bindparam("token_hash"), _MAY_SIGN_IN)
)


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long a session lasts unused, and at most."""

    idle: timedelta = timedelta(minutes=30)
    absolute: timedelta = timedelta(hours=12)

    @classmethod
    def of(cls, settings: Any) -> SessionLimits:
        return cls(timedelta(minutes=settings.session_idle_minutes), timedelta(hours=settings.session_absolute_hours))


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A caller with a browser session. ``token`` is set only by ``create``: it exists nowhere else."""

    principal: Principal
    user: User
    session_id: str
    seen_at: datetime
    proven_at: datetime | None = None
    token: str = ""

    def is_touch_due(self, now: datetime) -> bool:
        return now - self.seen_at >= SEEN_INTERVAL


def principal_of(user: User) -> Principal:
    return Principal(kind="user", id=user.id, label=user.email, role=Role(user.role), client_id=user.client_id)


def create(session: Session, user: User, ip: str, user_agent: str | None, now: datetime) -> SignedIn:
    """A new session with a new token."""
    token = secrets.token_urlsafe(32)
    row = UserSession(
        id=new_id(),
        user_id=user.id,
        token_hash=_token_hash(token),
        created_at=now,
        seen_at=now,
        proven_at=now,
        ip=ip[:45],
        user_agent=_header_text(user_agent),
    )
    session.add(row)
    principal = principal_of(user)
    audit.record(session, principal, "user.sign_in", "user_session", row.id, now, ip=ip)
    return SignedIn(principal, user, row.id, now, now, token)


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _header_text(value: str | None) -> str | None:
    return None if value is None else "".join(char for char in value if char.isprintable())[:200]


def _is_live(row: UserSession, now: datetime, limits: SessionLimits) -> bool:
    return row.ended_at is None and now < row.seen_at + limits.idle and now < row.created_at + limits.absolute


def find(session: Session, token: str, now: datetime, limits: SessionLimits) -> SignedIn | None:
    """The signed-in caller of a token; None when it is unknown, ended, too old, or the user is disabled."""
    found = session.execute(_BY_TOKEN, {"token_hash": _token_hash(token)}).one_or_none()
    if found is None:
        return None
    row, user = found
    if not _is_live(row, now, limits):
        return None
    return SignedIn(principal_of(user), user, row.id, row.seen_at, row.proven_at)


def touch(session: Session, session_id: str, now: datetime) -> None:
    """Note that a session is in use; call it when ``is_touch_due`` says so, in a transaction of its own."""
    session.execute(
        sa.update(UserSession).where(UserSession.id == session_id, UserSession.seen_at < now).values(seen_at=now)
    )


def note_proof(session: Session, session_id: str, now: datetime) -> None:
    """Somebody has just proved to be the one who signed in there."""
    session.execute(sa.update(UserSession).where(UserSession.id == session_id).values(proven_at=now))


def live(session: Session, user_id: str, now: datetime, limits: SessionLimits) -> list[UserSession]:
    """Where a user is signed in, last used first."""
    query = sa.select(UserSession).where(UserSession.user_id == user_id, UserSession.ended_at.is_(None))
    rows = session.scalars(query.order_by(UserSession.seen_at.desc(), UserSession.id))
    return [row for row in rows if _is_live(row, now, limits)]


def live_ids(session: Session, session_ids: set[str], now: datetime, limits: SessionLimits) -> set[str]:
    """Those of the given sessions that are still good."""
    query = (
        sa.select(UserSession)
        .join(User, User.id == UserSession.user_id)
        .outerjoin(Client, Client.id == User.client_id)
        .where(UserSession.id.in_(session_ids), UserSession.ended_at.is_(None), _MAY_SIGN_IN)
    )
    return {row.id for row in session.scalars(query) if _is_live(row, now, limits)}


def renew_token(session: Session, session_id: str) -> str:
    """Give a session a new token, so that no copy of the old one lives on. Raises ``Unauthenticated`` if it ended."""
    token = secrets.token_urlsafe(32)
    query = sa.update(UserSession).where(UserSession.id == session_id, UserSession.ended_at.is_(None))
    result: Any = session.execute(query.values(token_hash=_token_hash(token)))
    if not result.rowcount:
        raise Unauthenticated
    return token


# ending


def _end(session: Session, now: datetime, *conditions: sa.ColumnElement[bool]) -> int:
    result: Any = session.execute(
        sa.update(UserSession).where(UserSession.ended_at.is_(None), *conditions).values(ended_at=now)
    )
    return int(result.rowcount)


def sign_out(session: Session, signed_in: SignedIn, now: datetime, ip: str | None = None) -> None:
    _end(session, now, UserSession.id == signed_in.session_id)
    audit.record(session, signed_in.principal, "user.sign_out", "user_session", signed_in.session_id, now, ip=ip)


def end_own(session: Session, principal: Principal, session_id: str, now: datetime) -> None:
    """End one of the caller's own sessions. Raises ``NotFound`` for any other."""
    if not _end(session, now, UserSession.id == session_id, UserSession.user_id == principal.id):
        raise NotFound("there is no such session")
    audit.record(session, principal, "user.session_end", "user_session", session_id, now)


def end_all(
    session: Session,
    user_id: str,
    principal: Principal,
    now: datetime,
    *,
    keep: str | None = None,
    ip: str | None = None,
) -> int:
    """End every session of a user but ``keep``, as an act of its own in the audit trail; returns how many."""
    ended = end_of_user(session, user_id, now, keep=keep)
    audit.record(session, principal, "user.sessions_end", "user", user_id, now, ip=ip, count=ended)
    return ended


def end_of_user(session: Session, user_id: str, now: datetime, *, keep: str | None = None) -> int:
    """The same as a part of what the caller records: the user was disabled, or has a new password."""
    others = () if keep is None else (UserSession.id != keep,)
    return _end(session, now, UserSession.user_id == user_id, *others)


def end_of_client(session: Session, client_id: str, now: datetime) -> list[str]:
    """End every session of a client's people; returns their user ids."""
    people = list(session.scalars(sa.select(User.id).where(User.client_id == client_id).order_by(User.id)))
    _end(session, now, UserSession.user_id.in_(people))
    return people
