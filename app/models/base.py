"""The column types that are exact on both databases, and what all models share."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, cast

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import mapped_column
from sqlalchemy.sql.functions import GenericFunction

from app.core import json
from app.domain.money import plain
from app.extensions import db


class ExactDecimal(sa.types.TypeDecorator[Decimal]):
    """NUMERIC(38,18) on PostgreSQL; fixed-scale text with an exact collation on SQLite. No floats."""

    impl = sa.Numeric(38, 18)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.Text(collation="DECIMAL"))
        return dialect.type_descriptor(sa.Numeric(38, 18))

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, Decimal | int):
            raise TypeError(f"{type(value).__name__} is not an exact number: {value!r}")
        number = Decimal(value) + 0  # no negative zero: its sign would be stored
        if not number.is_finite() or abs(number) >= 10**20 or number != round(number, 18):
            raise ValueError(f"{number} does not fit NUMERIC(38,18)")
        return format(number, ".18f") if dialect.name == "sqlite" else number

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Decimal | None:
        if value is None:
            return None
        return plain(value if isinstance(value, Decimal) else Decimal(value))


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC time; naive ones are refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times are stored aware, in UTC")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class JsonText(sa.types.TypeDecorator[Any]):
    """JSON kept as the text that was serialized, so that what is pushed is what was stored."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        return None if value is None else json.loads_stored(value)


class exact_sum(GenericFunction[Decimal]):
    """SUM that stays exact on SQLite too."""

    type = ExactDecimal()
    inherit_cache = True


@compiles(exact_sum)
def _sum(element: exact_sum, compiler: Any, **kw: Any) -> str:
    return f"sum({compiler.process(element.clauses, **kw)})"


@compiles(exact_sum, "sqlite")
def _decimal_sum(element: exact_sum, compiler: Any, **kw: Any) -> str:
    return f"decimal_sum({compiler.process(element.clauses, **kw)})"


Uuid = sa.Uuid(as_uuid=False)
BigInt = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # only INTEGER autoincrements on SQLite

uuid_pk = Annotated[str, mapped_column(Uuid, primary_key=True)]
serial_pk = Annotated[int, mapped_column(BigInt, primary_key=True, autoincrement=True)]
money = Annotated[Decimal, mapped_column(ExactDecimal)]


db.Model.registry.update_type_annotation_map({Decimal: ExactDecimal, datetime: UtcDateTime})


def one_of(column: str, values: Any, name: str) -> sa.CheckConstraint:
    """A CHECK that keeps a text column to the values of an enum or list."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=name)


def table_of(model: type[db.Model]) -> sa.Table:
    """The Core table of a model, for statements written in bulk."""
    return cast(sa.Table, model.__table__)
