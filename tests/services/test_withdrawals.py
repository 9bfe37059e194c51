"""Withdrawals: what is held, who must agree, who pays, and that the money is somewhere at every moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal as D
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.clock import ManualClock
from app.core.errors import AppError, Conflict, Forbidden, Invalid
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Principal, Role
from app.core.transaction import Database
from app.domain.approvals import ApprovalKind
from app.domain.clients import AccountScheme
from app.domain.ledger import EntryKind, PostingLine, deposit_lines, refund_lines
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
from app.services import ledger
from app.services.approvals import Approvals, carry_out_waiting
from app.services.bank_accounts import BankAccounts, Confirmation, NewAccount, remove
from app.services.ledger import Journal
from app.services.reconcile import reconcile
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

    def change(self, **values: Any) -> None:
        """Of the client's row."""
        self.run(lambda session: session.execute(sa.update(Client.__table__).where(self.mine).values(values)))

    @property
    def mine(self) -> Any:
        return Client.__table__.c.id == self.client_id

    def account(self, session: Session) -> ClientBankAccount:
        return session.get_one(ClientBankAccount, self.account_id)

    def post(self, lines: list[PostingLine], about: tuple[str, str], kind: EntryKind = EntryKind.DEPOSIT) -> None:
        def work(session: Session) -> None:
            journal = Journal(session, self.firm.instruments.scales, self.now, "test")
            journal.add(kind, about, new_id(), lines)
            journal.flush()

        self.run(work)

    def fund(self, amount: str) -> None:
        self.post(deposit_lines(self.wallet_id, "USD", D(amount), "external:stripe"), ("deposit", new_id()))

    def owe(self, amount: str) -> None:
        """Something the house had to pay for the client."""
        lines = refund_lines(self.wallet_id, "USD", D(amount), "external:stripe", D(amount))
        self.post(lines, ("deposit", new_id()), EntryKind.REFUND)

    def dispute(self, amount: str) -> None:
        """A deposit of before, whose payer asks for it back."""

        def work(session: Session) -> None:
            session.add(
                Deposit(
                    id=new_id(),
                    client_id=self.client_id,
                    wallet_id=self.wallet_id,
                    amount=D(amount),
                    currency="USD",
                    method="card",
                    provider="stripe",
                    status="completed",
                    confirmed_amount=D(amount),
                    dispute_status="open",
                    details={},
                    requested_by="user:ana",
                    created_at=self.now,
                    updated_at=self.now,
                )
            )

        self.run(work)

    def reconciled(self) -> None:
        self.firm.settle()
        self.firm.reconciled()

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


def refused(code: str, kind: type[AppError] = Conflict) -> Any:
    return pytest.raises(kind, check=lambda error: error.code == code)


def test_the_whole_way_and_every_cent_of_it(house: House) -> None:
    withdrawal_id = house.ask("100")
    assert house.balances() == (D(900), D(100))
    house.reconciled()
    house.decide(withdrawal_id, house.cesar)
    house.step("start", withdrawal_id, house.olga)
    paid = house.step("complete", withdrawal_id, house.olga, "BCP-1", house.proof())
    assert (paid.status, paid.payer, paid.bank_reference) == ("completed", "user:olga", "BCP-1")
    assert (paid.fee, paid.tax) == (D("0.1"), D(0))
    assert house.balances() == (D(900), D(0))
    trial = house.firm.database.read(ledger.trial_balance)
    outside = [row["balance"] for row in trial if row["kind"] == "external" and row["currency"] == "USD"]
    fees = [row["balance"] for row in trial if row["kind"] == "fees"]
    assert (outside, fees) == ([D("-900.1")], [D("0.1")])
    house.reconciled()


