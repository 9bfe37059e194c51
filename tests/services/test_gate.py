"""The gate against the database: what counts, what is stored of both answers, and two acts at once."""

from __future__ import annotations

import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import ManualClock
from app.core.errors import Conflict
from app.core.ids import new_id
from app.core.permissions import SYSTEM
from app.core.transaction import Database
from app.domain.gate import Act
from app.models import Client, Deposit, GateDecision, Wallet
from app.services import clients, gate, wallets

D = Decimal


@pytest.fixture
def ana(database: Database, clock: ManualClock) -> tuple[str, str]:
    """A new client and its wallet."""

    def work(session: Session) -> tuple[str, str]:
        client = clients.create(session, "ana", "Ana", SYSTEM, clock.now())
        return client.id, wallets.create(session, client, "Main", {}, SYSTEM, clock.now()).id

    return database.run(work)


def deposit(session: Session, wallet_id: str, usd: str, status: str, clock: ManualClock, **more: Any) -> str:
    row = Deposit(
        id=new_id(),
        client_id=session.get_one(Wallet, wallet_id).client_id,
        wallet_id=wallet_id,
        amount=D(usd),
        currency="USD",
        amount_usd=D(usd),
        method="card",
        provider="stripe",
        details={},
        status=status,
        confirmed_amount=D(usd) if status == "completed" else None,
        requested_by="system",
        created_at=clock.now(),
        updated_at=clock.now(),
        **more,
    )
    session.add(row)
    session.flush()
    return row.id


def ask(database: Database, client_id: str, clock: ManualClock, usd: str, about: gate.About | None = None) -> None:
    database.run(
        lambda session: gate.require(
            session, session.get_one(Client, client_id), Act.DEPOSIT, clock.now(), D(usd), about
        )
    )


def decisions(database: Database) -> list[GateDecision]:
    return database.read(lambda session: list(session.scalars(sa.select(GateDecision).order_by(GateDecision.id))))


def test_both_answers_are_stored_and_can_be_worked_out_again(
    database: Database, clock: ManualClock, ana: tuple[str, str]
) -> None:
    about = ("deposit", new_id())
    ask(database, ana[0], clock, "500", about)
    with pytest.raises(Conflict) as refused:
        ask(database, ana[0], clock, "500.01")
    assert refused.value.code == "gate_closed"
    assert [reason["code"] for reason in refused.value.extra["reasons"]] == ["limit_each", "limit_day"]
    allowed, closed = decisions(database)
    assert (allowed.allowed, allowed.reasons, allowed.about_type, allowed.about_id) == (True, [], *about)
    assert (closed.allowed, closed.reasons) == (False, refused.value.extra["reasons"])
    for decision in (allowed, closed):
        answer = gate.replay(decision)
        assert (answer.allowed, [reason.to_json() for reason in answer.reasons]) == (decision.allowed, decision.reasons)


def test_a_refusal_that_is_caught_is_stored_once_and_with_it_what_was_committed(
    database: Database, clock: ManualClock, ana: tuple[str, str]
) -> None:
    def work(session: Session) -> None:
        client = session.get_one(Client, ana[0])
        with pytest.raises(Conflict), session.begin_nested():
            client.name = "Nobody"
            gate.require(session, client, Act.WITHDRAWAL, clock.now(), D(1))
        session.get_one(Client, ana[0]).address = "Lima"

    database.run(work)
    assert [decision.allowed for decision in decisions(database)] == [False]
    stored = database.read(lambda session: session.get_one(Client, ana[0]))
    assert (stored.name, stored.address) == ("Ana", "Lima")


def test_what_was_given_up_or_is_long_ago_does_not_count_nor_the_act_itself(
    database: Database, clock: ManualClock, ana: tuple[str, str]
) -> None:
    def work(session: Session) -> str:
        deposit(session, ana[1], "400", "canceled", clock)
        deposit(session, ana[1], "400", "failed", clock)
        return deposit(session, ana[1], "400", "completed", clock)

    deposit_id = database.run(work)
    with pytest.raises(Conflict):
        ask(database, ana[0], clock, "101")
    ask(database, ana[0], clock, "100")
    ask(database, ana[0], clock, "500", ("deposit", deposit_id))
    clock.advance(timedelta(days=1).total_seconds())
    ask(database, ana[0], clock, "500")
    database.run(lambda session: deposit(session, ana[1], "500", "pending", clock))
    clock.advance(timedelta(days=1).total_seconds())
    with pytest.raises(Conflict) as refused:  # 900 of 1,000 in 30 days
        ask(database, ana[0], clock, "101")
    assert [reason["code"] for reason in refused.value.extra["reasons"]] == ["limit_month"]


def test_meters_say_what_is_left(database: Database, clock: ManualClock, ana: tuple[str, str]) -> None:
    database.run(lambda session: deposit(session, ana[1], "150.5", "pending", clock))
    meters = database.read(lambda session: gate.meters(session, session.get_one(Client, ana[0]), clock.now()))
    assert meters[0] == {
        "act": "deposit",
        "each_usd": "500",
        "day": {"limit_usd": "500", "used_usd": "150.5", "left_usd": "349.5"},
        "month": {"limit_usd": "1000", "used_usd": "150.5", "left_usd": "849.5"},
    }
    assert meters[1]["day"] == {"limit_usd": "0", "used_usd": "0", "left_usd": "0"}


def test_of_many_at_once_only_those_get_through_that_fit(
    database: Database, clock: ManualClock, ana: tuple[str, str]
) -> None:
    """Ten times 200 USD at once, with 500 a day."""
    let_through, ready = [], threading.Barrier(10)

    def work(session: Session) -> None:
        gate.require(session, session.get_one(Client, ana[0]), Act.DEPOSIT, clock.now(), D(200))
        deposit(session, ana[1], "200", "pending", clock)

    def one() -> None:
        ready.wait()
        try:
            database.run(work)
        except Conflict:
            return
        let_through.append(1)

    threads = [threading.Thread(target=one) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_through) == 2
    assert sorted(decision.allowed for decision in decisions(database)) == [False] * 8 + [True] * 2
