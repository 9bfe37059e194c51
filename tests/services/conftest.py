"""The engine's firms, and one on PostgreSQL alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.core.clock import ManualClock
from app.core.transaction import Database
from tests.engine.conftest import firm, small_firm
from tests.firm import Firm

__all__ = ["firm", "large_firm", "small_firm"]


@pytest.fixture
def large_firm(postgres_database: Database, clock: ManualClock) -> Iterator[Firm]:
    """The same on PostgreSQL only, where rows are locked."""
    firm = Firm(postgres_database, clock).start()
    yield firm
    firm.engine.lease.release()
