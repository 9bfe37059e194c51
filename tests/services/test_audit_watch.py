"""The head of the trail is kept elsewhere, and shows what was cut off; a tail without seals is one alert."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from app import create_app
from app.adapters.head_file import HeadFile
from app.background import build_chores
from app.config import TestingConfig
from app.core.clock import ManualClock
from app.core.ids import new_id
from app.core.permissions import SYSTEM
from app.core.transaction import Database
from app.models import AuditRecord, Event, table_of
from app.services import audit, faults
from app.services.audit_watch import SEALED_WITHIN, AuditWatch

table = table_of(AuditRecord)


def record(database: Database, clock: ManualClock, action: str = "client.update", *, sealed: bool = True) -> None:
    database.run(lambda session: audit.record(session, SYSTEM, action, "client", new_id(), clock.now()))
    if sealed:
        database.run(audit.chain)


def alerts(database: Database) -> int:
    query = sa.select(sa.func.count(Event.id)).where(Event.type == "alert.engine")
    return database.read(lambda session: session.scalar(query)) or 0


def kept(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_head_is_kept_as_it_grows(database: Database, clock: ManualClock, tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "heads.jsonl"
    watch = AuditWatch(database, HeadFile(path))
    watch.keep_head(clock.now())
    assert not path.exists()  # nothing to keep yet
    record(database, clock)
    watch.keep_head(clock.now())
    watch.keep_head(clock.now())
    record(database, clock)
    record(database, clock, sealed=False)
    watch.keep_head(clock.now())
    heads = kept(path)
    assert [head["seq"] for head in heads] == [1, 2]
    assert heads[-1] == database.read(audit.head)
    assert database.read(lambda session: audit.check_heads(session, heads)) == []
    assert path.stat().st_mode & 0o077 == 0


def test_a_head_that_could_not_be_kept_is_kept_the_next_time(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    path = tmp_path / "heads.jsonl"
    path.mkdir()
    watch = AuditWatch(database, HeadFile(path))
    record(database, clock)
    with pytest.raises(OSError):
        watch.keep_head(clock.now())
    path.rmdir()
    watch.keep_head(clock.now())
    assert [head["seq"] for head in kept(path)] == [1]


def test_what_was_cut_off_shows_although_the_rest_is_whole(database: Database, clock: ManualClock) -> None:
    for _ in range(3):
        record(database, clock)
    head = database.read(audit.head)
    assert head is not None
    database.run(lambda session: session.execute(sa.delete(table).where(table.c.seq == 3)))
    assert database.read(audit.verify) == []  # two records, well linked
    breaks = database.read(lambda session: audit.check_heads(session, [head]))
    assert breaks == [{"seq": 3, "problem": "the chain ends before a head that was kept"}]
    record(database, clock, "client.create")  # another one in its place
    breaks = database.read(lambda session: audit.check_heads(session, [head]))
    assert breaks == [{"seq": 3, "problem": "the chain is not the one of a head that was kept"}]


def test_a_tail_without_seals_is_one_alert(database: Database, clock: ManualClock) -> None:
    watch = AuditWatch(database, None)
    record(database, clock, sealed=False)
    clock.advance(SEALED_WITHIN.total_seconds())
    watch.look_at_tail(clock.now())
    assert alerts(database) == 0
    clock.advance(1)
    for _ in range(3):
        watch.look_at_tail(clock.now())
    assert alerts(database) == 1
    database.run(audit.chain)
    watch.look_at_tail(clock.now())
    record(database, clock, sealed=False)
    clock.advance(SEALED_WITHIN.total_seconds() + 1)
    watch.look_at_tail(clock.now())
    assert alerts(database) == 2  # sealed in between: another one


def test_a_record_that_is_parked_has_its_own_alert_already(database: Database, clock: ManualClock) -> None:
    record(database, clock, sealed=False)
    oldest = database.read(audit.oldest_unsealed)
    assert oldest is not None
    database.run(lambda session: faults.park(session, clock.now(), "audit", "audit_record", oldest[0], "no JSON"))
    clock.advance(60)
    AuditWatch(database, None).look_at_tail(clock.now())
    assert alerts(database) == 1  # that of the fault


def test_both_are_chores_of_the_process_that_leads(sqlite_url: str, clock: ManualClock, tmp_path: Path) -> None:
    path = tmp_path / "heads.jsonl"
    settings = TestingConfig(database_url=sqlite_url, audit_head_file=str(path), audit_head_minutes=2)
    app: Flask = create_app(settings, clock=clock)
    parts = app.extensions["services"]
    chores = {chore.name: chore for chore in build_chores(app, parts, parts.database)}
    record(parts.database, clock)
    assert not chores["audit_head"].work(clock.now()) and not chores["audit_tail"].work(clock.now())
    assert (chores["audit_head"].every_seconds, len(kept(path))) == (120, 1)
    head = app.test_cli_runner().invoke(args=["audit", "head"])
    assert json.loads(head.stdout) == kept(path)[0]
    verify = app.test_cli_runner().invoke(args=["audit", "verify", "--heads", str(path)])
    assert (verify.exit_code, json.loads(verify.stdout)) == (0, {"ok": True, "breaks": []})
    parts.database.run(lambda session: session.execute(sa.delete(table)))
    verify = app.test_cli_runner().invoke(args=["audit", "verify", "--heads", str(path)])
    assert verify.exit_code == 1 and json.loads(verify.stdout)["breaks"][0]["seq"] == 1
    empty = app.test_cli_runner().invoke(args=["audit", "head"])
    assert json.loads(empty.stdout) == {"seq": 0, "hash": audit.GENESIS, "at": None}
    parts.database.dispose()
