"""Waking the engine across processes with PostgreSQL's LISTEN and NOTIFY. It is a hint: the engine polls too.

NOTIFY is sent beside the transactions, not in them: notifying transactions commit one after the other.
"""

from __future__ import annotations

import logging
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import sqlalchemy as sa

from .transaction import Database

CHANNEL: Final = "cambista_engine"
WAIT_SECONDS: Final = 1.0
log = logging.getLogger(__name__)


class _OwnConnection:
    """One connection outside the pool, opened again whenever it was lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sa.Connection | None = None

    def get(self) -> sa.Connection:
        if self._connection is None:
            self._connection = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            self._connection.detach()
        return self._connection

    def drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()
            with suppress(Exception):
                connection.close()


class Notifier:
    """In a process whose engine does not lead: passes on that there is work. Many calls make one message."""

    def __init__(self, database: Database) -> None:
        self._own = _OwnConnection(database)
        self._due = threading.Event()

    def notify(self) -> None:
        """Returns at once; safe from any thread."""
        self._due.set()

    def run(self, stopping: threading.Event) -> None:
        """Send what is due until told to stop, whatever happens to the database."""
        while not stopping.is_set():
            if not self._due.wait(WAIT_SECONDS):
                continue
            self._due.clear()
            try:
                self._own.get().execute(sa.text(f"NOTIFY {CHANNEL}"))
            except Exception:  # the driver's own errors come without SQLAlchemy around them
                log.warning("the engine could not be woken", exc_info=True)
                self._own.drop()
        self._own.drop()


class Listener:
    """Beside an engine: calls ``wake`` when another process says that there is work."""

    def __init__(self, database: Database, wake: Callable[[], None]) -> None:
        self._own, self._wake = _OwnConnection(database), wake

    def run(self, stopping: threading.Event) -> None:
        """Listen until told to stop, whatever happens to the database."""
        while not stopping.is_set():
            try:
                self._hear(stopping)
            except (sa.exc.SQLAlchemyError, OSError) as error:
                log.warning("not listening: %s", error)
                self._own.drop()
                stopping.wait(WAIT_SECONDS)
            except Exception:  # the driver's own errors come without SQLAlchemy around them
                log.warning("not listening", exc_info=True)
                self._own.drop()
                stopping.wait(WAIT_SECONDS)
        self._own.drop()

    def _hear(self, stopping: threading.Event) -> None:
        connection = self._own.get()
        connection.execute(sa.text(f"LISTEN {CHANNEL}"))
        # not driver_connection: a detached connection has none any more
        driver: Any = connection.connection.dbapi_connection
        while not stopping.is_set():
            if select.select([driver], [], [], WAIT_SECONDS)[0]:
                driver.poll()
                if driver.notifies:
                    driver.notifies.clear()
                    self._wake()
