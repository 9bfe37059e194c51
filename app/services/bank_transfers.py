"""Bank transfers: an operator matches a declared deposit to a movement of the firm's account, a second person confirms.

A movement is matched once; its reference is the deposit's ``provider_reference``, which is unique.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Conflict, NotFound
from app.core.permissions import HANDLE, Principal
from app.domain.approvals import ApprovalKind
from app.domain.deposits import OPEN, DepositMethod, DepositStatus
from app.domain.money import text
from app.models import Approval, Client, Deposit

from . import approvals, audit, deposits
from .access import is_uuid


@dataclass(frozen=True, slots=True)
class BankMovement:
    """What came in on an account of the firm, as its bank tells it. ``account`` is how the firm calls the account."""

    reference: str
    account: str
    amount: Decimal
    received_on: date


def match(
    session: Session,
    deposit_id: str,
    movement: BankMovement,
    principal: Principal,
    now: datetime,
    ip: str | None = None,
) -> Deposit:
    """Say which movement is the deposit's, and propose to credit it.

    Raises ``Conflict``: ``too_late`` for one that is not pending, ``wrong_amount`` where another amount came in,
    ``movement_taken`` for a movement that is another deposit's.
    """
    deposit = _transfer(session, deposit_id, principal)
    if deposit.status != DepositStatus.PENDING:
        raise Conflict(
            f"the deposit is {deposit.status}; only a pending one is matched",
            code="too_late",
            extra={"status": deposit.status},
        )
    if movement.amount != deposit.amount:
        raise Conflict(
            f"{text(movement.amount)} came in, {text(deposit.amount)} was declared",
            code="wrong_amount",
            extra={"declared": text(deposit.amount), "received": text(movement.amount)},
        )
    reference = f"{movement.account}/{movement.reference}"
    if _is_taken(session, deposit, reference):
        raise Conflict("the movement has been matched to another deposit", code="movement_taken")
    deposit.provider_reference = reference
    deposit.movement = {
        "reference": movement.reference,
        "account": movement.account,
        "amount": text(movement.amount),
        "received_on": movement.received_on.isoformat(),
    }
    deposits.move(session, deposit, DepositStatus.PROCESSING, now)
    audit.record(session, principal, "deposit.match", "deposit", deposit.id, now, ip=ip, movement=deposit.movement)
    client = session.get_one(Client, deposit.client_id)
    approvals.propose(
        session,
        ApprovalKind.DEPOSIT,
        deposit.id,
        _content(session, deposit),
        f"{client.code} {client.name}: {text(deposit.amount)} {deposit.currency}, {reference}",
        principal,
        now,
        client_id=deposit.client_id,
        amount_usd=deposit.amount_usd,
        ip=ip,
    )
    return deposit


def _is_taken(session: Session, deposit: Deposit, reference: str) -> bool:
    query = sa.select(Deposit.id).where(
        Deposit.provider == deposit.provider, Deposit.provider_reference == reference, Deposit.id != deposit.id
    )
    return session.scalar(query) is not None


def reject(
    session: Session, deposit_id: str, reason: str, principal: Principal, now: datetime, ip: str | None = None
) -> Deposit:
    """The money never came. Ends what has been proposed about it. Raises ``Conflict`` (``too_late``)."""
    deposit = _transfer(session, deposit_id, principal)
    if DepositStatus(deposit.status) not in OPEN:
        raise Conflict(f"the deposit is {deposit.status} already", code="too_late", extra={"status": deposit.status})
    approvals.void(session, ApprovalKind.DEPOSIT, deposit.id, reason, now)
    _unmatch(deposit)
    deposits.move(session, deposit, DepositStatus.FAILED, now, reason)
    audit.record(session, principal, "deposit.reject", "deposit", deposit.id, now, ip=ip, reason=reason)
    return deposit


def _transfer(session: Session, deposit_id: str, principal: Principal) -> Deposit:
    deposit = deposits.by_id(session, principal, deposit_id, HANDLE, lock=True)
    if deposit.method != DepositMethod.BANK_TRANSFER:
        raise Conflict("it is no bank transfer; its provider reports on it", code="not_a_transfer")
    return deposit


def _unmatch(deposit: Deposit) -> None:
    deposit.provider_reference = deposit.movement = None


def _content(session: Session, deposit: Deposit) -> dict[str, Any]:
    """All that the second person answers for."""
    return {
        "deposit_id": deposit.id,
        "client_id": deposit.client_id,
        "wallet_id": deposit.wallet_id,
        "amount": text(deposit.amount),
        "currency": deposit.currency,
        "bank_reference": deposit.bank_reference,
        "movement": deposit.movement,
        "proofs": [document.sha256 for document in deposits.proofs(session, deposit.id)],
    }


class DepositSubject:
    """Approvals of matched bank transfers (``approvals.Subject``)."""

    def content(self, session: Session, object_id: str) -> dict[str, Any]:
        found = session.get(Deposit, object_id) if is_uuid(object_id) else None
        if found is None:
            raise NotFound("there is no such deposit")
        return _content(session, deposits.locked(session, object_id))

    def carry_out(self, session: Session, approval: Approval, now: datetime) -> None:
        deposit = deposits.locked(session, approval.object_id)
        if deposit.status != DepositStatus.PROCESSING:
            raise Conflict(f"the deposit is {deposit.status}", code="too_late", extra={"status": deposit.status})
        deposits.credit(session, deposit, now)

    def turn_down(self, session: Session, approval: Approval, now: datetime) -> None:
        """It waits for another match."""
        deposit = deposits.locked(session, approval.object_id)
        if deposit.status != DepositStatus.PROCESSING:
            return
        _unmatch(deposit)
        reason = f"the match was {approval.status}" + (f": {approval.reason}" if approval.reason else "")
        deposits.move(session, deposit, DepositStatus.PENDING, now, reason[:300])
