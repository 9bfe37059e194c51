"""Idempotency keys: a repeated POST gets the stored answer, and the work is done once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.errors import Conflict, Invalid
from app.core.ids import new_id
from app.models import IdempotencyRecord, table_of

KEPT: Final = timedelta(hours=24)
table = table_of(IdempotencyRecord)
_STORED: Final = sa.select(table.c.body_hash, table.c.status, table.c.body).where(
    table.c.caller == sa.bindparam("caller"),
    table.c.route == sa.bindparam("route"),
    table.c.key == sa.bindparam("key"),
)
_running: set[tuple[str, str, str]] = set()
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """One POST with a key. ``route`` is the rule, the path itself is part of what is hashed."""

    caller: str
    route: str
    key: str
    body_hash: str

    @classmethod
    def of(cls, caller: str, route: str, key: str, said: bytes) -> KeyedRequest:
        return cls(caller, route[:120], key, hashlib.sha256(said).hexdigest())


@contextmanager
def in_flight(keyed: KeyedRequest) -> Iterator[None]:
    """Hold the key while its request runs in this process. Raises ``Conflict`` when it already does."""
    held = (keyed.caller, keyed.route, keyed.key)
    with _lock:
        if held in _running:
            raise Conflict("the first request with this key is still running", code="in_progress", retry_after=1)
        _running.add(held)
    try:
        yield
    finally:
        with _lock:
            _running.discard(held)


def find(session: Session, keyed: KeyedRequest) -> tuple[int, str] | None:
    """The stored status and body. Raises ``Invalid`` when the key was used with another body."""
    row = session.execute(_STORED, {"caller": keyed.caller, "route": keyed.route, "key": keyed.key}).one_or_none()
    if row is None:
        return None
    if row.body_hash != keyed.body_hash:
        raise Invalid("this Idempotency-Key was used with another request", code="idempotency_key_reused")
    return row.status, row.body


def store(session: Session, keyed: KeyedRequest, status: int, body: str, now: datetime) -> None:
    """Keep the answer in the transaction of the work it tells about."""
    session.execute(
        sa.insert(table),
        {
            "id": new_id(),
            "caller": keyed.caller,
            "route": keyed.route,
            "key": keyed.key,
            "body_hash": keyed.body_hash,
            "status": status,
            "body": body,
            "created_at": now,
        },
    )


def is_duplicate(error: IntegrityError) -> bool:
    return table.name in str(error.orig)


def sweep(session: Session, now: datetime) -> int:
    """Delete what is older than a day; returns how many."""
    result = session.execute(sa.delete(table).where(table.c.created_at < now - KEPT))
    return int(getattr(result, "rowcount", 0))
