"""Withdrawals: what is held, who must agree, who pays, and that the money is somewhere at every moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal as D
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import ManualClock
from app.core.errors import AppError, Conflict, Forbidden, Invalid
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Principal, Role
from app.core.transaction import Database
from app.domain.approvals import ApprovalKind
from app.domain.clients import AccountScheme
from app.domain.withdrawals import Terms, WithdrawalRequest
from app.models import (
    Approval,
    AuditRecord,
    Client,
    ClientBankAccount,
    ClientDocument,
    Deposit,
    Event,
    GateDecision,
    Mail,
    Wallet,
    Withdrawal,
)
from app.services import approvals, ledger
from app.services.approvals import Approvals
from app.services.bank_accounts import BankAccounts, Confirmation, NewAccount, remove
from app.services.withdrawable import WithdrawableBalance
from app.services.withdrawals import Review, Withdrawals
from tests.firm import Firm

CCI, OTHER_CCI = "01136600010003254221", "01124100019000658270"  # published ones of a bank
TERMS = Terms(D("0.001"), D("0.00005"), 1)


def person(name: str, role: Role, client_id: str | None = None) -> Principal:
    return Principal("user", name, name, role=role, client_id=client_id)


@dataclass
class House:
    """A firm with one verified client, an account of theirs that may be paid to, and the firm's people."""

    firm: Firm
    client_id: str
    wallet_id: str
    withdrawals: Withdrawals
    accounts: BankAccounts = field(default_factory=lambda: BankAccounts(timedelta(hours=24)))
    account_id: str = ""

    def __post_init__(self) -> None:
        self.ana = person("ana", Role.CLIENT, self.client_id)
        self.olga, self.oscar = person("olga", Role.OPERATOR), person("oscar", Role.OPERATOR)
        self.marta, self.cesar = person("marta", Role.MASTER), person("cesar", Role.MIDDLE_OFFICE)
        self.approvals = Approvals(
            {ApprovalKind.BANK_ACCOUNT: Confirmation(), ApprovalKind.WITHDRAWAL: Review(self.withdrawals)}
        )

    @property
    def now(self) -> Any:
        return self.firm.clock.now()

    def run(self, work: Any) -> Any:
        return self.firm.database.run(work)

    def client(self, session: Session) -> Client:
        return session.get_one(Client, self.client_id)

    def add_account(self, number: str = CCI, currency: str = "USD") -> str:
        given = NewAccount(AccountScheme.CCI, number, "BCP", "savings", currency)
        return self.run(lambda session: self.accounts.add(session, self.client(session), given, self.ana, self.now).id)

    def decide(self, object_id: str, who: Principal, yes: bool = True, reason: str | None = None) -> Approval:
        def vote(session: Session) -> Approval:
            query = sa.select(Approval).where(Approval.object_id == object_id).order_by(Approval.id.desc()).limit(1)
            approval = session.scalars(query).one()
            return self.approvals.decide(session, approval.id, yes, reason, who, self.now)

        approval: Approval = self.run(vote)
        self.run(lambda session: self.approvals.carry_out(session, approval.id, self.now))
        return approval

    def ask(self, amount: str = "100", who: Principal | None = None, **more: Any) -> str:
        wanted = self.wanted(amount, **more)
        return self.run(
            lambda session: (
                self.withdrawals.request(session, self.client(session), wanted, who or self.ana, self.now).id
            )
        )

    def wanted(self, amount: str = "100", **more: Any) -> WithdrawalRequest:
        values = {"bank_account_id": self.account_id, "currency": "USD", **more}
        return WithdrawalRequest(amount=D(amount), **values)

    def preview(self, amount: str = "100", **more: Any) -> dict[str, Any]:
        return self.firm.database.read(
            lambda session: self.withdrawals.preview(
                session, self.client(session), self.wanted(amount, **more), self.now
            )
        )

    def get(self, withdrawal_id: str) -> Withdrawal:
        return self.firm.database.read(lambda session: session.get_one(Withdrawal, withdrawal_id))

    def step(self, verb: str, withdrawal_id: str, who: Principal, *arguments: Any) -> Withdrawal:
        def work(session: Session) -> Withdrawal:
            found = session.get_one(Withdrawal, withdrawal_id)
            return getattr(self.withdrawals, verb)(session, found, *arguments, who, self.now)

        return self.run(work)

    def proof(self, kind: str = "payment_proof", client_id: str | None = None) -> str:
        def work(session: Session) -> str:
            document = ClientDocument(
                id=new_id(),
                client_id=client_id or self.client_id,
                kind=kind,
                filename="proof.pdf",
                content_type="application/pdf",
                size_bytes=10,
                sha256="0" * 64,
                storage_key=new_id(),
                uploaded_by="user:olga",
                created_at=self.now,
            )
            session.add(document)
            return document.id

        return self.run(work)

    def balances(self) -> tuple[D, D]:
        return self.firm.balance(self.wallet_id, "USD"), self.firm.balance(self.wallet_id, "USD", "held")

    def approved(self, amount: str = "100") -> str:
        withdrawal_id = self.ask(amount)
        self.decide(withdrawal_id, self.cesar)
        assert self.get(withdrawal_id).status == "approved"
        return withdrawal_id

    def paying(self, amount: str = "100") -> str:
        withdrawal_id = self.approved(amount)
        self.step("start", withdrawal_id, self.olga)
        return withdrawal_id


def open_house(database: Database, clock: ManualClock, **options: Any) -> House:
    firm = Firm(database, clock).start()
    client_id, wallet_id = firm.client("C-1", USD="1000", PEN="500")

    def verify(session: Session) -> None:
        client = session.get_one(Client, client_id)
        client.kyc_status, client.kyc_level, client.email = "approved", 2, "ana@example.com"

    database.run(verify)
    balance = WithdrawableBalance(keeps_play_money=options.pop("keeps_play_money", False))
    house = House(firm, client_id, wallet_id, Withdrawals(firm.quotes, TERMS, balance, **options))
    house.account_id = house.add_account()
    house.decide(house.account_id, house.cesar)
    clock.advance(24 * 3600)
    return house


@pytest.fixture
def house(database: Database, clock: ManualClock) -> Iterator[House]:
    house = open_house(database, clock)
    yield house
    house.firm.engine.lease.release()


def test_the_whole_way_and_every_cent_of_it(house: House) -> None:
    withdrawal_id = house.ask("100")
    assert house.balances() == (D(900), D(100))
    house.decide(withdrawal_id, house.cesar)
    house.step("start", withdrawal_id, house.olga)
    paid = house.step("complete", withdrawal_id, house.olga, "BCP-1", house.proof())
    assert (paid.status, paid.payer, paid.bank_reference) == ("completed", "user:olga", "BCP-1")
    assert (paid.fee, paid.tax) == (D("0.1"), D(0))
    assert house.balances() == (D(900), D(0))
    trial = house.firm.database.read(
        lambda session: __import__("app.services.ledger").services.ledger.trial_balance(session)
    )
    outside = [row["balance"] for row in trial if row["kind"] == "external" and row["currency"] == "USD"]
    fees = [row["balance"] for row in trial if row["kind"] == "fees"]
    assert (outside, fees) == ([D("-900.1")], [D("0.1")])
    house.firm.settle()
    house.firm.reconciled()
