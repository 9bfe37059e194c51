"""Know your customer: verifications of clients, what their decisions make of a client, and what is missing.

What a client is, is worked out from all of their verifications each time one of them changes, so that reports may
come twice, late and in any order. Rows are locked in the order client, verification.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.adapters.kyc.base import Report
from app.core.clock import iso
from app.core.errors import Conflict, NotFound
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Principal
from app.domain.approvals import ApprovalKind
from app.domain.clients import ClientKind, DocumentKind, IdentityType, PersonRole
from app.domain.kyc import LEVELS, KycStatus, effective_level
from app.models import Approval, Client, ClientDocument, RelatedPerson, Verification

from . import approvals, audit, clients, gate, mails
from .access import is_uuid
from .events import Events

MANUAL: Final = "manual"  # the provider of a verification that a person of the firm decides without one
RENEWABLE: Final = timedelta(days=30)  # so long before it expires an approval can be renewed
EXPIRED_AT_ONCE: Final = 100
_SHOWN: Final = 20  # verifications of one client


def start(
    session: Session,
    client: Client,
    level: int | None,
    provider: str,
    principal: Principal,
    now: datetime,
    ip: str | None = None,
) -> tuple[Verification, bool]:
    """Begin a verification for the next level, or the one named; a pending one is returned instead, and False.

    Raises ``Conflict`` for a client who is not active, was rejected, is verified already, or left a level out.
    """
    clients.lock(session, client)
    pending = _pending(session, client.id)
    if pending is not None:
        return pending, False
    has = _level(client, now)
    wanted = level if level is not None else next_level(has)
    if not client.active:
        raise Conflict("the client is not active", code="client_inactive")
    if client.kyc_status == KycStatus.REJECTED and principal.client_id is not None:
        raise Conflict("the verification was rejected; only the firm can begin another", code="kyc_rejected")
    if wanted > has + 1:
        raise Conflict(f"level {wanted} comes after level {wanted - 1}", code="kyc_level_skipped")
    if wanted <= has and not _renewable(client, now):
        raise Conflict(f"the client is verified for level {has} already", code="already_verified")
    verification = _open(session, client, wanted, provider, principal, now)
    verification.asked_at = now  # the request asks; the sweep waits
    _settle(session, client, now)
    _tell(session, verification, "kyc.started", now)
    audit.record(
        session, principal, "kyc.start", "client", client.id, now, ip=ip, level=wanted, verification_id=verification.id
    )
    return verification, True


def next_level(level: int) -> int:
    """What to be verified for with a level; the highest is renewed."""
    return min(level + 1, LEVELS[-1])


def _level(client: Client, now: datetime) -> int:
    return effective_level(KycStatus(client.kyc_status), client.kyc_level, client.kyc_expires_at, now)


def _renewable(client: Client, now: datetime) -> bool:
    return client.kyc_expires_at is not None and client.kyc_expires_at - now <= RENEWABLE


def _open(
    session: Session, client: Client, level: int, provider: str, principal: Principal, now: datetime
) -> Verification:
    kinds = sa.select(ClientDocument.kind).where(
        ClientDocument.client_id == client.id, ClientDocument.removed_at.is_(None)
    )
    verification = Verification(
        id=new_id(),
        client_id=client.id,
        provider=provider,
        level=level,
        status=KycStatus.PENDING.value,
        provider_data={},
        document_kinds=sorted(set(session.scalars(kinds))),
        requested_by=principal.actor,
        version=1,
        created_at=now,
    )
    session.add(verification)
    session.flush()
    return verification


def apply(session: Session, verification_id: str, report: Report, valid_for: timedelta, now: datetime) -> str:
    """Take what the provider reports of a verification; says in a few words what that changed."""
    client, verification = _locked(session, verification_id)
    if verification.session_id is None:
        verification.session_id = report.session_id
        session.flush()
    at = report.at or (now if report.decides else None)
    known = verification.changed_at
    if "decided_by" in verification.provider_data:
        return "a person has decided"
    if at is None or (known is not None and (at < known or (at == known and not report.decides))):
        return "nothing new" if at is None else "older than what is known"
    if report.status is KycStatus.PENDING and _newest(session, client.id) != verification.id:
        return "superseded by a later verification"
    verification.changed_at = at
    verification.provider_data = {**verification.provider_data, **report.data}
    if (report.status.value, report.reason) == (verification.status, verification.reason):
        return "nothing new"
    approvals.void(session, ApprovalKind.KYC_DECISION, verification.id, "the provider has reported", now)
    verification.provider_data = _without_proposal(verification)
    _change(session, client, verification, report.status, report.reason, now, at + valid_for)
    audit.record(
        session,
        SYSTEM,
        f"kyc.{report.status}",
        "client",
        client.id,
        now,
        verification_id=verification.id,
        level=verification.level,
        reason=report.reason,
        provider=verification.provider,
    )
    return report.status.value


def _change(
    session: Session,
    client: Client,
    verification: Verification,
    status: KycStatus,
    reason: str | None,
    now: datetime,
    expires_at: datetime,
) -> None:
    approved = status is KycStatus.APPROVED
    verification.status, verification.reason = status.value, reason
    verification.verified_at, verification.expires_at = (now, expires_at) if approved else (None, None)
    verification.version += 1
    _settle(session, client, now)
    _tell(session, verification, f"kyc.{status}", now)
    _mail(session, client, verification, now)


def _settle(session: Session, client: Client, now: datetime) -> None:
    """Work out from the client's verifications what the client is: the newest one may reject, any may approve."""
    session.flush()
    found = list(
        session.scalars(
            sa.select(Verification).where(Verification.client_id == client.id).order_by(Verification.id.desc())
        )
    )
    newest = found[0].status if found else KycStatus.NONE
    valid = [row for row in found if row.status == KycStatus.APPROVED and row.expires_at and row.expires_at > now]
    was = [row.expires_at for row in found if row.verified_at is not None and row.expires_at is not None]
    standing: tuple[KycStatus, int, datetime | None]
    if newest == KycStatus.REJECTED:
        standing = KycStatus.REJECTED, 0, None
    elif valid:
        best = max(valid, key=lambda row: (row.level, row.expires_at))
        standing = KycStatus.APPROVED, best.level, best.expires_at
    elif newest == KycStatus.PENDING:
        standing = KycStatus.PENDING, 0, None
    elif was:
        standing = KycStatus.EXPIRED, 0, max(was)
    else:
        standing = KycStatus.NONE, 0, None
    client.kyc_status, client.kyc_level, client.kyc_expires_at = standing[0].value, standing[1], standing[2]
    session.flush()


