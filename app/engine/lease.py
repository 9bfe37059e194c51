"""The engine's lease: exactly one engine acts on a database, and a stale one changes no row.

PostgreSQL: a session advisory lock, held by a connection of its own. SQLite: a lock on a file beside
the database. Both free themselves when the process dies. A leader that hangs keeps its lock and stops
its heartbeat: on PostgreSQL a standby ends the connections it hangs on and takes over.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.errors import Unavailable
from app.core.transaction import Database, database_now
from app.models import EngineHeartbeat, EngineLease, table_of
from app.services.oversight import LEASE_KEY, SILENT_SECONDS, application_name

SHARD: Final = 0
SILENT_AFTER: Final = timedelta(seconds=SILENT_SECONDS)
_LOCK_KEY = LEASE_KEY + SHARD
_BREAKING = (20, 0.05)  # tries, and seconds between them: ending a connection takes the server a moment
heartbeats = table_of(EngineHeartbeat)
_EPOCH = (
    sa.select(table_of(EngineLease).c.epoch).where(table_of(EngineLease).c.shard == SHARD).with_for_update(read=True)
)


class LeaseLost(Exception):
    """Another engine has taken over; this one must stop writing."""


def process_name() -> str:
    """Names this process: in the lease, in its heartbeat, and to PostgreSQL."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}"


class Lease:
    """Acquire, prove at every write, release."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sa.Connection | None = None
        self._file: IO[str] | None = None
        self.epoch: int | None = None
        self.holder = process_name()

    def acquire(self, now: datetime) -> bool:
        """Try to become the engine; True when this process is it now. Raises the epoch.

        Raises ``Unavailable`` while the database is away.
        """
        if not self._lock() and not self._take_over():
            return False
        try:
            self.epoch = self._database.run(lambda session: self._raise_epoch(session, now))
        except BaseException:
            self.release()
            raise
        return True

    def _lock(self) -> bool:
        if self._database.is_sqlite:
            path = sa.make_url(self._database.url).database
            file = Path(f"{path}.engine-lock").open("a+")  # noqa: SIM115 (held open: the lock lives as long as the file)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                return False
            self._file = file
            return True
        try:
            return self._lock_postgres()
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            raise Unavailable("the database is not available", retry_after=2) from error

    def _lock_postgres(self) -> bool:
        connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            if connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK_KEY}):
                self._connection = connection
                return True
        finally:
            if self._connection is None:
                connection.close()
        return False

    def _take_over(self) -> bool:
        """Where the leader has fallen silent: end its connections, so that its lock and its rows are free."""
        if self._database.is_sqlite:
            return False  # nothing but the end of the process frees its file
        silent = self._database.read(_silent_leader)
        if silent is None:
            return False
        end = sa.text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "
            "datname = current_database() AND (application_name = :name OR pid IN (SELECT pid FROM pg_locks "
            "WHERE locktype = 'advisory' AND classid = 0 AND objid = :key AND granted AND database = (SELECT oid "
            "FROM pg_database WHERE datname = current_database())))"
        )
        names = {"name": application_name(silent), "key": _LOCK_KEY}
        self._database.run(lambda session: session.execute(end, names).all())
        tries, pause = _BREAKING
        for _ in range(tries):
            if self._lock():
                return True
            threading.Event().wait(pause)
        return False

    def _raise_epoch(self, session: Session, now: datetime) -> int:
        lease = session.get(EngineLease, SHARD, with_for_update=True)
        if lease is None:
            lease = EngineLease(shard=SHARD, epoch=0, holder="", acquired_at=now)
            session.add(lease)
        lease.epoch += 1
        lease.holder, lease.acquired_at = self.holder, now
        session.execute(sa.update(heartbeats).where(heartbeats.c.shard == SHARD).values(leading=False))
        self._beat(session, lease.epoch, {})
        return lease.epoch

    def beat(self, status: dict[str, Any]) -> None:
        """Store this process' heartbeat. Raises ``LeaseLost`` when it believes to lead and does not.

        Also when the lock's connection is gone: a restart of the database between two polls shows nowhere else.
        """
        if self.epoch is not None and not self.is_held():
            raise LeaseLost("the connection that held the lock is gone")

        def work(session: Session) -> None:
            if self.epoch is not None:
                self.prove(session)
            self._beat(session, self.epoch, status)

        self._database.run(work)

    def _beat(self, session: Session, epoch: int | None, status: dict[str, Any]) -> None:
        values = {"leading": epoch is not None, "at": database_now(session), "status": status}
        if epoch is not None:
            values["epoch"] = epoch  # who has stood down keeps the one it led under
        mine = heartbeats.c.holder == self.holder
        changed: Any = session.execute(sa.update(heartbeats).where(mine).values(values))
        if not changed.rowcount:
            session.execute(sa.insert(heartbeats), {"holder": self.holder, "shard": SHARD, **values})

    def prove(self, session: Session) -> None:
        """Raise ``LeaseLost`` unless this engine's epoch is the current one; holds it for the transaction."""
        epoch = session.scalar(_EPOCH)
        if self.epoch is None or epoch != self.epoch:
            raise LeaseLost(f"this engine has epoch {self.epoch}, the database {epoch}")

    def is_held(self) -> bool:
        """Whether the lock's connection still lives."""
        if self._file is not None:
            return True
        if self._connection is None:
            return False
        try:
            self._connection.execute(sa.text("SELECT 1"))
        except sa.exc.SQLAlchemyError:
            return False
        return True

    def release(self) -> None:
        """Give the lease up; safe to call twice, and never fails: a dead connection has lost the lock already."""
        self.epoch = None
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.execute(sa.text("SELECT pg_advisory_unlock_all()"))
            with suppress(Exception):
                connection.invalidate()
            with suppress(Exception):
                connection.close()
        if self._file is not None:
            self._file.close()
            self._file = None


def _silent_leader(session: Session) -> str | None:
    """The holder that should lead and has not been heard of for too long."""
    query = sa.select(heartbeats.c.holder, heartbeats.c.at).where(
        heartbeats.c.shard == SHARD, heartbeats.c.leading.is_(True)
    )
    row = session.execute(query.order_by(heartbeats.c.at.desc()).limit(1)).one_or_none()
    if row is None or database_now(session) - row.at <= SILENT_AFTER:
        return None
    holder: str = row.holder
    return holder
