from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from app.core.ids import new_id
from app.core.migrations import is_current, upgrade
from app.core.transaction import Database
from app.models import Base
from tests.conftest import START

BEFORE_CODES = "0002"


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_the_migrations_build_what_the_models_say(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, Base.metadata) == []


def test_upgrading_again_changes_nothing(database: Database, database_url: str) -> None:
    before = sorted(sa.inspect(database.engine).get_table_names())
    upgrade(database_url)
    assert sorted(sa.inspect(database.engine).get_table_names()) == before
    assert is_current(database)


def test_an_empty_database_is_not_current(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM alembic_version"))
    assert not is_current(database)


def test_codes_that_collide_stop_the_upgrade_with_their_names(database: Database, database_url: str) -> None:
    with database.engine.begin() as connection:
        connection.execute(sa.text("DROP INDEX uq_clients_code_lower"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :last"), {"last": BEFORE_CODES})
        rows = [
            {"id": new_id(), "code": code, "name": "Ana", "active": True, "version": 1, "at": START}
            for code in ("C-A", "c-a", "C-B")
        ]
        table = Base.metadata.tables["clients"]
        for row in rows:
            at = row.pop("at")
            connection.execute(sa.insert(table).values(**row, created_at=at, updated_at=at))
    with pytest.raises(RuntimeError, match=r"C-A, c-a$"):
        upgrade(database_url)
    with database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE clients SET code = 'C-C' WHERE code = 'c-a'"))
    upgrade(database_url)
    assert is_current(database)
