"""The schema of a database: whether it is the newest, and what its migrations share."""

from __future__ import annotations

import re
from collections.abc import Callable
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


def add_constraint(connection: sa.Connection, table: str, name: str, definition: str) -> None:
    """Give a table a CHECK or FOREIGN KEY, for use in a migration; every row that is there must satisfy it."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.text(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"))
        return
    _rewrite(connection, table, lambda sql: _with_constraint(sql, name, definition))


def drop_constraint(connection: sa.Connection, table: str, name: str) -> None:
    """Take a CHECK or FOREIGN KEY from a table."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
        return
    _rewrite(connection, table, lambda sql: _without_constraint(sql, name))


def replace_check(connection: sa.Connection, table: str, name: str, condition: str) -> None:
    """Give a table's CHECK another condition; ``name`` in full."""
    drop_constraint(connection, table, name)
    add_constraint(connection, table, name, f"CHECK ({condition})")


def _rewrite(connection: sa.Connection, table: str, change: Callable[[str], str]) -> None:
    """Change a table's definition in SQLite, which cannot alter constraints: see decision 15.

    Its text is changed where it is stored (https://sqlite.org/lang_altertable.html, section 7); no row is
    touched, and its triggers and indices stay. Raises ``RuntimeError`` where a row does not satisfy it.
    """
    query = sa.text("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = :table")
    before: str = connection.execute(query, {"table": table}).scalar_one()
    version: int = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    update = sa.text("UPDATE sqlite_schema SET sql = :sql WHERE type = 'table' AND name = :table")
    connection.execute(update, {"sql": change(before), "table": table})
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")  # read again, by this connection too
    problems = [problem for (problem,) in connection.exec_driver_sql(f"PRAGMA integrity_check({table})")]
    orphans = connection.exec_driver_sql(f"PRAGMA foreign_key_check({table})").all()
    if problems != ["ok"] or orphans:
        found = [
            *(problem for problem in problems if problem != "ok"),
            *(f"row {o[1]} names no {o[2]}" for o in orphans),
        ]
        raise RuntimeError(f"{table} cannot be changed: {'; '.join(found[:3])}")


def _with_constraint(sql: str, name: str, definition: str) -> str:
    end = sql.rindex(")")
    return f"{sql[:end].rstrip()}, \n\tCONSTRAINT {name} {definition}\n{sql[end:]}"


def _without_constraint(sql: str, name: str) -> str:
    found = list(re.finditer(rf",\s*CONSTRAINT {name}\b", sql))
    if len(found) != 1:
        raise LookupError(f"{len(found)} constraints are named {name}")
    start = found[0].start()
    return sql[:start] + sql[_end_of_item(sql, found[0].end()) :]


def _end_of_item(sql: str, start: int) -> int:
    """Where the column or constraint that ``start`` is in ends: at a comma or the list's closing parenthesis."""
    depth, quoted = 0, False
    for position in range(start, len(sql)):
        character = sql[position]
        if character == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        if depth < 0 or (depth == 0 and character == ","):
            return position
    raise ValueError("the list has no end")
