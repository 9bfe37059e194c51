"""Bringing a database to the newest schema."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from .transaction import Database

FOLDER = Path(__file__).resolve().parents[2] / "migrations"
_LOCK = 6_174_001  # advisory lock: two processes that start at once migrate one after the other


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    return config


def upgrade(database_url: str) -> None:
    """Run the migrations that are missing, in one transaction; nothing happens when there are none."""
    database = Database(database_url)
    config = _config()
    try:
        with database.engine.execution_options(write=True).begin() as connection:
            if not database.is_sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        database.dispose()


def new_revision(database_url: str, message: str) -> None:
    """Write a migration for what the models have and the database has not."""
    database = Database(database_url)
    config = _config()
    try:
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.revision(config, message=message, autogenerate=True)
    finally:
        database.dispose()


def is_current(database: Database) -> bool:
    """Whether the database stands at the newest migration."""
    with database.engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return current == ScriptDirectory.from_config(_config()).get_current_head()


def replace_check(connection: sa.Connection, table: str, name: str, condition: str) -> None:
    """Give a table's CHECK another condition, for use in a migration; ``name`` in full.

    SQLite cannot change a constraint. Its text is changed where it is stored, the way
    https://sqlite.org/lang_altertable.html (section 7) gives for changes that do not touch the rows; the
    new condition must accept every row that is there.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(sa.text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
        connection.execute(sa.text(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition})"))
        return
    query = sa.text("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = :table")
    before: str = connection.execute(query, {"table": table}).scalar_one()
    after, found = re.subn(
        rf"CONSTRAINT {name} CHECK \((?:[^()]|\([^()]*\))*\)", f"CONSTRAINT {name} CHECK ({condition})", before
    )
    if found != 1:
        raise LookupError(f"{table} has {found} constraints named {name}")
    version: int = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    update = sa.text("UPDATE sqlite_schema SET sql = :sql WHERE type = 'table' AND name = :table")
    connection.execute(update, {"sql": after, "table": table})
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
    problems = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    if problems != ["ok"]:
        raise RuntimeError(f"the database is damaged: {problems[:3]}")
