from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from decimal import Decimal as D

import pytest
import sqlalchemy as sa

from app.adapters.venues.simulated import Behaviour
from app.core.clock import ManualClock
from app.core.ids import new_id
from app.core.schema import is_current
from app.core.transaction import Database
from app.extensions import db
from app.models import Client, LedgerAccount, Order, Wallet
from tests.conftest import START, _administrate
from tests.data import REPOSITORY
from tests.databases import check, downgrade, upgrade
from tests.firm import Firm

BEFORE_CODES, BEFORE_ADDRESSES = "0002", "0006"


def test_the_migrations_build_what_the_models_say(database: Database, database_url: str) -> None:
    """``flask db check``, which ends with status 1 where ``flask db migrate`` would find something to write."""
    check(database_url)


def test_a_difference_is_found(database: Database, database_url: str) -> None:
    with database.engine.execution_options(write=True).begin() as connection:
        connection.execute(sa.text("ALTER TABLE wallets DROP COLUMN stopped_by"))
    with pytest.raises(SystemExit):
        check(database_url)


def test_what_the_version_before_cannot_hold_is_not_dropped(
    database: Database, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    row = {"owner": "house", "currency": "USD", "kind": "receivable", "code": "1681", "version": 0, "created_at": START}
    with database.engine.execution_options(write=True).begin() as connection:
        connection.execute(sa.insert(LedgerAccount), [row])
    with pytest.raises(SystemExit):
        downgrade(database_url, "0001")
    assert "A receivable has been booked" in caplog.messages[-1]
    assert is_current(database)  # nothing of it was done
    downgrade(database_url, "0002")
    upgrade(database_url)
    assert is_current(database)


@pytest.mark.postgres
def test_two_processes_that_upgrade_at_once_do_it_one_after_the_other(postgres_server: sa.URL) -> None:
    name = f"test_{new_id().replace('-', '')}"
    _administrate(postgres_server, f"CREATE DATABASE {name}")
    url = postgres_server.set(database=name).render_as_string(hide_password=False)
    code = "import sys; from tests.databases import upgrade; upgrade(sys.argv[1])"
    started = [subprocess.Popen([sys.executable, "-c", code, url], cwd=REPOSITORY) for _ in range(2)]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    _administrate(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


def test_upgrading_again_changes_nothing(database: Database, database_url: str) -> None:
    before = sorted(sa.inspect(database.engine).get_table_names())
    upgrade(database_url)
    assert sorted(sa.inspect(database.engine).get_table_names()) == before
    assert is_current(database)


def test_an_empty_database_is_not_current(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM alembic_version"))
    assert not is_current(database)


def test_codes_that_collide_stop_the_upgrade_with_their_names(
    database: Database, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    database.engine.dispose()
    downgrade(database_url, BEFORE_CODES)
    with database.engine.begin() as connection:
        rows = [
            {"id": new_id(), "code": code, "name": "Ana", "active": True, "version": 1, "at": START}
            for code in ("C-A", "c-a", "C-B")
        ]
        known = db.metadata.tables["clients"].columns  # without what later versions put in by themselves
        table = sa.table("clients", *(sa.column(column.name, column.type) for column in known))
        for row in rows:
            at = row.pop("at")
            connection.execute(sa.insert(table).values(**row, created_at=at, updated_at=at))
    with pytest.raises(SystemExit):
        upgrade(database_url)
    assert caplog.messages[-1].endswith("C-A, c-a")
    with database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE clients SET code = 'C-C' WHERE code = 'c-a'"))
    upgrade(database_url)
    assert is_current(database)


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
        lambda s: firm.orders.amend(
            s,
            s.get_one(Client, client),
            s.get_one(Wallet, wallet),
            amended,
            D("0.02"),
            None,
            actor="t",
            now=clock.now(),
        )
    )
    partly = firm.send(wallet, qty="0.5")["id"]
    firm.run_for(0.3)
    sent = firm.send(wallet, qty="0.02")["id"]
    firm.settle()
    waiting = firm.send(wallet, qty="0.03")["id"]
    assert firm.order(partly)["status"] == "PARTIALLY_FILLED"
    firm.engine.lease.release()
    before = {row["id"]: row["held"] for row in firm.all(Order)}
    database.engine.dispose()
    downgrade(database_url, "0001")
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
        row = {"owner": "x", "currency": "USD", "kind": kind, "code": "1681", "version": 0, "created_at": START}
        with database.engine.execution_options(write=True).begin() as connection:
            connection.execute(sa.insert(LedgerAccount), [row])

    account("receivable")
    with pytest.raises(sa.exc.IntegrityError):
        account("gifts")


def test_addresses_that_clients_share_stop_the_upgrade_with_their_names(
    database: Database, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    database.engine.dispose()
    downgrade(database_url, BEFORE_ADDRESSES)
    insert = sa.text(
        "INSERT INTO clients (id, code, name, email, active, version, created_at, updated_at) "
        "VALUES (:id, :code, 'Ana', :email, :active, 1, :at, :at)"
    )
    with database.engine.begin() as connection:
        for code, email in (("C-1", "Ana@example.com"), ("C-2", "ana@example.com"), ("C-3", None), ("C-4", None)):
            id_ = new_id().replace("-", "") if database.is_sqlite else new_id()
            at = START.replace(tzinfo=None).isoformat(" ") if database.is_sqlite else START
            connection.execute(insert, {"id": id_, "code": code, "email": email, "active": True, "at": at})
    with pytest.raises(SystemExit):
        upgrade(database_url)
    assert "several clients have the address ana@example.com" in caplog.messages[-1]
    with database.engine.begin() as connection:
        connection.execute(sa.text("UPDATE clients SET email = NULL WHERE code = 'C-2'"))
    upgrade(database_url)
    assert is_current(database)
