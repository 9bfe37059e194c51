"""Reconciliation names each break: every check is shown one it must find."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal as D
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import ManualClock
from app.core.transaction import Database
from app.models import AuditRecord, Event, Execution, LedgerAccount, Order, Position, table_of
from app.services.reconcile import reconcile
from tests.firm import Firm


@pytest.fixture
def firm(database: Database, clock: ManualClock) -> Iterator[Firm]:
    """One filled order with an open position, one that rests, one that was refused."""
    firm = Firm(database, clock).start()
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.send(wallet, type="LIMIT", qty="0.01", price="40000")
    firm.send(wallet, type="LIMIT", qty="900", price="50000")
    firm.settle()
    firm.reconciled()
    yield firm
    firm.engine.lease.release()


def where(model: Any, **columns: Any) -> Any:
    table = table_of(model)
    condition = sa.and_(*(table.c[name] == value for name, value in columns.items()))
    return table, condition


BREAKS = [
    ("BALANCE_MISMATCH", LedgerAccount, {"kind": "available", "currency": "BTC"}, {"balance": D("0.2")}),
    ("HOLD_MISMATCH", Order, {"status": "OPEN"}, {"held": D("1")}),
    ("HOLD_NOT_RELEASED", Order, {"status": "FILLED"}, {"held": D("1")}),
    ("CUM_QTY_MISMATCH", Order, {"status": "FILLED"}, {"cum_qty": D("0.09")}),
    ("CUM_QTY_MISMATCH", Order, {"status": "FILLED"}, {"fees": D("4")}),
    ("CUM_QTY_OUT_OF_RANGE", Order, {"status": "FILLED"}, {"qty": D("0.05")}),
    ("LEAVES_QTY_MISMATCH", Order, {"status": "OPEN"}, {"leaves_qty": D("0.5")}),
    ("AVG_PX_MISMATCH", Order, {"status": "FILLED"}, {"avg_px": D("50000.01")}),
    ("STATUS_FILLED_BUT_CUM_QTY_NE_QTY", Order, {"status": "OPEN"}, {"status": "FILLED"}),
    ("STATUS_NOT_FILLED_BUT_CUM_EQ_QTY", Order, {"status": "FILLED"}, {"status": "CANCELED"}),
    ("STATUS_PARTIAL_INCONSISTENT", Order, {"status": "OPEN"}, {"status": "PARTIALLY_FILLED"}),
    ("POSITION_MISMATCH", Position, {"status": "OPEN"}, {"qty": D("0.2")}),
    ("REALIZED_PNL_MISMATCH", Position, {"status": "OPEN"}, {"realized_pnl": D("1")}),
    ("REALIZED_PNL_MISMATCH", Position, {"status": "OPEN"}, {"cost": D("1")}),
    ("LIMIT_VIOLATED", Order, {"status": "FILLED"}, {"price": D("49999")}),
    ("EVENT_VERSION_GAP", Order, {"status": "FILLED"}, {"version": 9}),
    ("EVENT_SEQ_GAP", Event, {"type": "order.filled"}, {"seq": 1_000_000}),
    ("AUDIT_CHAIN_BROKEN", AuditRecord, {"action": "wallet.create"}, {"actor": "nobody"}),
]


@pytest.mark.parametrize(("code", "model", "rows", "change"), BREAKS, ids=str)
def test_each_break_is_named_with_its_rows(
    firm: Firm, code: str, model: Any, rows: dict[str, Any], change: dict[str, Any]
) -> None:
    table, condition = where(model, **rows)
    firm.database.run(lambda session: session.execute(sa.update(table).where(condition).values(change)))
    report = firm.database.read(lambda session: reconcile(session, firm.instruments))
    found = {item["code"]: item for item in report["breaks"]}
    assert report["ok"] is False
    assert code in found
    assert found[code]["count"] >= 1 and found[code]["rows"], "the rows behind it are shown"


def test_a_balance_below_its_floor_is_found_where_the_database_was_made_to_take_it(firm: Firm) -> None:
    table, condition = where(LedgerAccount, kind="available", currency="BTC")

    def past_the_check(session: Session) -> None:
        if firm.database.is_sqlite:
            session.execute(sa.text("PRAGMA ignore_check_constraints = ON"))
        else:
            session.execute(sa.text("ALTER TABLE ledger_accounts DROP CONSTRAINT ck_ledger_accounts_floor"))
        session.execute(sa.update(table).where(condition).values(floor=D("0.2")))

    firm.database.run(past_the_check)
    breaks = firm.database.read(lambda session: reconcile(session, firm.instruments))["breaks"]
    assert [(item["code"], item["rows"][0]["floor"]) for item in breaks] == [("BALANCE_BELOW_FLOOR", "0.2")]


@pytest.mark.postgres
def test_it_may_take_longer_than_a_request(postgres_database: Database, clock: ManualClock) -> None:
    instruments = Firm(postgres_database, clock).instruments

    def allowed(session: Session) -> str | None:
        reconcile(session, instruments)
        return session.scalar(sa.text("SHOW statement_timeout"))

    assert postgres_database.read(allowed) == "10min"
    assert postgres_database.read(lambda session: session.scalar(sa.text("SHOW statement_timeout"))) == "30s"


def test_an_execution_nobody_journaled_is_found(firm: Firm) -> None:
    table = table_of(Execution)
    firm.database.run(lambda session: session.execute(sa.delete(table)))
    report = firm.database.read(lambda session: reconcile(session, firm.instruments))
    codes = {item["code"] for item in report["breaks"]}
    assert {"TRADE_ENTRIES_MISMATCH", "CUM_QTY_MISMATCH", "POSITION_MISMATCH"} <= codes


def test_a_live_exit_larger_than_its_position_is_found(firm: Firm) -> None:
    position = firm.all(Position)[0]
    table, condition = where(Order, status="OPEN")
    firm.database.run(
        lambda session: session.execute(
            sa.update(table).where(condition).values(position_id=position["id"], trigger_key="x", leaves_qty=D(5))
        )
    )
    report = firm.database.read(lambda session: reconcile(session, firm.instruments))
    assert "EXITS_EXCEED_POSITION" in {item["code"] for item in report["breaks"]}


def test_a_healthy_firm_says_what_was_checked(firm: Firm) -> None:
    report = firm.reconciled()
    assert report["checked"]["orders"] == 3 and report["checked"]["executions"] == 1
    assert report["checked"]["postings"] > 8 and report["checked"]["events"] > 10
