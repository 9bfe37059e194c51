"""Statements for many rows at once, each the same text whatever the number of rows.

PostgreSQL gets one array per column and plans one statement: one UPDATE per row costs it a plan for each.
SQLite, which works in the process, runs the prepared statement once per row. Defaults of columns do not apply:
every row names every column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

Row = Mapping[str, Any]


def _arrays(table: sa.Table, columns: Iterable[str]) -> sa.TableValuedAlias:
    """The rows that are passed as one array per column, as a table named ``new``."""
    named = [table.c[name] for name in columns]
    # of one dimension: an element that is a list itself is JSON
    types = {column.name: ARRAY(_passed_as(column.type), dimensions=1) for column in named}
    arrays = (sa.cast(sa.bindparam(f"all_{name}", type_=type_), type_) for name, type_ in types.items())
    values = sa.func.unnest(*arrays).table_valued(*(sa.column(column.name, column.type) for column in named))
    return values.render_derived(name="new")


def _passed_as(type_: Any) -> Any:
    """Text without a length: a cast would cut what is too long, and the column refuses it."""
    return sa.Text() if isinstance(type_, sa.String) and type_.length else type_


def _passed(rows: Sequence[Row], columns: Iterable[str]) -> dict[str, list[Any]]:
    return {f"all_{name}": [row[name] for row in rows] for name in columns}


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


class BulkUpdate:
    """UPDATE of fixed ``columns`` of rows that one column names."""

    def __init__(self, table: sa.Table, columns: Iterable[str], key: str = "id") -> None:
        self.columns = tuple(columns)
        self._key = key
        new = _arrays(table, (key, *self.columns))
        self._by_arrays = (
            sa.update(table).where(table.c[key] == new.c[key]).values({name: new.c[name] for name in self.columns})
        )
        self._by_row = (
            sa.update(table)
            .where(table.c[key] == sa.bindparam("row_key"))
            .values({name: sa.bindparam(f"new_{name}") for name in self.columns})
        )

    def run(self, session: Session, rows: Sequence[Row]) -> None:
        """``rows`` name every column; other keys are ignored."""
        if not rows:
            return
        if _is_postgresql(session):
            session.connection().execute(self._by_arrays, _passed(rows, (self._key, *self.columns)))
            return
        values = [{"row_key": row[self._key], **{f"new_{name}": row[name] for name in self.columns}} for row in rows]
        session.connection().execute(self._by_row, values)


class BulkInsert:
    """INSERT of fixed ``columns``, all of the table's where none are named.

    ``sequences`` are columns that PostgreSQL numbers itself, by the sequence named; on SQLite the rows have them.
    """

    def __init__(
        self, table: sa.Table, columns: Iterable[str] | None = None, sequences: Mapping[str, str] | None = None
    ) -> None:
        self.columns = tuple(columns) if columns is not None else tuple(column.name for column in table.columns)
        numbered = {name: sa.func.nextval(sequence) for name, sequence in (sequences or {}).items()}
        self._passed = tuple(name for name in self.columns if name not in numbered)
        new = _arrays(table, self._passed)
        self._by_arrays = sa.insert(table).from_select(
            [*self._passed, *numbered],
            sa.select(*(new.c[name] for name in self._passed), *numbered.values()),
            include_defaults=False,
        )
        self._by_row = sa.insert(table)

    def run(self, session: Session, rows: Sequence[Row]) -> None:
        """``rows`` name every column, in the order in which they shall be numbered."""
        if not rows:
            return
        if _is_postgresql(session):
            session.connection().execute(self._by_arrays, _passed(rows, self._passed))
            return
        session.connection().execute(self._by_row, [{name: row[name] for name in self.columns} for row in rows])


def plain_row(state: Any, columns: Iterable[str]) -> dict[str, Any]:
    """A typed row's attributes as columns take them: enumerations by their values."""
    row = {}
    for name in columns:
        value = getattr(state, name)
        row[name] = value.value if isinstance(value, Enum) else value
    return row
