"""Commands wait for the engine in order, are taken once, and pile up without bound nowhere."""

from __future__ import annotations

import pytest

from app.core.clock import ManualClock
from app.core.errors import Unavailable
from app.core.permissions import SYSTEM
from app.core.transaction import Database
from app.services import commands


def test_commands_wait_in_order_until_they_are_taken(database: Database, clock: ManualClock) -> None:
    for number, kind in enumerate(("venue", "quote", "venue")):
        database.run(lambda s, n=number, k=kind: commands.hand_over(s, k, {"number": n}, SYSTEM, clock.now()))

    def waiting(kind: str | None = None) -> list[int]:
        return [row["payload"]["number"] for row in database.read(lambda s: commands.waiting(s, kind))]

    assert (waiting(), waiting("venue"), waiting("quote")) == ([0, 1, 2], [0, 2], [1])
    first = database.read(commands.waiting)[0]
    assert (first["created_by"], first["created_at"]) == ("system", clock.now())
    database.run(lambda s: commands.taken(s, first["id"], clock.now(), "x" * 400))
    assert waiting() == [1, 2]
    newest = database.read(lambda s: commands.newest(s, "venue"))
    assert newest is not None and newest["payload"] == {"number": 2} and newest["error"] is None


def test_what_was_taken_keeps_why_it_failed(database: Database, clock: ManualClock) -> None:
    made = database.run(lambda s: commands.hand_over(s, "venue", {}, SYSTEM, clock.now()))
    database.run(lambda s: commands.taken(s, made, clock.now(), "x" * 400))
    row = database.read(lambda s: commands.newest(s, "venue"))
    assert row is not None and row["error"] == "x" * 300 and row["taken_at"] == clock.now()
    assert database.read(lambda s: commands.newest(s, "quote")) is None


def test_only_so_many_wait(database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MOST_WAITING", 1)
    made = database.run(lambda s: commands.hand_over(s, "venue", {}, SYSTEM, clock.now()))
    with pytest.raises(Unavailable) as refused:
        database.run(lambda s: commands.hand_over(s, "venue", {}, SYSTEM, clock.now()))
    assert refused.value.code == "engine_not_listening"
    database.run(lambda s: commands.taken(s, made, clock.now()))
    assert database.run(lambda s: commands.hand_over(s, "venue", {}, SYSTEM, clock.now()))
