"""Instants, windows and zones: parsing text to integers, and formatting them as text."""

from __future__ import annotations

import os
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force import clock
from claude_force.clock import (
    DAY_US,
    EARLIEST_US,
    HOUR_US,
    LATEST_US,
    SECOND_US,
    format_instant,
    instant_formatter,
    local_zone,
    offset_spans,
    parse_instant,
    parse_span,
    span_name,
    start_of_day,
    to_datetime,
    to_instant,
    zone_of,
)
from claude_force.errors import InvalidWindow
from claude_force.time_windows import ALL_TIME, Window, dated_window, last_window
from tests.properties.strategies import ZONES, instants

NEW_YORK = ZoneInfo("America/New_York")
BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
HAVANA = ZoneInfo("America/Havana")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONE_NAMES = sorted(available_timezones())
NOON = 1_762_000_000 * SECOND_US

any_zone = st.sampled_from(ZONE_NAMES).map(ZoneInfo)
any_instant = st.integers(EARLIEST_US, LATEST_US - 1)


def utc(text: str) -> int:
    """The instant of a UTC time, by the standard library."""
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


# Instants


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2025-11-14T10:30:45.123456", BERLIN, "2025-11-14T09:30:45.123456"),
        ("2025-11-14T10:30:45.123456Z", BERLIN, "2025-11-14T10:30:45.123456"),
        ("2025-11-14T10:30:45.123456+05:30", BERLIN, "2025-11-14T05:00:45.123456"),
        ("2025-11-14T10:30:45-0330", BERLIN, "2025-11-14T14:00:45"),
        ("2025-11-14 10:30", BERLIN, "2025-11-14T09:30:00"),
        ("2025-11-14T10:30:45,5Z", BERLIN, "2025-11-14T10:30:45.5"),
        ("20251114T103045Z", BERLIN, "2025-11-14T10:30:45"),
        ("1970-01-01T00:00:00Z", BERLIN, "1970-01-01T00:00:00"),
        ("1970-01-01T01:00:00", BERLIN, "1970-01-01T00:00:00"),
        ("2099-12-31T23:59:59.999999Z", BERLIN, "2099-12-31T23:59:59.999999"),
        ("2025-11-02T01:30:00", NEW_YORK, "2025-11-02T05:30:00"),
        ("2025-11-02T01:30:00-05:00", NEW_YORK, "2025-11-02T06:30:00"),
        ("2025-04-06T01:45:00", LORD_HOWE, "2025-04-05T14:45:00"),
        ("2025-03-09T02:30:00", NEW_YORK, "2025-03-09T07:30:00"),
        ("2025-10-05T02:15:00", LORD_HOWE, "2025-10-04T15:45:00"),
    ],
)
def test_text_is_parsed_to_an_instant(text: str, zone: tzinfo, expected: str) -> None:
    """With an offset, or in the given zone: the first of two if the clock goes back, and by the offset before the
    change if it skips."""
    assert parse_instant(text, zone) == utc(expected)


@pytest.mark.parametrize(
    ("digits", "expected_us"),
    [
        ("1234564999", 123456),
        ("1234565", 123456),
        ("12345650", 123456),
        ("123456500000000001", 123457),
        ("1234575", 123458),
        ("1234566", 123457),
        ("9999994", 999999),
        ("9999995", 1_000_000),
        ("0000005", 0),
        ("0000015", 2),
    ],
)
@pytest.mark.parametrize("shape", ["2025-12-31T23:59:59.{}Z", "2025-12-31T23:59:59,{}+00:00", "20251231T235959.{}Z"])
def test_digits_beyond_the_microsecond_round_half_to_even(shape: str, digits: str, expected_us: int) -> None:
    """More than six digits are rounded, into the next year if need be, also in the short form of ISO 8601."""
    assert parse_instant(shape.format(digits), UTC) == utc("2025-12-31T23:59:59") + expected_us


