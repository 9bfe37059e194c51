"""A person who signs in, and what the tests ask about her."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from app.core.clock import ManualClock
from app.core.transaction import Database
from app.models import AuditRecord
from app.services import sign_in, user_sessions
from app.services.user_sessions import SessionLimits, SignedIn

EMAIL, PASSWORD = "mia@firm.example", "violin-otter-47"
HOME, AWAY = "192.0.2.1", "198.51.100.7"
LIMITS = SessionLimits()


def open_session(
    database: Database, clock: ManualClock, password: str = PASSWORD, ip: str = HOME, *, email: str = EMAIL
) -> SignedIn:
    return sign_in.open_session(database, email, password, ip, "a browser", clock.now())


def actions(database: Database) -> list[str]:
    return database.read(lambda session: list(session.scalars(sa.select(AuditRecord.action).order_by(AuditRecord.id))))


def find(database: Database, token: str, clock: ManualClock) -> Any:
    """The caller of a token."""
    found = database.read(lambda session: user_sessions.find(session, token, clock.now(), LIMITS))
    return None if found is None else found.principal
