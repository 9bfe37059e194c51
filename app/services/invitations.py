"""Links that let somebody choose a password: an invitation, or a password that was forgotten.

A link carries a token that only SECRET_KEY and the row's id make, and the row keeps its SHA-256: neither the database
nor the mail that waits holds a link. It works once, until it expires or a newer one is sent.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Conflict, NotFound
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Principal
from app.core.sealing import derive
from app.core.settings import Settings
from app.core.transaction import Database
from app.models import User, UserToken

from . import audit, mails, sign_in, user_sessions
from .passwords import hash_password

INVITATION, PASSWORD_RESET = "invitation", "password_reset"
LASTS: Final = {INVITATION: timedelta(days=3), PASSWORD_RESET: timedelta(hours=1)}
RESETS_AN_HOUR: Final = 3  # mails to one person, whoever asks for them
PATH: Final = "/password/choose"


def link(settings: Settings, token_id: str) -> str:
    """What is mailed. Logs hide what follows ``token=``."""
    return f"{settings.address}{PATH}?token={_token(settings.secret_key, token_id)}"


def _token(secret_key: str, token_id: str) -> str:
    return derive(secret_key, "user-token", token_id)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _issue(session: Session, user: User, purpose: str, secret_key: str, now: datetime) -> UserToken:
    """A new token; the links sent before end."""
    session.execute(_open_tokens(user.id).values(used_at=now))
    token_id = new_id()
    row = UserToken(
        id=token_id,
        user_id=user.id,
        purpose=purpose,
        token_hash=_hash(_token(secret_key, token_id)),
        created_at=now,
        expires_at=now + LASTS[purpose],
    )
    session.add(row)
    session.flush()
    data = {"token_id": token_id, "hours": LASTS[purpose] // timedelta(hours=1)}
    mails.queue_to_user(session, user, f"{purpose}:{token_id}", purpose, data, now)
    return row


def _open_tokens(user_id: str) -> sa.Update:
    return sa.update(UserToken).where(UserToken.user_id == user_id, UserToken.used_at.is_(None))


def invite(
    session: Session, user: User, secret_key: str, principal: Principal, now: datetime, ip: str | None = None
) -> None:
    """Mail somebody who has never signed in a link to choose a password; links sent before end.

    ``user`` must be locked or new. Raises ``Conflict`` for somebody who is disabled or has signed in.
    """
    if not user.active or user.last_sign_in_at is not None:
        raise Conflict("this user is disabled or has signed in already", code="not_invitable")
    row = _issue(session, user, INVITATION, secret_key, now)
    audit.record(session, principal, "user.invite", "user", user.id, now, ip=ip, expires_at=row.expires_at.isoformat())


def forgot(database: Database, secret_key: str, email: str, ip: str, now: datetime) -> None:
    """Mail a link to whoever has this address and may sign in; nobody learns whether there is such a person.

    Throttled like a sign-in: raises ``RateLimited``.
    """

    def work(session: Session) -> None:
        user, may_sign_in = sign_in.begin_attempt(session, email, ip, now)
        if user is None or not may_sign_in or _asked_lately(session, user.id, now) >= RESETS_AN_HOUR:
            return
        _issue(session, user, PASSWORD_RESET, secret_key, now)
        audit.record(session, SYSTEM, "user.password_forgotten", "user", user.id, now, ip=ip)

    database.run(work)


def _asked_lately(session: Session, user_id: str, now: datetime) -> int:
    recent = (UserToken.purpose == PASSWORD_RESET, UserToken.created_at > now - timedelta(hours=1))
    return session.scalar(sa.select(sa.func.count()).where(UserToken.user_id == user_id, *recent)) or 0


def holder(session: Session, token: str, now: datetime, *, lock: bool = False) -> tuple[UserToken, User]:
    """Whose link it is. Raises ``NotFound``, in one wording for unknown, used, expired and disabled."""
    query = sa.select(UserToken).where(
        UserToken.token_hash == _hash(token), UserToken.used_at.is_(None), UserToken.expires_at > now
    )
    row = session.scalars(query.with_for_update() if lock else query).one_or_none()
    user = None if row is None else session.get(User, row.user_id, with_for_update=lock)
    if row is None or user is None or not sign_in.may_sign_in(session, user):
        raise NotFound("this link has been used, has expired, or was replaced by a newer one", code="link_ended")
    return row, user


def choose_password(database: Database, token: str, password: str, ip: str, now: datetime) -> str:
    """Use a link up: set the password and end every session. Returns whose it is, by id.

    A second step stays as it is. Raises ``NotFound``, and ``Invalid`` for a password that is not acceptable.
    """
    email = database.read(lambda session: holder(session, token, now)[1].email)
    password_hash = hash_password(email, password)  # slow: before the transaction

    def work(session: Session) -> str:
        row, user = holder(session, token, now, lock=True)
        session.execute(_open_tokens(user.id).values(used_at=now))
        user.password_hash, user.must_change_password = password_hash, False
        user.version += 1
        ended = user_sessions.end_of_user(session, user.id, now)
        principal = user_sessions.principal_of(user)
        audit.record(
            session,
            principal,
            "user.password_chosen",
            "user",
            user.id,
            now,
            ip=ip,
            purpose=row.purpose,
            sessions_ended=ended,
        )
        sign_in.forget_attempts(session, user.email, ip)
        if row.purpose == PASSWORD_RESET:
            mails.queue_to_user(session, user, f"password:{row.id}", "security_notice", {"what": "password"}, now)
        return user.id

    return database.run(work)
