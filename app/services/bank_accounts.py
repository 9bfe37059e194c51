"""Where clients are paid: each account is checked, announced to the client, and confirmed by a second person.

A new account is paid to only when some hours have passed since the client was told of it: whoever took over a
client's sign-in would have to wait too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import iso
from app.core.errors import Conflict, Invalid
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Principal
from app.domain.approvals import ApprovalKind
from app.domain.clients import AccountScheme, BankAccountStatus
from app.domain.identifiers import InvalidIdentifier, check_account
from app.domain.withdrawals import BANK_CURRENCIES, mask
from app.models import WITHDRAWAL_HOLDS, Approval, Client, ClientBankAccount, Withdrawal

from . import approvals, audit, clients, mails
from .events import Events

IN_USE = (BankAccountStatus.PENDING.value, BankAccountStatus.ACTIVE.value)


@dataclass(frozen=True, slots=True)
class NewAccount:
    """As it was given. ``holder`` None: the client itself."""

    scheme: AccountScheme
    number: str
    bank_name: str
    account_type: str
    currency: str
    holder: str | None = None
    is_default: bool = False


def of_client(session: Session, client: Client) -> list[ClientBankAccount]:
    """Those that are in use or wait to be, by currency, the default one first."""
    query = sa.select(ClientBankAccount).where(
        ClientBankAccount.client_id == client.id, ClientBankAccount.status.in_(IN_USE)
    )
    order = (ClientBankAccount.currency, ClientBankAccount.is_default.desc(), ClientBankAccount.id)
    return list(session.scalars(query.order_by(*order)))


class BankAccounts:
    """Adding, confirming and removing. ``cool_down``: how long after it was announced an account is not paid to."""

    def __init__(self, cool_down: timedelta) -> None:
        self.cool_down = cool_down

    def add(
        self,
        session: Session,
        client: Client,
        given: NewAccount,
        principal: Principal,
        now: datetime,
        ip: str | None = None,
    ) -> ClientBankAccount:
        """Propose an account and tell the client, whose row is locked.

        Raises ``Invalid`` for a number that cannot be right, ``Conflict`` (``account_known``) for one it has.
        """
        try:
            checked = check_account(given.scheme, given.number)
        except InvalidIdentifier as error:
            raise Invalid.field("number", error.code, str(error), given.number[:40]) from error
        if given.currency not in BANK_CURRENCIES:
            raise Invalid.field(
                "currency", "unknown_currency", f"must be one of {', '.join(BANK_CURRENCIES)}", given.currency
            )
        clients.lock(session, client)
        if self._has(session, client, checked.scheme, checked.number):
            raise Conflict("the client has this account already", code="account_known")
        account = ClientBankAccount(
            id=new_id(),
            client_id=client.id,
            scheme=checked.scheme.value,
            number=checked.number,
            bank_code=checked.bank_code,
            bank_name=given.bank_name,
            account_type=given.account_type,
            currency=given.currency,
            holder=given.holder or client.name,
            country=checked.country,
            is_default=given.is_default,
            status=BankAccountStatus.PENDING.value,
            usable_from=now + self.cool_down,
            created_by=principal.actor,
            version=1,
            created_at=now,
            updated_at=now,
        )
        session.add(account)
        session.flush()
        _tell(session, account, "client.bank_account_added", now)
        audit.record(
            session, principal, "bank_account.add", "bank_account", account.id, now, ip=ip, account=_masked(account)
        )
        summary = f"{client.code} {client.name}: {given.bank_name} {mask(account.number)} {given.currency}"
        approvals.propose(
            session,
            ApprovalKind.BANK_ACCOUNT,
            account.id,
            content(account),
            summary,
            principal,
            now,
            client_id=client.id,
            ip=ip,
        )
        told = {**_masked(account), "usable_from": iso(now + self.cool_down)}
        mails.queue_to_client(session, client, f"bank_account_added:{account.id}", "bank_account_added", told, now)
        return account

    def _has(self, session: Session, client: Client, scheme: AccountScheme, number: str) -> bool:
        query = sa.select(ClientBankAccount.id).where(
            ClientBankAccount.client_id == client.id,
            ClientBankAccount.scheme == scheme.value,
            ClientBankAccount.number == number,
            ClientBankAccount.status.in_(IN_USE),
        )
        return session.scalar(query) is not None


def remove(
    session: Session, account: ClientBankAccount, principal: Principal, now: datetime, ip: str | None = None
) -> None:
    """Take an account out of use; locks the proposal about it, the client and the account, in this order.

    Raises ``Conflict``: ``account_in_use`` while a withdrawal to it is open, ``unchanged`` where it is out already.
    """
    approvals.void(session, ApprovalKind.BANK_ACCOUNT, account.id, "the account was removed", now)
    account = _locked(session, account.id)
    if account.status not in IN_USE:
        raise Conflict("the account is out of use already", code="unchanged")
    open_ = sa.select(Withdrawal.id).where(Withdrawal.bank_account_id == account.id, WITHDRAWAL_HOLDS).limit(1)
    if session.scalar(open_) is not None:
        raise Conflict("a withdrawal to this account is not finished", code="account_in_use")
    account.is_default = False
    _change(session, account, BankAccountStatus.REMOVED, "client.bank_account_removed", now)
    audit.record(
        session, principal, "bank_account.remove", "bank_account", account.id, now, ip=ip, account=_masked(account)
    )


def make_default(
    session: Session, account: ClientBankAccount, principal: Principal, now: datetime, ip: str | None = None
) -> None:
    """Make it the client's first choice in its currency; locks the client and the account.

    Raises ``Conflict``: ``account_not_usable`` before it is confirmed, ``unchanged`` where it is the default.
    """
    account = _locked(session, account.id)
    if account.status != BankAccountStatus.ACTIVE:
        raise Conflict("the account is not confirmed", code="account_not_usable", extra=_state(account))
    if account.is_default:
        raise Conflict("it is the default account already", code="unchanged")
    _only_default(session, account, now)
    _change(session, account, BankAccountStatus.ACTIVE, "client.bank_account_updated", now)
    audit.record(session, principal, "bank_account.make_default", "bank_account", account.id, now, ip=ip)


def _only_default(session: Session, account: ClientBankAccount, now: datetime) -> None:
    """One of a currency at most: the one before it is written first."""
    query = sa.select(ClientBankAccount).where(
        ClientBankAccount.client_id == account.client_id,
        ClientBankAccount.currency == account.currency,
        ClientBankAccount.status == BankAccountStatus.ACTIVE.value,
        ClientBankAccount.is_default,
        ClientBankAccount.id != account.id,
    )
    for other in session.scalars(query):
        other.is_default = False
        _change(session, other, BankAccountStatus.ACTIVE, "client.bank_account_updated", now)
    account.is_default = True


def require_usable(account: ClientBankAccount, now: datetime) -> None:
    """Raises ``Conflict`` (``account_not_usable``) unless it is confirmed and its waiting time has passed."""
    if account.status != BankAccountStatus.ACTIVE:
        raise Conflict("the account is not confirmed", code="account_not_usable", extra=_state(account))
    if account.usable_from is not None and account.usable_from > now:
        raise Conflict(
            f"the account is new and is paid to from {iso(account.usable_from)} on",
            code="account_not_usable",
            extra=_state(account),
        )


def _state(account: ClientBankAccount) -> dict[str, Any]:
    waits = {} if account.usable_from is None else {"usable_from": iso(account.usable_from)}
    return {"account_status": account.status, **waits}


class Confirmation:
    """The subject of approvals of accounts."""

    def content(self, session: Session, object_id: str) -> dict[str, Any]:
        return content(_locked(session, object_id))

    def carry_out(self, session: Session, approval: Approval, now: datetime) -> None:
        account = _locked(session, approval.object_id)
        if account.status != BankAccountStatus.PENDING:
            raise Conflict(f"the account is {account.status}", code="already_decided")
        if account.is_default or not self._has_default(session, account):
            _only_default(session, account, now)
        _change(session, account, BankAccountStatus.ACTIVE, "client.bank_account_confirmed", now)

    def turn_down(self, session: Session, approval: Approval, now: datetime) -> None:
        account = _locked(session, approval.object_id)
        if account.status == BankAccountStatus.PENDING:
            _change(session, account, BankAccountStatus.REJECTED, "client.bank_account_rejected", now)
            audit.record(
                session, SYSTEM, "bank_account.reject", "bank_account", account.id, now, reason=approval.reason
            )

    def _has_default(self, session: Session, account: ClientBankAccount) -> bool:
        query = sa.select(ClientBankAccount.id).where(
            ClientBankAccount.client_id == account.client_id,
            ClientBankAccount.currency == account.currency,
            ClientBankAccount.status == BankAccountStatus.ACTIVE.value,
            ClientBankAccount.is_default,
        )
        return session.scalar(query) is not None


def _locked(session: Session, account_id: str) -> ClientBankAccount:
    """Under the client's lock, which keeps two accounts from becoming the default at once."""
    client_id = sa.select(ClientBankAccount.client_id).where(ClientBankAccount.id == account_id).scalar_subquery()
    clients.lock(session, session.scalars(sa.select(Client).where(Client.id == client_id)).one())
    query = sa.select(ClientBankAccount).where(ClientBankAccount.id == account_id).with_for_update(key_share=True)
    return session.scalars(query.execution_options(populate_existing=True)).one()


