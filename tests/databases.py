"""Databases for tests: the application's own unit of work and migrations, without the rest of it."""

from __future__ import annotations

from typing import Any

import flask_migrate
from flask import Flask

from app.core.transaction import Database
from app.extensions import db, init_database, migrate


def open_database(url: str, **options: Any) -> Database:
    """``db`` on a database; close it with ``dispose``."""
    return init_database(Flask("tests"), url, **options)


def upgrade(url: str, revision: str = "head") -> None:
    """``flask db upgrade``. Raises ``SystemExit`` where a migration refuses."""
    _migrate(url, flask_migrate.upgrade, revision)


def downgrade(url: str, revision: str) -> None:
    """``flask db downgrade``. Raises ``SystemExit`` where a migration refuses."""
    _migrate(url, flask_migrate.downgrade, revision)


def check(url: str) -> None:
    """``flask db check``. Raises ``SystemExit`` where models and database differ."""
    _migrate(url, flask_migrate.check)


def _migrate(url: str, command: Any, *revision: str) -> None:
    app = Flask("tests")
    database = init_database(app, url)
    migrate.init_app(app, db)
    try:
        with app.app_context():
            command(None, *revision)
    finally:
        database.dispose()
