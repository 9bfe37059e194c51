from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.core.clock import ManualClock, SystemClock, iso

START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


def test_a_manual_clock_stands_still_until_it_is_moved(clock: ManualClock) -> None:
    assert clock.now() == clock.now() == START
    assert clock.monotonic() == 0
    clock.advance(1.5)
    assert clock.now() == START + timedelta(seconds=1.5)
    assert clock.monotonic() == 1.5
    clock.set(START + timedelta(hours=1))
    assert clock.monotonic() == 3600


def test_a_manual_clock_does_not_go_back(clock: ManualClock) -> None:
    clock.set(START)
    with pytest.raises(ValueError, match="cannot go back"):
        clock.set(START - timedelta(microseconds=1))
    assert clock.now() == START


def test_a_clock_that_is_set_back_measures_durations_all_the_same(clock: ManualClock) -> None:
    clock.advance(10)
    clock.set_back(300)
    assert clock.now() == START - timedelta(seconds=290)
    assert clock.monotonic() == 10
    clock.advance(1)
    assert clock.monotonic() == 11


def test_the_system_clock_is_aware_and_its_durations_never_negative() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (START, "2026-01-05T14:30:00.000000Z"),
        (START.replace(microsecond=7), "2026-01-05T14:30:00.000007Z"),
        (datetime(2026, 1, 5, 9, 30, tzinfo=timezone(timedelta(hours=-5))), "2026-01-05T14:30:00.000000Z"),
    ],
)
def test_times_are_written_in_utc_with_microseconds(moment: datetime, text: str) -> None:
    assert iso(moment) == text
