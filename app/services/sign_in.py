"""Signing in with a password: attempts are counted before the password is looked at, and every refusal sounds alike.

Hashing is slow: it happens between two transactions, off the event loop, and takes as long for an unknown user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Invalid, RateLimited, Unauthenticated
from app.core.ids import new_id
from app.core.permissions import SYSTEM
from app.core.transaction import Database
from app.models import Client, SignInAttempt, User

from . import audit, emails, mails, totp, user_sessions
from .passwords import hash_password, needs_rehash, rehash, verify_password
from .user_sessions import SignedIn

FREE_ATTEMPTS, FREE_ATTEMPTS_OF_ADDRESS = 5, 30
LONGEST_WAIT: Final = timedelta(minutes=15)
ATTEMPTS_COUNT_FOR: Final = timedelta(hours=1)
WRONG: Final = "the e-mail or the password is wrong"
WRONG_CODE: Final = "the code is wrong or was used already"
CODE_WITHIN: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Halfway:
    """Whose password was right, when, and the version of the account it was right for."""

    user_id: str
    version: int
    at: datetime


class CodeNeeded(Exception):
    """The password is right; a code of the authenticator app has to follow."""

    def __init__(self, user_id: str, version: int) -> None:
        super().__init__()
        self.user_id, self.version = user_id, version


class SignInAgain(Unauthenticated):
    """The first step was too long ago, or the account has changed since."""


def open_session(
    database: Database, email: str, password: str, ip: str, user_agent: str | None, now: datetime
) -> SignedIn:
    """Check a password and open a session with a new token.

    Two transactions with the hashing between them. The attempt is counted before the password is looked
    at, so that many at once do not slip past the throttle. Raises ``Unauthenticated`` in one wording for
    unknown, disabled and wrong; ``RateLimited`` with the seconds to wait; ``CodeNeeded`` where a second step follows.
    """
    email = _attempted(email)
    user, may = database.run(lambda session: begin_attempt(session, email, ip, now))
    correct = verify_password(user.password_hash if user else None, password)
    if user is None or not correct or not may:
        if user is not None:
            known = user
            database.run(
                lambda session: audit.record(session, SYSTEM, "user.sign_in_failed", "user", known.id, now, ip=ip)
            )
        raise Unauthenticated(WRONG)
    checked = user
    renewed = rehash(password) if needs_rehash(user.password_hash) else None

    def finish(session: Session) -> SignedIn:
        current = session.get(User, checked.id, with_for_update=True)
        if current is None or not may_sign_in(session, current) or current.password_hash != checked.password_hash:
            raise Unauthenticated(WRONG)  # disabled or changed while we were hashing
        if renewed is not None:
            current.password_hash = renewed
        if totp.is_on(current):  # the attempt goes on counting until the code is right
            raise CodeNeeded(current.id, current.version)
        current.last_sign_in_at = now
        forget_attempts(session, email, ip)
        return user_sessions.create(session, current, ip, user_agent, now)

    return database.run(finish)


def finish_with_code(
    database: Database,
    secret_key: str,
    halfway: Halfway,
    code: str,
    ip: str,
    user_agent: str | None,
    now: datetime,
) -> SignedIn:
    """The second step. Raises ``Unauthenticated`` for a wrong code, ``SignInAgain``, ``RateLimited``."""
    user_id = halfway.user_id
    if not halfway.at <= now < halfway.at + CODE_WITHIN:
        raise SignInAgain
    database.run(lambda session: begin_code(session, user_id, now))

    def finish(session: Session) -> SignedIn | None:
        user = session.get(User, user_id, with_for_update=True)
        if user is None or user.version != halfway.version or not may_sign_in(session, user) or not totp.is_on(user):
            raise SignInAgain  # disabled, or another password or second step since
        if not totp.accept(user, secret_key, code, now):
            audit.record(session, SYSTEM, "user.sign_in_failed", "user", user.id, now, ip=ip, step="code")
            return None
        user.last_sign_in_at = now
        forget_attempts(session, user.email, ip)
        forget_codes(session, user_id)
        return user_sessions.create(session, user, ip, user_agent, now)

    signed_in = database.run(finish)
    if signed_in is None:
        raise Unauthenticated(WRONG_CODE)
    return signed_in


def confirm_password(database: Database, user_id: str, password: str, ip: str, now: datetime) -> None:
    """A signed-in user proves to be the one, before something delicate.

    Throttled like a sign-in. Raises ``Invalid`` for a wrong password, ``RateLimited``.
    """
    email = database.read(lambda session: session.scalar(sa.select(User.email).where(User.id == user_id))) or ""
    user, _ = database.run(lambda session: begin_attempt(session, email, ip, now))
    if user is None or not verify_password(user.password_hash, password):
        raise Invalid.field("current_password", "wrong_password", "is wrong")
    database.run(lambda session: forget_attempts(session, email, ip))


def change_password(
    database: Database, signed_in: SignedIn, current: str, new: str, ip: str, now: datetime
) -> tuple[str, int]:
    """Set a new password, end all other sessions and give this one a new token.

    Returns the token and how many sessions ended. Raises ``Invalid``, ``RateLimited``, and ``Unauthenticated``
    when this session has ended meanwhile.
    """
    user_id = signed_in.user.id
    confirm_password(database, user_id, current, ip, now)
    password_hash = hash_password(signed_in.user.email, new)

    def store(session: Session) -> tuple[str, int]:
        changed = {"password_hash": password_hash, "must_change_password": False, "version": User.version + 1}
        session.execute(sa.update(User).where(User.id == user_id).values(changed))
        ended = user_sessions.end_of_user(session, user_id, now, keep=signed_in.session_id)
        token = user_sessions.renew_token(session, signed_in.session_id)
        audit.record(
            session, signed_in.principal, "user.password_change", "user", user_id, now, ip=ip, sessions_ended=ended
        )
        key = f"password:{user_id}:{now.isoformat()}"
        mails.queue_to_user(session, signed_in.user, key, "security_notice", {"what": "password"}, now)
        return token, ended

    return database.run(store)


def _attempted(email: str) -> str:
    shown = "".join(char for char in emails.normalize(email[:1_000]) if char.isprintable() and char < "\ud800")
    return shown[: emails.MAX_LENGTH]


def _network(ip: str) -> str:
    """What counts as one address: an IPv4 address, a /64 of IPv6."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip[:45]
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