@given(digits=st.text("0123456789", min_size=1, max_size=18))
def test_rounding_is_decimal_rounding(digits: str) -> None:
    """Decimal arithmetic gives the same microsecond for any digits."""
    expected = int((Decimal(f"0.{digits}") * SECOND_US).to_integral_value(ROUND_HALF_EVEN))
    assert parse_instant(f"2025-11-14T10:30:45.{digits}Z", UTC) == utc("2025-11-14T10:30:45") + expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2025-11-14", "a date without a time of day"),
        ("20251114", "a date without a time of day"),
        ("2025-W46-5", "a date without a time of day"),
        ("9999-12-31T23:59:59", "outside the years 1970 to 2099"),
        ("9999-12-31T23:59:59.999999-12:00", "outside the years 1970 to 2099"),
        ("0001-01-01T00:00:00", "outside the years 1970 to 2099"),
        ("0001-01-01T00:00:00+14:00", "outside the years 1970 to 2099"),
        ("1969-12-31T23:59:59.999999Z", "outside the years 1970 to 2099"),
        ("2100-01-01T00:00:00Z", "outside the years 1970 to 2099"),
        ("2099-12-31T23:59:59.9999995Z", "outside the years 1970 to 2099"),
        ("", "not an ISO 8601 date and time"),
        ("yesterday", "not an ISO 8601 date and time"),
        ("1762000000", "not an ISO 8601 date and time"),
        ("2025-02-29T00:00:00", "not an ISO 8601 date and time"),
        ("2025-11-14T25:00:00", "not an ISO 8601 date and time"),
        ("2025-11-14T10:30:45.123456+25:00", "not an ISO 8601 date and time"),
        ("2025-11-14T10:30:45.1234567.8", "not an ISO 8601 date and time"),
        ("２０２５-11-14T10:30:45", "not an ISO 8601 date and time"),
        ("2025-11-14T10:30:45\ud800", "not an ISO 8601 date and time"),
        pytest.param("x" * 100_000, "not an ISO 8601 date and time", id="a very long text"),
    ],
)
@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Pacific/Kiritimati"), ZoneInfo("Pacific/Niue")])
def test_an_invalid_instant_is_refused_with_the_reason(text: str, reason: str, zone: tzinfo) -> None:
    """A date alone, a year out of range, and nonsense, in every zone."""
    with pytest.raises(ValueError, match=reason) as refused:
        parse_instant(text, zone)
    assert len(str(refused.value)) < 150


@given(instant=any_instant, zone=any_zone, other=any_zone)
def test_text_and_instant_are_one_to_one(instant: int, zone: ZoneInfo, other: ZoneInfo) -> None:
    """Text that is formatted in one zone parses to the same instant in any other, also in a repeated hour."""
    assert parse_instant(format_instant(instant, zone), other) == instant


@given(instant=any_instant, zone=any_zone)
def test_a_datetime_round_trips(instant: int, zone: ZoneInfo) -> None:
    """The datetime of an instant gives the instant back, in every zone and on both sides of a fold."""
    moment = to_datetime(instant, zone)
    assert moment.tzinfo is zone
    assert to_instant(moment) == instant
    assert moment.astimezone(UTC) == EPOCH + timedelta(microseconds=instant)


def test_a_fold_selects_one_of_two_instants() -> None:
    """In a repeated hour a naive datetime is the first occurrence, or the second if its fold is 1."""
    twice = datetime(2025, 11, 2, 1, 30)  # noqa: DTZ001  (a naive time is the case)
    assert to_instant(twice, NEW_YORK) == utc("2025-11-02T05:30:00")
    assert to_instant(twice.replace(fold=1), NEW_YORK) == utc("2025-11-02T06:30:00")


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (UTC, "2025-11-01T12:26:40.000000+00:00"),
        (NEW_YORK, "2025-11-01T08:26:40.000000-04:00"),
        (ZoneInfo("Asia/Kolkata"), "2025-11-01T17:56:40.000000+05:30"),
    ],
)
def test_an_instant_is_formatted_with_its_offset(zone: tzinfo, expected: str) -> None:
    """Always with six decimals and the offset."""
    assert format_instant(NOON, zone) == expected


# Zones


@given(zone=any_zone, start=any_instant, days=st.integers(0, 2000), places=st.lists(st.floats(0, 1), max_size=40))
def test_offset_spans_agree_with_the_zone(zone: ZoneInfo, start: int, days: int, places: list[float]) -> None:
    """For every zone, any instant has the offset of its span, and each span but the last ends exactly at a change."""
    end = min(start + days * DAY_US, LATEST_US - 1)
    spans = offset_spans(zone, start, end)
    untils = [until for until, _ in spans]
    assert untils == sorted(set(untils))
    assert untils[-1] > end
    for until, offset in spans[:-1]:
        assert offset_at(zone, until - 1) == offset != offset_at(zone, until)
    for instant in (start, end, *(start + int(place * (end - start)) for place in places)):
        assert spans[bisect_right(untils, instant)][1] == offset_at(zone, instant)


