"""Every migration on a database with rows in every table; the CHECKs; how long they may wait."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from app.core.ids import new_id
from app.core.schema import FOLDER, add_constraint, drop_constraint, is_current, replace_check
from app.core.transaction import Database
from app.extensions import db
from tests.conftest import START
from tests.databases import downgrade, upgrade

pytestmark = pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
STEPS = [
    (str(script.down_revision), script.revision)
    for script in reversed(list(ScriptDirectory(str(FOLDER)).walk_revisions()))
    if script.down_revision is not None
]
ENTRY = new_id()
# what the rules of the tables ask for; everything else is made up from the columns' types
GIVEN: dict[str, list[dict[str, Any]]] = {
    "users": [{"role": "client"}],
    "clients": [{"trader_id": None, "blocked_reason": None}],
    "deposits": [{"confirmed_amount": None}],
    "withdrawals": [{"payer": None}],
    "kyc_limits": [{"level": 9}],
    "instruments": [{"base": "BTC", "quote": "USDT", "base_scale": 8, "quote_scale": 8}],
    "ledger_accounts": [{"kind": "available", "code": "4691", "currency": "USD", "normal_side": "credit"}],
    "postings": [{"amount": Decimal(sign), "entry_id": ENTRY, "currency": "USD"} for sign in (1, -1)],
    "journal_entries": [{"id": ENTRY, "reverses_id": None}],
}
AFTER = {"journal_entries": "postings"}  # an entry is inserted when its postings are there


class Rows:
    """Puts rows into every table of a database, as its catalogue describes them."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection, self.metadata = connection, sa.MetaData()
        self.metadata.reflect(connection)
        self.inspector = sa.inspect(connection)
        self.inserted: dict[str, dict[str, Any]] = {}
        for name in self.metadata.tables:
            if name != "alembic_version":
                self.insert(name)

    def insert(self, name: str) -> None:
        if name in self.inserted:
            return
        self.inserted[name] = {}  # on its way: what refers back to it stays NULL
        if name in AFTER:
            self.insert(AFTER[name])
        table = self.metadata.tables[name]
        for given in GIVEN.get(name, [{}]):
            row = {column.name: self._value(column, given) for column in table.columns}
            row = {column: value for column, value in row.items() if value is not None}
            made = self.connection.execute(sa.insert(table).values(row)).inserted_primary_key
            keys = [column.name for column in table.primary_key.columns]
            self.inserted[name] = row | dict(zip(keys, made or (), strict=True))

    def _value(self, column: sa.Column[Any], given: dict[str, Any]) -> Any:
        if column.name in given:
            return self._stored(column, given[column.name])
        for key in column.foreign_keys:
            self.insert(key.column.table.name)
            return self.inserted[key.column.table.name].get(key.column.name)
        if column.primary_key and isinstance(column.type, sa.Integer) and column.autoincrement is not False:
            return None
        for check in self.inspector.get_check_constraints(column.table.name):
            if re.match(rf"\(*{column.name}\)*(::text)? (IN|= ANY)", check["sqltext"]):
                return re.findall(r"'([^']+)'", check["sqltext"])[0]
        if isinstance(column.type, sa.Boolean | sa.Integer):
            return 1 if isinstance(column.type, sa.Integer) else True
        if isinstance(column.type, sa.DateTime):
            return START.replace(tzinfo=None) if self.connection.dialect.name == "sqlite" else START
        if isinstance(column.type, sa.Numeric):
            return Decimal(1)
        length = getattr(column.type, "length", None)
        if isinstance(column.type, sa.UUID) or (isinstance(column.type, sa.CHAR) and length == 32):
            return self._stored(column, new_id())
        return "1.000000000000000000"[:length] if isinstance(column.type, sa.String) else None

    def _stored(self, column: sa.Column[Any], value: Any) -> Any:
        """As SQLite keeps it: ids without dashes, amounts as text."""
        if isinstance(value, Decimal) and isinstance(column.type, sa.Text):
            return format(value, ".18f")
        if isinstance(column.type, sa.CHAR) and column.type.length == 32 and isinstance(value, str):
            return value.replace("-", "")
        return value


