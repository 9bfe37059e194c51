"""Run by `flask db …` inside an app context: the migrations, on the application's own engine."""

import logging
import warnings

import sqlalchemy as sa
from alembic import context
from flask import current_app

from app.models.base import BigInt, ExactDecimal, JsonText, UtcDateTime

LOCK = 6_174_001  # advisory lock: two processes that start at once migrate one after the other
SQLITE_MINUTES = 10  # for the one write lock
TYPES = {ExactDecimal: "ExactDecimal()", UtcDateTime: "UtcDateTime()", JsonText: "JsonText()"}

config = context.config
logger = logging.getLogger("alembic.env")
for told in ("alembic.runtime.migration", "alembic.autogenerate", "alembic.env"):
    logging.getLogger(told).setLevel("INFO")
warnings.filterwarnings("ignore", message=".*expression-based index")  # these are not compared
target_db = current_app.extensions["migrate"].db


def get_metadata():
    return target_db.metadatas[None]


def render_item(kind, item, autogen_context):
    """Write our own column types by name, so that a migration reads like the models."""
    if kind == "type":
        if item is BigInt:
            return "BigInt"
        if type(item) in TYPES:
            return TYPES[type(item)]
    return False


def compare_type(context, inspected_column, metadata_column, inspected_type, metadata_type):
    """As Alembic does; SQLite keeps neither lengths nor most types, so there is nothing to find."""
    return False if context.dialect.name == "sqlite" else None


def run_migrations_offline():
    """Write the statements of a migration instead of executing them: `flask db upgrade --sql`."""
    url = target_db.engine.url.render_as_string(hide_password=False)
    context.configure(url=url, target_metadata=get_metadata(), literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def wait_for_long(connection):
    """On SQLite, before it begins: more time than a request has for the write lock, which is the turn."""
    if connection.dialect.name == "sqlite":
        connection.detach()  # nobody else gets it with this waiting time
        connection.connection.dbapi_connection.execute(f"PRAGMA busy_timeout = {SQLITE_MINUTES * 60_000}")


def wait_for_turn(connection):
    """On PostgreSQL: one process at a time, and more time than a request has."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SET LOCAL statement_timeout = '1h'"))
        connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        connection.execute(sa.text("SET LOCAL lock_timeout = '60s'"))  # a table that stays in use ends the upgrade


def run_migrations_online():
    """All that are missing in one transaction; nothing of them stays when one fails."""

    def process_revision_directives(context, revision, directives):
        if getattr(config.cmd_opts, "autogenerate", False) and directives[0].upgrade_ops.is_empty():
            directives[:] = []
            logger.info("No changes in schema detected.")

    conf_args = {
        "process_revision_directives": process_revision_directives,
        "render_item": render_item,
        **current_app.extensions["migrate"].configure_args,
        "compare_type": compare_type,
    }
    with target_db.engine.execution_options(write=True).connect() as connection:
        wait_for_long(connection)
        with connection.begin():
            wait_for_turn(connection)
            context.configure(connection=connection, target_metadata=get_metadata(), **conf_args)
            with context.begin_transaction():
                context.run_migrations()


if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