def offset_at(zone: tzinfo, instant_us: int) -> int:
    """The UTC offset of a zone, in microseconds."""
    offset = (EPOCH + timedelta(microseconds=instant_us)).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("name", "hours"),
    [
        ("UTC", 0),
        ("utc", 0),
        ("Z", 0),
        ("+05:30", 5.5),
        ("-0330", -3.5),
        ("-00:30", -0.5),
        ("+2", 2),
        ("UTC+2", 2),
        ("GMT-08:00", -8),
        ("+14:00", 14),
        ("Europe/Berlin", 1),
        ("America/New_York", -4),
        ("Asia/Kathmandu", 5.75),
    ],
)
def test_a_zone_has_many_names(name: str, hours: float) -> None:
    """An IANA name, UTC, or an offset in any usual spelling; here on 1 November 2025."""
    assert to_datetime(NOON, zone_of(name)).utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize("name", [None, "local", "LOCAL"])
def test_no_zone_is_local_time(name: str | None) -> None:
    """Without a name, the zone of the machine is used."""
    assert zone_of(name) is local_zone()


@pytest.mark.parametrize(
    "name",
    [
        "Mars/Olympus", "", " ", "europe berlin", "+24:00", "+05:75", "+1:2:3", "5", "Europe", "zone.tab", "tzdata.zi",
        "/etc/localtime", "../../../etc/passwd", "Europe/../UTC", "a\0b", "\ud800",
        pytest.param("x" * 5000, id="a very long name"),
    ],
)  # fmt: skip
def test_a_zone_that_does_not_exist_is_refused(name: str) -> None:
    """One line with examples, not a traceback."""
    with pytest.raises(InvalidWindow, match="give an IANA name such as Europe/Berlin") as refused:
        zone_of(name)
    assert refused.value.exit_code == 2


@given(
    day=st.dates(date(2022, 1, 1), date(2030, 12, 31)),
    zone=st.sampled_from(("UTC", "America/New_York", "America/Havana", "Asia/Beirut", "Africa/Cairo", "Asia/Kolkata",
                          "America/Nuuk", "Australia/Lord_Howe", "Pacific/Kiritimati", "Africa/Casablanca")),
)  # fmt: skip
def test_a_day_starts_at_its_first_instant(day: date, zone: str) -> None:
    """It has the day's date, and the microsecond before has not, also where a clock change skips midnight."""
    midnight = start_of_day(day, ZoneInfo(zone))
    assert to_datetime(midnight, ZoneInfo(zone)).date() == day
    assert to_datetime(midnight - 1, ZoneInfo(zone)).date() == day - timedelta(days=1)


# Windows


@pytest.mark.parametrize(
    ("start", "end", "zone", "first", "after"),
    [
        ("2025-11-14", "2025-11-14", UTC, "2025-11-14T00:00:00", "2025-11-15T00:00:00"),
        ("2025-11-02", "2025-11-02", NEW_YORK, "2025-11-02T04:00:00", "2025-11-03T05:00:00"),
        ("2025-03-09", "2025-03-09", NEW_YORK, "2025-03-09T05:00:00", "2025-03-10T04:00:00"),
        ("2025-03-09", "2025-03-09", HAVANA, "2025-03-09T05:00:00", "2025-03-10T04:00:00"),
        ("2025-11-02", "2025-11-02", HAVANA, "2025-11-02T04:00:00", "2025-11-03T05:00:00"),
        ("2025-04-06", "2025-04-06", LORD_HOWE, "2025-04-05T13:00:00", "2025-04-06T13:30:00"),
        ("2025-12-31", "2026-01-01", timezone(timedelta(hours=5.5)), "2025-12-30T18:30:00", "2026-01-01T18:30:00"),
        ("2025-11-14T09:30", "2025-11-14T09:31", BERLIN, "2025-11-14T08:30:00", "2025-11-14T08:31:00"),
        ("2025-11-14T09:30:00Z", "2025-11-14", BERLIN, "2025-11-14T09:30:00", "2025-11-14T23:00:00"),
    ],
)
def test_dates_are_whole_days_of_the_zone(start: str, end: str, zone: tzinfo, first: str, after: str) -> None:
    """A date starts at local midnight; as an end it includes its whole day, of 23, 24 or 25 hours. A time of day is
    exact."""
    assert dated_window(start, end, zone) == Window(utc(first), utc(after), f"{start} to {end}")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, ALL_TIME),
        ("2025-11-14", None, Window(utc("2025-11-14T00:00:00"), None, "since 2025-11-14")),
        (None, "2025-11-14", Window(None, utc("2025-11-15T00:00:00"), "until 2025-11-14")),
    ],
)
def test_a_window_may_be_open(start: str | None, end: str | None, expected: Window) -> None:
    """A missing side is no limit, and the label says so."""
    assert dated_window(start, end, UTC) == expected


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2025-11-15", "2025-11-14", "--start 2025-11-15 is not before --end 2025-11-14"),
        ("2025-11-14T10:00", "2025-11-14T10:00", "--start 2025-11-14T10:00 is not before"),
        ("2025-11-31", None, "--start 2025-11-31: give a date such as"),
        (None, "tomorrow", "--end tomorrow: give a date such as"),
        (None, "2025-1-5", "--end 2025-1-5: give a date such as"),
        (None, "9999-12-31", "--end 9999-12-31: give a date such as"),
        ("0001-01-01T00:00", None, "--start 0001-01-01T00:00: give a date such as"),
        ("2025-11-14T25:00", None, "--start 2025-11-14T25:00: give a date such as"),
        ("", None, "--start : give a date such as"),
    ],
)
def test_an_invalid_window_is_refused(start: str | None, end: str | None, message: str) -> None:
    """The message names the option and a valid value; the exit code is that of wrong usage."""
    with pytest.raises(InvalidWindow, match=message) as refused:
        dated_window(start, end, ZoneInfo("Pacific/Kiritimati"))
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("days", "hours", "length", "label"),
    [
        (7, 0, 7 * DAY_US, "7 days"),
        (1, 0, DAY_US, "1 day"),
        (0, 1, HOUR_US, "1 hour"),
        (0, 36, 36 * HOUR_US, "36 hours"),
        (2, 12, 60 * HOUR_US, "2 days 12 hours"),
    ],
)
def test_the_last_days_end_now(days: int, hours: int, length: int, label: str) -> None:
    """A rolling period of exactly that length, with a readable label."""
    assert last_window(NOON, days=days, hours=hours) == Window(NOON - length, NOON, label)


