"""Stripe's webhooks: the recorded bodies in any order and number, and what is altered, old, or does not fit."""

from __future__ import annotations

import itertools
import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from app.adapters.payments.base import BadSignature, ProviderRefused
from app.adapters.payments.stripe import StripePayments, from_minor_units, minor_units
from app.core.ids import new_id
from app.models import ProviderEvent
from tests.data import shared_data
from tests.stubs.stripe import WEBHOOK_SECRET, sign

from .funding import Funding

RECORDED = shared_data / "payloads" / "stripe"
needs_recordings = pytest.mark.skipif(not RECORDED.is_dir(), reason="no recordings here")
START = Decimal(50_000)
PAID = Decimal("100.50")
SHUFFLES = 6


def stored(funding: Funding) -> list[tuple[str, str | None]]:
    """Type and outcome of each event there is."""

    def read(session: Any) -> list[tuple[str, str | None]]:
        query = sa.select(ProviderEvent.type, ProviderEvent.outcome).order_by(ProviderEvent.id)
        return [(row.type, row.outcome) for row in session.execute(query)]

    found: list[tuple[str, str | None]] = funding.firm.run(read)
    return found


def recorded(deposits: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The recorded events with the ids and sessions of our deposits in the place of theirs."""
    text = (RECORDED / "events_composed.json").read_text(encoding="utf-8")
    events: list[dict[str, Any]] = json.loads(text)["events"]
    for event in events:
        thing = event["data"]["object"]
        deposit = deposits.get((thing.get("metadata") or {}).get("deposit_id", ""))
        if deposit is not None:
            thing["metadata"]["deposit_id"] = thing["client_reference_id"] = deposit["id"]
            thing["id"] = deposit["provider_reference"]
            thing["payment_intent"] = thing["payment_intent"] and f"pi_{deposit['id']}"
    return events


# -- the recorded bodies -----------------------------------------------------------------------------------------


@needs_recordings
@pytest.mark.parametrize("seed", range(SHUFFLES))
@pytest.mark.parametrize("lost", [False, True])
def test_recorded_bodies_three_times_in_any_order(funding: Funding, seed: int, lost: bool) -> None:
    """One is paid, one is paid by a slow bank, one expires; with ``lost`` the first report never comes."""
    made = {name: funding.declare() for name in ("DEP-1", "DEP-2", "DEP-3")}
    events = recorded(made)
    sent = (events[1:] if lost else events) * 3
    random.Random(seed).shuffle(sent)
    for event in sent:
        assert funding.deliver(event).status_code == 200
        if seed % 2:  # worked off one by one, or together
            funding.work_off()
    funding.work_off()
    if lost:
        funding.stripe.pay(made["DEP-1"]["provider_reference"], "4242424242424242")
        funding.wait(minutes=6)
    states = {name: funding.deposit(deposit["id"])["status"] for name, deposit in made.items()}
    assert states == {"DEP-1": "completed", "DEP-2": "completed", "DEP-3": "canceled"}
    assert funding.balance() == START + 2 * PAID
    assert funding.entries(made["DEP-1"]["id"]) == ["deposit"]
    webhooks = [type_ for type_, _outcome in stored(funding) if type_ != "checkout.session.retrieved"]
    assert len(webhooks) == len(events) - lost
    assert [outcome for _type, outcome in stored(funding) if outcome is None or outcome.startswith("failed")] == []
    assert funding.mismatches() == []
    funding.reconciled()


@needs_recordings
def test_every_order_of_a_slow_payment_ends_the_same(funding: Funding) -> None:
    for order in itertools.permutations(range(3)):
        before, made = funding.balance(), funding.declare()
        events = recorded({"DEP-2": made, "DEP-3": made})
        for number in order:
            event = events[(1, 2, 3)[number]]  # unpaid, paid later, and an expiry that is not true any more
            event["id"] = f"evt_{new_id()}"
            assert funding.deliver(event).status_code == 200
            funding.work_off()
        assert funding.deposit(made["id"])["status"] == "completed", order
        assert funding.balance() == before + PAID


@needs_recordings
def test_the_recorded_signature_is_ours_too() -> None:
    vector = json.loads((RECORDED / "signature_vector.json").read_text(encoding="utf-8"))
    provider = StripePayments("sk_test_x", vector["secret"])
    body, headers = vector["payload"].encode(), {"Stripe-Signature": vector["Stripe-Signature"]}

    def verify(seconds: int, body: bytes = body) -> str:
        return provider.verify(body, headers, datetime.fromtimestamp(vector["timestamp"] + seconds, UTC)).id

    assert verify(0) == verify(300) == "evt_1_completed_paid"
    for seconds in (301, -301):
        with pytest.raises(BadSignature):
            verify(seconds)
    with pytest.raises(BadSignature):
        verify(0, body.replace(b"10050", b"90050"))


# -- who sends them ----------------------------------------------------------------------------------------------


def _event(funding: Funding) -> dict[str, Any]:
    funding.pay(funding.declare())
    return funding.stripe.events[-1]


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "nonsense",
        "t=,v1=",
        "v1=00",
        lambda body, at: sign(body, at, "whsec_other"),
        lambda body, at: sign(body + " ", at),
        lambda body, at: sign(body, at - 301),
        lambda body, at: sign(body, at + 301),
        lambda body, at: sign(body, at).replace("v1=", "v0="),
    ],
)
def test_what_is_not_signed_right_and_fresh_is_not_stored(funding: Funding, signature: Any) -> None:
    body = json.dumps(_event(funding))
    header = signature(body, funding.firm.clock.now().timestamp()) if callable(signature) else signature
    answer = funding.post(body, header)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "bad_signature")
    assert stored(funding) == []


def test_one_of_two_signatures_is_enough(funding: Funding) -> None:
    """While a secret is being replaced Stripe signs with both."""
    body = json.dumps(_event(funding))
    good = sign(body, funding.firm.clock.now().timestamp())
    moment, _, mark = good.partition(",")
    assert funding.post(body, f"{moment},v1={'0' * 64},{mark}").status_code == 200


def test_a_webhook_needs_no_token_and_keeps_no_session(funding: Funding) -> None:
    answer = funding.deliver(_event(funding))
    assert answer.get_json() == {"received": True}
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("body", ["[]", "{}", '{"id": 5, "type": "x"}', "nonsense"])
def test_signed_nonsense_is_refused(funding: Funding, body: str) -> None:
    assert funding.post(body, sign(body, funding.firm.clock.now().timestamp())).status_code == 400
    assert stored(funding) == []


def test_an_unknown_type_is_stored_and_does_nothing(funding: Funding) -> None:
    event = {**_event(funding), "type": "invoice.paid", "id": "evt_unknown"}
    assert funding.deliver(event).status_code == 200
    funding.work_off()
    assert stored(funding) == [("invoice.paid", "stored; nothing to do")]


# -- what does not fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount_total": 10049}, "wrong_amount"),
        ({"amount_total": 1_005_000}, "wrong_amount"),
        ({"amount_total": None}, "wrong_amount"),
        ({"currency": "pen"}, "wrong_currency"),
        ({"id": "cs_test_of_somebody_else"}, "wrong_reference"),
        ({"metadata": {"client_id": new_id()}}, "wrong_client"),
        ({"metadata": {"wallet_id": new_id()}}, "wrong_wallet"),
        ({"metadata": {"deposit_id": new_id()}}, "unknown_deposit"),
        ({"metadata": {"deposit_id": "DROP TABLE"}}, "unknown_deposit"),
        ({"livemode": True}, "wrong_mode"),
    ],
)
def test_a_payment_that_does_not_fit_is_kept_apart(funding: Funding, change: dict[str, Any], code: str) -> None:
    event = _event(funding)
    thing = event["data"]["object"]
    if "livemode" in change:
        event["livemode"] = True
    thing |= {name: {**thing["metadata"], **value} if name == "metadata" else value for name, value in change.items()}
    for _ in range(2):
        assert funding.deliver(event).status_code == 200
        funding.work_off()
    (kept,) = funding.mismatches()
    assert (kept["code"], kept["resolved_at"], kept["provider_event_id"]) == (code, None, event["id"])
    assert funding.balance() == START
    assert funding.alerts() == [code]
    funding.reconciled()


def test_the_same_mismatch_is_told_once_however_it_is_heard_of(funding: Funding) -> None:
    made = funding.declare()
    funding.stripe.sessions[made["provider_reference"]]["amount_total"] = 500
    funding.pay(made)
    funding.deliver_all()
    funding.wait(minutes=6)  # the sweep asks, and hears the same
    assert [kept["code"] for kept in funding.mismatches()] == ["wrong_amount"]
    assert funding.deposit(made["id"])["status"] == "pending"


def test_a_person_notes_what_was_done_about_it(funding: Funding) -> None:
    event = _event(funding)
    event["data"]["object"]["amount_total"] = 500
    funding.deliver(event)
    funding.work_off()
    (kept,) = funding.mismatches()
    path = f"/api/v1/deposits/mismatches/{kept['id']}/resolve"
    answer = funding.firm.call("operator", "POST", path, json={"resolution": "refunded at Stripe"})
    assert (answer.status_code, answer.get_json()["resolution"]) == (200, "refunded at Stripe")
    ended = funding.deposit(kept["deposit_id"])
    assert (ended["status"], ended["reason"]) == ("failed", "what was paid does not fit it")
    again = funding.firm.call("operator", "POST", path, json={"resolution": "once more"})
    assert (again.status_code, again.get_json()["code"]) == (409, "unchanged")
    assert funding.firm.call("operator", "GET", "/api/v1/deposits/mismatches?unresolved=true").get_json()["total"] == 0


def test_a_mismatch_of_another_page_leaves_the_deposits_own_page_open(funding: Funding) -> None:
    made = funding.declare()
    event = _event(funding)
    event["data"]["object"]["metadata"] |= {"deposit_id": made["id"]}
    funding.deliver(event)
    funding.work_off()
    (kept,) = funding.mismatches()
    path = f"/api/v1/deposits/mismatches/{kept['id']}/resolve"
    assert funding.firm.call("operator", "POST", path, json={"resolution": "refunded"}).status_code == 200
    assert funding.deposit(made["id"])["status"] == "pending"


@pytest.mark.parametrize("who", ["client", "trader", "key:read", "key:other"])
def test_mismatches_are_the_firms(funding: Funding, who: str) -> None:
    assert funding.firm.call(who, "GET", "/api/v1/deposits/mismatches").status_code == 404


def test_an_unreadable_report_is_kept_apart_and_holds_up_nobody(funding: Funding) -> None:
    good = _event(funding)
    broken = {**good, "id": "evt_broken", "data": {"object": {"metadata": 5}}}
    assert funding.deliver(broken).status_code == funding.deliver(good).status_code == 200
    funding.work_off()
    assert [kept["code"] for kept in funding.mismatches()] == ["unreadable"]
    assert funding.balance() == START + PAID


# -- crashes -----------------------------------------------------------------------------------------------------


def test_a_crash_between_stored_and_processed(funding_on_each: Funding, monkeypatch: pytest.MonkeyPatch) -> None:
    """The webhook was answered; whoever works it off dies before the commit, and the next one does it once."""
    funding = funding_on_each
    made = funding.declare()
    funding.pay(made)
    assert funding.deliver(funding.stripe.events[-1]).status_code == 200

    class Killed(BaseException):
        pass

    def die(*_arguments: object, **_named: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("app.services.deposits.wallets.balance_event", die)  # after the journal is written
        with pytest.raises(Killed):
            funding.work_off()
    assert funding.balance() == START
    assert funding.deposit(made["id"])["status"] == "pending"
    funding.work_off()
    assert funding.balance() == START + PAID
    funding.reconciled()


def test_fifty_deliveries_at_once_worked_off_by_four_are_one_credit(funding_on_each: Funding) -> None:
    funding = funding_on_each
    made = funding.declare()
    funding.pay(made)
    event = funding.stripe.events[-1]
    with ThreadPoolExecutor(16) as pool:
        statuses = [answer.status_code for answer in pool.map(funding.deliver, [event] * 50)]
        for done in [pool.submit(funding.work_off) for _ in range(4)]:
            done.result()
    assert set(statuses) <= {200, 503} and 200 in statuses
    assert [type_ for type_, _outcome in stored(funding)] == [event["type"]]
    assert funding.balance() == START + PAID
    assert funding.entries(made["id"]) == ["deposit"]
    funding.reconciled()


def test_a_fault_of_ours_is_tried_again_and_told_in_the_end(funding: Funding, monkeypatch: pytest.MonkeyPatch) -> None:
    made = funding.declare()
    funding.pay(made)
    funding.deliver(funding.stripe.events[-1])
    with monkeypatch.context() as patched:
        patched.setattr("app.services.deposits.credit", None)
        for _ in range(12):
            funding.work_off()
            funding.firm.clock.advance(1800)
    (waiting,) = stored(funding)
    assert waiting[1] is not None and waiting[1].startswith("failed:")
    funding.firm.number()
    path = "/api/v1/events?types=alert.provider_event"
    assert len(funding.firm.call("key:firm", "GET", path).get_json()["items"]) == 1
    funding.work_off()
    assert funding.deposit(made["id"], "key:read")["status"] == "completed"


def test_reconciling_finds_a_deposit_that_the_journal_does_not_know(funding: Funding) -> None:
    made = funding.declare(method="mock")
    funding.reconciled()

    def forge(session: Any) -> None:
        session.execute(
            sa.text("UPDATE deposits SET refunded_amount = :amount WHERE id = :id"),
            {"amount": "1.000000000000000000", "id": made["id"].replace("-", "")},
        )

    funding.firm.run(forge)
    with pytest.raises(AssertionError, match="DEPOSIT_MISMATCH"):
        funding.reconciled()


# -- amounts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [("100.50", "USD", 10050), ("5000", "JPY", 5000), ("1.234", "KWD", 1234), ("0.01", "PEN", 1), ("7", "EUR", 700)],
)
def test_minor_units(amount: str, currency: str, units: int) -> None:
    assert minor_units(Decimal(amount), currency) == units
    assert from_minor_units(units, currency) == Decimal(amount)


@pytest.mark.parametrize(("amount", "currency"), [("0.005", "USD"), ("1.5", "JPY")])
def test_parts_of_the_smallest_unit_are_refused(amount: str, currency: str) -> None:
    with pytest.raises(ProviderRefused):
        minor_units(Decimal(amount), currency)


def test_the_secret_key_says_whether_money_is_real() -> None:
    assert [StripePayments(key, WEBHOOK_SECRET).live for key in ("sk_test_1", "sk_live_1", "rk_live_1")] == [
        False,
        True,
        True,
    ]