def begin_attempt(session: Session, email: str, ip: str, now: datetime) -> tuple[User | None, bool]:
    """Refuse while a wait is running, else count this attempt; the account, if there is one, and whether it may.

    What is counted belongs to this address alone: a stranger elsewhere cannot make the owner wait.
    """
    email, ip = _attempted(email), _network(ip)
    _one_at_a_time(session, ip)
    recent = (SignInAttempt.ip == ip, SignInAttempt.at > now - ATTEMPTS_COUNT_FOR)
    _refuse_while_waiting(session, (*recent, SignInAttempt.email == email), FREE_ATTEMPTS, now)
    _refuse_while_waiting(session, recent, FREE_ATTEMPTS_OF_ADDRESS, now)
    session.execute(
        sa.delete(SignInAttempt).where(SignInAttempt.ip == ip, SignInAttempt.at <= now - ATTEMPTS_COUNT_FOR)
    )
    session.add(SignInAttempt(id=new_id(), email=email, ip=ip, at=now))
    user = session.scalars(sa.select(User).where(User.email == email)).one_or_none()
    return user, user is not None and may_sign_in(session, user)


def begin_code(session: Session, user_id: str, now: datetime) -> None:
    """The same for a code: whoever gets this far knows the password, so it counts from wherever they come."""
    name = _codes_of(user_id)
    _one_at_a_time(session, name)
    recent = (SignInAttempt.email == name, SignInAttempt.at > now - ATTEMPTS_COUNT_FOR)
    _refuse_while_waiting(session, recent, FREE_ATTEMPTS, now)
    session.execute(
        sa.delete(SignInAttempt).where(SignInAttempt.email == name, SignInAttempt.at <= now - ATTEMPTS_COUNT_FOR)
    )
    session.add(SignInAttempt(id=new_id(), email=name, ip="", at=now))


def _codes_of(user_id: str) -> str:
    return f"\x1f{user_id}"  # what is typed as an address never begins like that: see _attempted


def _one_at_a_time(session: Session, name: str) -> None:
    """Or all of a burst count none; on SQLite there is one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"sign-in {name}", 0))))


def _refuse_while_waiting(session: Session, counted: Sequence[Any], free: int, now: datetime) -> None:
    count, last = session.execute(sa.select(sa.func.count(), sa.func.max(SignInAttempt.at)).where(*counted)).one()
    wait = wait_after(count, free)
    if wait and last + wait > now:
        seconds = int((last + wait - now).total_seconds()) + 1
        raise RateLimited("too many attempts; try again later", retry_after=seconds)


def forget_attempts(session: Session, email: str, ip: str) -> None:
    session.execute(_attempts_of(email).where(SignInAttempt.ip == _network(ip)))


def forget_codes(session: Session, user_id: str) -> None:
    session.execute(_attempts_of(_codes_of(user_id)))


def _attempts_of(name: str) -> sa.Delete:
    return sa.delete(SignInAttempt).where(SignInAttempt.email == name)


def may_sign_in(session: Session, user: User) -> bool:
    """Whether the user is active, and the client they speak for too."""
    if user.client_id is None or not user.active:
        return user.active
    return bool(session.scalar(sa.select(Client.active).where(Client.id == user.client_id)))


def wait_after(failures: int, free: int) -> timedelta:
    """How long to wait after so many failures: nothing at first, then 1, 2, 4 … seconds up to 15 minutes."""
    if failures < free:
        return timedelta(0)
    return min(LONGEST_WAIT, timedelta(seconds=2 ** min(failures - free, 20)))
