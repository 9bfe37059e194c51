from __future__ import annotations

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from app.core.migrations import is_current, upgrade
from app.core.transaction import Database
from app.models import Base


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