def test_what_happened_is_told_and_recorded(house: House) -> None:
    withdrawal_id = house.paying()
    proof = house.proof()
    house.step("complete", withdrawal_id, house.olga, "BCP-1", proof)
    told = [row for row in house.firm.all(Event) if row["object_id"] == withdrawal_id]
    kinds = [row["type"] for row in sorted(told, key=lambda row: row["object_version"])]
    assert kinds == [f"withdrawal.{what}" for what in ("created", "approved", "processing", "completed")]
    assert {row["stream"] for row in told} == {house.client_id}
    assert [row["object_version"] for row in told] == [1, 2, 3, 4]
    recorded = [row["action"] for row in house.firm.all(AuditRecord) if row["object_id"] == withdrawal_id]
    assert recorded == ["withdrawal.request", "withdrawal.start", "withdrawal.complete"]
    asked = [row for row in house.firm.all(GateDecision) if row["about_id"] == withdrawal_id]
    assert [row["allowed"] for row in asked] == [True] * 3  # at the request, at the approval, at the payout
    (document,) = house.firm.all(ClientDocument)
    assert (document["about_type"], document["about_id"]) == ("withdrawal", withdrawal_id)
    mails = {row["template"]: row for row in house.firm.all(Mail)}
    assert mails["withdrawal_completed"]["sender"] == "confirmations"
    assert mails["withdrawal_completed"]["data"]["number"].endswith("4221")
    assert CCI not in str(mails)


@pytest.mark.parametrize("verb", ["cancel", "reject", "fail", "turned down", "expired"])
def test_what_is_not_paid_is_given_back_once(house: House, verb: str) -> None:
    if verb == "cancel":
        withdrawal_id = house.ask()
        house.step("cancel", withdrawal_id, house.ana, "changed my mind")
    elif verb == "reject":
        withdrawal_id = house.approved()
        house.step("reject", withdrawal_id, house.olga, "the bank knows no such holder")
    elif verb == "fail":
        withdrawal_id = house.paying()
        house.step("fail", withdrawal_id, house.olga, "returned by the bank")
    elif verb == "turned down":
        withdrawal_id = house.ask()
        house.decide(withdrawal_id, house.cesar, False, "the holder is somebody else")
    else:
        withdrawal_id = house.ask()
        house.firm.clock.advance(3 * 24 * 3600)
        house.run(lambda session: house.approvals.expire(session, house.now))
    status = {"cancel": "canceled", "fail": "failed"}.get(verb, "rejected")
    found = house.get(withdrawal_id)
    assert (found.status, bool(found.reason)) == (status, True)
    assert house.balances() == (D(1000), D(0))
    house.reconciled()
    for again in (("cancel", house.ana, "x"), ("fail", house.oscar, "x"), ("start", house.oscar)):
        with refused("wrong_status"):
            house.step(again[0], withdrawal_id, again[1], *again[2:])
    assert house.balances() == (D(1000), D(0))
    (proposal,) = [row for row in house.firm.all(Approval) if row["object_id"] == withdrawal_id]
    assert proposal["status"] not in ("pending", "approved")


def test_nobody_pays_what_they_asked_for_or_agreed_to(house: House) -> None:
    asked = house.ask(who=house.olga)
    with pytest.raises(Forbidden, match="what they proposed"):
        house.decide(asked, Principal("user", "olga", "olga", role=Role.MASTER))
    house.decide(asked, house.cesar)
    for who in (house.olga, person("cesar", Role.OPERATOR)):  # who was in Middle Office yesterday
        with refused("payer_not_independent", Forbidden):
            house.step("start", asked, who)
    house.step("start", asked, house.oscar)
    for verb, arguments in (("complete", ("B-1", house.proof())), ("fail", ("no",))):
        with refused("payer_not_independent", Forbidden):
            house.step(verb, asked, house.olga, *arguments)


def test_above_ten_thousand_two_people_agree_and_each_once(house: House) -> None:
    house.fund("20000")
    withdrawal_id = house.ask("10000")
    house.decide(withdrawal_id, house.cesar)
    assert house.get(withdrawal_id).status == "pending_review"
    with refused("already_voted"):
        house.decide(withdrawal_id, house.cesar)
    house.decide(withdrawal_id, house.marta)
    assert house.get(withdrawal_id).status == "approved"


