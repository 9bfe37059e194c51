"""The gate: whether a client may do what is intended now."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Session

from app.core.errors import Conflict
from app.domain.gate import Act
from app.models import Client

from . import clients


def require(
    session: Session,
    client: Client,
    act: Act,
    now: datetime,
    amount_usd: Decimal | None = None,
    about: tuple[str, str] | None = None,
) -> None:
    """Raise ``Conflict`` (``gate_closed``) unless the client is active. Locks the client's row."""
    clients.lock(session, client)
    if not client.active:
        reason = {"code": "client_not_active", "message": "the client is not active"}
        raise Conflict(reason["message"], code="gate_closed", extra={"reasons": [reason]})