def decide(
    session: Session,
    client: Client,
    approve: bool,
    level: int | None,
    reason: str,
    valid_for: timedelta,
    principal: Principal,
    now: datetime,
    ip: str | None = None,
) -> tuple[Verification, Approval | None]:
    """A person of the firm decides: on the pending verification, or on none. A rejection holds at once.

    Approving for enhanced diligence, and approving whom was rejected, is proposed to a second person; then the
    approval comes back too. Raises ``Conflict`` (``approval_pending``) where one is open.
    """
    clients.lock(session, client)
    rejected = client.kyc_status == KycStatus.REJECTED
    verification = _pending(session, client.id)
    if verification is None:
        verification = _open(session, client, level or next_level(_level(client, now)), MANUAL, principal, now)
    if approve and level is not None:
        verification.level = level
    if approve and (verification.level > 1 or rejected):
        proposal = {"level": verification.level, "reason": reason, "valid_days": valid_for.days}
        verification.provider_data = {**verification.provider_data, "proposal": proposal}
        verification.version += 1
        _settle(session, client, now)
        _tell(session, verification, "kyc.pending", now)
        summary = f"{client.code} {client.name}: KYC level {verification.level}"
        content = _content(client, verification)
        return verification, approvals.propose(
            session,
            ApprovalKind.KYC_DECISION,
            verification.id,
            content,
            summary,
            principal,
            now,
            client_id=client.id,
            ip=ip,
        )
    approvals.void(session, ApprovalKind.KYC_DECISION, verification.id, "it was decided otherwise", now)
    status = KycStatus.APPROVED if approve else KycStatus.REJECTED
    _decided(session, client, verification, status, reason, valid_for, principal.actor, now)
    audit.record(
        session,
        principal,
        "kyc.approve" if approve else "kyc.reject",
        "client",
        client.id,
        now,
        ip=ip,
        verification_id=verification.id,
        level=verification.level,
        reason=reason,
    )
    return verification, None


def _decided(
    session: Session,
    client: Client,
    verification: Verification,
    status: KycStatus,
    reason: str,
    valid_for: timedelta,
    actor: str,
    now: datetime,
) -> None:
    verification.provider_data = {**_without_proposal(verification), "decided_by": actor}
    verification.changed_at = now
    told = reason if status is KycStatus.REJECTED else None  # why somebody was approved is the firm's own
    _change(session, client, verification, status, told, now, now + valid_for)


