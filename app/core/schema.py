"""The schema of a database: whether it is the newest, and what its migrations share."""

from __future__ import annotations

import re
from pathlib import Path

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from .transaction import Database

FOLDER = Path(__file__).resolve().parents[2] / "migrations"


def is_current(database: Database) -> bool:
    """Whether the database stands at the newest migration."""
    with database.engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return current == ScriptDirectory(str(FOLDER)).get_current_head()


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
