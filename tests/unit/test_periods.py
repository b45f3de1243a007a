"""Periods in words: --last, --since and --until, their instants, their labels, and what is refused."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_force.cli.period import PERIOD_OPTIONS, take_period
from claude_force.clock import DAY_US, HOUR_US, start_of_day, to_datetime, to_instant
from claude_force.errors import InvalidWindow
from claude_force.executions.intervals import filled
from claude_force.executions.totals import Bucket, Totals
from claude_force.time_windows import Window, heading_of, last_day, named_window, spoken_edge, window_between

BERLIN = ZoneInfo("Europe/Berlin")
NAMES = ("days", "hours", "last", "since", "until", "start", "end")
NOW = to_instant(datetime(2026, 11, 29, 12, tzinfo=UTC))
"""A Sunday."""


def at(text: str, zone: tzinfo = UTC) -> int:
    """The instant of a date, or of a date and time."""
    return to_instant(datetime.fromisoformat(text), zone)


def period(now: int = NOW, zone: tzinfo = UTC, **given: Any) -> Window:
    """The window of period options."""
    options = {**dict.fromkeys(NAMES), **given, "agents": ()}
    window = take_period(options, zone, now)
    assert options == {"agents": ()}
    return window


@pytest.mark.parametrize(
    ("name", "start", "end", "heading"),
    [
        ("7d", "2026-11-22T12:00", "2026-11-29T12:00", "Last 7 days"),
        ("1d", "2026-11-28T12:00", "2026-11-29T12:00", "Last 1 day"),
        ("24h", "2026-11-28T12:00", "2026-11-29T12:00", "Last 24 hours"),
        ("2w", "2026-11-15T12:00", "2026-11-29T12:00", "Last 2 weeks"),
        ("1W", "2026-11-22T12:00", "2026-11-29T12:00", "Last 1 week"),
        ("today", "2026-11-29", "2026-11-30", "Today"),
        ("Yesterday", "2026-11-28", "2026-11-29", "Yesterday"),
        ("week", "2026-11-23", "2026-11-30", "This week"),
        ("month", "2026-11-01", "2026-12-01", "This month"),
    ],
)
def test_last_names_a_period(name: str, start: str, end: str, heading: str) -> None:
    """A length is rolling and ends now; a word is whole days of the calendar."""
    window = period(last=name)
    assert (window.start_us, window.end_us, heading_of(window.label)) == (at(start), at(end), heading)


@pytest.mark.parametrize(
    ("now", "name", "start", "end"),
    [
        # The clock goes forward on 29 March and back on 25 October.
        ("2026-03-30T00:30", "yesterday", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"),
        ("2026-10-26T12:00", "yesterday", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"),
        ("2026-10-28T12:00", "week", "2026-10-26T00:00+01:00", "2026-11-02T00:00+01:00"),
        ("2026-10-25T12:00", "week", "2026-10-19T00:00+02:00", "2026-10-26T00:00+01:00"),
        ("2026-12-31T23:59", "month", "2026-12-01T00:00+01:00", "2027-01-01T00:00+01:00"),
        ("2028-02-29T00:00", "month", "2028-02-01T00:00+01:00", "2028-03-01T00:00+01:00"),
        ("2027-01-01T00:00", "week", "2026-12-28T00:00+01:00", "2027-01-04T00:00+01:00"),
    ],
)
def test_days_are_those_of_the_zone(now: str, name: str, start: str, end: str) -> None:
    """They have 23, 24 or 25 hours, and a week may lie in two months or years."""
    window = named_window(name, BERLIN, at(now, BERLIN))
    assert (window.start_us, window.end_us) == (at(start), at(end))


@given(
    now=st.integers(at("2022-01-01"), at("2031-01-01")),
    zone=st.sampled_from(("UTC", "America/Havana", "Asia/Beirut", "Australia/Lord_Howe", "Pacific/Kiritimati")),
    name=st.sampled_from(("today", "yesterday", "week", "month")),
)
def test_a_calendar_period_starts_and_ends_at_midnights(now: int, zone: str, name: str) -> None:
    """Whenever and wherever it is asked for; it contains now, but for yesterday, which ends before it."""
    place = ZoneInfo(zone)
    window = named_window(name, place, now)
    assert window.start_us is not None
    assert window.end_us is not None
    first, last = to_datetime(window.start_us, place).date(), last_day(window.end_us, place)
    assert (start_of_day(first, place), start_of_day(last + timedelta(days=1), place)) == (
        window.start_us, window.end_us,
    )  # fmt: skip
    assert window.start_us <= now
    assert (now < window.end_us) is (name != "yesterday")


def test_a_day_that_a_zone_skipped_is_empty() -> None:
    """Samoa had no 30 December 2011. The period of that day has no instant, and asking for it is no error."""
    apia = ZoneInfo("Pacific/Apia")
    window = named_window("yesterday", apia, at("2011-12-31T12:00", apia))
    assert window.start_us == window.end_us


@pytest.mark.parametrize(
    ("options", "start", "end", "label"),
    [
        ({"since": "7d"}, "2026-11-22T12:00", None, "since 7 days ago"),
        ({"since": "36h"}, "2026-11-28T00:00", None, "since 36 hours ago"),
        ({"since": "2w", "until": "1w"}, "2026-11-15T12:00", "2026-11-22T12:00", "2 weeks ago to 1 week ago"),
        ({"since": "yesterday"}, "2026-11-28", None, "since yesterday"),
        ({"until": "yesterday"}, None, "2026-11-29", "until yesterday"),
        ({"since": "yesterday", "until": "today"}, "2026-11-28", "2026-11-30", "yesterday to today"),
        ({"since": "yesterday", "until": "yesterday"}, "2026-11-28", "2026-11-29", "yesterday"),
        ({"since": "2026-11-01", "until": "2026-11-14"}, "2026-11-01", "2026-11-15", "2026-11-01 to 2026-11-14"),
        ({"since": "20261101"}, "2026-11-01", None, "since 2026-11-01"),
        ({"since": "2026-11-01T09:30Z"}, "2026-11-01T09:30", None, "since 2026-11-01T09:30Z"),
        ({"start": "2026-11-01", "until": "2d"}, "2026-11-01", "2026-11-27T12:00", "2026-11-01 to 2 days ago"),
        ({"since": "2w", "end": "2026-11-20"}, "2026-11-15T12:00", "2026-11-21", "2 weeks ago to 2026-11-20"),
    ],
)
def test_sides_in_words(options: dict[str, Any], start: str | None, end: str | None, label: str) -> None:
    """A day as an end is included, and a length of time is so long before now."""
    assert period(**options) == Window(at(start) if start else None, at(end) if end else None, label)


def test_the_last_day_of_a_period_is_the_one_that_was_given() -> None:
    """An end that was given as a day is shown as that day; an end within a day is shown as that day, too."""
    for end, shown in {"2026-11-14": "2026-11-14", "2026-11-14T00:01": "2026-11-14", "yesterday": "2026-11-28"}.items():
        end_us = period(until=end, zone=BERLIN).end_us
        assert end_us is not None
        assert last_day(end_us, BERLIN) == date.fromisoformat(shown)


@pytest.mark.parametrize(
    "name",
    ["", " ", "0d", "-7d", "7", "7m", "d", "7dd", "7 d", "1.5d", "tomorrow", "last", "36501d", "999999999h", "9" * 5000,
     "٧d", "2026-11-14", "\x1b[31m"],
)  # fmt: skip
def test_a_period_that_is_none_is_refused(name: str) -> None:
    """One line with what is possible."""
    with pytest.raises(InvalidWindow, match="give 7d, 24h or 2w") as refused:
        period(last=name)
    assert refused.value.exit_code == 2
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("option", ["since", "until"])
@pytest.mark.parametrize(
    "text",
    ["", "0d", "-7d", "7m", "tomorrow", "0000-01-01", "0001-01-01", "1969-12-31", "2100-01-01", "9999-12-31",
     "2026-02-30", "2026-13-01", "1000000000d", "9" * 5000, "2026-11-14T25:00", "week"],
)  # fmt: skip
def test_a_side_that_is_no_instant_is_refused(option: str, text: str) -> None:
    """The message names the option and what is possible."""
    with pytest.raises(InvalidWindow, match=f"--{option} .*give a date such as .*yesterday") as refused:
        period(**{option: text})  # type: ignore[arg-type]
    assert refused.value.exit_code == 2


def test_lengths_reach_a_century_at_most() -> None:
    """The longest is accepted, in each unit; a period never starts before 1970."""
    for text in ("36500d", "876000h", "5214w"):
        assert period(last=text).start_us == 0
        assert period(since=text).start_us == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"days": 7, "hours": 7}, "--days and --hours"),
        ({"days": 7, "last": "7d"}, "--days and --last"),
        ({"hours": 7, "since": "7d"}, "--hours and --since"),
        ({"last": "week", "until": "today"}, "--last and --until"),
        ({"last": "week", "start": "2026-11-01"}, "--last and --start"),
        ({"days": 7, "end": "2026-11-01"}, "--days and --end"),
        ({"since": "7d", "start": "2026-11-01"}, "--since and --start"),
        ({"until": "7d", "end": "2026-11-01"}, "--until and --end"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    """Two ways to say one side, or a length beside a side."""
    with pytest.raises(click.UsageError, match=re.escape(f"{message} cannot be combined")):
        period(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"since": "7d", "until": "2w"},
        {"since": "today", "until": "yesterday"},
        {"since": "2026-11-14", "until": "2026-11-13"},
        {"start": "2026-11-14", "until": "2026-11-13"},
        {"since": "2026-11-14", "end": "2026-11-13"},
    ],
)
def test_a_start_after_its_end_is_refused(options: dict[str, Any]) -> None:
    """The message repeats both as they were given."""
    (start, first), (end, last) = options.items()
    with pytest.raises(InvalidWindow, match=f"^--{start} {first} is not before --{end} {last}$"):
        period(**options)


@given(days=st.integers(1, 3000), hours=st.integers(1, 3000))
def test_a_length_means_the_same_in_every_option(days: int, hours: int) -> None:
    """--days N, --last Nd and --since Nd start at the same instant."""
    assert period(days=days).start_us == period(last=f"{days}d").start_us == period(since=f"{days}d").start_us
    assert period(hours=hours) == period(last=f"{hours}h")
    assert period(days=days).start_us == NOW - days * DAY_US
    assert period(hours=hours).start_us == NOW - hours * HOUR_US


def test_an_edge_without_another_is_open() -> None:
    """No side is no limit."""
    edge = spoken_edge("today", UTC, "--since", NOW, is_end=False)
    assert window_between(edge, None) == Window(at("2026-11-29"), None, "since today")
    assert window_between(None, None) == period() == Window()


def test_each_period_option_is_taken() -> None:
    """No option of the command line is left for the report."""
    assert {click.command()(option(lambda: None)).params[0].name for option in PERIOD_OPTIONS} == {*NAMES}


@pytest.mark.parametrize(
    ("change", "part"),
    [("2025-04-05T15:00:00Z", "2025-04-06 01:00+10:30"), ("2025-10-04T15:30:00Z", "2025-10-05 02:00+11:00")],
)
def test_a_part_of_an_hour_without_executions_is_named_by_its_own_offset(change: str, part: str) -> None:
    """Where clocks change by half an hour, also if the full hour had another offset, or none."""
    change_us = to_instant(datetime.fromisoformat(change))
    first_us, last_us = change_us - 5 * HOUR_US, change_us + 4 * HOUR_US + HOUR_US // 2
    first = Bucket("first", first_us, first_us + HOUR_US, Totals())
    found = filled([first], first_us, last_us, "hourly", ZoneInfo("Australia/Lord_Howe"))
    assert len({bucket.label for bucket in found}) == len(found)
    assert [bucket.label for bucket in found if bucket.start_us == change_us] == [part]