def test_what_has_no_price_takes_the_strictest_tier(house: House) -> None:
    account_id = house.add_account(OTHER_CCI, "PEN")
    house.decide(account_id, house.cesar)
    house.firm.clock.advance(24 * 3600)
    preview = house.preview("10", bank_account_id=account_id, currency="PEN")
    assert (preview["amount_usd"], preview["approvals_required"]) == (None, 2)
    house.firm.quote("USD/PEN", "3.7", "3.8")
    preview = house.preview("375", bank_account_id=account_id, currency="PEN")
    assert (preview["amount_usd"], preview["approvals_required"]) == ("100", 1)


def test_a_preview_says_what_arrives_and_when_and_stores_nothing(house: House) -> None:
    before = len(house.firm.all(GateDecision))
    shown = house.preview("1000")
    assert (shown["fee"], shown["tax"], shown["arrives"]) == ("1", "0.05", "998.95")
    assert (shown["arrives_on"], shown["allowed"], shown["missing"]) == ("2026-01-07", True, [])  # Tuesday, and a day
    assert house.firm.all(Withdrawal) == [] and len(house.firm.all(GateDecision)) == before
    assert house.balances() == (D(1000), D(0))


def test_a_preview_names_all_that_is_missing(house: House) -> None:
    new = house.add_account(OTHER_CCI)
    house.change(kyc_status="expired")
    missing = house.preview("1000.01", bank_account_id=new)["missing"]
    assert [item["code"] for item in missing] == ["account_not_usable", "insufficient_funds", "kyc_expired"]
    assert missing[1]["values"]["withdrawable"] == "1000"
    with refused("account_not_usable"):
        house.ask("1000.01", bank_account_id=new)
    with refused("gate_closed"):
        house.ask("1000.01")
    house.change(kyc_status="approved")
    with refused("insufficient_funds"):
        house.ask("1000.01")
    assert house.balances() == (D(1000), D(0)) and house.firm.all(Withdrawal) == []


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"amount": "0.001"}, "precision"),
        ({"currency": "PEN"}, "currency_mismatch"),
        ({"bank_account_id": new_id()}, "unknown_account"),
        ({"email": "nobody"}, "invalid_email"),
    ],
)
def test_what_makes_no_sense_is_refused(house: House, wanted: dict[str, Any], code: str) -> None:
    with refused(code, Invalid):
        house.ask(**wanted)
    with refused(code, Invalid):
        house.preview(**wanted)


def test_what_fee_and_tax_eat_is_refused(house: House) -> None:
    house.withdrawals.terms = Terms(D(1), D(0), 1)
    with refused("amount_out_of_range", Invalid):
        house.ask("5")


def test_the_account_of_another_client_does_not_exist(house: House) -> None:
    other, _ = house.firm.client("C-2", USD="1000")
    with refused("unknown_account", Invalid):
        house.run(
            lambda session: house.withdrawals.request(
                session, session.get_one(Client, other), house.wanted(), SYSTEM, house.now
            )
        )


def test_what_a_crash_left_approved_is_carried_out_by_the_next_start(house: House) -> None:
    withdrawal_id = house.ask()

    def agree(session: Session) -> None:
        approval = session.scalars(sa.select(Approval).where(Approval.object_id == withdrawal_id)).one()
        house.approvals.decide(session, approval.id, True, None, house.cesar, house.now)

    house.run(agree)  # and the process is gone
    assert house.get(withdrawal_id).status == "pending_review"
    carry_out_waiting(house.firm.database, house.approvals, house.now)
    assert house.get(withdrawal_id).status == "approved"


def test_an_approval_is_bound_to_the_exact_content(house: House) -> None:
    withdrawal_id = house.ask()
    table = Withdrawal.__table__
    house.run(lambda session: session.execute(sa.update(table).values(concept="something else")))
    approval = house.decide(withdrawal_id, house.cesar)
    assert house.run(lambda session: session.get_one(Approval, approval.id).status) == "failed"
    assert house.get(withdrawal_id).status == "rejected"
    assert house.balances() == (D(1000), D(0))


