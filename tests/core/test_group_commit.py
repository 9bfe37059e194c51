"""Callers that arrive together share a transaction, and nobody pays for another's mistake."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core import group_commit
from app.core.errors import Unavailable
from app.core.group_commit import GroupCommit
from app.core.transaction import Database


@pytest.fixture
def table(database: Database) -> Database:
    database.run(lambda session: session.execute(sa.text("CREATE TABLE notes (name TEXT PRIMARY KEY)")))
    return database


def stored(database: Database) -> set[str]:
    return set(database.read(lambda session: session.scalars(sa.text("SELECT name FROM notes")).all()))


def until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads do, for a bounded time."""
    for _ in range(20_000):
        if condition():
            return
        threading.Event().wait(0.001)
    pytest.fail("it did not happen in time")


class Desk:
    """Writes one note per item and remembers which items shared a transaction."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []

    def __call__(self, session: Session, items: list[str]) -> list[str]:
        self.groups.append(list(items))
        for item in items:
            if item.startswith("bad"):
                raise ValueError(item)
            session.execute(sa.text("INSERT INTO notes VALUES (:name)"), {"name": item})
        return [f"stored {item}" for item in items]


def together(group: GroupCommit[str, str], items: list[str], release: threading.Event) -> dict[str, Any]:
    """Call from one thread each; the first keeps its group open until all have arrived."""
    answers: dict[str, Any] = {}

    def call(item: str) -> None:
        try:
            answers[item] = group.run(item)
        except Exception as error:  # noqa: BLE001 (it is the answer)
            answers[item] = error

    threads = [threading.Thread(target=call, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    until(lambda: group.waiting >= len(items))
    release.set()
    for thread in threads:
        thread.join(20)
    return answers


def closed_by(release: threading.Event) -> Callable[[], None]:
    def gather() -> None:
        assert release.wait(20)

    return gather


def test_those_who_arrive_together_share_one_transaction(table: Database) -> None:
    desk, release = Desk(), threading.Event()
    items = [f"note {number}" for number in range(8)]
    answers = together(GroupCommit(table, desk, closed_by(release)), items, release)
    assert answers == {item: f"stored {item}" for item in items}
    assert [sorted(group) for group in desk.groups] == [items]
    assert stored(table) == set(items)


def test_one_that_fails_fails_alone(table: Database) -> None:
    desk, release = Desk(), threading.Event()
    answers = together(GroupCommit(table, desk, closed_by(release)), ["a", "bad", "b"], release)
    assert (answers["a"], answers["b"]) == ("stored a", "stored b")
    assert isinstance(answers["bad"], ValueError)
    assert stored(table) == {"a", "b"}


def test_a_database_that_is_away_answers_everybody_and_is_not_asked_again_for_each(table: Database) -> None:
    calls, release = [], threading.Event()

    def away(session: Session, items: list[str]) -> list[str]:
        calls.append(items)
        raise Unavailable("gone")

    answers = together(GroupCommit(table, away, closed_by(release)), ["a", "b", "c"], release)
    assert all(isinstance(answer, Unavailable) for answer in answers.values())
    assert len(calls) == 1


def test_too_many_waiting_are_refused_before_anything_is_stored(
    table: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "WAITING_MAX", 0)
    with pytest.raises(Unavailable) as refused:
        GroupCommit(table, Desk(), lambda: None).run("a")
    assert refused.value.retry_after == 1
    assert stored(table) == set()


def test_a_large_crowd_is_taken_in_groups_of_bounded_size(table: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "LARGEST", 3)
    desk, release = Desk(), threading.Event()
    items = [f"note {number}" for number in range(7)]
    together(GroupCommit(table, desk, closed_by(release)), items, release)
    assert stored(table) == set(items)
    assert max(len(group) for group in desk.groups) == 3


# -- lanes ---------------------------------------------------------------------------------------------------


class Door:
    """What "a" needs is locked by somebody; whoever waits for it waits until it is let go."""

    def __init__(self) -> None:
        self.open, self.waited_for = threading.Event(), threading.Event()
        self.groups: list[list[str]] = []

    def free(self, _session: Session, lanes: set[str]) -> set[str]:
        return lanes if self.open.is_set() else lanes - {"a"}

    def work(self, session: Session, items: list[str]) -> list[str]:
        self.groups.append(list(items))
        if any(item.startswith("a") for item in items) and not self.open.is_set():
            self.waited_for.set()
            assert self.open.wait(20)
        return [f"stored {item}" for item in items]


def in_threads(group: GroupCommit[str, str], items: list[str]) -> tuple[list[threading.Thread], dict[str, Any]]:
    answers: dict[str, Any] = {}

    def call(item: str) -> None:
        try:
            answers[item] = group.run(item)
        except Exception as error:  # noqa: BLE001 (it is the answer)
            answers[item] = error

    threads = [threading.Thread(target=call, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    return threads, answers


def joined(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


@pytest.fixture
def lanes(postgres_database: Database) -> tuple[GroupCommit[str, str], Door]:
    """Each item's lane is its first letter. PostgreSQL: SQLite has one writer, and nothing to step aside for."""
    door = Door()
    return GroupCommit(
        postgres_database, door.work, lambda: None, lane_of=lambda item: item[0], lock_free=door.free
    ), door


