"""From the request to the payout: what is asked at each step, and of whom."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Conflict, Forbidden, Invalid
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Principal
from app.domain.approvals import ApprovalKind
from app.domain.clients import BankAccountStatus, DocumentKind
from app.domain.gate import Act
from app.domain.ledger import EntryKind, hold_lines, withdrawal_lines
from app.domain.money import decimals, text
from app.domain.risk import usd_rate
from app.domain.withdrawals import (
    Charge,
    Terms,
    WithdrawalRequest,
    WithdrawalStatus,
    arrives_on,
    charge,
    mask,
)
from app.models import Approval, Client, ClientBankAccount, ClientDocument, Wallet, Withdrawal
from app.services import access, approvals, audit, bank_accounts, clients, emails, gate, market, risk, wallets
from app.services.ledger import InsufficientFunds, Journal
from app.services.locks import Locks
from app.services.quotes import QuoteBook
from app.services.withdrawable import Parts, WithdrawableBalance

from .records import ABOUT, check_step, checkers, content, lock, mail, move, post, refusal, release, tell

BANK: Final = "external:bank"
CENTS: Final = 2


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a request comes to, before anything is decided about it."""

    client: Client
    wallet: Wallet
    account: ClientBankAccount
    charge: Charge
    amount_usd: Decimal | None
    arrives_on: date


