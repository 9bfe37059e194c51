"""Verification over HTTP: begun by the client, told by Sumsub's webhooks, decided by the firm; and the meters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from app.background import build_chores
from app.core.errors import Conflict
from app.core.permissions import Principal, Role
from app.domain.gate import Act
from app.models import Client, ProviderEvent
from app.services import gate
from tests.stubs import sumsub as stubs
from tests.stubs.sumsub import SumsubStub

from .conftest import Firm

STATUS = "/api/v1/kyc/status"


@pytest.fixture
def stub(clock: Any) -> Iterator[SumsubStub]:
    found = SumsubStub(now=lambda: clock.now().timestamp()).start()
    yield found
    found.stop()


@pytest.fixture
def verified_firm(open_app: Callable[..., Firm], stub: SumsubStub) -> Firm:
    """A firm whose clients are verified by Sumsub."""
    return open_app(
        kyc_provider="sumsub",
        sumsub_url=stub.url,
        sumsub_app_token=stubs.APP_TOKEN,
        sumsub_secret_key=stubs.SECRET_KEY,
        sumsub_webhook_secret=stubs.WEBHOOK_SECRET,
    )


def start(firm: Firm, who: str = "client", **fields: Any) -> Any:
    return firm.call(who, "POST", "/api/v1/kyc/start", json=fields)


def status(firm: Firm, who: str = "client", path: str = STATUS) -> dict[str, Any]:
    answer: dict[str, Any] = firm.call(who, "GET", path).get_json()
    return answer


def deliver(firm: Firm, body: bytes, headers: dict[str, str]) -> Any:
    return firm.call(None, "POST", "/api/v1/kyc/webhook", data=body, headers=headers)


def work_off(firm: Firm) -> None:
    parts = firm.app.extensions["services"]
    for chore in build_chores(firm.app, parts, parts.database):
        chore.work(firm.clock.now())


def stored(firm: Firm) -> list[ProviderEvent]:
    found: list[ProviderEvent] = firm.run(
        lambda s: list(s.scalars(sa.select(ProviderEvent).order_by(ProviderEvent.id)))
    )
    return found


def test_from_the_start_to_the_approval(verified_firm: Firm, stub: SumsubStub) -> None:
    firm = verified_firm
    answer = start(firm)
    begun = answer.get_json()
    assert (answer.status_code, begun["verification"]["status"]) == (201, "pending")
    assert begun["access"]["url"].startswith(stub.url)
    again = start(firm)
    assert (again.status_code, again.get_json()["verification"]["id"]) == (200, begun["verification"]["id"])
    assert status(firm)["limits"][0]["each_usd"] == "500"
    for act in ("submit", "hold", "approve"):
        firm.clock.advance(1)
        stub.act(stub.only().id, act)
    for body, headers in [*reversed(stub.sent), *stub.sent, *stub.sent]:
        answer = deliver(firm, body, headers)
        assert (answer.status_code, answer.get_json()) == (200, {"received": True})
    assert status(firm)["status"] == "pending"  # answered at once, worked off later
    work_off(firm)
    shown = status(firm)
    assert (shown["status"], shown["level"], shown["next_level"]) == ("approved", 1, 2)
    assert shown["limits"][0]["day"] == {"limit_usd": "20000", "used_usd": "0", "left_usd": "20000"}
    assert len(stored(firm)) == 4 and all(event.processed_at for event in stored(firm))


def test_what_is_altered_or_not_signed_is_refused_and_leaves_nothing(verified_firm: Firm, stub: SumsubStub) -> None:
    firm = verified_firm
    start(firm)
    body = stub.act(stub.only().id, "approve")
    good = stub.headers(body)
    for sent, headers in (
        (body.replace(b"GREEN", b"green"), good),
        (body, {}),
        (body, {**good, "X-Payload-Digest": "0" * 64}),
        (body, {**good, "X-Payload-Digest-Alg": "HMAC_SHA1_HEX"}),
        (b"", good),
    ):
        assert deliver(firm, sent, headers).status_code == 401
    assert stored(firm) == []
    metrics = firm.call(None, "GET", "/metrics").get_data(as_text=True)
    assert 'http_requests_total{method="POST",route="/api/v1/kyc/webhook",status="401"} 5.0' in metrics


def test_signed_nonsense_is_kept_and_harms_nothing(verified_firm: Firm, stub: SumsubStub) -> None:
    for body in (b"no json", b"[]", b'{"type":5}', b'{"type":"applicantReviewed","applicantId":"x"}'):
        assert deliver(verified_firm, body, stub.headers(body)).status_code == 200
    bad = b"\xff"
    assert deliver(verified_firm, bad, stub.headers(bad)).status_code == 400
    work_off(verified_firm)
    assert [event.type for event in stored(verified_firm)] == ["unreadable", "unknown", "unknown", "applicantReviewed"]
    assert all(event.processed_at for event in stored(verified_firm))


def test_a_webhook_that_overtakes_our_own_answer_finds_its_verification(verified_firm: Firm, stub: SumsubStub) -> None:
    """The provider reports before its answer to us is stored, as when the process dies between the two."""
    firm = verified_firm
    stub.down = True
    begun = start(firm).get_json()
    assert begun["access"] is None and stub.people == {}
    stub.down = False
    firm.clock.advance(60)
    parts = firm.app.extensions["services"]
    asked = stubs.Person("f" * 24, begun["verification"]["id"], stubs.LEVELS[0], {}, firm.clock.now())
    stub.people[asked.id] = asked
    body = stub.act(asked.id, "approve")
    deliver(firm, body, stub.headers(body))
    work_off(firm)
    assert status(firm)["status"] == "approved"
    assert parts.kyc.sweep(parts.database, firm.clock.now()) is False


def test_lost_webhooks_are_asked_for(verified_firm: Firm, stub: SumsubStub) -> None:
    start(verified_firm)
    stub.act(stub.only().id, "reject")
    work_off(verified_firm)
    assert status(verified_firm)["status"] == "pending"
    verified_firm.clock.advance(600)
    work_off(verified_firm)
    shown = status(verified_firm)
    assert (shown["status"], shown["verification"]["reason"]) == ("rejected", "We could not verify your profile.")


def test_the_mock_takes_no_webhooks(firm: Firm, stub: SumsubStub) -> None:
    body = b'{"type":"applicantReviewed"}'
    assert deliver(firm, body, stub.headers(body)).status_code == 401


def test_each_sees_their_own_and_the_firm_what_the_provider_told(verified_firm: Firm, stub: SumsubStub) -> None:
    firm = verified_firm
    start(firm)
    assert firm.call("client", "GET", f"{STATUS}?client_id=C-2").status_code == 404
    assert firm.call("client", "GET", "/api/v1/clients/C-2/kyc").status_code == 404
    assert firm.call("trader", "GET", "/api/v1/clients/C-2/gate").status_code == 404
    assert start(firm, client_id="C-2").status_code == 404
    assert firm.call("operator", "GET", STATUS).status_code == 422
    assert status(firm, "operator", f"{STATUS}?client_id=C-1")["status"] == "pending"
    own, staff = (status(firm, who, "/api/v1/clients/C-1/kyc") for who in ("client", "middle_office"))
    assert own["verifications"][0]["provider_data"] is None
    assert staff["verifications"][0]["session_id"] == stub.only().id


def test_middle_office_decides_and_a_second_person_agrees_for_level_two(firm_on_each: Firm) -> None:
    firm = firm_on_each
    path = "/api/v1/clients/C-1/kyc/decide"

    def decide(**fields: Any) -> Any:
        return firm.call("middle_office", "POST", path, json={"reason": "papers were shown", **fields})

    first = decide(approve=True)
    assert (first.status_code, first.get_json()["approval_id"]) == (200, None)
    second = decide(approve=True)
    approval_id = second.get_json()["approval_id"]
    assert second.status_code == 202 and approval_id
    assert decide(approve=True).get_json()["code"] == "approval_pending"
    assert start(firm).status_code == 200  # the provider has no part in what waits for a person
    assert status(firm)["level"] == 1
    parts = firm.app.extensions["services"]
    checker = Principal(kind="user", id=firm.ids["master"], label="master", role=Role.MASTER)
    firm.run(lambda s: parts.approvals.decide(s, approval_id, True, None, checker, firm.clock.now()))
    work_off(firm)
    assert status(firm)["level"] == 2
    assert decide(approve=False, reason="forged papers").status_code == 200
    shown = status(firm)
    assert (shown["status"], shown["verification"]["reason"]) == ("rejected", "forged papers")
    assert start(firm).get_json()["code"] == "kyc_rejected"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"reason": "so"}, "required"),
        ({"approve": "yes", "reason": "because"}, "invalid_type"),
        ({"approve": True, "level": 3, "reason": "because"}, "out_of_range"),
        ({"approve": True, "level": 0, "reason": "because"}, "out_of_range"),
        ({"approve": True, "reason": "  a "}, "string_too_short"),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused(firm: Firm, body: dict[str, Any], code: str) -> None:
    answer = firm.call("middle_office", "POST", "/api/v1/clients/C-1/kyc/decide", json=body)
    assert answer.status_code == 422
    assert code in [error["code"] for error in answer.get_json()["errors"]]


def test_what_the_gate_answered_is_listed(firm: Firm) -> None:
    with pytest.raises(Conflict):
        firm.run(lambda s: gate.require(s, s.get_one(Client, firm.ids["ana"]), Act.WITHDRAWAL, firm.clock.now()))
    listed = firm.call("client", "GET", "/api/v1/clients/C-1/gate").get_json()
    assert listed["total"] == 1
    assert listed["items"][0]["reasons"][0]["code"] == "kyc_required"


def test_an_order_that_opens_is_not_taken_from_whom_the_firm_rejected(firm: Firm) -> None:
    assert firm.order().get_json()["status"] == "NEW"
    decision = {"approve": False, "reason": "forged papers"}
    firm.call("middle_office", "POST", "/api/v1/clients/C-1/kyc/decide", json=decision)
    refused = firm.order().get_json()
    assert (refused["status"], [why["code"] for why in refused["reject_values"]]) == ("REJECTED", ["KYC_REJECTED"])
    closing = firm.order(side="SELL", reduce_only=True).get_json()
    assert "KYC_REJECTED" not in [why["code"] for why in closing["reject_values"]]
