"""Proving again who one is, before something delicate: keys, accounts to be paid to, an address, the second step."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.core.errors import Invalid
from app.core.settings import Settings
from app.core.transaction import Database
from app.models import User

from . import audit, sign_in, totp, user_sessions
from .user_sessions import SignedIn


def is_fresh(signed_in: SignedIn, now: datetime, settings: Settings) -> bool:
    """Whether the person signed in, or proved it again, a moment ago."""
    return signed_in.proven_at is not None and now < signed_in.proven_at + timedelta(minutes=settings.step_up_minutes)


def prove(
    database: Database, secret_key: str, signed_in: SignedIn, password: str, code: str, ip: str, now: datetime
) -> None:
    """Check the password, and the code where there is a second step; the session counts as fresh then.

    Throttled like a sign-in. Raises ``Invalid`` naming the field, ``RateLimited``.
    """
    user_id = signed_in.user.id
    sign_in.confirm_password(database, user_id, password, ip, now)
    if totp.is_on(signed_in.user):
        database.run(lambda session: sign_in.begin_code(session, user_id, now))

    def work(session: Session) -> None:
        user = session.get_one(User, user_id, with_for_update=True)
        if totp.is_on(user):
            if not totp.accept(user, secret_key, code, now):
                raise Invalid.field("code", "wrong_code", "is wrong or was used already")
            sign_in.forget_codes(session, user_id)
        user_sessions.note_proof(session, signed_in.session_id, now)
        audit.record(session, signed_in.principal, "user.proof", "user", user_id, now, ip=ip)

    database.run(work)
