"""People of the firm and of its clients: created, changed, listed, disabled; their preferences."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.errors import Conflict, Invalid, NotFound
from app.core.ids import new_id
from app.core.permissions import Principal, Role
from app.domain.approvals import ApprovalKind
from app.domain.identifiers import is_visible
from app.models import Client, User

from . import approvals, audit, emails, user_sessions
from .access import is_uuid

LANGUAGES, THEMES = ("en", "es"), ("light", "dark")
NUMBER_FORMATS = ("point", "comma")  # 1,234.56 and 1.234,56
PREFERENCES: Final = {"language": LANGUAGES, "theme": THEMES, "number_format": NUMBER_FORMATS}


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
    active: bool = True,
    ip: str | None = None,
) -> User:
    """A new user; ``client`` exactly for the client role. Raises ``Invalid``, ``Conflict``.

    ``one_time``: somebody else knows the password; nothing is open to the user before they chose their own.
    Not ``active``: a second person has to agree first (``services/staff``).
    """
    email, name = emails.normalize(email), name.strip()
    emails.check(email)
    if not 1 <= len(name) <= 200 or not is_visible(name):
        raise Invalid.field("name", "invalid_name", "must have 1 to 200 characters that can be seen", name[:100])
    if (role is Role.CLIENT) != (client is not None):
        raise Invalid.field("client", "client_of_client", "is named for users of the client role, and only for them")
    if session.scalar(sa.select(User.id).where(User.email == email)):
        raise Conflict("there is a user with this e-mail address", code="email_taken")
    user = User(
        id=new_id(),
        email=email,
        name=name,
        role=role.value,
        client_id=client.id if client else None,
        password_hash=password_hash,
        active=active,
        must_change_password=one_time,
        created_at=now,
    )
    session.add(user)
    session.flush()
    audit.record(
        session,
        principal,
        "user.create",
        "user",
        user.id,
        now,
        ip=ip,
        email=email,
        role=role.value,
        client_id=user.client_id,
    )
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


def traders(session: Session) -> list[dict[str, str]]:
    """Those a client may be assigned to, by name."""
    query = sa.select(User.id, User.name).where(User.role == Role.TRADER.value, User.active).order_by(User.name)
    return [{"id": row.id, "name": row.name} for row in session.execute(query)]


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
    if "role" in changed:
        check_role(session, user, changed["role"], principal)
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


def check_role(session: Session, user: User, role: str, principal: Principal) -> None:
    """Refuse a role that ``user`` cannot have, as ``change`` does."""
    if role == user.role:
        return
    if Role.CLIENT in (user.role, role):
        raise Invalid.field("role", "role_of_client", "of a client's user is fixed; create another user")
    _check_loss(session, user, principal)


def _check_loss(session: Session, user: User, principal: Principal) -> None:
    """Refuse what would leave the firm without a Master. Locks all of them: two at once must not remove both."""
    if principal.kind == "user" and principal.id == user.id:
        raise Conflict("nobody changes their own role or disables themselves", code="own_account")
    masters = sa.select(User.id).where(User.role == Role.MASTER.value, User.active).order_by(User.id).with_for_update()
    if user.role == Role.MASTER and set(session.scalars(masters)) <= {user.id}:
        raise Conflict("the firm keeps at least one active Master", code="last_master")


def reset_password(
    session: Session,
    user: User,
    password_hash: str,
    principal: Principal,
    now: datetime,
    *,
    ip: str | None = None,
    one_time: bool = True,
) -> int:
    """Replace a forgotten password; ``user`` must be locked. Returns how many sessions that ended."""
    user.password_hash, user.must_change_password = password_hash, one_time
    user.version += 1
    ended = user_sessions.end_of_user(session, user.id, now)
    audit.record(session, principal, "user.password_reset", "user", user.id, now, ip=ip, sessions_ended=ended)
    return ended


def by_email(session: Session, email: str) -> User:
    """Raises ``NotFound``."""
    user = session.scalars(sa.select(User).where(User.email == emails.normalize(email))).one_or_none()
    if user is None:
        raise NotFound("there is no such user")
    return user


def disable(session: Session, user: User, principal: Principal, now: datetime, *, ip: str | None = None) -> int:
    """Keep a user out from now on; returns how many sessions that ended. Raises ``Conflict`` as ``change`` does."""
    _check_loss(session, user, principal)
    approvals.void(session, ApprovalKind.STAFF, user.id, "the user was disabled", now)
    user.active = False
    user.version += 1
    ended = user_sessions.end_of_user(session, user.id, now)
    audit.record(
        session, principal, "user.disable", "user", user.id, now, ip=ip, email=user.email, sessions_ended=ended
    )
    return ended


def set_preference(session: Session, user_id: str, **chosen: str) -> None:
    """Remember one of ``PREFERENCES``. Raises ``Invalid`` for a choice we do not have."""
    check_preference(**chosen)
    session.execute(sa.update(User).where(User.id == user_id).values(chosen))


def check_preference(**chosen: str) -> None:
    for name, value in chosen.items():
        if value not in PREFERENCES[name]:
            raise Invalid.field(name, "invalid_choice", f"must be one of {', '.join(PREFERENCES[name])}", value[:10])


def first_has_to(user: User, staff_need_totp: bool) -> str | None:
    """What somebody who has signed in must do before anything else: choose a ``password``, set up ``totp``."""
    if user.must_change_password:
        return "password"
    if staff_need_totp and user.client_id is None and user.totp_since is None:
        return "totp"
    return None


def show(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "client_id": user.client_id,
        "active": user.active,
        "must_change_password": user.must_change_password,
        "totp": user.totp_since is not None,
        "version": user.version,
        "created_at": iso(user.created_at),
        "last_sign_in_at": None if user.last_sign_in_at is None else iso(user.last_sign_in_at),
    }
