from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.domain.calendars import Calendar, TradingHours, is_open, session_close


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("moment", ["2026-01-03 12:00", "2026-12-25 00:00", "2026-07-03 23:59"])
def test_crypto_never_closes(moment: str) -> None:
    assert is_open(Calendar.ALWAYS, utc(moment))


@pytest.mark.parametrize(
    ("moment", "open_"),
    [
        ("2026-01-09 21:59:59.999999", True),
        ("2026-01-09 22:00", False),  # Friday 17:00 in New York, winter
        ("2026-01-10 15:00", False),
        ("2026-01-11 21:59:59", False),
        ("2026-01-11 22:00", True),  # Sunday
        ("2026-01-12 05:00", True),
        ("2026-01-14 22:30", True),
        ("2026-07-10 20:59:59", True),
        ("2026-07-10 21:00", False),  # an hour earlier in summer
        ("2026-07-12 20:59:59", False),
        ("2026-07-12 21:00", True),
        ("2026-03-08 20:59", False),
        ("2026-03-08 21:00", True),  # the Sunday summer time starts
        ("2026-11-01 21:59", False),
        ("2026-11-01 22:00", True),  # the Sunday it ends
        ("2026-12-25 15:00", True),  # stock exchange holidays are none here
        ("2026-01-10 02:00", False),  # still Friday in New York, after the close
    ],
)
def test_forex_trades_from_sunday_to_friday_evening_in_new_york(moment: str, open_: bool) -> None:
    assert is_open(Calendar.FOREX, utc(moment)) is open_


@pytest.mark.parametrize(
    ("moment", "open_"),
    [
        ("2026-01-05 14:29:59", False),
        ("2026-01-05 14:30", True),
        ("2026-01-05 20:59:59", True),
        ("2026-01-05 21:00", False),
        ("2026-07-06 13:29:59", False),
        ("2026-07-06 13:30", True),
        ("2026-07-06 19:59:59", True),
        ("2026-07-06 20:00", False),
        ("2026-03-06 14:29", False),
        ("2026-03-09 13:30", True),  # either side of the change to summer time
        ("2026-10-30 13:30", True),
        ("2026-11-02 13:30", False),
        ("2026-11-02 14:30", True),
        ("2026-01-10 16:00", False),
        ("2026-01-11 16:00", False),  # weekend
        ("2026-01-01 16:00", False),
        ("2026-07-03 16:00", False),
        ("2026-11-26 16:00", False),
        ("2026-12-25 16:00", False),
        ("2027-06-18 16:00", False),
        ("2027-12-24 16:00", False),  # holidays
        ("2026-07-02 16:00", True),
        ("2026-11-27 16:00", True),
    ],
)
def test_stocks_trade_on_exchange_days_from_half_past_nine_to_four(moment: str, open_: bool) -> None:
    assert is_open(Calendar.US_STOCKS, utc(moment)) is open_


@pytest.mark.parametrize(
    ("calendar", "moment", "close"),
    [
        (Calendar.ALWAYS, "2026-01-05 14:30", "2026-01-06 00:00"),
        (Calendar.ALWAYS, "2026-01-05 00:00", "2026-01-06 00:00"),  # strictly after
        (Calendar.ALWAYS, "2026-12-31 23:59:59.999999", "2027-01-01 00:00"),
        (Calendar.FOREX, "2026-01-05 14:30", "2026-01-05 22:00"),
        (Calendar.FOREX, "2026-01-05 21:59:59", "2026-01-05 22:00"),
        (Calendar.FOREX, "2026-01-05 22:00", "2026-01-06 22:00"),
        (Calendar.FOREX, "2026-01-09 22:00", "2026-01-12 22:00"),  # Friday evening: the next day ends on Monday
        (Calendar.FOREX, "2026-01-11 23:00", "2026-01-12 22:00"),  # Sunday evening belongs to Monday
        (Calendar.FOREX, "2026-03-06 22:00", "2026-03-09 21:00"),  # over the change to summer time
        (Calendar.FOREX, "2026-10-30 21:00", "2026-11-02 22:00"),
        (Calendar.US_STOCKS, "2026-01-05 14:30", "2026-01-05 21:00"),
        (Calendar.US_STOCKS, "2026-01-05 21:00", "2026-01-06 21:00"),
        (Calendar.US_STOCKS, "2026-01-09 21:30", "2026-01-12 21:00"),
        (Calendar.US_STOCKS, "2026-07-02 20:00", "2026-07-06 20:00"),  # over a holiday and a weekend
        (Calendar.US_STOCKS, "2026-03-06 21:00", "2026-03-09 20:00"),
        (Calendar.US_STOCKS, "2026-12-24 21:00", "2026-12-28 21:00"),
    ],
)
def test_the_trading_day_ends_strictly_after_now(calendar: Calendar, moment: str, close: str) -> None:
    found = session_close(calendar, utc(moment))
    assert found == utc(close)
    assert found.utcoffset() == utc(close).utcoffset()


@pytest.mark.parametrize(
    ("window", "zone", "moment", "inside"),
    [
        ("09:00-18:00", "America/Lima", "2026-01-05 13:59:59", False),
        ("09:00-18:00", "America/Lima", "2026-01-05 14:00", True),
        ("09:00-18:00", "America/Lima", "2026-01-05 22:59:59", True),
        ("09:00-18:00", "America/Lima", "2026-01-05 23:00", False),
        ("22:00-06:00", "UTC", "2026-01-05 21:59:59", False),  # spans midnight
        ("22:00-06:00", "UTC", "2026-01-05 22:00", True),
        ("22:00-06:00", "UTC", "2026-01-06 00:00", True),
        ("22:00-06:00", "UTC", "2026-01-06 05:59:59", True),
        ("22:00-06:00", "UTC", "2026-01-06 06:00", False),
        ("22:00-06:00", "UTC", "2026-01-06 12:00", False),
        ("00:00-00:00", "UTC", "2026-01-06 12:00", True),
        ("08:00-09:00", "Europe/Madrid", "2026-01-05 07:30", True),
        ("08:00-09:00", "Europe/Madrid", "2026-07-06 07:30", False),  # half past nine there in summer
        ("08:00-09:00", "Europe/Madrid", "2026-07-06 06:30", True),
    ],
)
def test_trading_hours_in_their_own_time_zone(window: str, zone: str, moment: str, inside: bool) -> None:
    hours = TradingHours.parse(window, zone)
    assert hours.contains(utc(moment)) is inside
    assert str(hours) == f"{window} {zone}"


@pytest.mark.parametrize(
    ("window", "zone"),
    [
        ("", "UTC"),
        ("09:00", "UTC"),
        ("9-18", "UTC"),
        ("09:00-25:00", "UTC"),
        ("09:60-10:00", "UTC"),
        ("09:00-18:00-19:00", "UTC"),
        ("09:00+02:00-17:00", "UTC"),
        ("09:00:30-17:00", "UTC"),
        ("٠٩:٠٠-١٨:٠٠", "UTC"),
        ("09:00-18:00\n", "UTC"),
        ("09:00-18:00", ""),
        ("09:00-18:00", "Mars/Olympus"),
        ("09:00-18:00", "America"),
        ("09:00-18:00", "../../etc/passwd"),
    ],
)
def test_hours_that_make_no_sense_are_refused(window: str, zone: str) -> None:
    with pytest.raises(ValueError, match="HH:MM-HH:MM"):
        TradingHours.parse(window, zone)
