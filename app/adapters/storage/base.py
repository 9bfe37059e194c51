"""What a storage of files must do."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

SHARDS: Final = tuple(f"{number:02x}" for number in range(256))
_KEY: Final = re.compile(r"[0-9a-f]{40}")


class StorageUnavailable(Exception):
    """The storage did not answer, or refused; nothing may be said about what it keeps."""


class Missing(Exception):
    """It has no file of this name."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """``modified_at`` by the storage's clock."""

    key: str
    modified_at: datetime


class Storage(Protocol):
    """Files under names that ``new_key`` makes. All methods raise ``StorageUnavailable``."""

    def put(self, key: str, data: bytes) -> None:
        """Keep it; when this returns it survives a crash."""

    def get(self, key: str) -> bytes:
        """Raises ``Missing``."""

    def remove(self, key: str) -> None:
        """What is not there is removed already."""

    def files(self, shard: str) -> Iterator[StoredFile]:
        """What it keeps under names that begin with one of ``SHARDS``."""


def new_key() -> str:
    """A name that nobody can guess, and that owes nothing to what was uploaded."""
    return secrets.token_hex(20)


def check_key(key: str) -> str:
    """Raises ``ValueError`` for what ``new_key`` cannot have made: it would lead somewhere else."""
    if not _KEY.fullmatch(key):
        raise ValueError("no name of a stored file")
    return key


__all__ = ["SHARDS", "Missing", "Storage", "StorageUnavailable", "StoredFile", "check_key", "new_key"]