def _change(session: Session, account: ClientBankAccount, status: BankAccountStatus, type_: str, now: datetime) -> None:
    account.status, account.version, account.updated_at = status.value, account.version + 1, now
    session.flush()
    _tell(session, account, type_, now)


def _tell(session: Session, account: ClientBankAccount, type_: str, now: datetime) -> None:
    events = Events(now)
    events.add(account.client_id, type_, "bank_account", account.id, show(account), version=account.version)
    events.flush(session)


def content(account: ClientBankAccount) -> dict[str, Any]:
    """What a second person confirms."""
    return {
        "client_id": account.client_id,
        "scheme": account.scheme,
        "number": account.number,
        "bank_code": account.bank_code,
        "bank_name": account.bank_name,
        "account_type": account.account_type,
        "currency": account.currency,
        "holder": account.holder,
        "country": account.country,
    }


def _masked(account: ClientBankAccount) -> dict[str, Any]:
    """For mails and the audit trail."""
    return {
        "bank_name": account.bank_name,
        "number": mask(account.number),
        "currency": account.currency,
        "holder": account.holder,
    }


def show(account: ClientBankAccount) -> dict[str, Any]:
    return {
        "id": account.id,
        **content(account),
        "is_default": account.is_default,
        "status": account.status,
        "usable_from": None if account.usable_from is None else iso(account.usable_from),
        "created_by": account.created_by,
        "version": account.version,
        "created_at": iso(account.created_at),
        "updated_at": iso(account.updated_at),
    }
