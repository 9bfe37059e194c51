"""The database and its unit of work.

A request, an engine step or a command runs one function in one transaction, committed here and nowhere
else. SQLite gets what PostgreSQL has by nature: exact decimals, one writer at a time, enforced keys.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from psycopg2 import InterfaceError
from psycopg2.extensions import STATUS_READY
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from .errors import AppError, Locked, OutcomeUnknown, Unavailable

log = logging.getLogger(__name__)
T = TypeVar("T")
MAX_ATTEMPTS = 5
_NO_LOCK = nullcontext()
_RETRYABLE = {"40001", "40P01"}  # serialization_failure, deadlock_detected
_LOCK_NOT_AVAILABLE = "55P03"


def normalize_url(url: str) -> str:
    """Heroku-style and driverless PostgreSQL URLs mean psycopg 2 here."""
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return "postgresql+psycopg2://" + url[len(prefix) :]
    return url


class _DecimalSum:
    """Exact SUM for SQLite; NULL for no rows, as SQL has it."""

    def __init__(self) -> None:
        self.total: Decimal | None = None

    def step(self, value: str | None) -> None:
        if value is not None:
            self.total = (self.total or Decimal(0)) + Decimal(value)

    def finalize(self) -> str | None:
        return None if self.total is None else format(self.total, ".18f")


def _collate(left: str, right: str) -> int:
    a, b = Decimal(left), Decimal(right)
    return (a > b) - (a < b)


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    connection.create_collation("DECIMAL", _collate)
    connection.create_aggregate("decimal_sum", 1, _DecimalSum)  # type: ignore[arg-type]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def engine_options(
    url: str,
    *,
    pool_size: int = 20,
    statement_seconds: int = 30,
    lock_seconds: int = 10,
    application_name: str = "cambista",
) -> dict[str, Any]:
    """What ``sa.create_engine`` is given, ``url`` included.

    ``statement_seconds`` and ``lock_seconds`` are how long PostgreSQL lets one statement run or wait;
    ``application_name`` is what it calls these connections.
    """
    url = normalize_url(url)
    if url.startswith("sqlite"):
        found = sa.make_url(url)
        if found.database in (None, "", ":memory:"):
            return {"url": url, "pool_size": pool_size}
        path = Path(found.database or "").absolute()  # Flask-SQLAlchemy reads another one from its instance's folder
        path.parent.mkdir(parents=True, exist_ok=True)
        return {"url": str(found.set(database=str(path))), "pool_size": pool_size, "max_overflow": 20}
    timeouts = f"-c statement_timeout={statement_seconds}s -c lock_timeout={lock_seconds}s -c timezone=UTC"
    return {
        "url": url,
        "pool_size": pool_size,
        "max_overflow": 20,
        "executemany_mode": "values_plus_batch",
        # a machine that is gone without a word is noticed within seconds
        "connect_args": {
            "options": timeouts,
            "application_name": application_name,
            "connect_timeout": 5,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        },
    }


def prepare(engine: sa.Engine) -> None:
    """Give a SQLite engine what it lacks, before its first connection; once for each engine."""
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)


class Database:
    """``run``, the one way to a transaction, on an engine and the sessions made for it.

    After a commit every function given to ``after_commit`` is called; that is how the engine and the relay
    learn that there is work.
    """

    def __init__(self, engine: sa.Engine, sessions: Callable[[sa.Engine], AbstractContextManager[Session]]) -> None:
        """``sessions`` gives a new session on an engine, and closes it at the end."""
        self.engine = engine
        self.url = engine.url.render_as_string(hide_password=False)
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._sessions = sessions
        self._write_engine = self.engine.execution_options(write=True)
        # One writer in the process: a SQLite busy wait would block every green thread, a lock only waits.
        self._one_writer: AbstractContextManager[Any] = threading.RLock() if self.is_sqlite else _NO_LOCK

    def run(self, work: Callable[[Session], T], *, write: bool = True) -> T:
        """Run ``work`` in one transaction and commit it.

        A serialization failure or a deadlock runs the whole of it again, at most five times, so ``work``
        must change nothing but the database. Raises ``Unavailable`` when nothing was stored and the same may
        be tried again, ``OutcomeUnknown`` when the connection was lost while it committed.

        Work whose connection dies before the commit runs again on a fresh one, once: that it had died in the
        pool is found out by its first use, because a ping before each unit would cost every one a round trip.
        Raises ``Locked`` where others hold the rows for too long.
        """
        engine = self._write_engine if write else self.engine
        reconnected = False
        for attempt in range(1, MAX_ATTEMPTS + 1):
            committing = False
            try:
                with self._one_writer if write else _NO_LOCK, self._sessions(engine) as session:
                    result = work(session)
                    committing = True
                    session.commit()
                    hooks = session.info.get("after_commit", ())
            except AppError:
                self._follow_up(session)
                raise
            except DBAPIError as error:
                if _is_retryable(error):
                    if attempt == MAX_ATTEMPTS:
                        raise Locked("others were working on the same rows", retry_after=1) from error
                    time.sleep(random.uniform(0.005, 0.02) * 2**attempt)
                    continue
                if getattr(error.orig, "pgcode", None) == _LOCK_NOT_AVAILABLE:
                    raise Locked("others were working on the same rows", retry_after=1) from error
                if not _is_unavailable(error):
                    raise
                again = attempt < MAX_ATTEMPTS and not reconnected and not (committing and write)
                if error.connection_invalidated and again:
                    reconnected = True
                    continue
                if committing and write:
                    raise OutcomeUnknown("the connection was lost while the work was being stored") from error
                raise Unavailable("the database is not available", retry_after=2) from error
            except sa.exc.PendingRollbackError as error:  # the connection died under a statement before this one
                raise Unavailable("the database is not available", retry_after=2) from error
            except sa.exc.TimeoutError as error:
                raise Unavailable("all database connections are busy", retry_after=1) from error
            for hook in hooks:
                try:
                    hook()
                except Exception:  # it is stored: whoever asked must hear that
                    log.exception("after a commit")
            self._follow_up(session)
            return result
        raise AssertionError("unreachable")

    def _follow_up(self, session: Session) -> None:
        """What was given to ``in_any_case``; that it fails changes nothing for whoever asked."""
        for work in session.info.get("in_any_case", ()):
            try:
                self.run(work)
            except Exception:
                log.exception("after a transaction")

    def read(self, work: Callable[[Session], T]) -> T:
        """The same for work that only reads."""
        return self.run(work, write=False)

    def look_up(self, work: Callable[[Session], T]) -> T:
        """The same for a statement or two that need not see the same moment: PostgreSQL opens no transaction.

        That is two round trips less, on paths where an order waits for them.
        """
        if self.is_sqlite:
            return self.read(work)

        def without_transaction(session: Session) -> T:
            driver: Any = session.connection().connection.driver_connection
            if driver.status != STATUS_READY:  # a listener has begun a transaction on it
                return work(session)
            driver.autocommit = True
            try:
                return work(session)
            finally:
                with suppress(InterfaceError):  # a connection that is gone
                    driver.autocommit = False

        return self.read(without_transaction)

    @property
    def folder(self) -> Path | None:
        """Where an SQLite file lies; None for PostgreSQL and for a database in memory."""
        file = self.engine.url.database if self.is_sqlite else None
        return Path(file).parent if file and file != ":memory:" else None

    def dispose(self) -> None:
        self.engine.dispose()


def database_now(session: Session) -> datetime:
    """The database's clock, the one all processes share; for SQLite that of the machine."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = session.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return now


def after_commit(session: Session, hook: Callable[[], None]) -> None:
    """Call ``hook`` once this transaction is committed; dropped when it rolls back."""
    session.info.setdefault("after_commit", {})[hook] = None


def in_any_case(session: Session, work: Callable[[Session], None]) -> None:
    """Run ``work`` in a transaction of its own once this one is committed, or was refused by an ``AppError``.

    For what must be on record although it was refused. Dropped where this transaction is run again.
    """
    session.info.setdefault("in_any_case", []).append(work)


def _is_retryable(error: DBAPIError) -> bool:
    if getattr(error.orig, "pgcode", None) in _RETRYABLE:
        return True
    return isinstance(error.orig, sqlite3.OperationalError) and "locked" in str(error.orig)


def _is_unavailable(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    code = getattr(error.orig, "pgcode", None) or ""
    if code[:2] in {"53", "57", "58"} or code == "25006":  # resources, shutdown, read-only
        return True
    sqlite_full = isinstance(error.orig, sqlite3.OperationalError) and any(
        word in str(error.orig) for word in ("disk", "full", "locked", "unable to open", "readonly")
    )
    return sqlite_full or (
        isinstance(error, OperationalError) and not code and not isinstance(error.orig, sqlite3.Error)
    )
