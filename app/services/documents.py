"""Documents of clients: the file in the storage, and the row that says whose and what it is.

The file comes first, the row after it: a crash between the two leaves a file without a row, which ``Sweep`` removes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.adapters.storage.base import SHARDS, Missing, Storage, StorageUnavailable, StoredFile, new_key
from app.core.blocking import run_blocking
from app.core.clock import iso
from app.core.errors import Conflict, NotFound, Unavailable
from app.core.ids import new_id
from app.core.permissions import Principal, Resource
from app.core.transaction import Database
from app.domain.clients import DocumentKind
from app.domain.kyc import KycStatus
from app.models import Client, ClientDocument, table_of

from . import audit
from .access import is_uuid, visible_clients
from .document_files import FileLimits, InspectedFile, inspect
from .events import Events

UNCLAIMED_AFTER: Final = timedelta(hours=1)  # until then a file without a row may be one that is being stored
_AT_ONCE: Final = 500
_table = table_of(ClientDocument)


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file in the storage, not yet anybody's."""

    key: str
    file: InspectedFile


@dataclass(frozen=True, slots=True)
class Documents:
    """The files, outside any transaction. One per process."""

    storage: Storage
    limits: FileLimits

    def keep(self, name: str, data: bytes) -> KeptFile:
        """Look at an uploaded file and store it. Never call it in a transaction: it waits for disk or network.

        Raises ``TooLarge``, ``UnsupportedDocument``, ``Invalid``, ``Unavailable``.
        """
        inspected: InspectedFile = run_blocking(inspect, name, data, self.limits)
        key = new_key()
        try:
            run_blocking(self.storage.put, key, inspected.data)
        except StorageUnavailable as error:
            raise Unavailable("the document storage is not available", retry_after=5) from error
        return KeptFile(key, inspected)

    def read(self, storage_key: str) -> bytes:
        """The bytes of a stored file. Raises ``NotFound``, ``Unavailable``."""
        try:
            data: bytes = run_blocking(self.storage.get, storage_key)
        except Missing as error:
            raise NotFound("the document's file is missing") from error
        except StorageUnavailable as error:
            raise Unavailable("the document storage is not available", retry_after=5) from error
        return data


def store(
    session: Session,
    client: Client,
    kind: DocumentKind,
    kept: KeptFile,
    principal: Principal,
    now: datetime,
    *,
    about: tuple[str, str] | None = None,
    ip: str | None = None,
) -> ClientDocument:
    """Make a kept file a document of a client. ``about`` is the type and id of what it proves."""
    row = ClientDocument(
        id=new_id(),
        client_id=client.id,
        kind=kind.value,
        filename=kept.file.name,
        content_type=kept.file.content_type,
        size_bytes=len(kept.file.data),
        sha256=kept.file.sha256,
        storage_key=kept.key,
        about_type=None if about is None else about[0],
        about_id=None if about is None else about[1],
        uploaded_by=principal.actor,
        created_at=now,
    )
    session.add(row)
    session.flush()
    _note(session, row, "add", principal, now, ip)
    return row


def of_client(
    session: Session, client: Client, limit: int, offset: int, kind: DocumentKind | None = None
) -> tuple[list[ClientDocument], int]:
    """The documents of a client, the newest first, and how many there are."""
    query = sa.select(ClientDocument).where(ClientDocument.client_id == client.id, ClientDocument.removed_at.is_(None))
    if kind is not None:
        query = query.where(ClientDocument.kind == kind.value)
    total = session.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
    newest = query.order_by(ClientDocument.created_at.desc(), ClientDocument.id.desc())
    return list(session.scalars(newest.limit(limit).offset(offset))), total


def by_id(
    session: Session, principal: Principal, document_id: str, right: str, client: Client | None = None
) -> ClientDocument:
    """A document that the caller may read or write; of ``client`` where one is named. Raises ``NotFound``."""
    query = sa.select(ClientDocument).where(
        ClientDocument.id == document_id.lower(), ClientDocument.removed_at.is_(None)
    )
    visible = visible_clients(principal, Resource.DOCUMENTS, right)
    if visible is not None:
        query = query.where(ClientDocument.client_id.in_(visible))
    if client is not None:
        query = query.where(ClientDocument.client_id == client.id)
    row = session.scalars(query).one_or_none() if is_uuid(document_id) else None
    if row is None:
        raise NotFound("there is no such document")
    return row


def remove(session: Session, row: ClientDocument, principal: Principal, now: datetime, ip: str | None = None) -> None:
    """Take a document away; its file is deleted later. The client's row must be locked.

    Raises ``Conflict`` for what proves something that was decided.
    """
    if row.about_id is not None or (principal.client_id is not None and _is_known(session, row.client_id)):
        raise Conflict("the document is the proof of something and stays", code="document_in_use")
    row.removed_at = now
    session.flush()
    _note(session, row, "remove", principal, now, ip)


def _is_known(session: Session, client_id: str) -> bool:
    """Whether it was decided who the client is, by these papers."""
    return session.get_one(Client, client_id).kyc_status in (KycStatus.APPROVED, KycStatus.EXPIRED)


def note_read(session: Session, row: ClientDocument, principal: Principal, now: datetime, ip: str | None) -> None:
    """That the firm's people looked at somebody's papers is on record."""
    if principal.client_id is None:
        audit.record(session, principal, "document.read", "document", row.id, now, ip=ip, client_id=row.client_id)


def show(row: ClientDocument) -> dict[str, Any]:
    return {
        "id": row.id,
        "client_id": row.client_id,
        "kind": row.kind,
        "filename": row.filename,
        "content_type": row.content_type,
        "size_bytes": row.size_bytes,
        "sha256": row.sha256,
        "about_type": row.about_type,
        "about_id": row.about_id,
        "uploaded_by": row.uploaded_by,
        "created_at": iso(row.created_at),
    }


def _note(
    session: Session, row: ClientDocument, verb: str, principal: Principal, now: datetime, ip: str | None
) -> None:
    shown = show(row)
    events = Events(now)
    past = {"add": "added", "remove": "removed"}[verb]
    events.add(row.client_id, f"client.document_{past}", "document", row.id, shown)
    events.flush(session)
    audit.record(session, principal, f"document.{verb}", "document", row.id, now, ip=ip, document=shown)


class Sweep:
    """Deletes files that no document has, or none has any more: one part of the storage at each step."""

    def __init__(self, database: Database, storage: Storage, keep_removed: timedelta) -> None:
        self._database, self._storage, self._keep_removed = database, storage, keep_removed
        self._next = 0

    def step(self, now: datetime) -> bool:
        """Never more to do at once: nobody waits for it. Raises ``Unavailable``."""
        shard = SHARDS[self._next]
        try:
            files = [file for file in self._storage.files(shard) if file.modified_at < now - UNCLAIMED_AFTER]
            for start in range(0, len(files), _AT_ONCE):
                for key in self._unclaimed(files[start : start + _AT_ONCE], now):
                    self._storage.remove(key)
        except StorageUnavailable as error:
            raise Unavailable("the document storage is not available") from error
        self._next = (self._next + 1) % len(SHARDS)
        return False

    def _unclaimed(self, files: Sequence[StoredFile], now: datetime) -> list[str]:
        keys = [file.key for file in files]
        kept = sa.or_(_table.c.removed_at.is_(None), _table.c.removed_at > now - self._keep_removed)
        query = sa.select(_table.c.storage_key).where(_table.c.storage_key.in_(keys), kept)
        claimed = self._database.read(lambda session: set(session.scalars(query)))
        return [key for key in keys if key not in claimed]
