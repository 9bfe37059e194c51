"""What is done outside after commits: each chore in a loop of its own, where the lease is."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import pytest

from app import background, create_app
from app.config import TestingConfig
from app.core.clock import ManualClock
from app.core.errors import Unavailable
from app.engine.chores import Chore, Chores


def test_a_chore_that_fails_is_counted_and_holds_up_no_other(clock: ManualClock) -> None:
    done: list[str] = []

    def fail(now: datetime) -> bool:
        raise ValueError("broken")

    def interrupted(now: datetime) -> bool:
        raise Unavailable("away")

    def work(now: datetime) -> bool:
        done.append("work")
        return len(done) < 3

    chores = Chores([Chore("a", 5, fail), Chore("b", 5, interrupted), Chore("c", 5, work)], lambda: True, clock)
    assert [chores.step() for _ in range(3)] == [True, True, False]
    assert (len(done), chores.counts) == (3, {"a": 1})
    clock.advance(4)
    assert not chores.step() and len(done) == 3
    clock.advance(1)
    chores.step()
    assert (len(done), chores.counts["a"]) == (4, 2)


def test_one_that_hangs_holds_up_no_other(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail server that takes connections and says nothing delays no approval."""
    released, went_on = threading.Event(), threading.Event()

    def hang(now: datetime) -> bool:
        released.wait(20)
        return False

    def go_on(now: datetime) -> bool:
        went_on.set()
        return False

    def chores(*_parts: Any) -> list[Chore]:
        return [Chore("hangs", 1, hang), Chore("goes on", 60, go_on)]

    monkeypatch.setattr(background, "build_chores", chores)
    app = create_app(TestingConfig(database_url=sqlite_url, engine="on"))
    background.start(app)
    try:
        assert went_on.wait(10)
        went_on.clear()
        app.extensions["services"].wake_chores()
        assert went_on.wait(10), "a commit wakes it before its time"
    finally:
        released.set()
        background.stop(app)
        app.extensions["services"].database.dispose()
