"""Maker-checker: what one person proposes is decided by others, and carried out as it was proposed or not at all.

A proposal holds the exact content of what it is about, and its hash; whoever edits that thing makes the proposal
void. The maker is never the checker. Enough votes make it APPROVED; it is carried out in a transaction of its own
after that commit, so that a crash between the two leaves it APPROVED, and ``carry_out_waiting`` goes on with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final, Protocol

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core import json
from app.core.clock import iso
from app.core.errors import AppError, Conflict, Forbidden, NotFound
from app.core.ids import new_id
from app.core.permissions import CHECK, READ, SYSTEM, Principal, Resource
from app.core.transaction import Database
from app.domain.approvals import STEPS, ApprovalKind, ApprovalStatus
from app.domain.money import ZERO, text
from app.models import Approval, ApprovalTier, ApprovalVote

from . import audit
from .access import is_uuid
from .events import FIRM, Events

log = structlog.get_logger("approvals")
LASTS: Final = timedelta(days=3)
EXPIRED_AT_ONCE: Final = 50
RESOURCES: Final[Mapping[ApprovalKind, Resource]] = {
    ApprovalKind.WITHDRAWAL: Resource.WITHDRAWALS,
    ApprovalKind.BANK_ACCOUNT: Resource.BANK_ACCOUNTS,
    ApprovalKind.CLIENT_LIMIT: Resource.LIMITS,
    ApprovalKind.KYC_DECISION: Resource.KYC,
    ApprovalKind.STAFF: Resource.USERS,
    ApprovalKind.DEPOSIT: Resource.DEPOSITS,
}


IS_OPEN: Final = Approval.status.in_((ApprovalStatus.PENDING, ApprovalStatus.APPROVED))


class Subject(Protocol):
    """What approvals of one kind are about."""

    def content(self, session: Session, object_id: str) -> dict[str, Any]:
        """What is proposed, as it stands now; locks it. Raises ``NotFound``."""

    def carry_out(self, session: Session, approval: Approval, now: datetime) -> None:
        """Do what was approved, in the caller's transaction. Raises ``AppError`` for what cannot be done any more."""

    def turn_down(self, session: Session, approval: Approval, now: datetime) -> None:
        """It was rejected, it expired, or it could not be carried out."""


@dataclass(frozen=True, slots=True)
class ApprovalFilter:
    """``waiting``: only what the caller may decide now."""

    status: ApprovalStatus | None = None
    kind: ApprovalKind | None = None
    client_id: str | None = None
    waiting: bool = False


def content_hash(content: Mapping[str, Any]) -> str:
    """SHA-256 of the content as canonical JSON."""
    canonical = json.dumps({key: content[key] for key in sorted(content)})
    return hashlib.sha256(canonical.encode()).hexdigest()


def required(session: Session, kind: ApprovalKind, amount_usd: Decimal | None) -> int:
    """How many people must agree: the highest tier that the value reaches; what has no value takes the strictest."""
    tiers = session.execute(
        sa.select(ApprovalTier.from_usd, ApprovalTier.required).where(ApprovalTier.kind == kind.value)
    ).all()
    reached = [row.required for row in tiers if amount_usd is None or row.from_usd <= amount_usd]
    return max(reached, default=1)


def propose(
    session: Session,
    kind: ApprovalKind,
    object_id: str,
    content: dict[str, Any],
    summary: str,
    principal: Principal,
    now: datetime,
    *,
    client_id: str | None = None,
    amount_usd: Decimal | None = ZERO,
    ip: str | None = None,
) -> Approval:
    """Ask others to agree. ``amount_usd`` chooses the tier; None: its value is not known.

    Raises ``Conflict`` (``approval_pending``) where one is open for the same object.
    """
    if session.scalar(sa.select(Approval.id).where(*_open(kind, object_id))) is not None:
        raise Conflict("there is a proposal about it that is not decided yet", code="approval_pending")
    approval = Approval(
        id=new_id(),
        kind=kind.value,
        object_id=object_id,
        client_id=client_id,
        summary=summary[:300],
        content=content,
        content_hash=content_hash(content),
        amount_usd=amount_usd,
        required=required(session, kind, amount_usd),
        maker=principal.actor,
        status=ApprovalStatus.PENDING.value,
        version=1,
        created_at=now,
        expires_at=now + LASTS,
    )
    try:
        with session.begin_nested():
            session.add(approval)
    except IntegrityError as error:  # somebody else proposed it at the same moment
        raise Conflict("there is a proposal about it that is not decided yet", code="approval_pending") from error
    _tell(session, approval, "approval.created", now)
    audit.record(
        session,
        principal,
        "approval.propose",
        "approval",
        approval.id,
        now,
        ip=ip,
        kind=kind.value,
        about=object_id,
        summary=approval.summary,
    )
    return approval


