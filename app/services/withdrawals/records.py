"""Withdrawals as rows: found, locked, moved from one status to the next with their money, told about and shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.errors import Conflict
from app.core.permissions import READ, Principal, Resource
from app.domain.approvals import ApprovalKind
from app.domain.ledger import EntryKind, PostingLine, hold_lines
from app.domain.money import text
from app.domain.withdrawals import STEPS, WithdrawalStatus, mask
from app.models import Approval, ApprovalVote, Client, Withdrawal
from app.services import access, mails, market, wallets
from app.services.events import Events
from app.services.ledger import Journal
from app.services.locks import Locks

ABOUT: Final = "withdrawal"


@dataclass(frozen=True, slots=True)
class WithdrawalFilter:
    client_id: str | None = None
    status: WithdrawalStatus | None = None
    currency: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


def lock(session: Session, withdrawal_id: str) -> Withdrawal:
    """One that exists, as it is under its row lock; to be taken before wallets and accounts."""
    query = sa.select(Withdrawal).where(Withdrawal.id == withdrawal_id).with_for_update(key_share=True)
    return session.scalars(query.execution_options(populate_existing=True)).one()


def search(
    session: Session, principal: Principal, wanted: WithdrawalFilter, limit: int, offset: int
) -> tuple[list[Withdrawal], int]:
    """The withdrawals the caller may see, the newest first, and how many there are."""
    query = sa.select(Withdrawal)
    visible = access.visible_clients(principal, Resource.WITHDRAWALS, READ)
    conditions = [
        None if visible is None else Withdrawal.client_id.in_(visible),
        None if wanted.client_id is None else Withdrawal.client_id == wanted.client_id,
        None if wanted.status is None else Withdrawal.status == wanted.status.value,
        None if wanted.currency is None else Withdrawal.currency == wanted.currency,
        None if wanted.created_from is None else Withdrawal.created_at >= wanted.created_from,
        None if wanted.created_to is None else Withdrawal.created_at < wanted.created_to,
    ]
    query = query.where(*(condition for condition in conditions if condition is not None))
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    newest = query.order_by(Withdrawal.created_at.desc(), Withdrawal.id.desc())
    return list(session.scalars(newest.limit(limit).offset(offset))), total


def checkers(session: Session, withdrawal_id: str) -> list[str]:
    """Who has decided about it."""
    query = (
        sa.select(ApprovalVote.checker)
        .join(Approval, Approval.id == ApprovalVote.approval_id)
        .where(Approval.kind == ApprovalKind.WITHDRAWAL.value, Approval.object_id == withdrawal_id)
    )
    return list(session.scalars(query.order_by(ApprovalVote.at)))


def release(
    session: Session,
    withdrawal: Withdrawal,
    status: WithdrawalStatus,
    reason: str | None,
    principal: Principal,
    now: datetime,
) -> None:
    """Give the money back; ``withdrawal`` must be locked."""
    check_step(withdrawal, status)
    Locks.of(session).wallet(withdrawal.wallet_id)
    journal = Journal(session, market.load_scales(session), now, principal.actor)
    lines = hold_lines(withdrawal.wallet_id, withdrawal.currency, -withdrawal.amount)
    post(session, journal, withdrawal, EntryKind.RELEASE, "settled", lines)
    withdrawal.reason = reason
    move(session, withdrawal, status, now)
    if status is not WithdrawalStatus.CANCELED:
        mail(session, withdrawal, f"withdrawal_{status}", now)


def post(
    session: Session,
    journal: Journal,
    withdrawal: Withdrawal,
    kind: EntryKind,
    part: str,
    lines: list[PostingLine],
) -> None:
    """``part``: hold or settled. What is held is paid or given back once, because both are the same reference."""
    journal.add(kind, (ABOUT, withdrawal.id), f"withdrawal:{withdrawal.id}:{part}", lines)
    locked = journal.flush()
    events = Events(journal.now)
    wallets.balance_events(events, {withdrawal.wallet_id: withdrawal.client_id}, locked.values())
    events.flush(session)


def check_step(withdrawal: Withdrawal, status: WithdrawalStatus) -> None:
    if status not in STEPS.get(WithdrawalStatus(withdrawal.status), ()):
        raise refusal(withdrawal, status)


def refusal(withdrawal: Withdrawal, status: WithdrawalStatus) -> Conflict:
    return Conflict(
        f"a withdrawal that is {withdrawal.status} does not become {status}",
        code="wrong_status",
        extra={"status_now": withdrawal.status},
    )


def move(session: Session, withdrawal: Withdrawal, status: WithdrawalStatus, now: datetime) -> None:
    check_step(withdrawal, status)
    withdrawal.status, withdrawal.version, withdrawal.updated_at = status.value, withdrawal.version + 1, now
    session.flush()
    tell(session, withdrawal, f"withdrawal.{status}", now)


def tell(session: Session, withdrawal: Withdrawal, type_: str, now: datetime) -> None:
    events = Events(now)
    shown = show(withdrawal)
    events.add(withdrawal.client_id, type_, ABOUT, withdrawal.id, shown, version=withdrawal.version)
    events.flush(session)


def mail(session: Session, withdrawal: Withdrawal, template: str, now: datetime) -> None:
    """To the address the request names, else to the client's."""
    told = {
        "withdrawal_id": withdrawal.id,
        "amount": text(withdrawal.amount),
        "arrives": text(withdrawal.amount - withdrawal.fee - withdrawal.tax),
        "currency": withdrawal.currency,
        "bank_name": withdrawal.destination["bank_name"],
        "number": mask(withdrawal.destination["number"]),
        "bank_reference": withdrawal.bank_reference,
        "verification_code": withdrawal.verification_code,
        "reason": withdrawal.reason,
    }
    client = session.get_one(Client, withdrawal.client_id)
    key, sender = f"{template}:{withdrawal.id}", mails.CONFIRMATIONS
    if withdrawal.email is None:
        mails.queue_to_client(session, client, key, template, told, now, sender=sender)
    else:
        mails.queue(session, key, template, withdrawal.email, {"name": client.name, **told}, now, sender=sender)


def content(withdrawal: Withdrawal) -> dict[str, Any]:
    """What others agree to, exactly."""
    return {
        "client_id": withdrawal.client_id,
        "wallet_id": withdrawal.wallet_id,
        "bank_account_id": withdrawal.bank_account_id,
        "amount": text(withdrawal.amount),
        "fee": text(withdrawal.fee),
        "tax": text(withdrawal.tax),
        "currency": withdrawal.currency,
        "destination": withdrawal.destination,
        "concept": withdrawal.concept,
    }


def show(withdrawal: Withdrawal) -> dict[str, Any]:
    return {
        "id": withdrawal.id,
        **content(withdrawal),
        "arrives": text(withdrawal.amount - withdrawal.fee - withdrawal.tax),
        "amount_usd": None if withdrawal.amount_usd is None else text(withdrawal.amount_usd),
        "email": withdrawal.email,
        "phone": withdrawal.phone,
        "metadata": withdrawal.details,
        "status": withdrawal.status,
        "reason": withdrawal.reason,
        "requested_by": withdrawal.requested_by,
        "payer": withdrawal.payer,
        "bank_reference": withdrawal.bank_reference,
        "verification_code": withdrawal.verification_code,
        "version": withdrawal.version,
        "created_at": iso(withdrawal.created_at),
        "updated_at": iso(withdrawal.updated_at),
        "completed_at": None if withdrawal.completed_at is None else iso(withdrawal.completed_at),
    }
