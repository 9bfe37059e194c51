"""The inbox of what waits for a second person, over JSON. Only people decide: no key reaches this."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import structlog
from flask import request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.core.errors import Unavailable
from app.core.permissions import READ, Principal, Resource
from app.domain.approvals import ApprovalStatus
from app.models import Approval
from app.routes.access import endpoint, principal
from app.routes.application import no_transaction
from app.routes.request import body, db, now, query, services
from app.schemas.approvals import ApprovalOut, ApprovalQuery, ApproveIn, RejectIn
from app.services import access, actors, approvals

from . import blueprint, page

log = structlog.get_logger("approvals")
READING = (Resource.APPROVALS, READ)
REFUSALS = ("own_proposal", "already_decided", "already_voted", "approval_expired", "content_changed")
_CARRIED_OUT = (
    "With enough votes it is carried out at once, in a transaction of its own: the answer is executed, or failed with "
    "the reason. It stays approved where that could not be done yet; then it is tried again."
)


def shown(session: Session, caller: Principal, found: Iterable[Approval]) -> list[dict[str, Any]]:
    """Proposals with their votes and names, as the caller sees them."""
    listed = list(found)
    cast = approvals.votes_by_approval(session, [approval.id for approval in listed])
    checkers = {vote.checker for votes in cast.values() for vote in votes}
    names = actors.names(session, caller, {approval.maker for approval in listed} | checkers)
    return [
        {
            **approvals.show(approval),
            "maker_name": names.get(approval.maker),
            "votes": [
                {**approvals.show_vote(vote), "checker_name": names.get(vote.checker)}
                for vote in cast.get(approval.id, ())
            ],
            "may_decide": approvals.may_decide(caller, approval, cast.get(approval.id, ()), now()),
        }
        for approval in listed
    ]


@blueprint.get("/approvals")
@endpoint(
    "What waits for a second person, and what was decided",
    tag="approvals",
    query=ApprovalQuery,
    response=ApprovalOut,
    many=True,
    needs=READING,
    session_only=True,
    description="The newest first, of the kinds the caller may read.",
)
def list_approvals() -> ResponseReturnValue:
    asked, caller = query(ApprovalQuery), principal()
    client_id = None if asked.client_id is None else access.client(db(), caller, asked.client_id, READ).id
    wanted = approvals.ApprovalFilter(asked.status, asked.kind, client_id, asked.waiting_for_me)
    found, total = approvals.search(db(), caller, wanted, asked.limit, asked.offset)
    return page(shown(db(), caller, found), total, asked.limit, asked.offset)


@blueprint.get("/approvals/<approval_id>")
@endpoint("Get a proposal", tag="approvals", response=ApprovalOut, needs=READING, session_only=True)
def get_approval(approval_id: str) -> ResponseReturnValue:
    return shown(db(), principal(), [approvals.by_id(db(), principal(), approval_id)])[0]


@blueprint.post("/approvals/<approval_id>/approve")
@endpoint(
    "Agree to a proposal",
    tag="approvals",
    body=ApproveIn,
    response=ApprovalOut,
    needs=READING,
    session_only=True,
    errors=REFUSALS,
    description=f"By a person who neither proposed it nor is who it is about. {_CARRIED_OUT}",
)
@no_transaction
def approve(approval_id: str) -> ResponseReturnValue:
    given = body(ApproveIn)
    return _decide(approval_id, True, given.reason, given.content_hash)


@blueprint.post("/approvals/<approval_id>/reject")
@endpoint(
    "Reject a proposal",
    tag="approvals",
    body=RejectIn,
    response=ApprovalOut,
    needs=READING,
    session_only=True,
    errors=REFUSALS,
    description="One no is enough, whatever the others said.",
)
@no_transaction
def reject(approval_id: str) -> ResponseReturnValue:
    given = body(RejectIn)
    return _decide(approval_id, False, given.reason, given.content_hash)


def _decide(approval_id: str, approves: bool, reason: str | None, content_hash: str | None) -> ResponseReturnValue:
    """The vote is committed first; what it decides is carried out after that."""
    caller, moment, ip, parts = principal(), now(), request.remote_addr, services()

    def vote(session: Session) -> tuple[str, str]:
        decided = parts.approvals.decide(
            session, approval_id, approves, reason, caller, moment, content_hash_seen=content_hash, ip=ip
        )
        return decided.id, decided.status

    id_, status = parts.database.run(vote)
    if status == ApprovalStatus.APPROVED:
        try:
            parts.database.run(partial(parts.approvals.carry_out, approval_id=id_, now=moment))
        except Unavailable as error:  # it is approved all the same, and the chore goes on with it
            log.warning("approval.waits", approval_id=id_, error=str(error))
    parts.wake()
    parts.wake_chores()

    def read(session: Session) -> dict[str, Any]:
        return shown(session, caller, [approvals.by_id(session, caller, id_)])[0]

    return parts.database.read(read)