def rows_of(database: Database) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, by table."""
    metadata = sa.MetaData()
    with database.engine.connect() as connection:
        metadata.reflect(connection)
        return {
            name: sorted((dict(row) for row in connection.execute(sa.select(table)).mappings()), key=repr)
            for name, table in metadata.tables.items()
            if name != "alembic_version"
        }


@pytest.mark.parametrize(("before", "after"), STEPS, ids=[after for _, after in STEPS])
def test_a_version_takes_over_every_row_of_the_one_before_and_gives_it_back(
    database: Database, database_url: str, before: str, after: str
) -> None:
    database.engine.dispose()
    downgrade(database_url, before)
    with database.engine.execution_options(write=True).begin() as connection:
        Rows(connection)
    given = rows_of(database)
    assert all(given.values()), [name for name, rows in given.items() if not rows]
    database.engine.dispose()
    upgrade(database_url, after)
    taken = rows_of(database)
    for name, rows in given.items():
        kept = [column for column in rows[0] if column in taken[name][0]]
        there = [[row[column] for column in kept] for row in taken[name]]  # and perhaps what the version brings along
        assert [row for row in rows if [row[column] for column in kept] not in there] == [], name
    database.engine.dispose()
    downgrade(database_url, before)
    assert rows_of(database) == given
    upgrade(database_url)
    assert is_current(database)


def checks(connection: sa.Connection, schema: str | None = None) -> set[tuple[str, str, str]]:
    """Table, name and condition of every CHECK, as the database gives them."""
    inspector = sa.inspect(connection)
    return {
        (table, str(check["name"]), check["sqltext"])
        for table in inspector.get_table_names(schema)
        for check in inspector.get_check_constraints(table, schema)
    }


def test_the_migrations_build_the_checks_of_the_models(
    database: Database, tmp_path: Path, open_database: Callable[..., Database]
) -> None:
    """Alembic compares no CHECK: both are built in one database, which writes them in its one way."""
    with database.engine.connect() as connection:
        migrated = checks(connection)
    if database.is_sqlite:
        with open_database(f"sqlite:///{tmp_path}/models.db").engine.begin() as connection:
            db.metadata.create_all(connection)
            wanted = checks(connection)
    else:
        with database.engine.begin() as connection:
            connection.execute(sa.schema.CreateSchema("models"))
            db.metadata.create_all(connection.execution_options(schema_translate_map={None: "models"}))
            wanted = checks(connection, "models")
    assert len(wanted) > 15
    assert migrated == wanted


def refuses(database: Database, statement: str) -> bool:
    try:
        with database.engine.execution_options(write=True).begin() as connection:
            connection.execute(sa.text(statement))
    except sa.exc.IntegrityError:
        return True
    return False


def test_a_constraint_is_added_changed_and_dropped_in_place(database: Database) -> None:
    """On SQLite by changing what is stored of the table; its rows, triggers and indices stay."""
    with database.engine.execution_options(write=True).begin() as connection:
        for statement in (
            "CREATE TABLE colours (id INTEGER PRIMARY KEY)",
            "CREATE TABLE boxes (id INTEGER PRIMARY KEY, colour INTEGER, size INTEGER CHECK (size <> 7), "
            "CONSTRAINT named CHECK (size IN (1, 2) OR (size > 9)))",
            "INSERT INTO colours VALUES (1)",
            "INSERT INTO boxes VALUES (1, 1, 2)",
        ):
            connection.execute(sa.text(statement))
        replace_check(connection, "boxes", "named", "size IN (2, 3)")
        add_constraint(connection, "boxes", "painted", "FOREIGN KEY(colour) REFERENCES colours (id)")
        add_constraint(connection, "boxes", "whole", "CHECK (colour > 0)")
        connection.execute(sa.text("ALTER TABLE boxes ADD COLUMN weight INTEGER"))  # the same transaction knows it
    assert refuses(database, "INSERT INTO boxes VALUES (2, 1, 1, 5)")
    assert refuses(database, "INSERT INTO boxes VALUES (2, 2, 3, 5)")
    assert refuses(database, "INSERT INTO boxes VALUES (2, 0, 3, 5)")
    assert not refuses(database, "INSERT INTO boxes VALUES (2, 1, 3, 5)")
    with database.engine.execution_options(write=True).begin() as connection:
        for name in ("named", "painted"):
            drop_constraint(connection, "boxes", name)
    assert refuses(database, "INSERT INTO boxes VALUES (3, 5, 7, 5)"), "the one without a name stays"
    assert refuses(database, "INSERT INTO boxes VALUES (3, 0, 1, 5)")
    assert not refuses(database, "INSERT INTO boxes VALUES (3, 5, 1, 5)")
    with pytest.raises((LookupError, sa.exc.ProgrammingError)), database.engine.begin() as connection:
        drop_constraint(connection, "boxes", "named")


@pytest.mark.parametrize("definition", ["CHECK (version > 5)", "FOREIGN KEY(platform) REFERENCES currencies (code)"])
def test_a_constraint_that_a_row_does_not_satisfy_is_not_added(database: Database, definition: str) -> None:
    with database.engine.execution_options(write=True).begin() as connection:
        Rows(connection)
    with (
        pytest.raises((RuntimeError, sa.exc.IntegrityError)),
        database.engine.execution_options(write=True).begin() as connection,
    ):
        add_constraint(connection, "wallets", "extra", definition)
    with database.engine.connect() as connection:
        assert "extra" not in {name for _, name, _ in checks(connection)}


def test_a_migration_waits_longer_for_its_turn_than_a_request(sqlite_database: Database, sqlite_url: str) -> None:
    downgrade(sqlite_url, "0005")
    patience: set[int] = set()

    def note(connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("UPDATE alembic_version"):
            patience.add(busy_timeout(connection))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        upgrade(sqlite_url)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert patience == {600_000}, "milliseconds, on the connection that migrates"
    with sqlite_database.engine.connect() as request:
        assert busy_timeout(request) == 5_000
    assert is_current(sqlite_database)


def busy_timeout(connection: sa.Connection) -> int:
    """How long a SQLite connection waits for the write lock, in milliseconds."""
    driver: Any = connection.connection.dbapi_connection
    return int(driver.execute("PRAGMA busy_timeout").fetchone()[0])
