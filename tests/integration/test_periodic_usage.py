"""`daily`, `weekly` and `monthly`: which intervals are shown, and how a table of them looks."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from claude_force import clock
from claude_force.analytics.periodic_usage import Period, PeriodicUsage, default_window, periodic_usage
from claude_force.clock import DAY_US
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.workspace import Workspace
from claude_force.database.writes import Store
from claude_force.ingest.freshness import Freshness
from claude_force.reports.cells import cell_width
from claude_force.reports.layouts.base import Request
from claude_force.reports.layouts.periodic_usage import periodic_usage_layout
from claude_force.reports.render import write_csv, write_page
from claude_force.settings.claude_json import Settings
from claude_force.settings.home import home_at
from claude_force.time_windows import Window, dated_window
from tests.builders import NOON_US, an_execution

NOW_US = clock.parse_instant("2025-11-14T15:00", UTC)


def used(database: Database, *days: str, chosen: Filter | None = None, interval: Period = "daily") -> PeriodicUsage:
    """The usage of a store that has an execution at noon of each of these days."""
    Store(database).add(an_execution(timestamp_us=clock.parse_instant(f"{day}T12:00", UTC)) for day in days)
    return periodic_usage(database, chosen or Filter(), interval, UTC, NOW_US)


def a_request(database: Database, chosen: Filter | None = None) -> Request:
    """A report on a store, in UTC, as a table."""
    home = home_at(Path.home() / ".claude")
    workspace = Workspace(home, Settings(database=database.name), database.name, database)
    return Request(workspace, chosen or Filter(), UTC, NOW_US, "table", None, Freshness(NOW_US))


def labels(report: PeriodicUsage) -> list[str]:
    return [bucket.label for bucket, _ in report.intervals]


@pytest.mark.parametrize(
    ("interval", "now", "first"),
    [
        ("daily", "2025-11-14T15:00", "2025-10-16"),
        ("daily", "2025-03-01T00:00", "2025-01-31"),
        ("weekly", "2025-11-14T15:00", "2025-08-25"),
        ("weekly", "2025-11-10T00:00", "2025-08-25"),
        ("monthly", "2025-11-14T15:00", "2024-12-01"),
        ("monthly", "2025-12-31T23:59", "2025-01-01"),
        ("monthly", "2025-01-01T00:00", "2024-02-01"),
    ],
)
def test_the_default_period_is_whole_local_intervals(interval: Period, now: str, first: str) -> None:
    """30 days, 12 weeks from a Monday, or 12 months from a first, the current one included, where a clock shows now."""
    zone = ZoneInfo("America/New_York")
    window = default_window(interval, zone, clock.parse_instant(now, zone))
    assert window.start_us == clock.start_of_day(date.fromisoformat(first), zone)
    assert window.end_us == clock.parse_instant(now, zone) + 1


def test_days_without_executions_are_listed_up_to_today(database: Database) -> None:
    """From the first execution of the store: what was before it is no gap."""
    report = used(database, "2025-11-10", "2025-11-12")
    assert labels(report) == [f"2025-11-{day}" for day in range(10, 15)]
    assert [bucket.totals.executions for bucket, _ in report.intervals] == [1, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        ("2025-11-11", None, ["11", "12", "13", "14"]),
        (None, "2025-11-11", ["10", "11"]),
        ("2025-11-11", "2025-11-13", ["11", "12", "13"]),
        ("2025-01-01", "2026-01-01", ["10", "11", "12", "13", "14"]),
        ("2025-11-13", None, []),
        ("2024-01-01", "2024-02-01", []),
    ],
)
def test_a_period_bounds_the_days(database: Database, start: str | None, end: str | None, shown: list[str]) -> None:
    """Nothing is listed before the history or after now, and nothing at all for a period without executions."""
    chosen = Filter(dated_window(start, end, UTC))
    assert labels(used(database, "2025-11-10", "2025-11-12", chosen=chosen)) == [f"2025-11-{day}" for day in shown]


def test_an_execution_in_the_future_has_its_day(database: Database) -> None:
    """A wrong clock does not hide it, and the years until then are not listed."""
    chosen = Filter(Window(label="everything"))
    assert labels(used(database, "2025-11-14", "2098-01-01", chosen=chosen)) == ["2025-11-14", "2098-01-01"]


def explanation(database: Database, *days: str, chosen: Filter | None = None) -> str:
    """What is said in place of a table without rows."""
    layout = periodic_usage_layout(used(database, *days, chosen=chosen), a_request(database, chosen))
    assert layout.is_empty
    assert layout.explain is not None
    return layout.explain()


def test_an_empty_store_has_no_days(database: Database) -> None:
    """The report is empty, and its reader learns how to fill the store."""
    assert "claude-force ingest" in explanation(database)


def test_an_older_history_is_named(database: Database) -> None:
    """Who chose no period sees that there was one, and the command that shows everything."""
    assert explanation(database, "2025-01-02").endswith(
        "Without a period this shows the last 30 days. To see all:\n  claude-force daily --start 2025-01-02"
    )


def test_a_chosen_period_is_not_explained(database: Database) -> None:
    """Only what the store has is said."""
    chosen = Filter(dated_window("2025-11-01", None, UTC))
    assert "Without a period" not in explanation(database, "2025-01-02", chosen=chosen)


@pytest.fixture
def two_models(database: Database) -> PeriodicUsage:
    """Two days and a day between them: two models on the first, one on the last."""
    kinds = {"cache_read_tokens": 5, "cache_write_5m_tokens": 3, "cache_write_1h_tokens": 4}
    of = {"input_tokens": 1, "output_tokens": 2, **kinds}
    Store(database).add(
        [
            an_execution(model="claude-opus-4-5-20251101", cost_nanousd=3 * 10**9, **of),
            an_execution(model="claude-haiku-4-5", cost_nanousd=10**9, **of),
            an_execution(timestamp_us=NOON_US + 2 * DAY_US, model="claude-haiku-4-5", cost_nanousd=10**9, **of),
        ]
    )
    return periodic_usage(database, Filter(), "daily", UTC, NOON_US + 2 * DAY_US)


def test_a_table_has_every_kind_of_tokens(
    database: Database, two_models: PeriodicUsage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most expensive model first, the total of a day only where it has several, the total of all at the end."""
    monkeypatch.setenv("COLUMNS", "80")
    file = io.StringIO()
    write_page(periodic_usage_layout(two_models, a_request(database)).page(), file)
    rows = [line.split() for line in file.getvalue().splitlines()]
    assert rows[rows.index(["Date", "Model", "Input", "Output", "5m", "1h", "Read", "Tokens", "Cost"]) + 2 :] == [
        ["2025-11-01", "opus-4-5", "1", "2", "3", "4", "5", "15", "$3.00"],
        ["2025-11-01", "haiku-4-5", "1", "2", "3", "4", "5", "15", "$1.00"],
        ["2025-11-01", "total", "2", "4", "6", "8", "10", "30", "$4.00"],
        ["2025-11-02", "–", "0", "0", "0", "0", "0", "0", "$0.00"],
        ["2025-11-03", "haiku-4-5", "1", "2", "3", "4", "5", "15", "$1.00"],
        ["Total", "3", "6", "9", "12", "15", "45", "$5.00"],
    ]
    assert max(map(cell_width, file.getvalue().splitlines())) <= 80


