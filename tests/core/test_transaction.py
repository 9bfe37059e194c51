"""The unit of work against real databases: what commits, what is run again, what leaves no trace."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Conflict, Unavailable
from app.core.ids import new_id
from app.core.transaction import MAX_ATTEMPTS, Database, after_commit, in_any_case, normalize_url
from app.domain.ledger import AccountKind, NormalSide
from app.models.engine import EngineLease
from app.models.events import EventStream
from app.models.ledger import LedgerAccount, Posting

START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


def put(stream: str, number: int) -> Callable[[Session], None]:
    def work(session: Session) -> None:
        session.execute(sa.insert(EventStream).values(stream=stream, last_seq=number))

    return work


def add(session: Session, stream: str, more: int) -> None:
    session.execute(
        sa.update(EventStream).where(EventStream.stream == stream).values(last_seq=EventStream.last_seq + more)
    )


def stored(database: Database) -> dict[str, int]:
    rows = database.read(lambda session: session.execute(sa.select(EventStream.stream, EventStream.last_seq)).all())
    return {row.stream: row.last_seq for row in rows}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each retry would have waited."""
    waited: list[float] = []
    monkeypatch.setattr("app.core.transaction.time.sleep", waited.append)
    return waited


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg2://u:p@h/d"),
        ("postgresql://u:p@h/d", "postgresql+psycopg2://u:p@h/d"),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg2://h/d"),
        ("sqlite:///var/x.db", "sqlite:///var/x.db"),
    ],
)
def test_urls_without_a_driver_mean_psycopg2(given: str, wanted: str) -> None:
    assert normalize_url(given) == wanted


def test_what_the_work_returns_and_writes_is_committed(database: Database) -> None:
    assert database.run(lambda session: put("a", 1)(session) or "done") == "done"
    assert stored(database) == {"a": 1}


def test_an_error_leaves_nothing_behind(database: Database) -> None:
    def work(session: Session) -> None:
        put("a", 1)(session)
        session.add(EngineLease(shard=0, epoch=1, holder="x", acquired_at=START))
        session.flush()
        raise KeyError("something went wrong")

    with pytest.raises(KeyError):
        database.run(work)
    assert stored(database) == {}
    assert database.read(lambda session: session.scalar(sa.select(sa.func.count()).select_from(EngineLease))) == 0
    database.run(put("b", 2))  # and the connection is of use
    assert stored(database) == {"b": 2}


def test_hooks_run_after_the_commit_and_see_it(database: Database) -> None:
    seen: list[dict[str, int]] = []

    def hook() -> None:
        seen.append(stored(database))

    def work(session: Session) -> None:
        after_commit(session, hook)
        put("a", 1)(session)
        after_commit(session, hook)
        assert seen == []

    database.run(work)
    assert seen == [{"a": 1}]  # once, however often it was named


def test_hooks_are_dropped_on_rollback(database: Database) -> None:
    called: list[str] = []

    def work(session: Session) -> None:
        after_commit(session, lambda: called.append("hook"))
        raise KeyError

    with pytest.raises(KeyError):
        database.run(work)
    database.run(put("a", 1))
    assert called == []


def test_a_commit_that_fails_calls_no_hook(database: Database) -> None:
    """A posting without its entry: that constraint is deferred to the commit itself."""
    called: list[str] = []

    def work(session: Session) -> None:
        after_commit(session, lambda: called.append("hook"))
        account = LedgerAccount(
            owner="house",
            currency="USD",
            kind=AccountKind.FEES,
            code="7041",
            normal_side=NormalSide.CREDIT,
            version=0,
            created_at=START,
        )
        session.add(account)
        session.flush()
        session.add(
            Posting(entry_id=new_id(), account_id=account.id, currency="USD", amount=Decimal(1), posted_at=START)
        )
        session.flush()
        called.append("flushed")

    with pytest.raises(sa.exc.IntegrityError):
        database.run(work)
    assert called == ["flushed"]


def test_a_broken_constraint_is_not_tried_again(database: Database, pauses: list[float]) -> None:
    database.run(put("a", 1))
    attempts: list[int] = []

    def work(session: Session) -> None:
        attempts.append(1)
        put("a", 2)(session)

    with pytest.raises(sa.exc.IntegrityError):
        database.run(work)
    assert (len(attempts), pauses) == (1, [])
    assert stored(database) == {"a": 1}