class Withdrawals:
    """``auto_approve``: no second person is asked; a sandbox's."""

    def __init__(
        self, quotes: QuoteBook, terms: Terms, balance: WithdrawableBalance, *, auto_approve: bool = False
    ) -> None:
        self.quotes, self.terms, self.balance, self.auto_approve = quotes, terms, balance, auto_approve

    # -- asking -------------------------------------------------------------------------------------------------

    def preview(self, session: Session, client: Client, wanted: WithdrawalRequest, now: datetime) -> dict[str, Any]:
        """What would arrive, and when; or what is missing. Stores nothing. Raises as ``request`` for bad input."""
        plan = self._plan(session, client, wanted, now)
        parts = self.balance.of_wallet(session, plan.wallet.id, wanted.currency)
        missing = self._missing(session, plan, parts, now)
        people = 0 if self.auto_approve else approvals.required(session, ApprovalKind.WITHDRAWAL, plan.amount_usd)
        return {
            "client_id": client.id,
            "wallet_id": plan.wallet.id,
            "bank_account_id": plan.account.id,
            "currency": wanted.currency,
            "amount": text(plan.charge.amount),
            "fee": text(plan.charge.fee),
            "tax": text(plan.charge.tax),
            "arrives": text(plan.charge.arrives),
            "arrives_on": plan.arrives_on.isoformat(),
            "amount_usd": None if plan.amount_usd is None else text(plan.amount_usd),
            "withdrawable": text(parts.withdrawable),
            "approvals_required": people,
            "allowed": not missing,
            "missing": missing,
        }

    def request(
        self,
        session: Session,
        client: Client,
        wanted: WithdrawalRequest,
        principal: Principal,
        now: datetime,
        ip: str | None = None,
    ) -> Withdrawal:
        """Hold the money and ask others to agree. Locks the client, the wallet and its accounts.

        Raises ``Invalid`` for what makes no sense, ``Conflict`` for what may not be now (``account_not_usable``,
        ``gate_closed``, ``insufficient_funds``).
        """
        clients.lock(session, client)
        plan = self._plan(session, client, wanted, now)
        bank_accounts.require_usable(plan.account, now)
        id_ = new_id()
        gate.require(session, client, Act.WITHDRAWAL, now, plan.amount_usd, (ABOUT, id_))
        Locks.of(session).wallet(plan.wallet.id)
        journal = Journal(session, market.load_scales(session), now, principal.actor)
        journal.lock(wallets.account_refs(plan.wallet.id, wanted.currency))
        parts = self.balance.of_wallet(session, plan.wallet.id, wanted.currency)
        if parts.withdrawable < wanted.amount:
            raise _insufficient(parts, wanted.amount)
        withdrawal = _new(id_, plan, wanted, principal, now)
        session.add(withdrawal)
        session.flush()
        lines = hold_lines(plan.wallet.id, wanted.currency, wanted.amount)
        post(session, journal, withdrawal, EntryKind.HOLD, "hold", lines)
        tell(session, withdrawal, "withdrawal.created", now)
        audit.record(session, principal, "withdrawal.request", ABOUT, id_, now, ip=ip, content=content(withdrawal))
        if self.auto_approve:
            move(session, withdrawal, WithdrawalStatus.APPROVED, now)
            audit.record(session, SYSTEM, "withdrawal.auto_approve", ABOUT, id_, now)
            return withdrawal
        summary = (
            f"{client.code} {client.name}: {text(wanted.amount)} {wanted.currency}, {_shown_account(plan.account)}"
        )
        approvals.propose(
            session,
            ApprovalKind.WITHDRAWAL,
            id_,
            content(withdrawal),
            summary,
            principal,
            now,
            client_id=client.id,
            amount_usd=plan.amount_usd,
            ip=ip,
        )
        return withdrawal

    def _plan(self, session: Session, client: Client, wanted: WithdrawalRequest, now: datetime) -> _Plan:
        account = _account(session, client, wanted)
        if account.currency != wanted.currency:
            raise Invalid.field(
                "currency", "currency_mismatch", f"must be {account.currency}, the account's", wanted.currency
            )
        if wanted.email is not None:
            emails.check(wanted.email)
        scale = market.load_scales(session)[account.currency]
        if decimals(wanted.amount) > scale:
            raise Invalid.field(
                "amount", "precision", f"must have at most {scale} decimals in {account.currency}", text(wanted.amount)
            )
        charged = charge(wanted.amount, self.terms, scale)
        if charged.arrives <= 0:
            raise Invalid.field("amount", "amount_out_of_range", "is no more than fee and tax", text(wanted.amount))
        rate = usd_rate(account.currency, self.quotes.fresh(now))
        return _Plan(
            client=client,
            wallet=access.wallet_for(session, client, wanted.wallet_id),
            account=account,
            charge=charged,
            amount_usd=None if rate is None else round(wanted.amount * rate, CENTS),
            arrives_on=arrives_on(max(now, account.usable_from or now), self.terms),
        )

    def _missing(self, session: Session, plan: _Plan, parts: Parts, now: datetime) -> list[dict[str, Any]]:
        """All that stands in the way now; the request would be refused with the first of it."""
        refused: list[Conflict] = []
        try:
            bank_accounts.require_usable(plan.account, now)
        except Conflict as error:
            refused.append(error)
        if parts.withdrawable < plan.charge.amount:
            refused.append(_insufficient(parts, plan.charge.amount))
        answer = gate.ask(session, plan.client, Act.WITHDRAWAL, now, plan.amount_usd)
        return [
            *({"code": error.code, "message": error.detail, "values": error.extra} for error in refused),
            *({"code": item.code, "message": item.message, "values": dict(item.values)} for item in answer.reasons),
        ]

    def require_still(self, session: Session, withdrawal: Withdrawal, now: datetime) -> None:
        """Ask again all that was asked at the request; the withdrawal must be locked. Raises ``Conflict``."""
        account = session.get_one(ClientBankAccount, withdrawal.bank_account_id, populate_existing=True)
        bank_accounts.require_usable(account, now)
        client = session.get_one(Client, withdrawal.client_id)
        gate.require(session, client, Act.WITHDRAWAL, now, withdrawal.amount_usd, (ABOUT, withdrawal.id))
        parts = self.balance.of_wallet(session, withdrawal.wallet_id, withdrawal.currency)
        if parts.uncovered < 0:  # what the house keeps back has grown since into what this holds
            raise _insufficient(parts, withdrawal.amount)

    # -- giving up and paying -----------------------------------------------------------------------------------

    def cancel(
        self, session: Session, withdrawal: Withdrawal, reason: str | None, principal: Principal, now: datetime
    ) -> Withdrawal:
        """The client does not want it any more: possible until an operator pays. Raises ``Conflict``."""
        return self._give_up(session, withdrawal, WithdrawalStatus.CANCELED, "cancel", reason, principal, now)

    def reject(
        self, session: Session, withdrawal: Withdrawal, reason: str, principal: Principal, now: datetime
    ) -> Withdrawal:
        """The firm does not pay what was approved. Raises ``Conflict``; what is in review is for its approvers."""
        if withdrawal.status == WithdrawalStatus.PENDING_REVIEW:
            raise refusal(withdrawal, WithdrawalStatus.REJECTED)
        return self._give_up(session, withdrawal, WithdrawalStatus.REJECTED, "reject", reason, principal, now)

    def _give_up(
        self,
        session: Session,
        withdrawal: Withdrawal,
        status: WithdrawalStatus,
        verb: str,
        reason: str | None,
        principal: Principal,
        now: datetime,
    ) -> Withdrawal:
        """Locks the proposal before the withdrawal, as carrying it out does."""
        approvals.void(session, ApprovalKind.WITHDRAWAL, withdrawal.id, f"the withdrawal was {status}", now)
        withdrawal = lock(session, withdrawal.id)
        release(session, withdrawal, status, reason, principal, now)
        audit.record(session, principal, f"withdrawal.{verb}", ABOUT, withdrawal.id, now, reason=reason)
        return withdrawal

    def start(self, session: Session, withdrawal: Withdrawal, principal: Principal, now: datetime) -> Withdrawal:
        """An operator begins to pay. Everything is asked once more.

        Raises ``Forbidden`` for who asked for it or agreed to it, ``Conflict``.
        """
        withdrawal = lock(session, withdrawal.id)
        _require_payer(session, withdrawal, principal)
        check_step(withdrawal, WithdrawalStatus.PROCESSING)
        self.require_still(session, withdrawal, now)
        withdrawal.payer = principal.actor
        move(session, withdrawal, WithdrawalStatus.PROCESSING, now)
        audit.record(session, principal, "withdrawal.start", ABOUT, withdrawal.id, now)
        return withdrawal

    def complete(
        self,
        session: Session,
        withdrawal: Withdrawal,
        bank_reference: str,
        proof_id: str | None,
        principal: Principal,
        now: datetime,
    ) -> Withdrawal:
        """The bank has paid: what was held leaves the house.

        ``proof_id``: a document of the client that proves it; None where one is about this withdrawal already.

        Raises ``Forbidden`` as ``start``, ``Conflict`` (``reference_taken``), ``Invalid`` for a proof that is none.
        """
        withdrawal = lock(session, withdrawal.id)
        _require_payer(session, withdrawal, principal)
        check_step(withdrawal, WithdrawalStatus.COMPLETED)
        proof = _proof(session, withdrawal, proof_id)
        proof.about_type, proof.about_id = ABOUT, withdrawal.id
        taken = sa.select(Withdrawal.id).where(Withdrawal.bank_reference == bank_reference)
        if session.scalar(taken) is not None:
            raise Conflict("another withdrawal was paid with this reference", code="reference_taken")
        withdrawal.payer, withdrawal.bank_reference, withdrawal.completed_at = principal.actor, bank_reference, now
        wallet = Locks.of(session).wallet(withdrawal.wallet_id)[0]
        journal = Journal(session, market.load_scales(session), now, principal.actor)
        lines = withdrawal_lines(
            wallet.id, withdrawal.currency, withdrawal.amount, withdrawal.fee, withdrawal.tax, BANK
        )
        post(session, journal, withdrawal, EntryKind.WITHDRAWAL, "settled", lines)
        rate = usd_rate(withdrawal.currency, self.quotes.fresh(now))
        usd = withdrawal.amount_usd if rate is None else withdrawal.amount * rate
        if usd is not None:
            risk.note_withdrawal(wallet, usd)
        move(session, withdrawal, WithdrawalStatus.COMPLETED, now)
        audit.record(
            session,
            principal,
            "withdrawal.complete",
            ABOUT,
            withdrawal.id,
            now,
            bank_reference=bank_reference,
            proof=proof.id,
        )
        mail(session, withdrawal, "withdrawal_completed", now)
        return withdrawal

    def fail(
        self, session: Session, withdrawal: Withdrawal, reason: str, principal: Principal, now: datetime
    ) -> Withdrawal:
        """The bank did not pay: the client has the money back. Raises ``Forbidden`` as ``start``, ``Conflict``."""
        withdrawal = lock(session, withdrawal.id)
        _require_payer(session, withdrawal, principal)
        release(session, withdrawal, WithdrawalStatus.FAILED, reason, principal, now)
        audit.record(session, principal, "withdrawal.fail", ABOUT, withdrawal.id, now, reason=reason)
        return withdrawal