def _without_proposal(verification: Verification) -> dict[str, Any]:
    return {name: value for name, value in verification.provider_data.items() if name != "proposal"}


class KycDecisions:
    """What approvals of KYC decisions are about: ``object_id`` is a verification with a proposal."""

    def content(self, session: Session, object_id: str) -> dict[str, Any]:
        return _content(*_locked(session, object_id))

    def carry_out(self, session: Session, approval: Approval, now: datetime) -> None:
        client, verification = _locked(session, approval.object_id)
        proposal = verification.provider_data["proposal"]
        valid_for = timedelta(days=proposal["valid_days"])
        _decided(
            session,
            client,
            verification,
            KycStatus.APPROVED,
            proposal["reason"],
            valid_for,
            approval.maker,
            now,
        )

    def turn_down(self, session: Session, approval: Approval, now: datetime) -> None:
        """It waits on; what was opened for this decision alone has come to nothing."""
        client, verification = _locked(session, approval.object_id)
        verification.provider_data = _without_proposal(verification)
        verification.version += 1
        if verification.provider == MANUAL and verification.status == KycStatus.PENDING:
            verification.status = KycStatus.EXPIRED.value
        _settle(session, client, now)
        _tell(session, verification, f"kyc.{verification.status}", now)


def _content(client: Client, verification: Verification) -> dict[str, Any]:
    """Whom and what a second person agrees to. Raises ``Conflict`` where nothing is proposed any more."""
    proposal = verification.provider_data.get("proposal")
    if proposal is None or verification.status != KycStatus.PENDING:
        raise Conflict("nothing is proposed about this verification any more", code="content_changed")
    return {
        "verification_id": verification.id,
        "client_code": client.code,
        "client_name": client.name,
        "identity_type": client.identity_type,
        "identity_number": client.identity_number,
        "identity_country": client.identity_country,
        "decision": KycStatus.APPROVED.value,
        **proposal,
    }


def expire(session: Session, now: datetime) -> bool:
    """End the approvals whose time is over; True when there may be more."""
    late = sa.select(Verification.id).where(
        Verification.status == KycStatus.APPROVED.value, Verification.expires_at <= now
    )
    ended = list(session.scalars(late.order_by(Verification.expires_at, Verification.id).limit(EXPIRED_AT_ONCE)))
    for verification_id in ended:
        client, verification = _locked(session, verification_id)
        if verification.status != KycStatus.APPROVED or verification.expires_at is None:
            continue
        verification.status, verification.version = KycStatus.EXPIRED.value, verification.version + 1
        _settle(session, client, now)
        _tell(session, verification, "kyc.expired", now)
        if client.kyc_status == KycStatus.EXPIRED:
            _mail(session, client, verification, now)
        audit.record(session, SYSTEM, "kyc.expired", "client", client.id, now, verification_id=verification.id)
    return len(ended) == EXPIRED_AT_ONCE


def overview(session: Session, client: Client, now: datetime, *, collects_documents: bool) -> dict[str, Any]:
    """How a client stands, how much of the limits is used, and what is missing for the next level."""
    level = _level(client, now)
    found = history(session, client.id)
    return {
        "client_id": client.id,
        "status": client.kyc_status,
        "level": level,
        "expires_at": None if client.kyc_expires_at is None else iso(client.kyc_expires_at),
        "next_level": next_level(level),
        "verification": show(found[0]) if found else None,
        "limits": gate.meters(session, client, now),
        "missing": missing(session, client, next_level(level), collects_documents=collects_documents),
    }


def history(session: Session, client_id: str) -> list[Verification]:
    """The verifications of a client, the newest first."""
    query = sa.select(Verification).where(Verification.client_id == client_id).order_by(Verification.id.desc())
    return list(session.scalars(query.limit(_SHOWN)))


_FIELDS: Final[Mapping[int, tuple[str, ...]]] = {
    1: ("identity_number", "born_on", "address"),
    2: ("occupation", "source_of_funds"),
}
_COMPANY_FIELDS: Final[Mapping[int, tuple[str, ...]]] = {1: _FIELDS[1], 2: ("source_of_funds",)}
_TWO_SIDES: Final = (IdentityType.DNI.value, IdentityType.CE.value)