@pytest.fixture
def conflicting(postgres_database: Database) -> Callable[[int], tuple[Callable[[Session], int], list[int]]]:
    """Work that another transaction gets in the way of, a given number of times."""
    postgres_database.run(put("hot", 0))

    def make(conflicts: int) -> tuple[Callable[[Session], int], list[int]]:
        attempts: list[int] = []

        def work(session: Session) -> int:
            attempts.append(1)
            session.execute(sa.text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
            session.scalar(sa.select(EventStream.last_seq))  # the snapshot is taken here
            put(f"attempt {len(attempts)}", 1)(session)
            after_commit(session, lambda: attempts.append(100))
            if len(attempts) <= conflicts:
                with postgres_database.engine.begin() as other:
                    other.execute(sa.text("UPDATE event_streams SET last_seq = last_seq + 1 WHERE stream = 'hot'"))
            add(session, "hot", 1000)
            return len(attempts)

        return work, attempts

    return make


@pytest.mark.postgres
@pytest.mark.parametrize("conflicts", [0, 1, MAX_ATTEMPTS - 1])
def test_a_serialization_failure_runs_the_whole_unit_again(
    postgres_database: Database, pauses: list[float], conflicting: Any, conflicts: int
) -> None:
    work, attempts = conflicting(conflicts)
    assert postgres_database.run(work) == conflicts + 1
    assert attempts == [1] * (conflicts + 1) + [100]  # the hook of the attempt that committed, and no other
    assert stored(postgres_database) == {"hot": 1000 + conflicts, f"attempt {conflicts + 1}": 1}
    assert len(pauses) == conflicts
    assert all(0 < pause < 1 for pause in pauses)


@pytest.mark.postgres
def test_after_five_serialization_failures_it_is_given_up(
    postgres_database: Database, pauses: list[float], conflicting: Any
) -> None:
    work, attempts = conflicting(10**6)
    with pytest.raises(Unavailable):  # nothing was stored: the caller may try again
        postgres_database.run(work)
    assert attempts == [1] * 5
    assert len(pauses) == 4
    assert stored(postgres_database) == {"hot": 5}


@pytest.mark.postgres
def test_the_victim_of_a_deadlock_runs_again(postgres_database: Database, pauses: list[float]) -> None:
    postgres_database.run(lambda session: [put(name, 0)(session) for name in "ab"])
    both_hold_one = threading.Barrier(2, timeout=10)
    attempts: list[str] = []

    def crossing(first: str, second: str) -> Callable[[Session], None]:
        def work(session: Session) -> None:
            session.execute(sa.text("SET LOCAL deadlock_timeout = '20ms'"))
            fresh = attempts.count(first) == 0
            attempts.append(first)
            add(session, first, 1)
            if fresh:
                both_hold_one.wait()
            add(session, second, 1)

        return work

    threads = [
        threading.Thread(target=postgres_database.run, args=(crossing(*names),)) for names in (("a", "b"), ("b", "a"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert stored(postgres_database) == {"a": 2, "b": 2}
    assert len(attempts) == 2 + len(pauses), "each victim ran again, once for each deadlock"
    assert pauses


def test_writers_in_many_threads_lose_nothing(database: Database) -> None:
    """Read, then write what was read plus one: on SQLite one writer at a time, on PostgreSQL the row's lock."""
    database.run(put("counter", 0))
    failures: list[BaseException] = []

    def work(session: Session) -> None:
        query = sa.select(EventStream).where(EventStream.stream == "counter").with_for_update()
        row = session.scalars(query).one()
        row.last_seq += 1

    def repeat() -> None:
        try:
            for _ in range(15):
                database.run(work)
        except BaseException as error:  # noqa: BLE001  # ok: reported by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=repeat) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    assert stored(database) == {"counter": 90}


def test_a_second_sqlite_writer_waits_for_the_first_one_in_the_process(sqlite_database: Database) -> None:
    """By a lock of ours: the database's own busy wait would hold up every green thread."""
    inside, entered, events = threading.Event(), threading.Event(), list[str]()

    def first(session: Session) -> None:
        put("a", 1)(session)
        inside.set()
        assert not entered.wait(timeout=0.2)
        events.append("first ends")

    def second(session: Session) -> None:
        entered.set()
        events.append("second starts")
        add(session, "a", 1)

    def run_second() -> None:
        inside.wait(timeout=10)
        sqlite_database.run(second)

    thread = threading.Thread(target=run_second)
    thread.start()
    sqlite_database.run(first)
    thread.join(timeout=10)
    assert events == ["first ends", "second starts"]
    assert stored(sqlite_database) == {"a": 2}


def test_two_processes_on_one_sqlite_file_write_one_after_the_other(
    sqlite_url: str, open_database: Callable[..., Database]
) -> None:
    """Two ``Database`` objects share no lock, as two processes do not: BEGIN IMMEDIATE keeps them apart."""
    databases = [open_database(sqlite_url), open_database(sqlite_url)]
    databases[0].run(put("counter", 0))
    attempts: list[int] = []

    def increase(session: Session) -> None:
        attempts.append(1)
        row = session.scalars(sa.select(EventStream)).one()
        row.last_seq += 1

    threads = [threading.Thread(target=lambda own=own: [own.run(increase) for _ in range(20)]) for own in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert stored(databases[0]) == {"counter": 40}
    assert len(attempts) == 40  # the second one waited; it did not read first and fail later


def test_a_reader_is_not_held_up_by_a_writer(database: Database) -> None:
    database.run(put("a", 1))

    def work(session: Session) -> dict[str, int]:
        add(session, "a", 1)
        seen: list[dict[str, int]] = []
        thread = threading.Thread(target=lambda: seen.append(stored(database)))
        thread.start()
        thread.join(timeout=10)
        return seen[0]

    assert database.run(work) == {"a": 1}
    assert stored(database) == {"a": 2}


def test_sqlite_keeps_what_it_confirmed_and_enforces_its_keys(sqlite_database: Database) -> None:
    def pragma(name: str) -> Any:
        return sqlite_database.read(lambda session: session.scalar(sa.text(f"PRAGMA {name}")))

    assert [pragma("journal_mode"), pragma("synchronous"), pragma("foreign_keys")] == ["wal", 2, 1]


def test_a_sqlite_file_is_created_with_its_folder(tmp_path: Path, open_database: Callable[..., Database]) -> None:
    database = open_database(f"sqlite:///{tmp_path}/new/folder/x.db")
    assert database.read(lambda session: session.scalar(sa.text("SELECT 1"))) == 1


@pytest.mark.postgres
def test_postgres_does_not_wait_for_ever(postgres_database: Database) -> None:
    def show(session: Session) -> list[Any]:
        return [session.scalar(sa.text(f"SHOW {name}")) for name in ("statement_timeout", "lock_timeout", "timezone")]

    assert postgres_database.read(show) == ["30s", "10s", "UTC"]


@pytest.mark.postgres
def test_a_lock_that_is_not_given_is_unavailable(postgres_database: Database) -> None:
    postgres_database.run(put("a", 1))

    def blocked(session: Session) -> None:
        session.execute(sa.text("SET LOCAL lock_timeout = '20ms'"))
        add(session, "a", 1)

    with postgres_database.engine.begin() as other:
        other.execute(sa.text("UPDATE event_streams SET last_seq = 7"))
        with pytest.raises(Unavailable):
            postgres_database.run(blocked)
    assert stored(postgres_database) == {"a": 7}


@pytest.mark.postgres
def test_a_backend_that_is_terminated_again_and_again_is_unavailable(postgres_database: Database) -> None:
    attempts: list[int] = []

    def work(session: Session) -> None:
        attempts.append(1)
        put("a", 1)(session)
        pid = session.scalar(sa.text("SELECT pg_backend_pid()"))
        with postgres_database.engine.connect() as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        session.execute(sa.text("SELECT 1"))

    with pytest.raises(Unavailable) as caught:
        postgres_database.run(work)
    assert (caught.value.status, caught.value.retry_after, len(attempts)) == (503, 2, 2)  # once more, on a fresh one
    assert stored(postgres_database) == {}


@pytest.mark.postgres
def test_connections_that_died_in_the_pool_are_replaced(
    postgres_database: Database, postgres_url: str, open_database: Callable[..., Database]
) -> None:
    stored(postgres_database)
    with open_database(postgres_url).engine.connect() as other:
        other.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    assert stored(postgres_database) == {}


def test_a_server_that_is_not_there_is_unavailable(open_database: Callable[..., Database]) -> None:
    with pytest.raises(Unavailable) as caught:
        open_database("postgresql://nobody@127.0.0.1:1/nothing").run(put("a", 1))
    assert caught.value.retry_after == 2


def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path, open_database: Callable[..., Database]) -> None:
    with pytest.raises(Unavailable):
        open_database(f"sqlite:///{tmp_path}").run(put("a", 1))


def test_a_read_only_database_refuses_writes_and_serves_reads(sqlite_database: Database) -> None:
    sqlite_database.run(put("a", 1))

    def work(session: Session) -> None:
        session.execute(sa.text("PRAGMA query_only = ON"))
        try:
            add(session, "a", 1)
        finally:
            session.execute(sa.text("PRAGMA query_only = OFF"))

    with pytest.raises(Unavailable):
        sqlite_database.run(work)
    assert stored(sqlite_database) == {"a": 1}


def test_an_empty_pool_is_unavailable(database: Database) -> None:
    def work(session: Session) -> None:
        raise sa.exc.TimeoutError("QueuePool limit reached")

    with pytest.raises(Unavailable) as caught:
        database.run(work)
    assert caught.value.retry_after == 1


def test_what_must_be_on_record_is_stored_after_a_commit_and_after_a_refusal(database: Database) -> None:
    def work(session: Session, refused: bool) -> None:
        put("refused" if refused else "done", 1)(session)
        in_any_case(session, put(f"record of {refused}", 2))
        if refused:
            raise Conflict

    database.run(lambda session: work(session, False))
    with pytest.raises(Conflict):
        database.run(lambda session: work(session, True))
    assert stored(database) == {"done": 1, "record of False": 2, "record of True": 2}


def test_a_failure_of_ours_leaves_no_record_and_a_record_that_fails_changes_no_answer(database: Database) -> None:
    def fails(session: Session) -> None:
        in_any_case(session, put("record", 1))
        raise ValueError

    with pytest.raises(ValueError):
        database.run(fails)
    database.run(put("taken", 1))
    assert database.run(lambda session: in_any_case(session, put("taken", 2))) is None
    assert stored(database) == {"taken": 1}
