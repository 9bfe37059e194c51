"""What the tests themselves promise: no network, and a fresh database each time."""

from __future__ import annotations

import socket

import pytest
import sqlalchemy as sa

from app.core.schema import is_current
from app.core.transaction import Database
from app.models.events import EventStream


def test_no_test_reaches_the_network() -> None:
    with pytest.raises((RuntimeError, UserWarning), match=r"192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 9), timeout=0.1)


def test_loopback_may_be_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=1).close()


@pytest.mark.parametrize("run", [1, 2])
def test_every_test_gets_an_empty_database_at_the_newest_migration(database: Database, run: int) -> None:
    assert is_current(database)
    assert database.read(lambda session: session.scalar(sa.select(sa.func.count()).select_from(EventStream))) == 0
    database.run(lambda session: session.add(EventStream(stream="firm", last_seq=1)))
