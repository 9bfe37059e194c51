"""Many rows by one statement, the same on both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.bulk import BulkInsert, BulkUpdate
from app.core.ids import new_id
from app.core.transaction import Database
from app.models import EngineFault, table_of

faults = table_of(EngineFault)
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
INSERT, UPDATE = BulkInsert(faults), BulkUpdate(faults, ("stage", "reports", "attempts"))


def fault(**changes: Any) -> dict[str, Any]:
    row = dict.fromkeys(INSERT.columns)
    return (
        row
        | {
            "id": new_id(),
            "at": NOW,
            "stage": "booking",
            "object_type": "order",
            "object_id": "o",
            "error": "e",
            "attempts": 1,
        }
        | changes
    )


def stored(database: Database) -> list[Any]:
    query = sa.select(faults.c.stage, faults.c.reports, faults.c.attempts, faults.c.context).order_by(faults.c.id)
    return database.read(lambda session: [tuple(row) for row in session.execute(query)])


def test_nulls_lists_and_times_arrive_as_they_are(database: Database) -> None:
    rows = [fault(reports=[{"kind": "Fill"}, {"kind": "Fill"}]), fault(context="x"), fault(reports=[])]
    database.run(lambda session: INSERT.run(session, rows))
    assert stored(database) == [
        ("booking", [{"kind": "Fill"}, {"kind": "Fill"}], 1, None),
        ("booking", None, 1, "x"),
        ("booking", [], 1, None),
    ]
    changed = [{**rows[0], "stage": "send", "reports": None}, {**rows[2], "attempts": 5}]
    database.run(lambda session: UPDATE.run(session, changed))
    assert stored(database) == [
        ("send", None, 1, None),
        ("booking", None, 1, "x"),
        ("booking", [], 5, None),
    ]


def test_nothing_is_nothing(database: Database) -> None:
    database.run(lambda session: (INSERT.run(session, []), UPDATE.run(session, [])))
    assert stored(database) == []


@pytest.mark.postgres
def test_a_text_that_is_too_long_is_refused_and_not_cut(postgres_database: Database) -> None:
    row = fault()
    postgres_database.run(lambda session: INSERT.run(session, [row]))
    for write in (
        lambda session: INSERT.run(session, [fault(object_id="o" * 200)]),
        lambda session: UPDATE.run(session, [{**row, "stage": "s" * 200}]),
    ):
        with pytest.raises(sa.exc.DataError):
            postgres_database.run(write)
    assert [found[0] for found in stored(postgres_database)] == ["booking"]
