"""Bringing a database to the newest schema."""

from __future__ import annotations

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
