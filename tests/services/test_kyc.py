"""Verifications: what begins one, what reports and people make of it, in whatever order they come, and its end."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.adapters.kyc.base import Applicant, ProviderError, Report
from app.adapters.kyc.mock import MockKyc
from app.core.clock import ManualClock
from app.core.errors import Conflict, Forbidden
from app.core.permissions import SYSTEM, Principal, Role
from app.core.transaction import Database
from app.domain.approvals import ApprovalKind
from app.domain.kyc import KycStatus
from app.models import Approval, AuditRecord, Client, Event, Mail, Verification
from app.services import clients, kyc
from app.services.approvals import Approvals
from app.services.kyc_provider import KycAtProvider

YEAR = timedelta(days=365)
MAKER = Principal(kind="user", id="01a1fd24-c3ab-7178-8428-d7281a5c0e01", label="Olga", role=Role.MIDDLE_OFFICE)
CHECKER = Principal(kind="user", id="01a1fd24-c3ab-7178-8428-d7281a5c0e02", label="Rosa", role=Role.MIDDLE_OFFICE)


class Desk:
    """One client, Ana, and what the tests do with her."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database, self.clock = database, clock
        self.ana = self.run(lambda s: clients.create(s, "ana", "Ana", SYSTEM, clock.now(), email="ana@x.pe").id)
        self.principal = Principal(kind="user", id=MAKER.id, label="Ana", role=Role.CLIENT, client_id=self.ana)
        self.approvals = Approvals({ApprovalKind.KYC_DECISION: kyc.KycDecisions()})

    def run(self, work: Any) -> Any:
        return self.database.run(work)

    def client(self) -> Client:
        return self.run(lambda session: session.get_one(Client, self.ana))

    def standing(self) -> tuple[str, int]:
        client = self.client()
        return client.kyc_status, client.kyc_level

    def verification(self, verification_id: str) -> Verification:
        return self.run(lambda session: session.get_one(Verification, verification_id))

    def start(self, level: int | None = None, principal: Principal | None = None, provider: str = "test") -> str:
        def work(session: Session) -> str:
            client = session.get_one(Client, self.ana)
            return kyc.start(session, client, level, provider, principal or self.principal, self.clock.now())[0].id

        return self.run(work)  # type: ignore[no-any-return]

    def report(
        self, verification_id: str, status: KycStatus, at: datetime | None = None, *, reason: str | None = None
    ) -> str:
        decides = status is not KycStatus.PENDING or reason is not None
        moment = at or self.clock.now()
        report = Report(f"at-provider-{verification_id}", None, status, moment, "test", reason, decides)
        return self.run(lambda session: kyc.apply(session, verification_id, report, YEAR, self.clock.now()))  # type: ignore[no-any-return]

    def decide(self, approve: bool, level: int | None = None) -> tuple[str, str | None]:
        def work(session: Session) -> tuple[str, str | None]:
            client = session.get_one(Client, self.ana)
            found = kyc.decide(session, client, approve, level, "looked at", YEAR, MAKER, self.clock.now())
            return found[0].id, None if found[1] is None else found[1].id

        return self.run(work)  # type: ignore[no-any-return]

    def check(self, approval_id: str, approve: bool, checker: Principal = CHECKER) -> str:
        now = self.clock.now()
        self.run(lambda session: self.approvals.decide(session, approval_id, approve, None, checker, now))
        self.run(lambda session: self.approvals.carry_out(session, approval_id, now))
        return self.run(lambda session: session.get_one(Approval, approval_id).status)  # type: ignore[no-any-return]

    def told(self) -> list[str]:
        query = sa.select(Event.type).where(Event.type.like("kyc.%")).order_by(Event.event_id)
        return self.run(lambda session: list(session.scalars(query)))  # type: ignore[no-any-return]


@pytest.fixture
def desk(database: Database, clock: ManualClock) -> Desk:
    return Desk(database, clock)


