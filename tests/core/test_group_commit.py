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
    while len(group._waiting) < len(items):
        threading.Event().wait(0.001)
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
