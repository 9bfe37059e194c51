"""Storages of files: both keep the same promises, and the S3 one signs as the protocol's own examples do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.adapters.storage.base import Missing, Storage, StorageUnavailable, check_key, new_key
from app.adapters.storage.local import LocalStorage
from app.adapters.storage.s3 import S3Account, S3Storage, signature
from tests.stubs.s3 import Bucket, serve

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
# from "Signature Calculations for the Authorization Header" of Amazon's S3 reference
PUBLISHED = S3Account(
    "https://examplebucket.s3.amazonaws.com",
    "us-east-1",
    "",
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
)
STAMP = "20130524T000000Z"


@pytest.fixture
def bucket() -> Iterator[tuple[Bucket, S3Account]]:
    bucket = Bucket()
    server = serve(bucket)
    address = f"http://127.0.0.1:{server.server_port}"
    yield bucket, S3Account(address, bucket.region, bucket.name, bucket.access_key, bucket.secret_key)
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return LocalStorage(tmp_path / "documents")
    return S3Storage(request.getfixturevalue("bucket")[1])


def test_what_is_put_is_there_until_it_is_removed(storage: Storage) -> None:
    key, data = new_key(), os.urandom(100_000)
    with pytest.raises(Missing):
        storage.get(key)
    storage.put(key, data)
    assert storage.get(key) == data
    storage.remove(key)
    storage.remove(key)
    with pytest.raises(Missing):
        storage.get(key)


def test_files_are_listed_by_the_beginning_of_their_names(storage: Storage) -> None:
    ours = sorted(f"7f{number:038x}" for number in range(5))
    for key in (*ours, "8f" + "0" * 38):
        storage.put(key, b"x")
    found = list(storage.files("7f"))
    assert sorted(file.key for file in found) == ours
    assert all(abs(datetime.now(UTC) - file.modified_at) < timedelta(minutes=1) for file in found)
    assert list(storage.files("00")) == []


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "a" * 39, "A" * 40, "a" * 40 + "\n", "/" + "a" * 39])
def test_no_other_names_are_taken(storage: Storage, key: str) -> None:
    for act in (storage.get, storage.remove, lambda key: storage.put(key, b"x")):
        with pytest.raises(ValueError, match="no name"):
            act(key)
    assert check_key("0" * 40)


def test_a_file_that_a_crash_left_unfinished_can_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, key = LocalStorage(tmp_path), new_key()

    def crash(*_paths: object) -> None:
        raise OSError("killed")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(StorageUnavailable):
        storage.put(key, b"half")
    with pytest.raises(Missing):
        storage.get(key)
    assert [file.key for file in storage.files(key[:2])] == [key]
    storage.remove(key)
    assert list(storage.files(key[:2])) == []


def test_files_are_for_our_user_alone(tmp_path: Path) -> None:
    storage, key = LocalStorage(tmp_path / "documents"), new_key()
    storage.put(key, b"x")
    path = tmp_path / "documents" / key[:2] / key
    assert (path.stat().st_mode & 0o077, path.parent.stat().st_mode & 0o077) == (0, 0)


@pytest.mark.parametrize(
    ("path", "query", "headers", "expected"),
    [
        (
            "/test.txt",
            {},
            {"range": "bytes=0-9"},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "/",
            {"max-keys": "2", "prefix": "J"},
            {},
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
        ("/", {"lifecycle": ""}, {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
    ],
)
def test_signatures_are_those_of_the_published_examples(
    path: str, query: dict[str, str], headers: dict[str, str], expected: str
) -> None:
    sent = {
        **headers,
        "host": "examplebucket.s3.amazonaws.com",
        "x-amz-content-sha256": EMPTY,
        "x-amz-date": STAMP,
    }
    assert signature(PUBLISHED, "GET", path, query, sent, STAMP).endswith(f"Signature={expected}")


def test_a_wrong_secret_and_a_wrong_clock_are_refused(bucket: tuple[Bucket, S3Account]) -> None:
    account = bucket[1]
    thief = S3Account(account.endpoint, account.region, account.bucket, account.access_key, "guessed")
    slow = S3Storage(account, lambda: datetime.now(UTC) - timedelta(hours=1))
    for storage in (S3Storage(thief), slow):
        with pytest.raises(StorageUnavailable, match="403"):
            storage.put(new_key(), b"x")
    assert bucket[0].objects == {}


def test_a_storage_that_is_away_is_unavailable_and_not_empty(bucket: tuple[Bucket, S3Account]) -> None:
    bucket[0].broken = True
    nowhere = S3Account("http://127.0.0.1:1", "us-east-1", "documents", "a", "b")
    for storage in (S3Storage(bucket[1]), S3Storage(nowhere)):
        with pytest.raises(StorageUnavailable):
            storage.get(new_key())
        with pytest.raises(StorageUnavailable):
            list(storage.files("00"))


def test_the_secret_is_not_shown() -> None:
    assert "wJalr" not in repr(PUBLISHED)
