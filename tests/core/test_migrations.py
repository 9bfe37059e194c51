from __future__ import annotations

from datetime import timedelta
from decimal import Decimal as D

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from app.adapters.venues.simulated import Behaviour
from app.core.clock import ManualClock
from app.core.ids import new_id
from app.core.migrations import FOLDER, is_current, upgrade
from app.core.transaction import Database
from app.models import Base, Client, LedgerAccount, Order, Wallet
from tests.conftest import START
from tests.firm import Firm

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
    to_revision(database_url, BEFORE_CODES)
    with database.engine.begin() as connection:
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


def to_revision(url: str, revision: str) -> None:
    database = Database(url)
    try:
        with database.engine.execution_options(write=True).begin() as connection:
            config = Config()
            config.set_main_option("script_location", str(FOLDER))
            config.attributes["connection"] = connection
            command.downgrade(config, revision)
    finally:
        database.dispose()


def test_a_database_of_the_first_version_with_live_orders_is_upgraded_and_trades_on(
    database: Database, database_url: str, clock: ManualClock
) -> None:
    """Orders waiting, sent, resting, partly filled, being canceled and amended; a position; their holds."""
    slow = Behaviour(latency=timedelta(milliseconds=200), partial_rate=D(1), slippage_bps=D(0))
    firm = Firm(database, clock, slow).start()
    client, wallet = firm.client(USDT="100000", BTC="1")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.01", stop_loss="49000")
    firm.run_for(1)
    limit = {"type": "LIMIT", "qty": "0.01", "price": "48000"}
    resting, canceled, amended = (firm.send(wallet, **limit)["id"] for _ in range(3))
    firm.run_for(1)
    firm.database.run(lambda s: firm.orders.cancel(s, canceled, actor="t", now=clock.now()))
    firm.database.run(
        lambda s: firm.orders.amend(s, s.get_one(Client, client), s.get_one(Wallet, wallet), amended, D("0.02"), None,
                                    actor="t", now=clock.now())
    )  # fmt: skip
    partly = firm.send(wallet, qty="0.5")["id"]
    firm.run_for(0.3)
    sent = firm.send(wallet, qty="0.02")["id"]
    firm.settle()
    waiting = firm.send(wallet, qty="0.03")["id"]
    assert firm.order(partly)["status"] == "PARTIALLY_FILLED"
    firm.engine.lease.release()
    before = {row["id"]: row["held"] for row in firm.all(Order)}
    database.engine.dispose()
    to_revision(database_url, "0001")
    upgrade(database_url)
    assert {row["id"]: row["held"] for row in firm.all(Order)} == before
    firm = Firm(database, clock, slow).start()
    firm.reconciled()
    firm.quote("BTC/USDT", "50000", "50000")
    firm.run_for(8)
    assert {firm.order(order_id)["status"] for order_id in (partly, sent, waiting)} == {"FILLED"}
    assert (firm.order(canceled)["status"], firm.order(resting)["status"]) == ("CANCELED", "OPEN")
    assert (firm.order(amended)["status"], firm.order(amended)["qty"]) == ("OPEN", D("0.02"))
    firm.quote("BTC/USDT", "48900", "48900")
    firm.run_for(3)
    assert firm.position(wallet)["status"] == "CLOSED"
    firm.reconciled()
    firm.engine.lease.release()


def test_the_database_keeps_to_the_new_kinds_of_accounts(database: Database) -> None:
    """A CHECK is changed in place on SQLite; it refuses what it should, and takes what is new."""

    def account(kind: str) -> None:
        row = {"owner": "x", "currency": "USD", "kind": kind, "code": "1", "version": 0, "created_at": START}
        with database.engine.execution_options(write=True).begin() as connection:
            connection.execute(sa.insert(LedgerAccount), [row])

    account("receivable")
    with pytest.raises(sa.exc.IntegrityError):
        account("gifts")