def test_a_very_long_period_starts_at_the_epoch() -> None:
    """A period that would start before the first instant starts there."""
    assert last_window(NOON, days=36_500).start_us == EARLIEST_US


@given(
    zone=st.sampled_from((*ZONES, "Africa/Monrovia", "Pacific/Chatham", "America/Havana")).map(ZoneInfo),
    some=st.lists(st.one_of(instants, st.integers(0, LATEST_US - 1)), max_size=5),
)
def test_many_instants_are_formatted_like_one(zone: ZoneInfo, some: list[int]) -> None:
    """The cache of hours changes no text, also if the offset changes within the hour."""
    quickly = instant_formatter(zone)
    for instant in (*some, *some[::-1]):
        for near in (instant, instant - instant % HOUR_US, instant - instant % HOUR_US + HOUR_US - 1):
            assert quickly(near) == format_instant(near, zone)


@pytest.mark.parametrize(
    ("text", "seconds", "name"),
    [
        ("30s", 30, "30 seconds"),
        ("90m", 5400, "90 minutes"),
        ("1h", 3600, "1 hour"),
        (" 24h ", 86_400, "1 day"),
        ("7d", 604_800, "1 week"),
        ("2w", 1_209_600, "2 weeks"),
        ("61s", 61, "61 seconds"),
    ],
)
def test_a_length_of_time_is_parsed_and_named(text: str, seconds: int, name: str) -> None:
    """A number and a unit, and the name in the largest unit that divides it."""
    assert parse_span(text) == seconds * 1_000_000
    assert span_name(seconds * 1_000_000) == name


@pytest.mark.parametrize("text", ["", "5", "h", "-1h", "1.5h", "1 hour", "1H", "9999999s", "1h30m", "\u0663h"])
def test_an_invalid_length_of_time_is_refused(text: str) -> None:
    """The error lists the valid forms."""
    with pytest.raises(ValueError, match="such as 30s, 15m, 1h, 7d or 2w"):
        parse_span(text)


@pytest.mark.parametrize(
    ("link", "zone"),
    [
        ("/usr/share/zoneinfo/Europe/Berlin", ZoneInfo("Europe/Berlin")),
        ("/var/db/timezone/zoneinfo/America/New_York", ZoneInfo("America/New_York")),
        ("../usr/share/zoneinfo/Etc/UTC", UTC),
        ("/usr/share/zoneinfo/Nowhere", None),
        ("/etc/zone.dat", None),
    ],
)
def test_the_zone_of_the_machine_is_that_of_its_link(
    link: str, zone: tzinfo | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux and macOS have the name of the zone in a link; without a known one, tzlocal knows other places."""
    monkeypatch.setattr(os, "readlink", lambda _: link)
    assert clock._linked_zone.__wrapped__() == zone