@pytest.mark.postgres
def test_what_is_locked_by_somebody_delays_nobody_else(lanes: tuple[GroupCommit[str, str], Door]) -> None:
    group, door = lanes
    threads, answers = in_threads(group, ["a1"])
    assert door.waited_for.wait(20)
    later, others = in_threads(group, ["b1", "c1", "b2"])
    joined(later)
    assert others == {item: f"stored {item}" for item in ("b1", "c1", "b2")} and answers == {}
    door.open.set()
    joined(threads)
    assert answers == {"a1": "stored a1"}


@pytest.mark.postgres
def test_those_who_wait_for_the_same_share_the_next_transaction(lanes: tuple[GroupCommit[str, str], Door]) -> None:
    group, door = lanes
    first, answers = in_threads(group, ["a1"])
    assert door.waited_for.wait(20)
    rest, more = in_threads(group, ["a2", "a3", "a4"])
    until(lambda: group.waiting >= 3)
    door.open.set()
    joined([*first, *rest])
    assert {*answers.values(), *more.values()} == {f"stored a{number}" for number in (1, 2, 3, 4)}
    assert [sorted(items) for items in door.groups] == [["a1"], ["a2", "a3", "a4"]]
    assert group.waiting == 0 and group._lanes == {}


@pytest.mark.postgres
def test_a_lock_that_is_not_had_in_time_sends_everybody_to_lanes(postgres_database: Database) -> None:
    """Found only while the work is done: a row of something else than what names the lane."""
    calls: list[list[str]] = []
    postgres_database.run(lambda session: session.execute(sa.text("CREATE TABLE notes (name TEXT PRIMARY KEY)")))
    postgres_database.run(lambda session: session.execute(sa.text("INSERT INTO notes VALUES ('a'), ('b')")))
    held, release = threading.Event(), threading.Event()

    def somebody(session: Session) -> None:
        session.execute(sa.text("SELECT * FROM notes WHERE name = 'a' FOR UPDATE"))
        held.set()
        assert release.wait(20)

    def free(session: Session, lanes: set[str]) -> set[str]:
        session.execute(sa.text("SET LOCAL lock_timeout = 50"))
        return lanes

    def work(session: Session, items: list[str]) -> list[str]:
        calls.append(sorted(items))
        for name in sorted({item[0] for item in items}):
            session.execute(sa.text("SELECT * FROM notes WHERE name = :name FOR UPDATE"), {"name": name})
        return [f"stored {item}" for item in items]

    blocker = threading.Thread(target=lambda: postgres_database.run(somebody))
    blocker.start()
    assert held.wait(20)
    arrived = threading.Event()
    group = GroupCommit(postgres_database, work, closed_by(arrived), lane_of=lambda item: item[0], lock_free=free)
    threads, answers = in_threads(group, ["a1", "b1"])
    until(lambda: group.waiting >= 2)
    arrived.set()
    until(lambda: "b1" in answers)
    assert answers == {"b1": "stored b1"}
    release.set()
    joined([*threads, blocker])
    assert answers == {"a1": "stored a1", "b1": "stored b1"}
    assert calls[0] == ["a1", "b1"] and sorted(calls[1:]) == [["a1"], ["b1"]]
