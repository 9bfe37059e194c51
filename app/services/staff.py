"""People of the firm come in, come back and change roles only when a second Master agrees.

Taking a right away needs nobody else: disabling is done at once (``users.disable``), and voids what waits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.permissions import SYSTEM, Principal, Role
from app.domain.approvals import ApprovalKind
from app.models import Approval, User

from . import approvals, invitations, user_sessions, users


def divided(user: User, changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of the changes of ``users.change`` is done at once, and what gives a person of the firm more than before."""
    if user.role == Role.CLIENT:
        return dict(changes), {}
    waits = {
        name: value
        for name, value in changes.items()
        if (name == "role" and value != user.role) or (name == "active" and value and not user.active)
    }
    return {name: value for name, value in changes.items() if name not in waits}, waits


def propose(
    session: Session,
    user: User,
    changes: Mapping[str, Any],
    principal: Principal,
    now: datetime,
    ip: str | None = None,
    *,
    invited: bool = False,
) -> Approval:
    """Ask a second Master to let ``user`` in or to change the role; ``user`` must be locked.

    ``invited``: they are mailed an invitation once that is agreed to.
    Raises what ``users.change`` would refuse at once, and ``Conflict`` where a change waits (``approval_pending``).
    """
    after = {"role": str(changes.get("role", user.role)), "active": changes.get("active", user.active)}
    users.check_role(session, user, after["role"], principal)
    content: dict[str, Any] = {
        "user_id": user.id,
        "email": user.email,
        "name": user.name,
        "before": _present(user),
        "after": after,
    }
    if invited:
        content["invited"] = True
    joins = after["active"] and not user.active
    what = f"{after['role']} joins" if joins else f"{user.role} becomes {after['role']}"
    summary = f"{user.name} ({user.email}): {what}"
    return approvals.propose(session, ApprovalKind.STAFF, user.id, content, summary, principal, now, ip=ip)


def open_proposals(session: Session, user_ids: Collection[str]) -> dict[str, str]:
    """The ids of the proposals that wait about these users, by user."""
    query = sa.select(Approval.object_id, Approval.id).where(
        Approval.kind == ApprovalKind.STAFF.value, Approval.object_id.in_(user_ids), approvals.IS_OPEN
    )
    return {row.object_id: row.id for row in session.execute(query)}


def _present(user: User) -> dict[str, Any]:
    return {"role": user.role, "active": user.active}


class StaffChanges:
    """The subject of proposals about staff; ``secret_key`` makes the links of invitations."""

    def __init__(self, secret_key: str) -> None:
        self._secret_key = secret_key

    def content(self, session: Session, object_id: str) -> dict[str, Any]:
        proposed = approvals.open_about(session, ApprovalKind.STAFF, object_id).content
        user = users.by_id(session, object_id, lock=True)
        return {**proposed, "email": user.email, "before": _present(user)}

    def carry_out(self, session: Session, approval: Approval, now: datetime) -> None:
        user = users.by_id(session, approval.object_id, lock=True)
        role = user.role
        users.change(session, user, dict(approval.content["after"]), SYSTEM, now)
        if user.role != role:  # who has other rights signs in again, and sockets leave the rooms of the old role
            user_sessions.end_of_user(session, user.id, now)
        if approval.content.get("invited"):
            invitations.invite(session, user, self._secret_key, SYSTEM, now)

    def turn_down(self, session: Session, approval: Approval, now: datetime) -> None:
        """The user stays as they are: a new one disabled."""