def _open(kind: ApprovalKind, object_id: str) -> tuple[Any, ...]:
    return Approval.kind == kind.value, Approval.object_id == object_id, IS_OPEN


def open_about(session: Session, kind: ApprovalKind, object_id: str) -> Approval:
    """The proposal that waits about an object. Raises ``NotFound``."""
    approval = session.scalars(sa.select(Approval).where(*_open(kind, object_id))).one_or_none()
    if approval is None:
        raise NotFound("nothing is proposed about it")
    return approval


def void(session: Session, kind: ApprovalKind, object_id: str, reason: str, now: datetime) -> None:
    """What a proposal is about has changed or gone: nothing is decided on it any more."""
    for approval in session.scalars(sa.select(Approval).where(*_open(kind, object_id)).with_for_update()):
        _move(session, approval, ApprovalStatus.VOIDED, now, reason)


def search(
    session: Session, principal: Principal, wanted: ApprovalFilter, limit: int, offset: int
) -> tuple[list[Approval], int]:
    """Proposals of the kinds the caller may read, the newest first, and how many there are."""
    principal.require(Resource.APPROVALS, READ)
    kinds = [kind.value for kind, resource in RESOURCES.items() if principal.reach(resource, READ) is not None]
    query = sa.select(Approval).where(Approval.kind.in_(kinds))
    if wanted.waiting:
        query = query.where(*_waiting_for(principal))
    if wanted.status is not None:
        query = query.where(Approval.status == wanted.status.value)
    if wanted.kind is not None:
        query = query.where(Approval.kind == wanted.kind.value)
    if wanted.client_id is not None:
        query = query.where(Approval.client_id == wanted.client_id)
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    newest = query.order_by(Approval.created_at.desc(), Approval.id.desc())
    return list(session.scalars(newest.limit(limit).offset(offset))), total


def count_waiting(session: Session, principal: Principal) -> int:
    """How many proposals the caller may decide now."""
    query = sa.select(sa.func.count()).select_from(Approval).where(*_waiting_for(principal))
    return session.scalar(query) or 0


def _waiting_for(principal: Principal) -> tuple[Any, ...]:
    kinds = [kind.value for kind, resource in RESOURCES.items() if principal.reach(resource, CHECK) is not None]
    voted = sa.select(ApprovalVote.approval_id).where(ApprovalVote.checker == principal.actor)
    conditions = (
        Approval.status == ApprovalStatus.PENDING,
        Approval.kind.in_(kinds),
        Approval.maker != principal.actor,
        Approval.id.not_in(voted),
    )
    return conditions if not is_uuid(principal.id) else (*conditions, Approval.object_id != principal.id)


def by_id(session: Session, principal: Principal, approval_id: str, *, lock: bool = False) -> Approval:
    """Raises ``NotFound``, also for a kind the caller may not read."""
    principal.require(Resource.APPROVALS, READ)
    query = sa.select(Approval).where(Approval.id == approval_id.lower())
    query = query.with_for_update() if lock else query
    approval = session.scalars(query).one_or_none() if is_uuid(approval_id) else None
    if approval is None or principal.reach(RESOURCES[ApprovalKind(approval.kind)], READ) is None:
        raise NotFound("there is no such approval")
    return approval


def votes(session: Session, approval_id: str) -> list[ApprovalVote]:
    """Who said what about a proposal, in the order in which they did."""
    return votes_by_approval(session, [approval_id]).get(approval_id, [])


