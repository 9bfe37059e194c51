"""Maker-checker: who may decide, every step from every state, one effect, and what a crash leaves is carried out."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import ManualClock
from app.core.errors import AppError, Conflict, Forbidden, Invalid, NotFound, Unavailable
from app.core.ids import new_id
from app.core.permissions import SYSTEM, Principal, Role
from app.core.transaction import Database
from app.domain.approvals import ApprovalKind, ApprovalStatus
from app.models import Approval, ApprovalVote, AuditRecord, Event
from app.services import approvals, audit
from app.services.approvals import ApprovalFilter, Approvals

KIND = ApprovalKind.WITHDRAWAL
STATUSES = list(ApprovalStatus)


def person(role: Role) -> Principal:
    id_ = new_id()
    return Principal("user", id_, f"{role}-{id_[-4:]}", role=role)


MAKER, OPERATOR, TRADER = person(Role.OPERATOR), person(Role.OPERATOR), person(Role.TRADER)
FIRST, SECOND, MASTER = person(Role.MIDDLE_OFFICE), person(Role.MIDDLE_OFFICE), person(Role.MASTER)


class Payouts:
    """Things with a price each; what is done to one leaves an audit record, in the transaction it is done in."""

    def __init__(self) -> None:
        self.content_of: dict[str, dict[str, Any]] = {}
        self.failure: Exception | None = None

    def content(self, session: Session, object_id: str) -> dict[str, Any]:
        return self.content_of[object_id]

    def carry_out(self, session: Session, approval: Approval, now: datetime) -> None:
        audit.record(session, SYSTEM, "payout.done", "payout", approval.object_id, now)
        session.flush()
        if self.failure is not None:
            raise self.failure

    def turn_down(self, session: Session, approval: Approval, now: datetime) -> None:
        audit.record(session, SYSTEM, "payout.turned_down", "payout", approval.object_id, now)


class Desk:
    """The service with one kind of subject, each call in a transaction of its own."""

    def __init__(self, database: Database, clock: ManualClock) -> None:
        self.database, self.clock, self.subject = database, clock, Payouts()
        self.approvals = Approvals({KIND: self.subject})

    def propose(self, amount: str | None = "100", maker: Principal = MAKER, **more: Any) -> str:
        object_id = more.pop("object_id", None) or new_id()
        content = {"amount": amount, "to": "BCP 191"}
        self.subject.content_of[object_id] = content
        usd = None if amount is None else Decimal(amount)

        def work(session: Session) -> str:
            made = approvals.propose(
                session, KIND, object_id, content, "Pay", maker, self.clock.now(), amount_usd=usd, **more
            )
            return made.id

        return self.database.run(work)

    def vote(self, id_: str, who: Principal = FIRST, approve: bool = True, **more: Any) -> str:
        def work(session: Session) -> str:
            decided = self.approvals.decide(session, id_, approve, "why", who, self.clock.now(), **more)
            return decided.status

        return self.database.run(work)

    def carry_out(self, id_: str) -> bool:
        return self.database.run(partial(self.approvals.carry_out, approval_id=id_, now=self.clock.now()))

    def void(self, id_: str, reason: str = "edited") -> None:
        object_id = self.row(id_).object_id
        self.database.run(lambda session: approvals.void(session, KIND, object_id, reason, self.clock.now()))

    def go_on(self) -> bool:
        return approvals.carry_out_waiting(self.database, self.approvals, self.clock.now())

    def row(self, id_: str) -> Approval:
        return self.database.read(lambda session: session.get_one(Approval, id_))

    def put(self, id_: str, status: ApprovalStatus) -> None:
        statement = sa.update(Approval).where(Approval.id == id_).values(status=status.value)
        self.database.run(lambda session: session.execute(statement))

    def done(self, action: str = "payout.done") -> list[str]:
        query = sa.select(AuditRecord.object_id).where(AuditRecord.action == action)
        return self.database.read(lambda session: list(session.scalars(query)))

    def waiting(self, who: Principal) -> list[str]:
        def work(session: Session) -> list[str]:
            found, total = approvals.search(session, who, ApprovalFilter(waiting=True), 10, 0)
            assert total == approvals.count_waiting(session, who) == len(found)
            return [approval.id for approval in found]

        return self.database.read(work)


@pytest.fixture
def desk(database: Database, clock: ManualClock) -> Desk:
    return Desk(database, clock)


def refused(code: str, work: Any, error: type[AppError] = Conflict) -> None:
    with pytest.raises(error) as caught:
        work()
    assert caught.value.code == code


def test_what_a_second_person_agrees_to_is_carried_out_after_that_commit(desk: Desk) -> None:
    id_ = desk.propose()
    assert desk.vote(id_) == "approved"
    assert desk.done() == []  # nothing before the vote is stored
    assert desk.carry_out(id_)
    row = desk.row(id_)
    assert (row.status, desk.done()) == ("executed", [row.object_id])
    assert row.decided_at == row.executed_at == desk.clock.now()
    assert not desk.carry_out(id_)
    assert desk.done() == [row.object_id]


def test_each_step_is_an_event_and_a_record_of_its_transaction(desk: Desk) -> None:
    id_ = desk.propose()
    desk.vote(id_)
    desk.carry_out(id_)

    def work(session: Session) -> tuple[list[Any], list[Any]]:
        events = session.execute(sa.select(Event.type, Event.stream, Event.object_version).order_by(Event.id)).all()
        records = sa.select(AuditRecord.action, AuditRecord.actor).where(AuditRecord.object_id == id_)
        return list(events), list(session.execute(records.order_by(AuditRecord.id)).all())

    events, records = desk.database.read(work)
    assert events == [
        ("approval.created", "firm", 1),
        ("approval.approved", "firm", 2),
        ("approval.executed", "firm", 3),
    ]
    assert records == [
        ("approval.propose", MAKER.actor),
        ("approval.approve", FIRST.actor),
        ("approval.executed", "system"),
    ]


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.MASTER, Role.MIDDLE_OFFICE])
def test_the_maker_is_never_the_checker(desk: Desk, role: Role) -> None:
    maker = person(role)
    id_ = desk.propose(maker=maker)
    with pytest.raises(Forbidden):
        desk.vote(id_, maker)
    with pytest.raises(Forbidden):
        desk.vote(id_, maker, approve=False)
    assert desk.row(id_).status == "pending"
    assert desk.waiting(maker) == []


def test_nobody_decides_on_what_is_about_them(desk: Desk) -> None:
    id_ = desk.propose(object_id=FIRST.id)
    refused("own_proposal", lambda: desk.vote(id_, FIRST), Forbidden)
    assert desk.waiting(FIRST) == [] and desk.waiting(SECOND) == [id_]
    assert desk.vote(id_, SECOND) == "approved"


@pytest.mark.parametrize(
    "who",
    [
        OPERATOR,  # may read it, and is no checker of it
        TRADER,  # has no inbox
        Principal("user", new_id(), "a client", role=Role.CLIENT, client_id=new_id()),
        Principal("key", new_id(), "a key", scopes=frozenset(), act_for_clients=True),
    ],
    ids=["operator", "trader", "client", "key"],
)
def test_only_checkers_decide(desk: Desk, who: Principal) -> None:
    id_ = desk.propose()
    for approve in (True, False):
        with pytest.raises(Forbidden):
            desk.vote(id_, who, approve=approve)
    assert desk.row(id_).status == "pending"


def test_an_unknown_proposal_and_one_of_a_kind_one_may_not_read_are_the_same(desk: Desk) -> None:
    def staff(session: Session) -> str:
        made = approvals.propose(session, ApprovalKind.STAFF, new_id(), {}, "New staff", MASTER, desk.clock.now())
        return made.id

    hidden = desk.database.run(staff)
    for id_ in (hidden, new_id(), "not-an-id"):
        refused("not_found", lambda id_=id_: desk.vote(id_, FIRST), NotFound)
    found, total = desk.database.read(lambda s: approvals.search(s, FIRST, ApprovalFilter(), 10, 0))
    assert (found, total) == ([], 0)
    found, total = desk.database.read(lambda s: approvals.search(s, MASTER, ApprovalFilter(), 10, 0))
    assert [approval.id for approval in found] == [hidden]


@pytest.mark.parametrize(("amount", "needed"), [("0", 1), ("9999.99", 1), ("10000", 2), ("10000000", 2), (None, 2)])
def test_the_tier_of_its_value_says_how_many_must_agree(desk: Desk, amount: str | None, needed: int) -> None:
    """What has no known value takes the strictest one."""
    id_ = desk.propose(amount)
    assert desk.row(id_).required == needed
    assert desk.vote(id_, FIRST) == ("approved" if needed == 1 else "pending")
    if needed == 2:
        assert not desk.carry_out(id_)
        refused("already_voted", lambda: desk.vote(id_, FIRST))
        refused("already_voted", lambda: desk.vote(id_, FIRST, approve=False))
        assert desk.waiting(FIRST) == [] and desk.waiting(SECOND) == [id_]
        assert desk.vote(id_, SECOND) == "approved"
    assert desk.carry_out(id_)


def test_one_no_is_enough(desk: Desk) -> None:
    id_ = desk.propose("50000")
    desk.vote(id_, FIRST)
    assert desk.vote(id_, SECOND, approve=False) == "rejected"
    row = desk.row(id_)
    assert (row.reason, desk.done("payout.turned_down")) == ("why", [row.object_id])
    assert not desk.carry_out(id_)
    assert desk.done() == []


def test_the_vote_is_about_what_was_looked_at(desk: Desk) -> None:
    id_ = desk.propose()
    refused("content_changed", lambda: desk.vote(id_, content_hash_seen="0" * 64))
    assert desk.vote(id_, content_hash_seen=desk.row(id_).content_hash) == "approved"


def test_what_was_edited_after_the_approval_is_not_carried_out(desk: Desk) -> None:
    id_ = desk.propose()
    desk.vote(id_)
    object_id = desk.row(id_).object_id
    desk.subject.content_of[object_id] = {"amount": "100", "to": "another account"}
    assert not desk.carry_out(id_)
    assert (desk.row(id_).status, desk.done(), desk.done("payout.turned_down")) == ("failed", [], [object_id])


def test_a_second_proposal_about_the_same_object_waits_for_the_first(desk: Desk) -> None:
    id_ = desk.propose()
    object_id = desk.row(id_).object_id
    refused("approval_pending", lambda: desk.propose(object_id=object_id))
    desk.vote(id_)
    refused("approval_pending", lambda: desk.propose(object_id=object_id))  # approved is open still
    desk.carry_out(id_)
    assert desk.row(desk.propose(object_id=object_id)).status == "pending"


def test_the_hash_is_that_of_the_content_whatever_its_order() -> None:
    one = {"amount": "1.00", "to": {"bank": "BCP", "number": "1"}}
    assert approvals.content_hash(one) == approvals.content_hash(dict(reversed(one.items())))
    assert approvals.content_hash(one) != approvals.content_hash({**one, "amount": "1"})


# -- every act from every state ------------------------------------------------------------------------------

OPEN = {ApprovalStatus.PENDING, ApprovalStatus.APPROVED}
WANTED = {
    # act -> state before -> state after; what is not here stays as it is
    "approve": {ApprovalStatus.PENDING: ApprovalStatus.APPROVED},
    "reject": {ApprovalStatus.PENDING: ApprovalStatus.REJECTED},
    "carry_out": {ApprovalStatus.APPROVED: ApprovalStatus.EXECUTED},
    "fail": {ApprovalStatus.APPROVED: ApprovalStatus.FAILED},
    "void": dict.fromkeys(OPEN, ApprovalStatus.VOIDED),
    "expire": {ApprovalStatus.PENDING: ApprovalStatus.EXPIRED},
}


@pytest.mark.parametrize("before", STATUSES)
@pytest.mark.parametrize("act", WANTED)
def test_every_act_from_every_state(desk: Desk, act: str, before: ApprovalStatus) -> None:
    id_ = desk.propose()
    desk.put(id_, before)
    after = WANTED[act].get(before, before)
    if act in ("approve", "reject"):
        work = partial(desk.vote, id_, approve=act == "approve")
        if before is ApprovalStatus.PENDING:
            assert work() == after
        else:
            refused("already_decided", work)
    elif act in ("carry_out", "fail"):
        desk.subject.failure = Invalid("no") if act == "fail" else None
        assert desk.carry_out(id_) == (after is ApprovalStatus.EXECUTED and before is not after)
    elif act == "void":
        desk.void(id_)
    else:
        desk.clock.advance(approvals.LASTS.total_seconds())
        ended = desk.database.run(partial(desk.approvals.expire, now=desk.clock.now()))
        assert ended == (before is ApprovalStatus.PENDING)
    row = desk.row(id_)
    assert row.status == after
    assert row.version == (1 if after is before else 2)
    carried_out = after is ApprovalStatus.EXECUTED and before is not after
    assert desk.done() == ([row.object_id] if carried_out else [])
    turned_down = {ApprovalStatus.REJECTED, ApprovalStatus.FAILED, ApprovalStatus.EXPIRED}
    assert desk.done("payout.turned_down") == ([row.object_id] if after in turned_down and before != after else [])


def test_who_comes_too_late_decides_nothing(desk: Desk) -> None:
    id_ = desk.propose()
    desk.clock.advance(approvals.LASTS.total_seconds() - 1)
    assert desk.waiting(FIRST) == [id_]
    desk.clock.advance(1)
    refused("approval_expired", lambda: desk.vote(id_))
    assert not desk.go_on()
    assert (desk.row(id_).status, desk.waiting(FIRST)) == ("expired", [])


def test_many_that_expire_together_are_ended_in_several_turns(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approvals, "EXPIRED_AT_ONCE", 2)
    ids = [desk.propose() for _ in range(3)]
    desk.clock.advance(approvals.LASTS.total_seconds())
    assert desk.go_on()  # there is more to do at once
    assert not desk.go_on()
    assert {desk.row(id_).status for id_ in ids} == {"expired"}


# -- when something breaks -----------------------------------------------------------------------------------


def test_a_crash_between_approved_and_carried_out_is_repaired(desk: Desk) -> None:
    """The vote is stored and the process is gone: the next one carries it out, once."""
    id_ = desk.propose()
    desk.vote(id_)
    next_process = Desk(desk.database, desk.clock)
    next_process.subject.content_of = desk.subject.content_of
    assert not next_process.go_on()
    assert not next_process.go_on()
    assert (desk.row(id_).status, desk.done()) == ("executed", [desk.row(id_).object_id])


def test_a_crash_in_the_middle_of_carrying_out_leaves_it_approved(desk: Desk) -> None:
    id_ = desk.propose()
    desk.vote(id_)
    for failure in (RuntimeError("killed"), Unavailable("the database is away")):
        desk.subject.failure = failure
        with pytest.raises(type(failure)):
            desk.carry_out(id_)
        assert (desk.row(id_).status, desk.done()) == ("approved", [])
    desk.subject.failure = None
    desk.go_on()
    assert (desk.row(id_).status, desk.done()) == ("executed", [desk.row(id_).object_id])


def test_what_cannot_be_done_any_more_leaves_nothing_behind_but_its_reason(desk: Desk) -> None:
    id_ = desk.propose()
    desk.vote(id_)
    desk.subject.failure = Conflict("the balance is too small")
    assert not desk.carry_out(id_)
    row = desk.row(id_)
    assert (row.status, row.reason) == ("failed", "the balance is too small")
    assert (desk.done(), desk.done("payout.turned_down")) == ([], [row.object_id])


def test_one_that_breaks_does_not_hold_up_the_others_for_ever(desk: Desk) -> None:
    broken, whole = desk.propose(), desk.propose()
    for id_ in (broken, whole):
        desk.vote(id_)
        desk.clock.advance(1)
    carry_out = desk.subject.carry_out

    def some(session: Session, approval: Approval, now: datetime) -> None:
        if approval.id == broken:
            raise RuntimeError("always")
        carry_out(session, approval, now)

    desk.subject.carry_out = some  # type: ignore[method-assign]
    assert not desk.go_on()
    assert (desk.row(broken).status, desk.row(whole).status) == ("approved", "executed")


def together(works: list[Any]) -> list[Any]:
    """Run them at the same moment; what each answered or raised."""
    answers: list[Any] = [None] * len(works)
    start = threading.Barrier(len(works))

    def run(number: int) -> None:
        start.wait()
        try:
            answers[number] = works[number]()
        except AppError as error:
            answers[number] = error.code

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("same", [True, False], ids=["one person", "many people"])
def test_fifty_who_approve_at_once_have_one_effect(desk: Desk, same: bool) -> None:
    id_ = desk.propose()
    people = [replace(MASTER, id=MASTER.id if same else new_id()) for _ in range(50)]

    def click(who: Principal) -> str:
        status = desk.vote(id_, who)
        desk.carry_out(id_)
        return status

    answers = together([partial(click, who) for who in people])
    assert answers.count("approved") == 1
    assert answers.count("already_decided") == 49
    row = desk.row(id_)
    assert (row.status, desk.done()) == ("executed", [row.object_id])
    votes = desk.database.read(lambda session: session.scalar(sa.select(sa.func.count(ApprovalVote.id))))
    assert votes == 1


def test_many_who_carry_out_at_once_have_one_effect(desk: Desk) -> None:
    id_ = desk.propose()
    desk.vote(id_)
    answers = together([partial(desk.carry_out, id_)] * 20)
    assert (answers.count(True), answers.count(False)) == (1, 19)
    assert desk.done() == [desk.row(id_).object_id]


def test_of_many_that_propose_the_same_at_once_one_is_taken(desk: Desk) -> None:
    object_id = new_id()
    answers = together([partial(desk.propose, object_id=object_id)] * 10)
    assert answers.count("approval_pending") == 9


def test_an_approval_and_an_edit_at_once_end_in_one_of_the_two(desk: Desk) -> None:
    for _ in range(5):
        id_ = desk.propose()

        def approve(id_: str = id_) -> None:
            desk.vote(id_)
            desk.carry_out(id_)

        together([approve, partial(desk.void, id_)])
        row = desk.row(id_)
        assert row.status in ("executed", "voided")
        assert (row.object_id in desk.done()) == (row.status == "executed")


def test_expired_and_decided_proposals_do_not_wait_for_anybody(desk: Desk) -> None:
    first, second = desk.propose(), desk.propose()
    assert desk.waiting(SECOND) == [second, first]
    desk.vote(first)
    assert desk.waiting(SECOND) == [second]
    desk.void(second)
    assert desk.waiting(SECOND) == []
    assert desk.row(second).reason == "edited"


def test_the_lists_are_filtered_and_paged(desk: Desk) -> None:
    ids = []
    for _ in range(3):
        ids.append(desk.propose())
        desk.clock.advance(1)
    desk.vote(ids[0], approve=False)

    def search(limit: int = 10, offset: int = 0, **wanted: Any) -> tuple[list[str], int]:
        def work(session: Session) -> tuple[list[str], int]:
            found, total = approvals.search(session, MASTER, ApprovalFilter(**wanted), limit, offset)
            return [approval.id for approval in found], total

        return desk.database.read(work)

    assert search() == ([ids[2], ids[1], ids[0]], 3)
    assert search(1, 1) == ([ids[1]], 3)
    assert search(status=ApprovalStatus.REJECTED) == ([ids[0]], 1)
    assert search(kind=ApprovalKind.DEPOSIT) == ([], 0)
    assert desk.row(ids[0]).expires_at - desk.row(ids[0]).created_at == timedelta(days=3)