class Review:
    """The subject of approvals of withdrawals."""

    def __init__(self, withdrawals: Withdrawals) -> None:
        self.withdrawals = withdrawals

    def content(self, session: Session, object_id: str) -> dict[str, Any]:
        return content(lock(session, object_id))

    def carry_out(self, session: Session, approval: Approval, now: datetime) -> None:
        withdrawal = lock(session, approval.object_id)
        check_step(withdrawal, WithdrawalStatus.APPROVED)
        self.withdrawals.require_still(session, withdrawal, now)
        move(session, withdrawal, WithdrawalStatus.APPROVED, now)

    def turn_down(self, session: Session, approval: Approval, now: datetime) -> None:
        withdrawal = lock(session, approval.object_id)
        if withdrawal.status == WithdrawalStatus.PENDING_REVIEW:
            reason = approval.reason or f"the proposal is {approval.status}"
            release(session, withdrawal, WithdrawalStatus.REJECTED, reason, SYSTEM, now)


def _new(id_: str, plan: _Plan, wanted: WithdrawalRequest, principal: Principal, now: datetime) -> Withdrawal:
    return Withdrawal(
        id=id_,
        client_id=plan.client.id,
        wallet_id=plan.wallet.id,
        bank_account_id=plan.account.id,
        amount=plan.charge.amount,
        fee=plan.charge.fee,
        tax=plan.charge.tax,
        currency=plan.account.currency,
        amount_usd=plan.amount_usd,
        destination=_destination(plan.account),
        email=wanted.email,
        phone=wanted.phone,
        concept=wanted.concept,
        details=dict(wanted.details or {}),
        status=WithdrawalStatus.PENDING_REVIEW.value,
        requested_by=principal.actor,
        verification_code=secrets.token_urlsafe(16),
        version=1,
        created_at=now,
        updated_at=now,
    )


