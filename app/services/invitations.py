"""Links that are mailed: to choose a password (an invitation, or one that was forgotten), to confirm an address.

A link carries a token that only SECRET_KEY and the row's id make, and the row keeps its SHA-256: neither the database
nor the mail that waits holds a link. It works once, until it expires or a newer one is sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Conflict, Invalid, NotFound
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Principal
from app.core.sealing import derive
from app.core.settings import Settings
from app.core.transaction import Database
from app.models import User, UserToken

from . import audit, emails, mails, sign_in, user_sessions
from .passwords import hash_password

INVITATION, PASSWORD_RESET, EMAIL_CHANGE = "invitation", "password_reset", "email_change"
CHOOSING: Final = (INVITATION, PASSWORD_RESET)  # a password
LASTS: Final = {
    INVITATION: timedelta(days=3),
    PASSWORD_RESET: timedelta(hours=1),
    EMAIL_CHANGE: timedelta(hours=1),
}
RESETS_AN_HOUR: Final = 3  # mails to one person, whoever asks for them
_CHOOSE, _CONFIRM = "/password/choose", "/account/email/confirm"


def link(settings: Settings, token_id: str, template: str) -> str:
    """What is mailed. Logs hide what follows ``token=``."""
    path = _CONFIRM if template == EMAIL_CHANGE else _CHOOSE
    return f"{settings.address}{path}?token={_token(settings.secret_key, token_id)}"


def _token(secret_key: str, token_id: str) -> str:
    return derive(secret_key, "user-token", token_id)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _issue(
    session: Session, user: User, purpose: str, secret_key: str, now: datetime, new_email: str | None = None
) -> UserToken:
    """A new token, mailed to the person or to the address they are to have; the links sent before end."""
    session.execute(_open_tokens(user.id).values(used_at=now))
    token_id = new_id()
    row = UserToken(
        id=token_id,
        user_id=user.id,
        purpose=purpose,
        new_email=new_email,
        token_hash=_hash(_token(secret_key, token_id)),
        created_at=now,
        expires_at=now + LASTS[purpose],
    )
    session.add(row)
    session.flush()
    data = {"name": user.name, "token_id": token_id, "hours": LASTS[purpose] // timedelta(hours=1)}
    key, recipient = f"{purpose}:{token_id}", new_email or user.email
    mails.queue(session, key, purpose, recipient, data, now, language=user.language)
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


def holder(
    session: Session, token: str, now: datetime, purposes: Sequence[str] = CHOOSING, *, lock: bool = False
) -> tuple[UserToken, User]:
    """Whose link it is. Raises ``NotFound``, in one wording for unknown, used, expired and disabled."""
    query = sa.select(UserToken).where(
        UserToken.token_hash == _hash(token),
        UserToken.purpose.in_(purposes),
        UserToken.used_at.is_(None),
        UserToken.expires_at > now,
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


# another address


def ask_for_email(
    session: Session, user: User, email: str, secret_key: str, principal: Principal, now: datetime, ip: str | None
) -> None:
    """Mail a link to the address that a person wants to sign in with; it counts once the link was used.

    ``user`` must be locked. Raises ``Invalid`` for what is no address and for the one of now, ``Conflict`` for too
    many. Nothing is sent to an address that somebody has, and the asker does not learn it.
    """
    email = emails.normalize(email)
    emails.check(email)
    if email == user.email:
        raise Invalid.field("email", "unchanged", "is the address of now", email)
    asked = sa.select(sa.func.count()).where(
        UserToken.user_id == user.id,
        UserToken.purpose == EMAIL_CHANGE,
        UserToken.created_at > now - timedelta(hours=1),
    )
    if (session.scalar(asked) or 0) >= RESETS_AN_HOUR:
        raise Conflict("too many mails were asked for; try again in an hour", code="too_many_mails")
    audit.record(session, principal, "user.email_asked", "user", user.id, now, ip=ip, email=email)
    if session.scalar(sa.select(User.id).where(User.email == email)) is None:
        _issue(session, user, EMAIL_CHANGE, secret_key, now, email)


def confirm_email(session: Session, token: str, now: datetime, ip: str | None) -> User:
    """Use a link up: from now on the person signs in with the new address; the old one is told.

    Raises ``NotFound``, also where somebody else has the address by now.
    """
    row, user = holder(session, token, now, (EMAIL_CHANGE,), lock=True)
    email, old = row.new_email, user.email
    if email is None or session.scalar(sa.select(User.id).where(User.email == email)) is not None:
        raise NotFound("this address cannot be taken any more", code="link_ended")
    session.execute(_open_tokens(user.id).values(used_at=now))
    mails.queue_to_user(session, user, f"email:{row.id}", "security_notice", {"what": "email"}, now)
    user.email = email
    user.version += 1
    principal = user_sessions.principal_of(user)
    audit.record(session, principal, "user.email_change", "user", user.id, now, ip=ip, email=email, previous=old)
    return user
