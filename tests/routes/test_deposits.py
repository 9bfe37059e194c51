"""Deposits over the API: cards by Stripe, bank transfers by two people, the sandbox; each credited once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from app.core.ids import new_id
from app.models import ClientDocument
from tests.conftest import PRODUCTION
from tests.stubs.stripe import DECLINED_CARD, SLOW_ACCOUNT, Stripe

from .conftest import Firm
from .funding import Funding, settings

START = Decimal(50_000)
PAID = Decimal("100.50")


# -- cards -----------------------------------------------------------------------------------------------------


def test_a_card_deposit_from_intent_to_credit(funding_on_each: Funding) -> None:
    funding = funding_on_each
    made = funding.declare(details={"order": 7})
    assert (made["status"], made["amount"], made["confirmed_amount"]) == ("pending", "100.5", None)
    assert made["payment_url"] == f"{funding.stripe.base_url}/c/pay/{made['provider_reference']}"
    assert funding.stripe.sessions[made["provider_reference"]]["amount_total"] == 10050
    assert funding.balance() == START
    funding.pay(made)
    funding.deliver_all()
    paid = funding.deposit(made["id"])
    assert (paid["status"], paid["confirmed_amount"], paid["payment_url"]) == ("completed", "100.5", None)
    assert paid["details"] == {"order": 7}
    assert funding.balance() == START + PAID
    assert funding.entries(made["id"]) == ["deposit"]
    funding.reconciled()


def test_the_client_hears_of_each_step_and_the_audit_knows_who(funding: Funding) -> None:
    made = funding.declare()
    funding.pay(made, DECLINED_CARD)
    funding.pay(made)
    funding.deliver_all()
    funding.firm.number()
    path = "/api/v1/events?types=deposit.*"
    told = [event["type"] for event in funding.firm.call("client", "GET", path).get_json()["items"]]
    assert told == [
        "deposit.created",
        "deposit.updated",
        "deposit.attempt_failed",
        "deposit.completed",
    ]
    path = f"/api/v1/admin/audit?object_id={made['id']}"
    acts = {item["action"]: item["actor"] for item in funding.firm.call("master", "GET", path).get_json()["items"]}
    assert acts == {"deposit.create": f"user:{_user(funding, 'client')}", "deposit.credit": "system"}


def _user(funding: Funding, name: str) -> str:
    users = funding.firm.call("master", "GET", f"/api/v1/users?role={name}").get_json()["items"]
    return str(users[0]["id"])


def test_yen_have_no_cents(open_app: Callable[..., Firm], stripe: Stripe) -> None:
    funding = Funding(open_app(**settings(stripe), deposit_currencies="USD,JPY"), stripe)
    made = funding.declare(amount="5000", currency="jpy")
    assert stripe.sessions[made["provider_reference"]]["amount_total"] == 5000
    funding.pay(made)
    funding.deliver_all()
    assert funding.balance("JPY") == 5000


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"amount": "0"}, "amount", "amount_out_of_range"),
        ({"amount": "-5"}, "amount", "amount_out_of_range"),
        ({"amount": "1.005"}, "amount", "precision"),
        ({"amount": "NaN"}, "amount", "invalid_amount"),
        ({"amount": True}, "amount", "invalid_amount"),
        ({"currency": "XXX"}, "currency", "unknown_asset"),
        ({"currency": "EUR"}, "currency", "unknown_asset"),  # in the catalogue, and not taken here
        ({"method": "cash"}, "method", "invalid_choice"),
        ({"status": "completed"}, "status", "unknown_field"),
        ({"method": "bank_transfer"}, "bank_reference", "required"),
        ({"bank_reference": "OP-1"}, "bank_reference", "contradiction"),
        ({"details": {"x": "y" * 5000}}, "body", "too_large"),
        ({"method": "bank_transfer", "bank_reference": "1", "proof_document_id": new_id()}, None, "unknown_proof"),
    ],
)
def test_what_cannot_be_declared_is_refused_at_its_field(
    funding: Funding, body: dict[str, object], field: str | None, code: str
) -> None:
    wanted = {"method": "card", "amount": "100.50", "currency": "USD", **body}
    answer = funding.firm.call("client", "POST", "/api/v1/deposits", json=wanted)
    assert (answer.status_code, answer.get_json()["code"]) == (422, code)
    assert answer.get_json()["errors"][0]["field"] == (field or "proof_document_id")
    assert funding.firm.call("client", "GET", "/api/v1/deposits").get_json()["total"] == 0
    assert funding.stripe.requests == []


def test_a_client_who_is_not_active_may_not_pay_in(funding: Funding) -> None:
    changed = funding.firm.call("master", "PATCH", "/api/v1/clients/C-1", json={"active": False})
    assert changed.status_code == 200
    wanted = {"method": "card", "amount": "10", "currency": "USD", "client_id": "C-1"}
    answer = funding.firm.call("key:funding", "POST", "/api/v1/deposits", json=wanted)
    assert answer.status_code in (401, 409)  # the key of such a client may be dead already
    assert funding.stripe.requests == []


def test_without_stripe_there_are_no_cards(firm: Firm) -> None:
    wanted = {"method": "card", "amount": "10", "currency": "USD"}
    answer = firm.call("client", "POST", "/api/v1/deposits", json=wanted)
    assert (answer.status_code, answer.get_json()["code"]) == (422, "method_not_available")
    assert firm.call(None, "POST", "/api/v1/stripe/webhook", json={}).status_code == 404


def test_another_clients_deposit_does_not_exist(funding: Funding) -> None:
    made = funding.declare()
    for who, paths in (("key:other", ("",)), ("trader", ())):
        for path in paths:
            assert funding.firm.call(who, "GET", f"/api/v1/deposits/{made['id']}{path}").status_code == 404
    assert funding.firm.call("trader", "GET", f"/api/v1/deposits/{made['id']}").status_code == 200  # Ana is theirs
    assert funding.firm.call("key:other", "GET", "/api/v1/deposits").get_json()["total"] == 0
    wallet = funding.firm.ids["luis:wallet"]
    wanted = {"method": "card", "amount": "10", "currency": "USD", "wallet_id": wallet}
    assert funding.firm.call("client", "POST", "/api/v1/deposits", json=wanted).status_code == 404


def test_only_its_owner_asks_for_a_session(funding: Funding) -> None:
    made = funding.declare()
    path = f"/api/v1/stripe/session/{made['provider_reference']}"
    assert funding.firm.call("client", "GET", path).get_json()["deposit_id"] == made["id"]
    for who in ("master", "operator", "key:firm", "key:other"):
        assert funding.firm.call(who, "GET", path).status_code in (403, 404)


def test_asking_for_a_session_learns_what_a_lost_webhook_would_have_told(funding: Funding) -> None:
    made = funding.declare()
    funding.pay(made)
    funding.firm.clock.advance(6)
    path = f"/api/v1/stripe/session/{made['provider_reference']}"
    assert funding.firm.call("client", "GET", path).get_json()["status"] == "completed"
    assert funding.balance() == START + PAID
    funding.deliver_all()  # they come after all
    assert funding.balance() == START + PAID
    funding.reconciled()


def test_create_checkout_session_speaks_stripes_names(funding: Funding) -> None:
    wanted = {"amount": "12.34", "currency": "USD"}
    answer = funding.firm.call("key:funding", "POST", "/api/v1/stripe/create-checkout-session", json=wanted)
    assert answer.status_code == 201
    shown = answer.get_json()
    assert shown["url"].endswith(f"/c/pay/{shown['session_id']}")
    assert funding.deposit(shown["deposit_id"])["amount"] == "12.34"


def test_what_stripe_refuses_has_failed_with_its_reason(funding: Funding) -> None:
    made = funding.declare(amount="0.10")
    assert made["status"] == "failed"
    assert "at least $0.50" in made["reason"]


def test_stripe_away_leaves_it_pending_and_the_sweep_opens_the_page_once(funding: Funding) -> None:
    funding.stripe.down = True
    made = funding.declare()
    assert (made["status"], made["payment_url"]) == ("pending", None)
    funding.wait(seconds=60)
    assert funding.deposit(made["id"])["payment_url"] is None
    funding.stripe.down = False
    funding.wait(seconds=61)
    assert funding.deposit(made["id"])["payment_url"] is not None
    assert len(funding.stripe.sessions) == 1


def test_a_crash_after_stripe_answered_opens_no_second_page(funding: Funding, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(funding.parts.payments, "_keep_page", None)  # the process dies before it can store the answer
        wanted = {"method": "card", "amount": "100.50", "currency": "USD"}
        assert funding.firm.call("client", "POST", "/api/v1/deposits", json=wanted).status_code == 500
    (made,) = funding.firm.call("client", "GET", "/api/v1/deposits").get_json()["items"]
    assert (made["status"], made["provider_reference"]) == ("pending", None)
    funding.wait(seconds=11)
    (session,) = funding.stripe.sessions.values()
    assert funding.deposit(made["id"])["provider_reference"] == session["id"]


def test_canceling_closes_the_page(funding: Funding) -> None:
    made = funding.declare()
    canceled = funding.act(made["id"], "cancel", "client").get_json()
    assert (canceled["status"], canceled["payment_url"]) == ("canceled", None)
    assert funding.stripe.sessions[made["provider_reference"]]["status"] == "expired"
    again = funding.act(made["id"], "cancel", "client")
    assert (again.status_code, again.get_json()["code"]) == (409, "too_late")


def test_a_page_that_could_not_be_closed_is_closed_later(funding: Funding) -> None:
    made = funding.declare()
    funding.stripe.down = True
    assert funding.act(made["id"], "cancel", "client").status_code == 200
    funding.stripe.down = False
    funding.wait(seconds=61)
    assert funding.stripe.sessions[made["provider_reference"]]["status"] == "expired"
    assert funding.deposit(made["id"])["payment_url"] is None


def test_who_pays_while_it_is_canceled_has_paid(funding: Funding) -> None:
    made = funding.declare()
    funding.pay(made)  # and cancels in another tab, before we have heard of it
    assert funding.act(made["id"], "cancel", "client").get_json()["status"] == "completed"
    assert funding.balance() == START + PAID
    funding.deliver_all()
    assert funding.balance() == START + PAID
    funding.reconciled()


def test_a_bank_debit_is_processing_until_it_has_settled(funding: Funding) -> None:
    made = funding.declare()
    funding.pay(made, SLOW_ACCOUNT)
    funding.deliver_all()
    assert funding.deposit(made["id"])["status"] == "processing"
    assert funding.balance() == START
    funding.stripe.settle(made["provider_reference"])
    funding.deliver_all()
    assert funding.balance() == START + PAID


def test_a_bank_debit_that_fails(funding: Funding) -> None:
    made = funding.declare()
    funding.pay(made, SLOW_ACCOUNT)
    funding.stripe.settle(made["provider_reference"], well=False)
    funding.deliver_all()
    assert funding.deposit(made["id"])["status"] == "failed"
    assert funding.balance() == START


def test_nobody_pays_and_the_page_expires(funding: Funding) -> None:
    made = funding.declare()
    funding.wait(hours=24, seconds=1)
    shown = funding.deposit(made["id"], "key:read")  # a browser's session has ended meanwhile
    assert (shown["status"], shown["reason"]) == ("canceled", "the payment page expired")


def test_the_sweep_finds_what_was_paid_and_never_reported(funding: Funding) -> None:
    made = funding.declare()
    funding.pay(made)
    funding.wait(minutes=4)
    assert funding.deposit(made["id"])["status"] == "pending"
    funding.wait(minutes=2)
    assert funding.deposit(made["id"])["status"] == "completed"
    assert funding.balance() == START + PAID


# -- refunds and disputes ----------------------------------------------------------------------------------------


def _refund(funding: Funding, deposit: dict[str, object], amount: int) -> None:
    payment = f"pi_{str(deposit['provider_reference'])[8:]}"
    funding.stripe._refund({"payment_intent": payment, "amount": str(amount)})


def test_refunds_take_back_what_is_new_of_them(funding_on_each: Funding) -> None:
    funding = funding_on_each
    made = funding.declare()
    funding.pay(made)
    _refund(funding, made, 3050)
    _refund(funding, made, 1000)
    funding.stripe.events[1:] = reversed(funding.stripe.events[1:])  # the second is heard of first
    funding.deliver_all()
    shown = funding.deposit(made["id"])
    assert (shown["status"], shown["refunded_amount"]) == ("completed", "40.5")
    assert funding.balance() == START + 60
    funding.reconciled()


def test_a_refund_of_what_was_spent_is_owed_by_the_client(funding: Funding) -> None:
    made = funding.declare(amount="60000")
    funding.pay(made)
    funding.deliver_all()
    held = funding.firm.call(
        "client",
        "POST",
        "/api/v1/orders",
        json={"symbol": "XAU/USD", "side": "BUY", "type": "LIMIT", "qty": "50", "price": "1984"},
    )
    assert held.status_code == 201, held.get_json()
    left = funding.balance()
    assert left < 60_000
    _refund(funding, made, 6_000_000)
    funding.deliver_all()
    assert funding.balance() == 0
    assert funding.alerts() == ["client_owes"]
    funding.reconciled()


def test_a_refund_heard_of_before_its_payment_waits(funding: Funding) -> None:
    made = funding.declare()
    funding.pay(made)
    _refund(funding, made, 10050)
    funding.stripe.events.reverse()
    assert funding.deliver(funding.stripe.events[0]).status_code == 200
    funding.work_off()
    assert funding.deposit(made["id"])["status"] == "pending"
    funding.deliver(funding.stripe.events[1])
    funding.work_off()
    funding.wait(seconds=10)
    shown = funding.deposit(made["id"])
    assert (shown["status"], shown["refunded_amount"]) == ("completed", "100.5")
    assert funding.balance() == START


@pytest.mark.parametrize("order", ["as they happened", "reversed"])
@pytest.mark.parametrize("won", [True, False])
def test_a_dispute_takes_the_money_and_winning_brings_it_back(funding: Funding, won: bool, order: str) -> None:
    made = funding.declare()
    funding.pay(made)
    funding.deliver_all()
    dispute = funding.stripe.contest(f"pi_{made['provider_reference'][8:]}")
    funding.stripe.judge(dispute, won=won)
    if order == "reversed":
        funding.stripe.events[1:] = reversed(funding.stripe.events[1:])
    funding.deliver_all()
    funding.wait(seconds=10)
    shown = funding.deposit(made["id"])
    assert shown["dispute_status"] == ("won" if won else "lost")
    assert shown["disputed_amount"] == ("0" if won else "100.5")
    assert funding.balance() == START + (PAID if won else 0)
    assert "payment_disputed" in funding.alerts()
    funding.reconciled()


# -- bank transfers ----------------------------------------------------------------------------------------------

MOVEMENT = {"reference": "OP-0012345", "account": "BCP USD", "amount": "250", "received_on": "2026-01-05"}


def _transfer(funding: Funding, **more: object) -> str:
    made = funding.declare(method="bank_transfer", amount="250", bank_reference="ANA 0105", **more)
    return str(made["id"])


def _approve(funding: Funding, who: str, approve: bool = True) -> None:
    """The middle office decides in the inbox, and what it approved is carried out."""
    parts = funding.parts

    def decide(session: object) -> str:
        from app.core.permissions import Principal, Role
        from app.services import approvals

        person = Principal("user", new_id(), who, Role.MIDDLE_OFFICE)
        found, _total = approvals.search(session, person, approvals.ApprovalFilter(), 10, 0)  # type: ignore[arg-type]
        parts.approvals.decide(session, found[0].id, approve, "looked", person, funding.firm.clock.now())  # type: ignore[arg-type]
        return found[0].id

    decided = parts.database.run(decide)
    parts.database.run(lambda session: parts.approvals.carry_out(session, decided, funding.firm.clock.now()))


def test_a_bank_transfer_needs_an_operator_and_a_second_person(funding_on_each: Funding) -> None:
    funding = funding_on_each
    deposit = _transfer(funding)
    matched = funding.act(deposit, "match", "operator", **MOVEMENT)
    assert (matched.status_code, matched.get_json()["status"]) == (200, "processing")
    assert matched.get_json()["movement"] == MOVEMENT
    assert funding.balance() == START
    _approve(funding, "second")
    assert funding.deposit(deposit)["status"] == "completed"
    assert funding.balance() == START + 250
    funding.reconciled()


def test_the_second_person_says_no_and_it_is_matched_anew(funding: Funding) -> None:
    deposit = _transfer(funding)
    assert funding.act(deposit, "match", "operator", **MOVEMENT).status_code == 200
    _approve(funding, "second", approve=False)
    shown = funding.deposit(deposit)
    assert (shown["status"], shown["movement"], shown["reason"]) == ("pending", None, "the match was rejected: looked")
    assert funding.balance() == START
    assert funding.act(deposit, "match", "operator", **MOVEMENT).status_code == 200


@pytest.mark.parametrize(
    ("change", "code"), [({"amount": "249"}, "wrong_amount"), ({"reference": "OP-9"}, "movement_taken")]
)
def test_a_movement_must_fit_and_is_matched_once(funding: Funding, change: dict[str, str], code: str) -> None:
    first, second = _transfer(funding), _transfer(funding)
    assert funding.act(first, "match", "operator", **{**MOVEMENT, "reference": "OP-9"}).status_code == 200
    answer = funding.act(second, "match", "operator", **{**MOVEMENT, **change})
    assert (answer.status_code, answer.get_json()["code"]) == (409, code)
    assert funding.deposit(second)["status"] == "pending"


def test_an_operator_gives_up_what_never_came(funding: Funding) -> None:
    deposit = _transfer(funding)
    assert funding.act(deposit, "match", "operator", **MOVEMENT).status_code == 200
    answer = funding.act(deposit, "reject", "operator", reason="another client's money")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "failed")
    found = funding.firm.call("client", "GET", "/api/v1/deposits?status=failed").get_json()["items"]
    assert [item["reason"] for item in found] == ["another client's money"]
    assert funding.act(deposit, "reject", "operator", reason="once more").get_json()["code"] == "too_late"
    card = funding.declare()["id"]
    assert funding.act(card, "reject", "operator", reason="not paid").get_json()["code"] == "not_a_transfer"


def test_a_proof_belongs_to_one_deposit(funding: Funding) -> None:
    def upload(session: object) -> str:
        document = ClientDocument(
            id=new_id(),
            client_id=funding.firm.ids["ana"],
            kind="payment_proof",
            filename="proof.pdf",
            content_type="application/pdf",
            size_bytes=9,
            sha256="0" * 64,
            storage_key=new_id(),
            uploaded_by="system",
            created_at=funding.firm.clock.now(),
        )
        session.add(document)  # type: ignore[attr-defined]
        return document.id

    proof = funding.firm.run(upload)
    _transfer(funding, proof_document_id=proof)
    wanted = {"method": "bank_transfer", "amount": "250", "currency": "USD", "bank_reference": "x"}
    answer = funding.firm.call("client", "POST", "/api/v1/deposits", json={**wanted, "proof_document_id": proof})
    assert (answer.status_code, answer.get_json()["code"]) == (422, "unknown_proof")


# -- the sandbox -------------------------------------------------------------------------------------------------


def test_the_mock_pays_at_once(funding: Funding) -> None:
    made = funding.declare(method="mock")
    assert made["status"] == "completed"
    assert funding.balance() == START + PAID
    funding.reconciled()


def test_a_simulated_success_credits_once(funding: Funding) -> None:
    made = funding.declare()
    path = f"/api/v1/deposits/simulate-payment-success/{made['id']}"
    assert funding.firm.call("client", "POST", path, json={}).get_json()["status"] == "completed"
    assert funding.firm.call("client", "POST", path, json={}).get_json()["code"] == "too_late"
    assert funding.firm.call("key:other", "POST", path, json={}).status_code in (403, 404)
    assert funding.balance() == START + PAID


def test_a_sandbox_is_absent_in_production(open_app: Callable[..., Firm], stripe: Stripe) -> None:
    values = {**settings(stripe), "stripe_api_base": "https://127.0.0.1:1"}
    firm = open_app(environment="production", **PRODUCTION, **values)
    base = {"base_url": "https://localhost"}
    wanted = {"method": "mock", "amount": "10", "currency": "USD"}
    assert firm.call("key:funding", "POST", "/api/v1/deposits", json=wanted, **base).status_code == 404
    declared = {"method": "bank_transfer", "amount": "10", "currency": "USD", "bank_reference": "A"}
    made = firm.call("key:funding", "POST", "/api/v1/deposits", json=declared, **base).get_json()
    path = f"/api/v1/deposits/simulate-payment-success/{made['id']}"
    assert firm.call("key:funding", "POST", path, json={}, **base).status_code == 404


# -- at once -----------------------------------------------------------------------------------------------------


def test_fifty_confirmations_at_once_credit_once(funding_on_each: Funding) -> None:
    funding = funding_on_each
    made = funding.declare()
    path = f"/api/v1/deposits/simulate-payment-success/{made['id']}"
    with ThreadPoolExecutor(16) as pool:
        calls = [pool.submit(funding.firm.call, "key:funding", "POST", path, json={}) for _ in range(50)]
        statuses = sorted(call.result().status_code for call in calls)
    assert statuses.count(200) == 1 and set(statuses) <= {200, 409, 503}
    assert funding.balance() == START + PAID
    assert funding.entries(made["id"]) == ["deposit"]
    funding.reconciled()
