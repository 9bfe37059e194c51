from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.core.clock import ManualClock
from app.core.transaction import Database
from tests.firm import Firm


@pytest.fixture
def firm(database: Database, clock: ManualClock) -> Iterator[Firm]:
    """A firm whose venue answers at once and without slippage, on each database."""
    firm = Firm(database, clock).start()
    yield firm
    firm.engine.lease.release()


@pytest.fixture
def small_firm(sqlite_database: Database, clock: ManualClock) -> Iterator[Firm]:
    """The same on SQLite only, for rules that do not depend on the database."""
    firm = Firm(sqlite_database, clock).start()
    yield firm
    firm.engine.lease.release()


@pytest.fixture
def large_firm(postgres_database: Database, clock: ManualClock) -> Iterator[Firm]:
    """The same on PostgreSQL only, where rows are locked."""
    firm = Firm(postgres_database, clock).start()
    yield firm
    firm.engine.lease.release()