def test_a_first_interval_that_is_not_whole_is_named(database: Database) -> None:
    """With the command that shows all of it, so that a day whose morning is left out is not taken for a cheap one."""
    begin_us = clock.parse_instant("2025-11-12T15:30", UTC)
    report = used(database, "2025-11-12", "2025-11-13", chosen=Filter(Window(begin_us)), interval="weekly")
    file = io.StringIO()
    write_page(periodic_usage_layout(report, a_request(database)).page(), file)
    assert report.to_dict()["begins_at"] == "2025-11-12T15:30:00+00:00"
    assert file.getvalue().splitlines()[-2:] == [
        "The first week counts from 2025-11-12 15:30. All of it:",
        "  claude-force weekly --since 2025-11-10",
    ]
    whole = Window(clock.parse_instant("2025-11-10T00:00", UTC))
    assert periodic_usage(database, Filter(whole), "weekly", UTC, NOW_US).begins_at is None


def test_csv_has_a_row_for_each_model_of_each_day(two_models: PeriodicUsage, tmp_path: Path) -> None:
    """Under their full names; a day without executions has no model."""
    with (tmp_path / "daily.csv").open("w", encoding="utf-8", newline="") as file:
        write_csv(two_models.rows(), file)
    rows = list(csv.DictReader((tmp_path / "daily.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["date"], row["model"], row["total_cost"]) for row in rows] == [
        ("2025-11-01", "claude-opus-4-5-20251101", "3.0"),
        ("2025-11-01", "claude-haiku-4-5", "1.0"),
        ("2025-11-02", "", "0"),
        ("2025-11-03", "claude-haiku-4-5", "1.0"),
    ]
