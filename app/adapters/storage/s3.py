"""Files in a bucket that speaks the S3 protocol: Amazon's, MinIO's, Ceph's.

Requests are signed by version 4 of AWS's scheme; paths name the bucket, which every such server understands.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import requests

from app.core.clock import Seconds

from .base import Missing, StorageUnavailable, StoredFile, check_key

_TIMEOUTS: Final[tuple[Seconds, Seconds]] = (3, 30)  # to connect, and between two bytes
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_ALGORITHM: Final = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class S3Account:
    """``endpoint`` is an address without a path, such as https://s3.example.com."""

    endpoint: str
    region: str
    bucket: str
    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return f"S3Account({self.endpoint}/{self.bucket})"


def signature(
    account: S3Account, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], stamp: str
) -> str:
    """The header Authorization for a request with exactly these headers, which have ``x-amz-content-sha256``.

    ``stamp`` is the moment as ``x-amz-date`` has it.
    """
    named = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    signed = ";".join(sorted(named))
    canonical = "\n".join(
        (
            method,
            quote(path, safe="/-_.~"),
            canonical_query(query),
            *(f"{name}:{named[name]}" for name in sorted(named)),
            "",
            signed,
            named["x-amz-content-sha256"],
        )
    )
    scope = f"{stamp[:8]}/{account.region}/s3/aws4_request"
    to_sign = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{account.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    made = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return f"{_ALGORITHM} Credential={account.access_key}/{scope}, SignedHeaders={signed}, Signature={made}"


def canonical_query(query: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))


class S3Storage:
    """One object a file, under its key."""

    def __init__(self, account: S3Account, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._account, self._now = account, now
        self._host = urlsplit(account.endpoint).netloc

    def put(self, key: str, data: bytes) -> None:
        """The storage checks the SHA-256 of what arrived before it answers."""
        self._ask("PUT", f"/{check_key(key)}", data=data)

    def get(self, key: str) -> bytes:
        return self._ask("GET", f"/{check_key(key)}").content

    def remove(self, key: str) -> None:
        self._ask("DELETE", f"/{check_key(key)}")

    def files(self, shard: str) -> Iterator[StoredFile]:
        asked = {"list-type": "2", "prefix": shard}
        while True:
            try:
                listed = ElementTree.fromstring(self._ask("GET", "", asked).content)
            except ElementTree.ParseError as error:
                raise StorageUnavailable("the storage's list cannot be read") from error
            for item in listed.iterfind("{*}Contents"):
                modified = datetime.fromisoformat(item.findtext("{*}LastModified", ""))
                yield StoredFile(check_key(item.findtext("{*}Key", "")), modified)
            following = listed.findtext("{*}NextContinuationToken")
            if not following:
                return
            asked = {**asked, "continuation-token": following}

    def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, data: bytes = b""
    ) -> requests.Response:
        """Raises ``Missing`` or ``StorageUnavailable``."""
        path, stamp = f"/{self._account.bucket}{path}", self._now().astimezone(UTC).strftime(_STAMP)
        headers = {
            "host": self._host,
            "x-amz-content-sha256": hashlib.sha256(data).hexdigest(),
            "x-amz-date": stamp,
        }
        headers["authorization"] = signature(self._account, method, path, query or {}, headers, stamp)
        address = f"{self._account.endpoint.rstrip('/')}{path}" + (f"?{canonical_query(query)}" if query else "")
        try:
            response = requests.request(
                method, address, headers=headers, data=data, timeout=_TIMEOUTS, allow_redirects=False
            )
        except requests.RequestException as error:
            raise StorageUnavailable(f"no answer from {self._host}") from error
        if response.status_code == 404 and method != "PUT":
            raise Missing(path)
        if not 200 <= response.status_code < 300:
            raise StorageUnavailable(f"{self._host} answered {response.status_code}")
        return response


__all__ = ["S3Account", "S3Storage", "canonical_query", "signature"]
