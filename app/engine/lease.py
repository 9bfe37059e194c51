"""The engine's lease: exactly one engine acts on a database, and a stale one changes no row.

PostgreSQL: a session advisory lock, held by a connection of its own. SQLite: a lock on a file beside
the database. Both free themselves when the process dies.
"""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.transaction import Database
from app.models import EngineLease

SHARD = 0
_LOCK_KEY = 6_174_100  # + shard


class LeaseLost(Exception):
    """Another engine has taken over; this one must stop writing."""


class Lease:
    """Acquire, prove at every write, release."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sa.Connection | None = None
        self._file: IO[str] | None = None
        self.epoch: int | None = None
        self.holder = f"{socket.gethostname()}:{os.getpid()}"

    def acquire(self, now: datetime) -> bool:
        """Try to become the engine; True when this process is it now. Raises the epoch."""
        if not self._lock():
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
        connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if not connection.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK_KEY + SHARD}):
            connection.close()
            return False
        self._connection = connection
        return True

    def _raise_epoch(self, session: Session, now: datetime) -> int:
        lease = session.get(EngineLease, SHARD, with_for_update=True)
        if lease is None:
            lease = EngineLease(shard=SHARD, epoch=0, holder="", acquired_at=now)
            session.add(lease)
        lease.epoch += 1
        lease.holder, lease.acquired_at = self.holder, now
        return lease.epoch

    def prove(self, session: Session) -> None:
        """Raise ``LeaseLost`` unless this engine's epoch is the current one; holds it for the transaction."""
        epoch = session.scalar(
            sa.select(EngineLease.epoch).where(EngineLease.shard == SHARD).with_for_update(read=True)
        )
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
        except sa.exc.DBAPIError:
            return False
        return True

    def release(self) -> None:
        """Give the lease up; safe to call twice."""
        self.epoch = None
        if self._connection is not None:
            with suppress(sa.exc.DBAPIError):  # a dead connection has lost the lock already
                self._connection.execute(sa.text("SELECT pg_advisory_unlock_all()"))
            self._connection.close()
            self._connection = None
        if self._file is not None:
            self._file.close()
            self._file = None
