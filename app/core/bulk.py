"""Statements that change many rows by their id."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

import sqlalchemy as sa


def update_by_id(table: sa.Table, columns: Iterable[str]) -> sa.Update:
    """UPDATE of fixed columns by id, for executemany with ``bound`` rows."""
    return (
        sa.update(table)
        .where(table.c.id == sa.bindparam("row_id"))
        .values({name: sa.bindparam(f"new_{name}") for name in columns})
    )


def bound(state: Any, columns: Iterable[str]) -> dict[str, Any]:
    """The parameters of ``update_by_id`` for a row's state."""
    row = {"row_id": state.id}
    for name in columns:
        value = getattr(state, name)
        row[f"new_{name}"] = value.value if isinstance(value, Enum) else value
    return row