def refused(work: Any) -> str:
    with pytest.raises(Conflict) as error:
        work()
    return error.value.code


def test_a_pending_verification_is_returned_instead_of_a_new_one(desk: Desk) -> None:
    first = desk.start()
    assert desk.standing() == ("pending", 0)
    assert desk.start() == desk.start(level=1) == first
    assert desk.told() == ["kyc.started"]


def test_an_approval_lifts_the_client_tells_and_ends(desk: Desk) -> None:
    verification_id = desk.start()
    assert desk.report(verification_id, KycStatus.APPROVED) == "approved"
    assert desk.standing() == ("approved", 1)
    assert desk.client().kyc_expires_at == desk.clock.now() + YEAR
    assert refused(lambda: desk.start(level=1)) == "already_verified"
    desk.clock.advance((YEAR - kyc.RENEWABLE).total_seconds())
    renewal = desk.start(level=1)
    desk.clock.advance(kyc.RENEWABLE.total_seconds() - 1)
    assert not desk.run(lambda session: kyc.expire(session, desk.clock.now()))
    assert desk.standing() == ("approved", 1)
    desk.clock.advance(1)
    desk.run(lambda session: kyc.expire(session, desk.clock.now()))
    assert desk.standing() == ("pending", 0)
    assert desk.verification(verification_id).status == "expired"
    desk.report(renewal, KycStatus.APPROVED)
    assert desk.standing() == ("approved", 1)
    assert desk.told() == ["kyc.started", "kyc.approved", "kyc.started", "kyc.expired", "kyc.approved"]


def test_without_a_renewal_the_client_is_expired_and_is_mailed(desk: Desk) -> None:
    desk.report(desk.start(), KycStatus.APPROVED)
    desk.clock.advance(YEAR.total_seconds())
    for _ in range(2):
        desk.run(lambda session: kyc.expire(session, desk.clock.now()))
    assert desk.standing() == ("expired", 0)
    mails = desk.run(lambda session: list(session.scalars(sa.select(Mail).order_by(Mail.id))))
    assert [(mail.template, mail.data["status"]) for mail in mails] == [
        ("kyc_changed", "approved"),
        ("kyc_changed", "expired"),
    ]


def test_levels_come_one_after_the_other(desk: Desk) -> None:
    assert refused(lambda: desk.start(level=2)) == "kyc_level_skipped"
    desk.report(desk.start(), KycStatus.APPROVED)
    second = desk.start()
    assert desk.verification(second).level == 2
    assert desk.standing() == ("approved", 1)  # what was approved holds meanwhile
    desk.report(second, KycStatus.APPROVED)
    assert desk.standing() == ("approved", 2)


def test_a_rejection_holds_for_the_client_until_the_firm_begins_anew(desk: Desk) -> None:
    verification_id = desk.start()
    desk.report(verification_id, KycStatus.REJECTED, reason="forged")
    assert desk.standing() == ("rejected", 0)
    assert desk.verification(verification_id).reason == "forged"
    assert refused(desk.start) == "kyc_rejected"
    desk.start(principal=MAKER)
    assert desk.standing() == ("pending", 0)


def test_a_client_who_is_not_active_begins_nothing(desk: Desk) -> None:
    desk.run(lambda session: setattr(session.get_one(Client, desk.ana), "active", False))
    assert refused(desk.start) == "client_inactive"


