from __future__ import annotations

import threading
import time
from uuid import UUID

import pytest

from app.core import ids
from app.core.ids import new_id


def test_ids_are_lower_case_uuids_of_version_seven() -> None:
    for made in (new_id() for _ in range(1_000)):
        parsed = UUID(made)
        assert str(parsed) == made
        assert (parsed.version, parsed.variant) == (7, "specified in RFC 4122")


def test_the_first_48_bits_are_unix_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(time, "time_ns", lambda: 1_767_623_400_123_456_789)
    assert UUID(new_id()).int >> 80 == 1_767_623_400_123


def test_ids_sort_by_the_time_they_were_made_even_when_the_clock_stands_or_goes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments = iter([10**18, 10**18, 10**18 - 10**12, *[10**18] * 3_000, 10**18 + 10**10])
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(time, "time_ns", lambda: next(moments))
    made = [new_id() for _ in range(3_004)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_threads_never_make_the_same_id() -> None:
    made: list[list[str]] = [[] for _ in range(8)]
    threads = [threading.Thread(target=lambda own=own: own.extend(new_id() for _ in range(2_000))) for own in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for own in made for one in own}) == 16_000
    assert all(own == sorted(own) for own in made)
