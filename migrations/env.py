"""Alembic's entry: runs the migrations on the connection that app.core.migrations hands over."""

from alembic import context

from app.models import Base
from app.models.base import BigInt, ExactDecimal, JsonText, UtcDateTime

TYPES = {ExactDecimal: "ExactDecimal()", UtcDateTime: "UtcDateTime()", JsonText: "JsonText()"}


def render_item(kind, item, autogen_context):
    """Write our own column types by name, so that a migration reads like the models."""
    if kind == "type":
        if item is BigInt:
            return "BigInt"
        if type(item) in TYPES:
            return TYPES[type(item)]
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_item=render_item,
    render_as_batch=False,
    compare_type=False,
)
with context.begin_transaction():
    context.run_migrations()