def _account(session: Session, client: Client, wanted: WithdrawalRequest) -> ClientBankAccount:
    query = sa.select(ClientBankAccount).where(ClientBankAccount.client_id == client.id)
    if wanted.bank_account_id is not None:
        query = query.where(ClientBankAccount.id == wanted.bank_account_id)
    else:
        query = query.where(
            ClientBankAccount.currency == wanted.currency,
            ClientBankAccount.status == BankAccountStatus.ACTIVE.value,
            ClientBankAccount.is_default,
        )
    account = session.scalars(query).one_or_none()
    if account is None:
        raise Invalid.field("bank_account_id", "unknown_account", "names no account of the client")
    return account


def _destination(account: ClientBankAccount) -> dict[str, Any]:
    return {name: value for name, value in bank_accounts.content(account).items() if name != "client_id"}


def _shown_account(account: ClientBankAccount) -> str:
    return f"{account.bank_name} {mask(account.number)}"


def _require_payer(session: Session, withdrawal: Withdrawal, principal: Principal) -> None:
    if principal.actor in (withdrawal.requested_by, *checkers(session, withdrawal.id)):
        raise Forbidden("who asked for it or agreed to it does not pay it", code="payer_not_independent")


def _proof(session: Session, withdrawal: Withdrawal, document_id: str | None) -> ClientDocument:
    query = sa.select(ClientDocument).where(
        ClientDocument.client_id == withdrawal.client_id,
        ClientDocument.kind == DocumentKind.PAYMENT_PROOF.value,
        ClientDocument.removed_at.is_(None),
    )
    if document_id is None:
        query = query.where(ClientDocument.about_id == withdrawal.id)
    else:
        free = sa.or_(ClientDocument.about_id.is_(None), ClientDocument.about_id == withdrawal.id)
        query = query.where(ClientDocument.id == document_id, free)
    found = session.scalars(query.order_by(ClientDocument.id).limit(1).with_for_update(key_share=True)).one_or_none()
    if found is None and document_id is None:
        raise Invalid.field("proof_id", "required", "is needed: no proof of this payment has been uploaded")
    if found is None:
        raise Invalid.field("proof_id", "unknown_document", "names no proof of payment of this client that is free")
    return found


def _insufficient(parts: Parts, amount: Decimal) -> InsufficientFunds:
    return InsufficientFunds(
        f"{text(parts.withdrawable)} {parts.currency} may be withdrawn, not {text(amount)}",
        extra={"currency": parts.currency, "withdrawable": text(parts.withdrawable), "required": text(amount)},
    )
