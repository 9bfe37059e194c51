"""``flask db``: the schema."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import AppGroup

from app.core import migrations

from .answers import prints_json, services

group = AppGroup("db", help="Migrations of the database.")


@group.command("upgrade")
@prints_json
def upgrade() -> dict[str, Any]:
    """Bring the database to the newest schema."""
    database = services().database
    was_current = migrations.is_current(database)
    database.dispose()
    migrations.upgrade(database.url)
    return {"current": migrations.is_current(database), "changed": not was_current}


@group.command("revision")
@click.option("-m", "--message", required=True, help="What the migration does.")
@prints_json
def revision(message: str) -> dict[str, Any]:
    """Write a migration for what the models have and the database has not."""
    migrations.new_revision(services().database.url, message)
    return {"written": True, "message": message}


@group.command("current")
@prints_json
def current() -> dict[str, Any]:
    """Whether the database stands at the newest migration; status 1 when not."""
    stands = migrations.is_current(services().database)
    if not stands:
        click.echo('{"current":false}')
        raise SystemExit(1)
    return {"current": True}
