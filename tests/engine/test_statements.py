"""How many statements a crowd of orders costs: it must not grow with the crowd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.clock import ManualClock
from app.core.transaction import Database
from app.domain.orders import OrderSource
from app.schemas.base import validate
from app.schemas.orders import OrderIn
from tests.firm import Firm

ENTRY_MOST = 12  # measured: 10
ROUND_MOST = 40  # sending, booking and exits until nothing is left; measured: 36

pytestmark = pytest.mark.postgres


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", note)
    yield statements
    sa.event.remove(database.engine, "before_cursor_execute", note)


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
        firm.engine.settle(clock.now())
    assert len(statements) <= ROUND_MOST, "\n".join(statements)
    assert firm.engine.counts["fills"] == crowd
    firm.engine.lease.release()