def votes_by_approval(session: Session, approval_ids: Collection[str]) -> dict[str, list[ApprovalVote]]:
    """The same for several, read at once."""
    query = sa.select(ApprovalVote).where(ApprovalVote.approval_id.in_(approval_ids))
    found: dict[str, list[ApprovalVote]] = {}
    for vote in session.scalars(query.order_by(ApprovalVote.at, ApprovalVote.id)):
        found.setdefault(vote.approval_id, []).append(vote)
    return found


def may_decide(principal: Principal, approval: Approval, cast: Iterable[ApprovalVote], now: datetime) -> bool:
    """Whether the caller is a checker of it who can still vote; ``cast`` are the votes so far."""
    return (
        approval.status == ApprovalStatus.PENDING
        and approval.expires_at > now
        and principal.reach(RESOURCES[ApprovalKind(approval.kind)], CHECK) is not None
        and not _is_ones_own(principal, approval)
        and principal.actor not in {vote.checker for vote in cast}
    )


def _is_ones_own(principal: Principal, approval: Approval) -> bool:
    """Proposed by the caller, or about them."""
    return approval.maker == principal.actor or approval.object_id == principal.id


class Approvals:
    """Deciding and carrying out; ``subjects`` says by kind what approvals are about."""

    def __init__(self, subjects: Mapping[ApprovalKind, Subject]) -> None:
        self.subjects = subjects

    def decide(
        self,
        session: Session,
        approval_id: str,
        approve: bool,
        reason: str | None,
        principal: Principal,
        now: datetime,
        *,
        content_hash_seen: str | None = None,
        ip: str | None = None,
    ) -> Approval:
        """Say yes or no. One no rejects; ``required`` yes approve. ``content_hash_seen``: what the checker looked at.

        Raises ``Forbidden`` (``own_proposal``) for the maker and for whom it is about, ``Conflict`` for what is
        decided, expired or changed and for a second vote of the same person.
        """
        approval = by_id(session, principal, approval_id, lock=True)
        principal.require(RESOURCES[ApprovalKind(approval.kind)], CHECK)
        if _is_ones_own(principal, approval):
            raise Forbidden("nobody decides on what they proposed, or on what is about them", code="own_proposal")
        if approval.status != ApprovalStatus.PENDING:
            raise Conflict(
                f"it is {approval.status} already", code="already_decided", extra={"status": approval.status}
            )
        if approval.expires_at <= now:
            raise Conflict("the proposal has expired", code="approval_expired")
        if content_hash_seen not in (None, approval.content_hash):
            raise Conflict("this is not what was proposed", code="content_changed")
        if principal.actor in {vote.checker for vote in votes(session, approval.id)}:
            raise Conflict("you have decided already; it needs another person", code="already_voted")
        session.add(
            ApprovalVote(
                id=new_id(),
                approval_id=approval.id,
                checker=principal.actor,
                approves=approve,
                reason=reason,
                at=now,
            )
        )
        session.flush()
        audit.record(
            session,
            principal,
            "approval.approve" if approve else "approval.reject",
            "approval",
            approval.id,
            now,
            ip=ip,
            kind=approval.kind,
            about=approval.object_id,
            reason=reason,
        )
        if not approve:
            self._end(session, approval, ApprovalStatus.REJECTED, reason, now)
        elif sum(vote.approves for vote in votes(session, approval.id)) >= approval.required:
            _move(session, approval, ApprovalStatus.APPROVED, now)
        else:
            approval.version += 1
            _tell(session, approval, "approval.updated", now)
        return approval

    def carry_out(self, session: Session, approval_id: str, now: datetime) -> bool:
        """Do what was approved; what cannot be done any more fails with its reason. Returns whether it was done."""
        approval = session.scalars(sa.select(Approval).where(Approval.id == approval_id).with_for_update()).one()
        if approval.status != ApprovalStatus.APPROVED:
            return False
        subject = self.subjects[ApprovalKind(approval.kind)]
        try:
            with session.begin_nested():
                if content_hash(subject.content(session, approval.object_id)) != approval.content_hash:
                    raise Conflict("what was approved has changed since", code="content_changed")
                subject.carry_out(session, approval, now)
        except AppError as error:
            if error.status >= 500:
                raise  # nothing was done; it is tried again
            self._end(session, approval, ApprovalStatus.FAILED, error.detail, now)
            return False
        approval.executed_at = now
        _move(session, approval, ApprovalStatus.EXECUTED, now)
        return True

    def _end(
        self, session: Session, approval: Approval, status: ApprovalStatus, reason: str | None, now: datetime
    ) -> None:
        _move(session, approval, status, now, reason)
        self.subjects[ApprovalKind(approval.kind)].turn_down(session, approval, now)

    def expire(self, session: Session, now: datetime) -> int:
        """End what nobody decided in time; returns how many."""
        late = sa.select(Approval).where(Approval.status == ApprovalStatus.PENDING, Approval.expires_at <= now)
        ended = list(session.scalars(late.order_by(Approval.id).limit(EXPIRED_AT_ONCE).with_for_update()))
        for approval in ended:
            self._end(session, approval, ApprovalStatus.EXPIRED, None, now)
        return len(ended)


