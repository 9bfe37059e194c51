"""Which trader a client is assigned to, for the rooms of the live channel."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.core.clock import Clock
from app.core.transaction import Database
from app.models import Client

FRESH_SECONDS = 5.0


class TraderOf:
    """Answers from memory; the assignments are read again when they are older than five seconds."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._traders: dict[str, str] = {}
        self._read_at = float("-inf")  # ok: seconds

    def __call__(self, client_id: str) -> str | None:
        """The trader's user id; None for a client without one."""
        if self._clock.monotonic() - self._read_at > FRESH_SECONDS:
            self._traders = self._database.read(_assignments)
            self._read_at = self._clock.monotonic()
        return self._traders.get(client_id)


def _assignments(session: Session) -> dict[str, str]:
    query = sa.select(Client.id, Client.trader_id).where(Client.trader_id.is_not(None))
    return {row.id: row.trader_id for row in session.execute(query)}
