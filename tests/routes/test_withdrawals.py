"""Bank accounts and withdrawals over JSON and on their pages: by whom, in which order, and what is answered."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.config import ProductionConfig
from app.core.ids import new_id
from app.core.permissions import Principal, Role
from app.core.settings import BadSetting
from app.models import Approval, Client, ClientDocument, Mail
from app.services import ledger
from tests.conftest import PRODUCTION

from .conftest import Firm

CCI, OTHER_CCI = "01136600010003254221", "01124100019000658270"
ACCOUNTS = "/api/v1/clients/C-1/bank-accounts"
ACCOUNT = {"scheme": "cci", "number": CCI, "bank_name": "BBVA", "account_type": "savings", "currency": "USD"}


def agree(firm: Firm, object_id: str, approve: bool = True, who: str = "middle_office") -> None:
    """What a second person says about the newest proposal about it, and what follows from that."""
    approvals = firm.app.extensions["services"].approvals
    checker = Principal("user", firm.ids[who], who, role=Role(who))

    def vote(session: Session) -> str:
        query = sa.select(Approval).where(Approval.object_id == object_id).order_by(Approval.id.desc()).limit(1)
        approval = session.scalars(query).one()
        return approvals.decide(session, approval.id, approve, "looked at", checker, firm.clock.now()).id

    approval_id = firm.run(vote)
    firm.run(lambda session: approvals.carry_out(session, approval_id, firm.clock.now()))


def verify(session: Session, client_id: str) -> None:
    client = session.get_one(Client, client_id)
    client.kyc_status, client.kyc_level, client.email = "approved", 2, "ana@example.com"


@pytest.fixture
def firm(open_app: Callable[..., Firm]) -> Firm:
    """Ana is verified, and has an account that may be paid to."""
    firm = open_app(withdrawal_cool_down_hours=0)
    firm.run(partial(verify, client_id=firm.ids["ana"]))
    firm.ids["account"] = firm.call("client", "POST", ACCOUNTS, json=ACCOUNT).get_json()["id"]
    agree(firm, firm.ids["account"])
    return firm


def ask(firm: Firm, who: str = "key:funding", headers: Any = None, **fields: Any) -> Any:
    wanted = {"amount": "100", "currency": "USD", **fields}
    return firm.call(who, "POST", "/api/v1/withdrawals", json=wanted, headers=headers or {})


def step(firm: Firm, verb: str, withdrawal_id: str, who: str = "operator", **fields: Any) -> Any:
    headers = fields.pop("headers", {})
    return firm.call(who, "POST", f"/api/v1/withdrawals/{withdrawal_id}/{verb}", json=fields, headers=headers)


def proof(firm: Firm) -> str:
    def work(session: Session) -> str:
        document = ClientDocument(
            id=new_id(),
            client_id=firm.ids["ana"],
            kind="payment_proof",
            filename="proof.pdf",
            content_type="application/pdf",
            size_bytes=10,
            sha256="0" * 64,
            storage_key=new_id(),
            uploaded_by="user:operator",
            created_at=firm.clock.now(),
        )
        session.add(document)
        return document.id

    return firm.run(work)


def usd(firm: Firm) -> tuple[str, str]:
    balances = firm.run(lambda session: ledger.balances(session, firm.ids["ana:wallet"]))["USD"]
    return str(balances["available"]), str(balances["held"])


def test_an_account_is_announced_confirmed_and_waits(open_app: Callable[..., Firm]) -> None:
    firm = open_app()
    firm.run(partial(verify, client_id=firm.ids["ana"]))
    spaced = {**ACCOUNT, "number": "011-366-000100032542-21"}
    made = firm.call("client", "POST", ACCOUNTS, json=spaced)
    account = made.get_json()
    assert (made.status_code, made.headers["ETag"]) == (201, '"v1"')
    assert (account["number"], account["bank_code"], account["country"]) == (CCI, "011", "PE")
    assert (account["status"], account["holder"], account["is_default"]) == ("pending", "Ana Quispe", False)
    assert account["usable_from"] == "2026-01-06T14:30:00.000000Z"
    mail = firm.run(lambda session: session.scalars(sa.select(Mail)).one())
    assert (mail.template, mail.recipient) == ("bank_account_added", "ana@example.com")
    assert mail.data["number"].endswith("4221") and CCI not in str(mail.data)
    refused = ask(firm, bank_account_id=account["id"]).get_json()
    assert (refused["code"], refused["account_status"]) == ("account_not_usable", "pending")
    agree(firm, account["id"])
    shown = firm.call("operator", "GET", f"/api/v1/bank-accounts/{account['id']}").get_json()
    assert (shown["status"], shown["is_default"]) == ("active", True)  # the first of its currency
    refused = ask(firm, bank_account_id=account["id"]).get_json()
    assert (refused["code"], refused["usable_from"]) == ("account_not_usable", account["usable_from"])
    firm.clock.advance(24 * 3600)
    assert ask(firm, bank_account_id=account["id"]).status_code == 201


@pytest.mark.parametrize(
    ("given", "field", "code"),
    [
        ({"number": "01136600010003254222"}, "number", "account_check_digit"),
        ({"number": "0113660001000325422"}, "number", "account_format"),
        ({"scheme": "clabe", "number": "002010077777777770"}, "number", "account_check_digit"),
        ({"scheme": "iban", "number": "GB82WEST12345698765433"}, "number", "account_check_digit"),
        ({"currency": "BTC"}, "currency", "unknown_currency"),
        ({"currency": "usd"}, "currency", "invalid_characters"),
        ({"account_type": "gold"}, "account_type", "invalid_choice"),
        ({"bank_name": "BB\r\nVA"}, "bank_name", "invalid_characters"),
        ({"holder": "\u202eana"}, "holder", "invalid_characters"),
        ({"status": "active"}, "status", "unknown_field"),
    ],
)
def test_what_cannot_be_an_account_is_refused_at_its_field(
    firm: Firm, given: dict[str, Any], field: str, code: str
) -> None:
    answer = firm.call("client", "POST", ACCOUNTS, json={**ACCOUNT, "number": OTHER_CCI, **given})
    error = answer.get_json()["errors"][0]
    assert (answer.status_code, error["field"], error["code"]) == (422, field, code)
    assert len(firm.call("client", "GET", ACCOUNTS).get_json()["items"]) == 1


def test_an_account_is_had_once_and_again_after_it_was_removed(firm: Firm) -> None:
    again = firm.call("operator", "POST", ACCOUNTS, json={**ACCOUNT, "number": "011 366 000100032542 21"})
    assert (again.status_code, again.get_json()["code"]) == (409, "account_known")
    path = f"/api/v1/bank-accounts/{firm.ids['account']}"
    assert firm.call("client", "DELETE", path).get_json()["status"] == "removed"
    assert firm.call("client", "DELETE", path).get_json()["code"] == "unchanged"
    assert firm.call("client", "GET", ACCOUNTS).get_json()["items"] == []
    assert firm.call("operator", "POST", ACCOUNTS, json=ACCOUNT).status_code == 201


def test_one_account_of_a_currency_is_the_first_choice(firm: Firm) -> None:
    other = firm.call("client", "POST", ACCOUNTS, json={**ACCOUNT, "number": OTHER_CCI}).get_json()["id"]
    path = f"/api/v1/bank-accounts/{other}/make-default"
    assert firm.call("client", "POST", path, json={}).get_json()["code"] == "account_not_usable"
    agree(firm, other)
    assert firm.call("client", "POST", path, json={}).get_json()["is_default"] is True
    assert firm.call("client", "POST", path, json={}).get_json()["code"] == "unchanged"
    shown = firm.call("client", "GET", ACCOUNTS).get_json()["items"]
    assert [(item["id"], item["is_default"]) for item in shown] == [(other, True), (firm.ids["account"], False)]


def test_a_rejected_account_is_not_paid_to(firm: Firm) -> None:
    other = firm.call("client", "POST", ACCOUNTS, json={**ACCOUNT, "number": OTHER_CCI}).get_json()["id"]
    agree(firm, other, approve=False)
    assert firm.call("client", "GET", f"/api/v1/bank-accounts/{other}").get_json()["status"] == "rejected"
    assert ask(firm, bank_account_id=other).get_json()["code"] == "account_not_usable"


def test_from_the_preview_to_the_payout(firm: Firm) -> None:
    wanted = {"amount": "1000", "currency": "USD", "bankAccountId": firm.ids["account"]}
    preview = firm.call("client", "POST", "/api/v1/withdrawals/preview", json=wanted).get_json()
    assert (preview["fee"], preview["tax"], preview["arrives"]) == ("1", "0.05", "998.95")
    assert (preview["allowed"], preview["approvals_required"], preview["withdrawable"]) == (True, 1, "50000")
    dry = ask(firm, "client", **{**wanted, "dry_run": True})
    assert (dry.status_code, dry.get_json()) == (200, preview)
    assert usd(firm) == ("50000", "0")
    made = ask(firm, "client", metadata={"invoice": 7}, phone="+51 1 6121000", **wanted)
    withdrawal = made.get_json()
    assert (made.status_code, withdrawal["status"], withdrawal["metadata"]) == (201, "pending_review", {"invoice": 7})
    assert usd(firm) == ("49000", "1000")
    agree(firm, withdrawal["id"])
    started = step(firm, "start", withdrawal["id"])
    assert (started.get_json()["status"], started.headers["ETag"]) == ("processing", '"v3"')
    paid = step(firm, "complete", withdrawal["id"], bank_reference="BBVA-77", proof_id=proof(firm)).get_json()
    assert (paid["status"], paid["bank_reference"]) == ("completed", "BBVA-77")
    assert paid["payer"] == f"user:{firm.ids['operator']}" and paid["completed_at"] is not None
    assert usd(firm) == ("49000", "0")
    listed = firm.call("master", "GET", "/api/v1/withdrawals?status=completed&client_id=C-1").get_json()
    assert (listed["total"], listed["items"]) == (1, [paid])
    assert firm.call("master", "GET", "/api/v1/withdrawals?status=failed").get_json()["total"] == 0


def test_the_parts_of_what_may_be_withdrawn(firm: Firm) -> None:
    ask(firm, amount="100")
    firm.order("client", symbol="XAU/USD", side="BUY", type="LIMIT", qty="1", price="1900")
    (parts,) = firm.call("client", "GET", "/api/v1/funding/withdrawable").get_json()["items"]
    assert (parts["currency"], parts["held_by_withdrawals"]) == ("USD", "100")  # no USDT: no bank knows it
    assert float(parts["held_by_orders"]) > 1900
    assert parts["withdrawable"] == parts["available"]
    assert firm.call("operator", "GET", "/api/v1/funding/withdrawable").status_code == 422
    assert firm.call("operator", "GET", "/api/v1/funding/withdrawable?client_id=C-1").get_json()["items"] == [parts]
    assert firm.call("client", "GET", "/api/v1/funding/withdrawable?client_id=C-2").status_code == 404


def test_asked_again_under_the_same_key_it_is_one(firm: Firm) -> None:
    headers = {"Idempotency-Key": "w-1"}
    first, second = (ask(firm, headers=headers) for _ in range(2))
    assert first.get_json() == second.get_json() and second.headers["Idempotency-Replayed"] == "true"
    assert ask(firm, headers=headers, amount="101").get_json()["code"] == "idempotency_key_reused"
    assert usd(firm) == ("49900", "100")


def test_who_looked_at_another_version_is_told(firm: Firm) -> None:
    withdrawal_id = ask(firm).get_json()["id"]
    stale = step(firm, "cancel", withdrawal_id, "client", headers={"If-Match": '"v9"'})
    assert (stale.status_code, stale.get_json()["current_version"]) == (412, 1)
    assert step(firm, "cancel", withdrawal_id, "client", headers={"If-Match": '"v1"'}).status_code == 200
    assert step(firm, "cancel", withdrawal_id, "client").get_json()["code"] == "wrong_status"
    assert usd(firm) == ("50000", "0")


def test_what_is_anothers_does_not_exist(firm: Firm) -> None:
    withdrawal_id = ask(firm).get_json()["id"]
    theirs = firm.call("key:other", "GET", f"/api/v1/withdrawals/{withdrawal_id}")
    nobodys = firm.call("key:other", "GET", f"/api/v1/withdrawals/{new_id()}")
    assert (theirs.status_code, theirs.get_json()["detail"]) == (404, nobodys.get_json()["detail"])
    for path in (f"/api/v1/bank-accounts/{firm.ids['account']}", ACCOUNTS):
        assert firm.call("key:other", "GET", path).status_code == 404
    assert firm.call("key:other", "GET", "/api/v1/withdrawals").get_json()["total"] == 0
    assert ask(firm, client_id="C-2").status_code == 404
    assert ask(firm, wallet_id=firm.ids["luis:wallet"]).status_code == 404
    assert ask(firm, "operator").get_json()["errors"][0]["field"] == "client_id"
    assert ask(firm, "operator", client_id="C-1").status_code == 201


def test_staff_pay_only_in_a_browser_and_only_what_others_asked_for(firm: Firm) -> None:
    withdrawal_id = ask(firm, "operator", client_id="C-1").get_json()["id"]
    agree(firm, withdrawal_id)
    refused = step(firm, "start", withdrawal_id)
    assert (refused.status_code, refused.get_json()["code"]) == (403, "payer_not_independent")
    assert step(firm, "start", withdrawal_id, "master").status_code == 403
    assert step(firm, "start", withdrawal_id, "key:funding").status_code == 403
    assert step(firm, "reject", withdrawal_id, reason="somebody else must pay it").status_code == 200
    assert usd(firm) == ("50000", "0")


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"amount": "NaN"}, "amount", "invalid_amount"),
        ({"amount": "0"}, "amount", "amount_out_of_range"),
        ({"amount": "-5"}, "amount", "amount_out_of_range"),
        ({"amount": "1.001"}, "amount", "precision"),
        ({"amount": True}, "amount", "invalid_amount"),
        ({"currency": "PEN"}, "bank_account_id", "unknown_account"),
        ({"concept": "rent\r\nBcc: x"}, "concept", "invalid_characters"),
        ({"phone": "call me"}, "phone", "invalid_characters"),
        ({"email": "a@b"}, "email", "invalid_email"),
        ({"metadata": {"x": "y" * 3000}}, "metadata", "too_many"),
        ({"status": "completed"}, "status", "unknown_field"),
        ({"fee": "0"}, "fee", "unknown_field"),
    ],
)
def test_bad_input_is_refused_at_its_field(firm: Firm, fields: dict[str, Any], field: str, code: str) -> None:
    answer = ask(firm, **fields)
    error = answer.get_json()["errors"][0]
    assert (answer.status_code, error["field"], error["code"]) == (422, field, code)
    assert usd(firm) == ("50000", "0")


def test_a_refusal_carries_the_values_that_decided_it(firm: Firm) -> None:
    too_much = ask(firm, amount="50000.01").get_json()
    assert (too_much["code"], too_much["withdrawable"]) == ("insufficient_funds", "50000")
    firm.run(lambda session: setattr(session.get_one(Client, firm.ids["ana"]), "kyc_status", "rejected"))
    closed = ask(firm).get_json()
    assert (closed["status"], closed["code"], closed["reasons"][0]["code"]) == (409, "gate_closed", "kyc_rejected")
    missing = ask(firm, amount="50000.01", dry_run=True).get_json()
    assert [item["code"] for item in missing["missing"]] == ["insufficient_funds", "kyc_rejected"]
    assert not missing["allowed"]


def test_nobody_is_asked_in_a_sandbox_that_says_so(open_app: Callable[..., Firm]) -> None:
    firm = open_app(withdrawal_cool_down_hours=0, auto_approve_withdrawals=True)
    firm.run(partial(verify, client_id=firm.ids["ana"]))
    agree(firm, firm.call("client", "POST", ACCOUNTS, json=ACCOUNT).get_json()["id"])
    assert ask(firm).get_json()["status"] == "approved"
    with pytest.raises(BadSetting, match="AUTO_APPROVE_WITHDRAWALS"):
        ProductionConfig({"AUTO_APPROVE_WITHDRAWALS": "1", **{name.upper(): v for name, v in PRODUCTION.items()}})
