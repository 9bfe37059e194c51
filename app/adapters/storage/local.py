"""Files in a folder of this machine, outside everything that is served."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from .base import Missing, StorageUnavailable, StoredFile, check_key

_PART: Final = ".part"  # of a file that is being written


class LocalStorage:
    """``<folder>/<two digits>/<key>``, readable by our user alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, data: bytes) -> None:
        """A crash leaves the whole file or none: it is synced under another name, renamed, and the rename synced."""
        path = self._path(key)
        part = path.with_name(path.name + _PART)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
            self._sync(path.parent)
        except OSError as error:
            raise StorageUnavailable(str(error)) from error

    def get(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError as error:
            raise Missing(key) from error
        except OSError as error:
            raise StorageUnavailable(str(error)) from error

    def remove(self, key: str) -> None:
        try:
            path = self._path(key)
            path.unlink(missing_ok=True)
            path.with_name(path.name + _PART).unlink(missing_ok=True)
        except OSError as error:
            raise StorageUnavailable(str(error)) from error

    def files(self, shard: str) -> Iterator[StoredFile]:
        """A file that a crash left unfinished is among them, under the name it was to have."""
        folder = self._folder / shard
        try:
            for entry in list(os.scandir(folder)) if folder.is_dir() else ():
                modified = datetime.fromtimestamp(entry.stat().st_mtime, UTC)
                yield StoredFile(check_key(entry.name.removesuffix(_PART)), modified)
        except OSError as error:
            raise StorageUnavailable(str(error)) from error

    @staticmethod
    def _sync(folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)[:2] / key