def carry_out_waiting(database: Database, approvals: Approvals, now: datetime) -> bool:
    """Go on with what a crash left approved, and end what expired: each in a transaction of its own.

    One that breaks holds up none of the others; it stays approved and is tried again.
    """
    for approval_id in database.read(approved):
        try:
            database.run(partial(approvals.carry_out, approval_id=approval_id, now=now))
        except Exception:
            log.exception("approval.failed", approval_id=approval_id)
    return database.run(partial(approvals.expire, now=now)) == EXPIRED_AT_ONCE


def approved(session: Session) -> list[str]:
    """What is approved and not carried out yet, the oldest first."""
    query = sa.select(Approval.id).where(Approval.status == ApprovalStatus.APPROVED)
    return list(session.scalars(query.order_by(Approval.decided_at, Approval.id)))


def _move(
    session: Session, approval: Approval, status: ApprovalStatus, now: datetime, reason: str | None = None
) -> None:
    before = ApprovalStatus(approval.status)
    if status not in STEPS.get(before, ()):
        raise Conflict(f"an approval that is {before} does not become {status}", code="already_decided")
    approval.status, approval.version = status.value, approval.version + 1
    approval.reason = reason if reason is not None else approval.reason
    if before is ApprovalStatus.PENDING:
        approval.decided_at = now
    session.flush()
    _tell(session, approval, f"approval.{status}", now)
    if status not in (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED):  # those have the record of their vote
        audit.record(
            session,
            SYSTEM,
            f"approval.{status}",
            "approval",
            approval.id,
            now,
            kind=approval.kind,
            about=approval.object_id,
            reason=reason,
        )


def _tell(session: Session, approval: Approval, type_: str, now: datetime) -> None:
    """The firm's people; the client hears of it by what happens to its own object."""
    events = Events(now)
    events.add(FIRM, type_, "approval", approval.id, show(approval), version=approval.version)
    events.flush(session)


def show(approval: Approval) -> dict[str, Any]:
    return {
        "id": approval.id,
        "kind": approval.kind,
        "object_id": approval.object_id,
        "client_id": approval.client_id,
        "summary": approval.summary,
        "content": approval.content,
        "content_hash": approval.content_hash,
        "amount_usd": None if approval.amount_usd is None else text(approval.amount_usd),
        "required": approval.required,
        "maker": approval.maker,
        "status": approval.status,
        "reason": approval.reason,
        "version": approval.version,
        "created_at": iso(approval.created_at),
        "expires_at": iso(approval.expires_at),
        "decided_at": None if approval.decided_at is None else iso(approval.decided_at),
        "executed_at": None if approval.executed_at is None else iso(approval.executed_at),
    }


def show_vote(vote: ApprovalVote) -> dict[str, Any]:
    return {"checker": vote.checker, "approves": vote.approves, "reason": vote.reason, "at": iso(vote.at)}