def test_the_gate_is_asked_again_at_the_approval_and_at_the_payout(house: House) -> None:
    first, second = house.approved(), house.ask()
    house.change(blocked_reason="court order", active=False)
    house.decide(second, house.cesar)
    assert house.get(second).status == "rejected"
    with refused("gate_closed"):
        house.step("start", first, house.olga)
    assert house.get(first).status == "approved"
    assert house.balances() == (D(900), D(100))


def test_the_limits_of_a_level_count_what_is_open_and_not_itself(house: House) -> None:
    house.fund("20000")
    house.change(kyc_level=1)  # 10,000 each, 20,000 a day
    first = house.ask("10000")
    with refused("gate_closed"):
        house.ask("10000.01")
    house.ask("10000")
    with refused("gate_closed"):
        house.ask("0.01")
    for who in (house.cesar, house.marta):
        house.decide(first, who)
    assert house.get(first).status == "approved"


def test_an_account_that_is_removed_or_in_use(house: House) -> None:
    withdrawal_id = house.ask()
    with refused("account_in_use"):
        house.run(lambda session: remove(session, house.account(session), house.ana, house.now))
    house.step("cancel", withdrawal_id, house.ana, None)
    house.run(lambda session: remove(session, house.account(session), house.ana, house.now))
    with refused("account_not_usable"):
        house.ask()


def test_a_bank_reference_pays_once(house: House) -> None:
    first, second = house.paying(), house.paying()
    house.step("complete", first, house.olga, "BCP-1", house.proof())
    with refused("reference_taken"):
        house.step("complete", second, house.olga, "BCP-1", house.proof())
    with refused("wrong_status"):
        house.step("complete", first, house.olga, "BCP-2", house.proof())
    assert house.balances() == (D(800), D(100))


def test_a_proof_is_a_proof_of_this_client_for_this_payment(house: House) -> None:
    first, second = house.paying(), house.paying()
    other, _ = house.firm.client("C-2", USD="1")
    for proof in (house.proof("id_front"), house.proof(client_id=other), new_id()):
        with refused("unknown_document", Invalid):
            house.step("complete", first, house.olga, "BCP-1", proof)
    proof = house.proof()
    house.step("complete", first, house.olga, "BCP-1", proof)
    with refused("unknown_document", Invalid):
        house.step("complete", second, house.olga, "BCP-2", proof)


def test_the_proof_may_have_been_uploaded_before(house: House) -> None:
    first = house.paying()
    with refused("required", Invalid):
        house.step("complete", first, house.olga, "BCP-1", None)
    proof = house.proof()
    about = {"about_type": "withdrawal", "about_id": first}
    table = ClientDocument.__table__
    house.run(lambda session: session.execute(sa.update(table).where(table.c.id == proof).values(about)))
    house.step("complete", first, house.olga, "BCP-1", None)
    assert house.get(first).status == "completed"


def test_the_first_choice_of_the_currency_is_paid_to_where_none_is_named(house: House) -> None:
    house.decide(house.add_account(OTHER_CCI), house.cesar)
    assert house.get(house.ask(bank_account_id=None)).bank_account_id == house.account_id
    with refused("unknown_account", Invalid):
        house.ask(bank_account_id=None, currency="PEN")


def test_what_is_owed_disputed_or_play_money_stays(house: House) -> None:
    def parts() -> Any:
        return house.firm.database.read(
            lambda session: house.withdrawals.balance.of_wallet(session, house.wallet_id, "USD")
        )

    assert parts().withdrawable == D(1000)
    house.withdrawals.balance.keeps_play_money = True
    assert (parts().play_money, parts().withdrawable) == (D(1000), D(0))
    house.fund("300")
    assert parts().withdrawable == D(300)
    house.dispute("120")
    assert (parts().disputed, parts().withdrawable) == (D(120), D(180))
    house.owe("50")
    assert (parts().owed, parts().withdrawable) == (D(50), D(130))
    withdrawal_id = house.ask("130")
    assert (parts().held_by_withdrawals, parts().held_by_orders, parts().withdrawable) == (D(130), D(0), D(0))
    with refused("insufficient_funds"):
        house.ask("0.05")
    house.dispute("1")  # what is kept back grows into what is held
    house.decide(withdrawal_id, house.cesar)
    assert house.get(withdrawal_id).status == "rejected"


