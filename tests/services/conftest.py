"""The engine's firms, one on PostgreSQL alone, and a person who signs in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.core.clock import ManualClock
from app.core.permissions import SYSTEM, Role
from app.core.transaction import Database
from app.models import User
from app.services import passwords, users
from tests.engine.conftest import firm, small_firm
from tests.firm import Firm
from tests.services.people import EMAIL, PASSWORD

__all__ = ["firm", "large_firm", "small_firm"]


@pytest.fixture
def large_firm(postgres_database: Database, clock: ManualClock) -> Iterator[Firm]:
    """The same on PostgreSQL only, where rows are locked."""
    firm = Firm(postgres_database, clock).start()
    yield firm
    firm.engine.lease.release()


@pytest.fixture
def mia(database: Database, clock: ManualClock) -> User:
    hashed = passwords.hash_password(EMAIL, PASSWORD)
    return database.run(
        lambda session: users.create(
            session, email=EMAIL, name="Mia", role=Role.TRADER, password_hash=hashed, principal=SYSTEM, now=clock.now()
        )
    )