REPORTS = (
    (KycStatus.PENDING, 1, None),
    (KycStatus.PENDING, 2, "a sharper picture"),
    (KycStatus.PENDING, 3, None),
    (KycStatus.APPROVED, 4, None),
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
@pytest.mark.parametrize("lost", [None, 0, 2])
def test_reports_in_any_order_three_times_each_end_the_same(
    sqlite_database: Database, clock: ManualClock, order: tuple[int, ...], lost: int | None
) -> None:
    desk = Desk(sqlite_database, clock)
    verification_id, at = desk.start(), clock.now()
    for number in [*order, *reversed(order), *order]:
        if number != lost:
            status, seconds, reason = REPORTS[number]
            desk.report(verification_id, status, at + timedelta(seconds=seconds), reason=reason)
    assert desk.standing() == ("approved", 1)
    assert desk.verification(verification_id).reason is None
    assert desk.told().count("kyc.approved") == 1


def test_of_two_reports_of_one_moment_the_review_counts(desk: Desk) -> None:
    verification_id, at = desk.start(), desk.clock.now()
    assert desk.report(verification_id, KycStatus.APPROVED, at) == "approved"
    assert desk.report(verification_id, KycStatus.PENDING, at) == "older than what is known"
    assert desk.standing() == ("approved", 1)


def test_a_later_reset_takes_the_approval_back_and_leaves_an_earlier_one(desk: Desk) -> None:
    first = desk.start()
    desk.report(first, KycStatus.APPROVED)
    second = desk.start()
    desk.report(second, KycStatus.APPROVED)
    desk.clock.advance(1)
    assert desk.report(second, KycStatus.PENDING, reason="begun again") == "pending"
    assert desk.standing() == ("approved", 1)
    desk.clock.advance(1)
    assert desk.report(first, KycStatus.PENDING, reason="begun again") == "superseded by a later verification"
    assert desk.standing() == ("approved", 1)


def test_a_person_approves_level_one_alone_and_rejects_at_once(desk: Desk) -> None:
    verification_id = desk.start()
    assert desk.decide(True) == (verification_id, None)
    assert desk.standing() == ("approved", 1)
    assert desk.report(verification_id, KycStatus.REJECTED, reason="late") == "a person has decided"
    second, approval_id = desk.decide(False)
    assert (approval_id, desk.verification(second).provider) == (None, "manual")
    assert desk.standing() == ("rejected", 0)
    actions = desk.run(lambda s: list(s.scalars(sa.select(AuditRecord.action).order_by(AuditRecord.id))))
    assert actions[-2:] == ["kyc.approve", "kyc.reject"]


def test_level_two_needs_a_second_person(desk: Desk) -> None:
    desk.report(desk.start(), KycStatus.APPROVED)
    verification_id, approval_id = desk.decide(True, 2)
    assert approval_id is not None and desk.standing() == ("approved", 1)
    assert refused(lambda: desk.decide(True, 2)) == "approval_pending"
    with pytest.raises(Forbidden):
        desk.check(approval_id, True, MAKER)
    assert desk.check(approval_id, True) == "executed"
    assert desk.standing() == ("approved", 2)
    assert desk.verification(verification_id).provider_data == {"decided_by": MAKER.actor}


def test_whom_the_firm_rejected_one_person_alone_does_not_approve(desk: Desk) -> None:
    desk.decide(False)
    _, approval_id = desk.decide(True, 1)
    assert approval_id is not None and desk.standing() == ("pending", 0)
    assert desk.check(approval_id, True) == "executed"
    assert desk.standing() == ("approved", 1)


def test_what_is_turned_down_leaves_the_client_as_before(desk: Desk) -> None:
    desk.report(desk.start(), KycStatus.APPROVED)
    verification_id, approval_id = desk.decide(True, 2)
    assert approval_id is not None
    assert desk.check(approval_id, False) == "rejected"
    assert desk.standing() == ("approved", 1)
    assert desk.verification(verification_id).status == "expired"
    desk.start(level=2)  # nothing is in the way


def test_a_proposal_is_void_once_the_client_has_another_document(desk: Desk) -> None:
    desk.start()
    _, approval_id = desk.decide(True, 2)

    def change(session: Session) -> None:
        client = session.get_one(Client, desk.ana)
        client.identity_type, client.identity_number, client.identity_country = "dni", "12345678", "PE"

    desk.run(change)
    assert approval_id is not None and desk.check(approval_id, True) == "failed"
    assert desk.standing() == ("pending", 0)


def test_a_report_or_another_decision_makes_a_proposal_void(desk: Desk) -> None:
    verification_id = desk.start()
    _, approval_id = desk.decide(True, 2)
    desk.report(verification_id, KycStatus.REJECTED, reason="forged")
    assert desk.run(lambda session: session.get_one(Approval, approval_id).status) == "voided"
    assert desk.standing() == ("rejected", 0)


def test_what_is_missing_shrinks_with_what_the_firm_has(desk: Desk) -> None:
    def missing(level: int, *, collects: bool = False) -> list[str]:
        return desk.run(  # type: ignore[no-any-return]
            lambda s: [
                item["name"] for item in kyc.missing(s, s.get_one(Client, desk.ana), level, collects_documents=collects)
            ]
        )

    assert missing(1) == ["identity_number", "born_on", "address", "id_front", "selfie"]
    assert missing(1, collects=True) == ["identity_number", "born_on", "address"]

    def fill(session: Session) -> None:
        client = session.get_one(Client, desk.ana)
        client.identity_type, client.identity_number, client.identity_country = "dni", "12345678", "PE"
        client.address = "Av. Larco 1, Lima"

    desk.run(fill)
    assert missing(2) == [
        "born_on",
        "occupation",
        "source_of_funds",
        "id_front",
        "id_back",
        "selfie",
        "proof_of_address",
    ]
    desk.run(lambda s: setattr(s.get_one(Client, desk.ana), "kind", "company"))
    assert missing(2) == [
        "born_on",
        "source_of_funds",
        "company_papers",
        "proof_of_address",
        "representative",
        "beneficial_owner",
    ]


# -- around the provider -----------------------------------------------------------------------------------------


class Provider(MockKyc):
    """The mock, which can be away and counts what it is asked."""

    def __init__(self) -> None:
        super().__init__(decides=True)
        self.away, self.asked = False, 0

    def create_applicant(self, applicant: Applicant, now: datetime) -> Report:
        self.asked += 1
        if self.away:
            raise ProviderError("away")
        return super().create_applicant(applicant, now)


@pytest.mark.parametrize(
    ("number", "standing"), [("12345678", ("approved", 1)), ("12345670", ("rejected", 0)), ("12345679", ("pending", 0))]
)
def test_the_mock_decides_by_the_number_of_the_document(desk: Desk, number: str, standing: tuple[str, int]) -> None:
    def fill(session: Session) -> None:
        client = session.get_one(Client, desk.ana)
        client.identity_type, client.identity_number, client.identity_country = "dni", number, "PE"

    desk.run(fill)
    at_provider = KycAtProvider(Provider(), YEAR)
    assert at_provider.open(desk.database, desk.start(provider="mock"), desk.clock.now())
    assert desk.standing() == standing


def test_in_production_the_mock_leaves_everybody_to_a_person(desk: Desk) -> None:
    KycAtProvider(MockKyc(decides=False), YEAR).open(desk.database, desk.start(provider="mock"), desk.clock.now())
    assert desk.standing() == ("pending", 0)


def test_a_provider_that_was_away_is_asked_again_by_the_sweep_and_not_in_a_circle(desk: Desk) -> None:
    desk.run(lambda s: setattr(s.get_one(Client, desk.ana), "name", "Ana Q"))
    provider = Provider()
    provider.away = True
    at_provider = KycAtProvider(provider, YEAR)
    verification_id = desk.start(provider="mock")
    assert not at_provider.open(desk.database, verification_id, desk.clock.now())
    at_provider.sweep(desk.database, desk.clock.now())
    assert provider.asked == 1  # the request has just asked
    desk.clock.advance(60)
    for _ in range(3):
        at_provider.sweep(desk.database, desk.clock.now())
    assert provider.asked == 2
    provider.away = False
    desk.clock.advance(60)
    at_provider.sweep(desk.database, desk.clock.now())
    assert desk.verification(verification_id).session_id is not None
    desk.clock.advance(60)
    at_provider.sweep(desk.database, desk.clock.now())
    assert provider.asked == 3