def test_money_taken_out_is_no_loss(house: House) -> None:
    def mark(session: Session) -> None:
        wallet = session.get_one(Wallet, house.wallet_id)
        wallet.day_start_equity_usd, wallet.peak_equity_usd = D(1000), D(1200)

    house.run(mark)
    house.step("complete", house.paying("400"), house.olga, "BCP-1", house.proof())
    wallet = house.run(lambda session: session.get_one(Wallet, house.wallet_id))
    assert (wallet.day_start_equity_usd, wallet.peak_equity_usd) == (D(600), D(800))


def test_a_sandbox_may_do_without_a_second_person(database: Database, clock: ManualClock) -> None:
    house = open_house(database, clock, auto_approve=True)
    withdrawal_id = house.ask()
    assert house.get(withdrawal_id).status == "approved"
    assert house.preview()["approvals_required"] == 0
    assert "withdrawal.auto_approve" in [row["action"] for row in house.firm.all(AuditRecord)]
    house.reconciled()
    house.firm.engine.lease.release()


def together(*works: Any) -> list[str]:
    """All of it from as many threads at once; what each came to."""
    start = threading.Barrier(len(works))

    def one(work: Any) -> str:
        start.wait()
        try:
            work()
        except AppError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(one, works))


def test_many_clicks_on_a_step_do_it_once(house: House) -> None:
    withdrawal_id = house.paying()
    proof = house.proof()
    answers = together(*[lambda: house.step("complete", withdrawal_id, house.olga, "BCP-1", proof)] * 50)
    assert answers.count("done") == 1 and set(answers) == {"done", "wrong_status"}
    assert house.balances() == (D(900), D(0))
    house.reconciled()


def test_many_requests_at_once_never_take_more_than_there_is(house: House) -> None:
    answers = together(*[lambda: house.ask("300")] * 50)
    assert answers.count("done") == 3 and set(answers) == {"done", "insufficient_funds"}
    assert house.balances() == (D(100), D(900))
    house.reconciled()


def test_cancel_against_approve_ends_in_one_of_the_two(house: House) -> None:
    for _ in range(5):
        withdrawal_id = house.ask("10")
        cancel = partial(house.step, "cancel", withdrawal_id, house.ana, None)
        together(*[cancel, partial(house.decide, withdrawal_id, house.cesar)] * 3)
        assert house.get(withdrawal_id).status in ("canceled", "approved")
        house.reconciled()


@pytest.mark.parametrize(
    ("code", "values"),
    [
        ("HOLD_MISMATCH", {"status": "completed"}),
        ("WITHDRAWAL_ENTRIES_MISMATCH", {"status": "completed"}),
        ("HOLD_MISMATCH", {"amount": D(99)}),
        ("PAYER_NOT_INDEPENDENT", {"payer": "user:cesar"}),
    ],
)
def test_reconciliation_finds_what_somebody_changed(house: House, code: str, values: dict[str, Any]) -> None:
    house.approved()
    house.run(lambda session: session.execute(sa.update(Withdrawal.__table__).values(values)))
    report = house.firm.database.read(lambda session: reconcile(session, house.firm.instruments))
    assert code in {item["code"] for item in report["breaks"]}


def test_the_database_itself_refuses_a_payer_who_asked(house: House) -> None:
    house.ask(who=house.olga)
    with pytest.raises(IntegrityError):
        house.run(lambda session: session.execute(sa.update(Withdrawal.__table__).values(payer="user:olga")))