def missing(session: Session, client: Client, level: int, *, collects_documents: bool) -> list[dict[str, str]]:
    """What the firm does not have yet of all that a level needs: fields, documents, people.

    ``collects_documents``: the provider takes the pictures of documents and faces itself.
    """
    company = client.kind == ClientKind.COMPANY
    levels = range(1, level + 1)
    fields = [name for one in levels for name in (_COMPANY_FIELDS if company else _FIELDS)[one]]
    found = [{"what": "field", "name": name} for name in fields if not getattr(client, name)]
    query = sa.select(ClientDocument.kind).where(
        ClientDocument.client_id == client.id, ClientDocument.removed_at.is_(None)
    )
    held = set(session.scalars(query))
    needed = _documents(client, level, collects_documents)
    found += [{"what": "document", "name": kind.value} for kind in needed if kind.value not in held]
    if company:
        roles = set(session.scalars(sa.select(RelatedPerson.role).where(RelatedPerson.client_id == client.id)))
        people = [PersonRole.REPRESENTATIVE, *([PersonRole.BENEFICIAL_OWNER] if level > 1 else [])]
        found += [{"what": "person", "name": role.value} for role in people if role.value not in roles]
    return found


def _documents(client: Client, level: int, collects_documents: bool) -> list[DocumentKind]:
    needed: list[DocumentKind] = []
    if client.kind == ClientKind.COMPANY:
        needed.append(DocumentKind.COMPANY_PAPERS)
    elif not collects_documents:
        needed.append(DocumentKind.ID_FRONT)
        needed += [DocumentKind.ID_BACK] if client.identity_type in _TWO_SIDES else []
        needed.append(DocumentKind.SELFIE)
    return [*needed, DocumentKind.PROOF_OF_ADDRESS] if level > 1 else needed


def show(verification: Verification) -> dict[str, Any]:
    """As the client and the firm see it; what the provider told stays with the firm."""
    return {
        "id": verification.id,
        "client_id": verification.client_id,
        "provider": verification.provider,
        "level": verification.level,
        "status": verification.status,
        "reason": verification.reason,
        "document_kinds": verification.document_kinds,
        "requested_by": verification.requested_by,
        "version": verification.version,
        "created_at": iso(verification.created_at),
        "verified_at": None if verification.verified_at is None else iso(verification.verified_at),
        "expires_at": None if verification.expires_at is None else iso(verification.expires_at),
    }


def show_to(verification: Verification, *, own: bool = False) -> dict[str, Any]:
    """With what the provider told; ``own``: to the client, who is not told that."""
    return {
        **show(verification),
        "session_id": verification.session_id,
        "provider_data": None if own else verification.provider_data,
        "changed_at": None if verification.changed_at is None else iso(verification.changed_at),
    }


def by_id(session: Session, verification_id: str) -> Verification:
    return session.get_one(Verification, verification_id)


def by_report(session: Session, provider: str, report: Report) -> str | None:
    """The id of the verification a report is about: by the provider's session, or by what the provider was told."""
    known = sa.select(Verification.id).where(Verification.provider == provider)
    found = session.scalar(known.where(Verification.session_id == report.session_id))
    if found is None and report.reference is not None and is_uuid(report.reference):
        named = Verification.id == report.reference.lower()
        found = session.scalar(known.where(named, Verification.session_id.is_(None)))
    return found


def _pending(session: Session, client_id: str) -> Verification | None:
    """The one that is not decided; the client must be locked."""
    query = sa.select(Verification).where(
        Verification.client_id == client_id, Verification.status == KycStatus.PENDING.value
    )
    return session.scalars(query.with_for_update()).one_or_none()


def _newest(session: Session, client_id: str) -> str | None:
    query = sa.select(Verification.id).where(Verification.client_id == client_id)
    return session.scalar(query.order_by(Verification.id.desc()).limit(1))


def _locked(session: Session, verification_id: str) -> tuple[Client, Verification]:
    """Raises ``NotFound``."""
    verification = session.get(Verification, verification_id)
    if verification is None:
        raise NotFound("there is no such verification")
    client = session.get_one(Client, verification.client_id)
    clients.lock(session, client)
    session.refresh(verification, with_for_update=True)
    return client, verification


def _tell(session: Session, verification: Verification, type_: str, now: datetime) -> None:
    events = Events(now)
    events.add(
        verification.client_id, type_, "verification", verification.id, show(verification), version=verification.version
    )
    events.flush(session)


def _mail(session: Session, client: Client, verification: Verification, now: datetime) -> None:
    data = {"status": verification.status, "level": verification.level, "reason": verification.reason}
    mails.queue_to_client(session, client, f"kyc:{verification.id}:{verification.version}", "kyc_changed", data, now)
