"""People who sign in, for those who look after them. Only people reach this: no key makes users."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import g, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.core import json
from app.core.clock import iso
from app.core.permissions import READ, WRITE, Principal, Resource
from app.core.transaction import after_commit
from app.models import User
from app.routes.access import endpoint, needs_fresh_proof, principal
from app.routes.application import no_transaction
from app.routes.identity import disconnect_sockets, session_limits
from app.routes.request import body, check_version, db, now, query, services, tagged
from app.schemas.system import Empty
from app.schemas.users import (
    SessionsEndedOut,
    UserIn,
    UserOut,
    UserPatch,
    UserQuery,
    UserSessionOut,
    UserWithPasswordOut,
)
from app.services import access, invitations, passwords, staff, totp, user_sessions, users

from . import blueprint, page, whole

READING, WRITING = (Resource.USERS, READ), (Resource.USERS, WRITE)


@blueprint.get("/users")
@endpoint("List users", tag="users", query=UserQuery, response=UserOut, many=True, needs=READING, session_only=True)
def list_users() -> ResponseReturnValue:
    asked = query(UserQuery)
    wanted = users.UserFilter(asked.q, asked.role, asked.active)
    found, total = users.search(db(), wanted, asked.limit, asked.offset)
    return page(_shown(db(), found), total, asked.limit, asked.offset)


def _shown(session: Session, found: Sequence[User]) -> list[dict[str, Any]]:
    """Users with the proposals that wait about them."""
    waiting = staff.open_proposals(session, [user.id for user in found])
    return [{**users.show(user), "approval_id": waiting.get(user.id)} for user in found]


def _create(
    session: Session,
    given: UserIn,
    password_hash: str,
    who: Principal,
    moment: datetime,
    ip: str | None,
    *,
    one_time: bool = False,
) -> User:
    """One of a client's people is active at once, one of the firm's once a second Master agrees."""
    client = None if given.client_id is None else access.client(session, who, given.client_id, READ)
    return users.create(
        session,
        email=given.email,
        name=given.name,
        role=given.role,
        password_hash=password_hash,
        principal=who,
        now=moment,
        client=client,
        one_time=one_time,
        active=client is not None,
        ip=ip,
    )


@blueprint.post("/users")
@endpoint(
    "Create a user with a one-time password",
    tag="users",
    body=UserIn,
    response=UserWithPasswordOut,
    status=201,
    needs=WRITING,
    session_only=True,
    etag=True,
    errors=("email_taken", "invalid_email", "invalid_name", "client_of_client", "invisible"),
    description="One of the firm's people stays disabled until a second Master has approved: approval_id.",
)
@no_transaction
def create_user() -> ResponseReturnValue:
    given, who, moment, ip = body(UserIn), principal(), now(), request.remote_addr
    plain, password_hash = passwords.one_time_password(given.email)  # slow: before the transaction

    def work(session: Session) -> dict[str, Any]:
        user = _create(session, given, password_hash, who, moment, ip, one_time=True)
        if not user.active:
            staff.propose(session, user, {"active": True}, who, moment, ip)
        return _shown(session, [user])[0]

    return _with_password(services().database.run(work), plain, 201)


@blueprint.post("/users/invite")
@endpoint(
    "Create a user and mail them an invitation",
    tag="users",
    body=UserIn,
    response=UserOut,
    status=201,
    needs=WRITING,
    session_only=True,
    etag=True,
    errors=("email_taken", "invalid_email", "invalid_name", "client_of_client", "invisible"),
    description="The mail has a link, good once and for three days, to choose a password; nobody else ever knows it. "
    "One of the firm's people stays disabled until a second Master has approved (approval_id), and is mailed then.",
)
@no_transaction
def invite_user() -> ResponseReturnValue:
    given, who, moment, ip = body(UserIn), principal(), now(), request.remote_addr
    nobodys = passwords.nobodys_hash()  # slow: before the transaction

    def work(session: Session) -> dict[str, Any]:
        user = _create(session, given, nobodys, who, moment, ip)
        if user.active:
            invitations.invite(session, user, services().settings.secret_key, who, moment, ip)
        else:
            staff.propose(session, user, {"active": True}, who, moment, ip, invited=True)
        return _shown(session, [user])[0]

    shown = services().database.run(work)
    services().wake_chores()
    return tagged(shown, 201)


@blueprint.post("/users/<user_id>/send-invitation")
@endpoint(
    "Mail another invitation to a user who has never signed in",
    tag="users",
    body=Empty,
    response=UserOut,
    needs=WRITING,
    session_only=True,
    etag=True,
    errors=("not_invitable",),
    description="The links mailed before end.",
)
def send_invitation(user_id: str) -> ResponseReturnValue:
    body(Empty)
    user = users.by_id(db(), user_id, lock=True)
    invitations.invite(db(), user, services().settings.secret_key, principal(), now(), request.remote_addr)
    after_commit(db(), services().wake_chores)
    return tagged(_shown(db(), [user])[0])


@blueprint.post("/users/<user_id>/remove-second-step")
@needs_fresh_proof
@endpoint(
    "Take away the second step of somebody who has lost it",
    tag="users",
    body=Empty,
    response=UserOut,
    needs=WRITING,
    session_only=True,
    etag=True,
    errors=("unchanged", "proof_required"),
    description="For a lost telephone, when one is sure who is asking. The user is told by mail, and every session of "
    "theirs ends.",
)
def remove_second_step(user_id: str) -> ResponseReturnValue:
    body(Empty)
    user = users.by_id(db(), user_id, lock=True)
    totp.remove(db(), user, principal(), now(), request.remote_addr)
    user_sessions.end_of_user(db(), user.id, now())
    _disconnect(db(), user)
    after_commit(db(), services().wake_chores)
    return tagged(_shown(db(), [user])[0])


def _with_password(shown: dict[str, Any], plain: str, status: int) -> ResponseReturnValue:
    """The one answer that shows the password; what an Idempotency-Key keeps does not have it."""
    g.answer_to_keep = json.dumps({**shown, "one_time_password": None})
    return tagged({**shown, "one_time_password": plain}, status)


@blueprint.get("/users/<user_id>")
@endpoint("Get a user", tag="users", response=UserOut, needs=READING, session_only=True, etag=True)
def get_user(user_id: str) -> ResponseReturnValue:
    return tagged(_shown(db(), [users.by_id(db(), user_id)])[0])


@blueprint.patch("/users/<user_id>")
@endpoint(
    "Change name or role, disable or enable",
    tag="users",
    body=UserPatch,
    response=UserOut,
    needs=WRITING,
    session_only=True,
    etag=True,
    if_match=True,
    also={202: UserOut},
    errors=("last_master", "own_account", "role_of_client", "required", "invisible", "approval_pending"),
    description="A role of the firm's people, and enabling one of them, waits for a second Master: the answer is 202 "
    "with approval_id, the rest is done at once. Disabling needs nobody else, and ends what waits.",
)
def change_user(user_id: str) -> ResponseReturnValue:
    changes = body(UserPatch).model_dump(exclude_unset=True)
    user = users.by_id(db(), user_id, lock=True)
    check_version(user.version)
    at_once, waits = staff.divided(user, changes)
    if users.change(db(), user, at_once, principal(), now(), request.remote_addr):
        _disconnect(db(), user)
    if waits:
        staff.propose(db(), user, waits, principal(), now(), request.remote_addr)
    return tagged(_shown(db(), [user])[0], 202 if waits else 200)


def _disconnect(session: Session, user: User) -> None:
    user_id = user.id
    after_commit(session, lambda: disconnect_sockets(user=user_id))


@blueprint.post("/users/<user_id>/reset-password")
@endpoint(
    "Replace a forgotten password with a one-time one",
    tag="users",
    body=Empty,
    response=UserWithPasswordOut,
    needs=WRITING,
    session_only=True,
    etag=True,
    description="Ends every session of the user.",
)
@no_transaction
def reset_password(user_id: str) -> ResponseReturnValue:
    body(Empty)
    who, moment, ip, database = principal(), now(), request.remote_addr, services().database
    email = database.read(lambda session: users.by_id(session, user_id).email)
    plain, password_hash = passwords.one_time_password(email)  # slow: before the transaction

    def work(session: Session) -> dict[str, Any]:
        user = users.by_id(session, user_id, lock=True)
        users.reset_password(session, user, password_hash, who, moment, ip=ip)
        _disconnect(session, user)
        return _shown(session, [user])[0]

    return _with_password(database.run(work), plain, 200)


@blueprint.get("/users/<user_id>/sessions")
@endpoint(
    "Where a user is signed in, last used first",
    tag="users",
    response=UserSessionOut,
    many=True,
    needs=READING,
    session_only=True,
)
def list_user_sessions(user_id: str) -> ResponseReturnValue:
    user = users.by_id(db(), user_id)
    rows = user_sessions.live(db(), user.id, now(), session_limits())
    return whole(
        [
            {
                "id": row.id,
                "created_at": iso(row.created_at),
                "seen_at": iso(row.seen_at),
                "ip": row.ip,
                "user_agent": row.user_agent,
            }
            for row in rows
        ]
    )


@blueprint.post("/users/<user_id>/end-sessions")
@endpoint(
    "End every session of a user", tag="users", body=Empty, response=SessionsEndedOut, needs=WRITING, session_only=True
)
def end_user_sessions(user_id: str) -> ResponseReturnValue:
    body(Empty)
    user = users.by_id(db(), user_id, lock=True)
    ended = user_sessions.end_all(db(), user.id, principal(), now(), ip=request.remote_addr)
    _disconnect(db(), user)
    return {"ended": ended}
