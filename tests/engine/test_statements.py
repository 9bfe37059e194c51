"""How many statements a crowd of orders costs: it must not grow with the crowd."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.clock import ManualClock
from app.core.transaction import Database
from app.domain.orders import OrderSource
from app.models import Order
from app.schemas.base import validate
from app.schemas.orders import OrderIn
from tests.firm import Firm

ENTRY_MOST = 11  # measured: 10
ROUND_MOST = 37  # sending, booking and exits until nothing is left; measured: 35


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", note)
    yield statements
    sa.event.remove(database.engine, "before_cursor_execute", note)


@pytest.mark.postgres
@pytest.mark.parametrize("crowd", [1, 32])
def test_entry_and_booking_of_a_crowd_stay_under_their_numbers(
    postgres_database: Database, clock: ManualClock, crowd: int
) -> None:
    firm = Firm(postgres_database, clock).start()
    wallets = [firm.client(USDT="100000")[1] for _ in range(crowd)]
    firm.quote("BTC/USDT", "50000", "50000")
    request = validate(OrderIn, {"symbol": "BTC/USDT", "side": "BUY", "type": "MARKET", "qty": "0.1"})
    entries = [request.order_request(wallet, "t", OrderSource.API) for wallet in wallets]
    with counted(firm.database) as statements:
        firm.database.run(lambda session: firm.orders.submit_many(session, entries, clock.now()))
    assert len(statements) <= ENTRY_MOST, "\n".join(statements)
    firm.engine.wake()
    with counted(firm.database) as statements:
        firm.engine.run_until_idle(clock.now())
    assert len(statements) <= ROUND_MOST, "\n".join(statements)
    assert firm.engine.counts["fills"] == crowd
    firm.engine.lease.release()


GROWING = r"(orders|positions|executions|events|venue_requests|postings|journal_entries|audit_records|fix_messages)"


def test_what_an_order_costs_does_not_grow_with_the_tables(sqlite_database: Database, clock: ManualClock) -> None:
    """No statement of an order's way reads a table that grows as a whole, whatever partial index it needs."""
    firm = Firm(sqlite_database, clock).start()
    _, wallet = firm.client(USDT="100000")
    firm.quote("BTC/USDT", "50000", "50000")
    ran: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        ran.append((statement, parameters[0] if many else parameters))

    sa.event.listen(firm.database.engine, "before_cursor_execute", note)
    firm.send(wallet, qty="0.1", stop_loss="49000")
    firm.settle()
    firm.quote("BTC/USDT", "48000", "48000")
    sa.event.remove(firm.database.engine, "before_cursor_execute", note)
    assert [order["status"] for order in firm.all(Order)] == ["FILLED", "FILLED"]
    with firm.database.engine.connect() as connection:
        plans = [
            (statement, row[3])
            for statement, parameters in ran
            if statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "WITH"))
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", tuple(parameters))
        ]
    whole = re.compile(rf"SCAN {GROWING}( USING (COVERING )?INDEX sqlite_autoindex\w*)?$")
    assert [(plan, statement) for statement, plan in plans if whole.match(plan)] == []
    firm.engine.lease.release()
