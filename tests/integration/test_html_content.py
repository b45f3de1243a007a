"""The content of the HTML page, on both engines: its parts agree with each other and with the `analytics` reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, tzinfo
from itertools import pairwise
from math import ceil
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import pytest

from claude_force.analytics import reports as analytics
from claude_force.analytics.baselines import check, create
from claude_force.clock import DAY_US, HOUR_US, to_datetime
from claude_force.database.archive import archive_once
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.rows.alerts import EventRow
from claude_force.database.sqlite.connection import SqliteConnection
from claude_force.database.sqlite.database import SqliteDatabase
from claude_force.database.workspace import Workspace
from claude_force.database.writes import Store
from claude_force.database.writes import alerts as alerts_store
from claude_force.errors import BaselineError, InvalidWindow, UnknownName
from claude_force.executions.intervals import Interval
from claude_force.executions.record import ExecutionMetrics, fresh_uid
from claude_force.reports.html.charts import charts
from claude_force.reports.html.content import MOST_EVENTS, MOST_MODELS, Content, PageRequest, Timeline, read_content
from claude_force.reports.html.tables import MOST_ROWS, Part, parts
from claude_force.settings.claude_json import Settings
from claude_force.settings.home import find_home
from claude_force.time_windows import ALL_TIME, Window
from tests.builders import NOON_US, an_execution

NOW_US = NOON_US + 40 * DAY_US


@pytest.fixture
def workspace(database: Database, location: str, home: Path) -> Workspace:
    """A workspace with an empty database, on both engines."""
    return Workspace(find_home(home), Settings(), location, database)


def a_history(count: int = 600, models: int = 8, agents: int = 30) -> list[ExecutionMetrics]:
    """Executions of ten days, without the fourth to sixth, of many agents, models and error types."""
    random = Random(count)
    days = [0, 1, 2, 6, 7, 8, 9]
    return [
        an_execution(
            timestamp_us=NOON_US + random.choice(days) * DAY_US + random.randrange(20) * HOUR_US,
            agent_name=f"agent-{number % agents}",
            model=f"model-{number % models if number % 3 else 0}",
            project=f"/home/p{number % 4}" if number % 5 else None,
            success=number % 7 > 0,
            error_type=f"error-{number % 25}" if number % 7 == 0 else None,
            duration_us=random.randrange(1, 10**7) if number % 11 else None,
            cost_nanousd=random.randrange(10**8) if number % 13 else None,
        )
        for number in range(count)
    ]


def a_request(
    chosen: Filter = Filter(ALL_TIME),  # noqa: B008 (it cannot be changed)
    interval: Interval | None = None,
    baseline: str | None = None,
    zone: tzinfo = UTC,
) -> PageRequest:
    """The options of a page."""
    return PageRequest(chosen, interval, baseline, 1.15, zone, NOW_US)


def timeline_of(content: Content) -> Timeline:
    """The timeline, which must exist."""
    assert content.timeline is not None
    return content.timeline


def nearest_rank(durations: Sequence[int], percent: int) -> int | None:
    """The smallest value with at least so many percent of the values at or below it."""
    return sorted(durations)[ceil(percent * len(durations) / 100) - 1] if durations else None


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Asia/Kolkata")], ids=str)
@pytest.mark.parametrize("interval", ["hourly", "daily", "weekly", "monthly"])
def test_an_interval_has_the_percentiles_of_its_own_executions(
    interval: Interval, zone: tzinfo, workspace: Workspace
) -> None:
    """Only executions inside both the interval and the period count. Without a duration there is no percentile."""
    history = a_history()
    Store(workspace.database).add(history)
    period = Window(NOON_US + 7 * HOUR_US, NOON_US + 8 * DAY_US + HOUR_US, "some days")
    found = timeline_of(read_content(workspace, a_request(Filter(period), interval, zone=zone)))
    within = [one for one in history if period.start_us <= one.timestamp_us < period.end_us]  # type: ignore[operator]
    assert found.is_exact
    for bucket, percentiles in zip(found.buckets, found.percentiles, strict=True):
        there = [one for one in within if bucket.start_us <= one.timestamp_us < bucket.end_us]
        durations = [one.duration_us for one in there if one.duration_us is not None]
        assert bucket.totals.executions == len(there)
        assert list(percentiles) == [nearest_rank(durations, percent) for percent in (50, 95, 99)]
    assert sum(bucket.totals.executions for bucket in found.buckets) == len(within)


@pytest.mark.parametrize("zone", [UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")], ids=str)
@pytest.mark.parametrize("interval", ["hourly", "daily", "weekly", "monthly"])
def test_intervals_have_no_gaps(interval: Interval, zone: tzinfo, workspace: Workspace) -> None:
    """Each interval starts where the last one ends, even if it is empty or the clock changes. Its label is its
    start."""
    october = NOON_US - 20 * DAY_US
    Store(workspace.database).add(
        [an_execution(timestamp_us=october), an_execution(timestamp_us=october + 40 * DAY_US)]
    )
    buckets = timeline_of(read_content(workspace, a_request(interval=interval, zone=zone))).buckets
    assert all(one.end_us == following.start_us for one, following in pairwise(buckets))
    for bucket in buckets:
        label = to_datetime(bucket.start_us, zone).isoformat(sep=" ", timespec="minutes")
        assert bucket.label[:13] == label[: len(bucket.label[:13])]
    assert len({bucket.label for bucket in buckets}) == len(buckets)


def test_the_mix_of_models_adds_up(workspace: Workspace) -> None:
    """In each interval, the shown models and the others add up to all executions."""
    Store(workspace.database).add(a_history())
    content = read_content(workspace, a_request())
    found = timeline_of(content)
    assert list(found.models[:-1]) == [group.name for group in content.summary.models[:MOST_MODELS]]
    assert found.models[-1] == "other (3)"
    executions = [bucket.totals.executions for bucket in found.buckets]
    assert [sum(counts) for counts in zip(*found.executions_by_model, strict=True)] == executions
    assert 0 in executions


def test_few_models_have_no_other_series(workspace: Workspace) -> None:
    """If every model is shown, nothing is called other."""
    Store(workspace.database).add(a_history(models=MOST_MODELS))
    assert timeline_of(read_content(workspace, a_request())).other_models == 0
    assert len(timeline_of(read_content(workspace, a_request())).executions_by_model) == MOST_MODELS


@pytest.mark.parametrize("chosen", [Filter(), Filter(agents=("agent-1", "agent-2")), Filter(projects=("p1",))])
def test_the_parts_equal_the_analytics_reports(chosen: Filter, workspace: Workspace) -> None:
    """Summary, breakdowns and errors equal those of `analytics` with the same filter."""
    Store(workspace.database).add(a_history())
    content = read_content(workspace, a_request(chosen))
    database = workspace.database
    assert content.summary == analytics.summary(database, chosen)
    assert content.agents == analytics.breakdown(database, chosen, "agent_name", "cost", zone=UTC)
    assert content.projects == analytics.breakdown(database, chosen, "project", "cost", zone=UTC)
    assert content.errors == analytics.errors(database, chosen, UTC)
    assert timeline_of(content).buckets == analytics.trends(database, chosen, "daily", UTC, content.now_us).buckets


def part_of(content: Content, key: str) -> Part:
    """One section of the page."""
    (found,) = (part for part in parts(content) if part.key == key)
    return found


def number(text: str) -> float:
    """A formatted number as a number."""
    return float(text.strip("$%").replace(",", ""))


def test_the_last_row_of_a_long_table_has_the_rest(workspace: Workspace) -> None:
    """All rows add up to the totals, and a sentence explains the last one."""
    Store(workspace.database).add(a_history())
    content = read_content(workspace, a_request())
    ((_, agents),), ((_, errors),) = part_of(content, "agents").tables, part_of(content, "errors").tables
    assert (len(agents.rows), agents.rows[-1][0]) == (MOST_ROWS + 1, "other (10)")
    assert sum(number(row[3]) for row in agents.rows) == content.summary.totals.executions
    assert sum(number(row[1]) for row in agents.rows) == pytest.approx(content.summary.totals.cost, abs=0.11)
    assert agents.rows[-1][6] == "–"
    assert part_of(content, "agents").remarks == ["The 20 most expensive of 30 agents; the last row has all others."]
    assert (len(errors.rows), errors.rows[-1][0]) == (MOST_ROWS + 1, "other (5)")
    assert sum(number(row[1]) for row in errors.rows) == content.summary.totals.failures


def test_a_chart_and_its_table_have_the_same_values(workspace: Workspace) -> None:
    """Every value has its text. An unknown value is a dash."""
    Store(workspace.database).add(a_history())
    for chart in charts(timeline_of(read_content(workspace, a_request()))):
        for series in chart.series:
            unknown = [value is None for value in series.values]
            if chart.unit != "share":
                assert [text == "–" for text in series.texts] == unknown


def test_a_period_without_executions_has_no_timeline(workspace: Workspace) -> None:
    """An empty store has none either."""
    assert read_content(workspace, a_request()).timeline is None
    Store(workspace.database).add(a_history(10))
    assert read_content(workspace, a_request(Filter(Window(0, HOUR_US, "long ago")))).timeline is None


def test_too_many_intervals_are_refused(workspace: Workspace) -> None:
    """The error names the options that help."""
    Store(workspace.database).add([an_execution(), an_execution(timestamp_us=NOON_US + 42 * DAY_US)])
    with pytest.raises(InvalidWindow, match=r"1,00\d hourly intervals are more than a report can show"):
        read_content(workspace, a_request(interval="hourly"))


def test_an_unknown_name_is_refused(workspace: Workspace) -> None:
    """The error is that of the other reports."""
    Store(workspace.database).add(a_history(10))
    with pytest.raises(UnknownName):
        read_content(workspace, a_request(Filter(agents=("nobody",))))


def test_the_default_baseline_is_the_newest(workspace: Workspace) -> None:
    """The choice is that of `baseline check`. Without a baseline there is no comparison; an unknown name is refused."""
    Store(workspace.database).add(a_history())
    window = Window(NOON_US + 6 * DAY_US, NOW_US, "some days")
    assert read_content(workspace, a_request(Filter(window))).check is None
    with pytest.raises(BaselineError, match="no baseline nope"):
        read_content(workspace, a_request(Filter(window), baseline="nope"))
    create(workspace.database, "before", Filter(Window(NOON_US, window.start_us, "before")), NOW_US, UTC)
    content = read_content(workspace, a_request(Filter(window)))
    assert content.check == check(workspace.database, Filter(window), None, 1.15, NOW_US, UTC)
    assert part_of(content, "baseline").remarks[0].startswith("Compared with before (")


def test_an_overlapping_baseline_is_used_only_by_name(workspace: Workspace) -> None:
    """A baseline that ends after the period starts would be compared with itself."""
    Store(workspace.database).add(a_history())
    start_us = NOON_US + 6 * DAY_US
    window = Window(start_us, NOW_US, "some days")
    create(workspace.database, "same", Filter(Window(NOON_US, start_us + 1, "too long")), NOW_US, UTC)
    assert read_content(workspace, a_request(Filter(window))).check is None
    named = read_content(workspace, a_request(Filter(window), baseline="same")).check
    assert named is not None
    assert named.is_overlapping
    create(workspace.database, "before", Filter(Window(NOON_US, start_us, "before")), NOW_US, UTC)
    found = read_content(workspace, a_request(Filter(window))).check
    assert found is not None
    assert (found.origin, found.is_overlapping) == ("before", False)


def captions(content: Content) -> list[str]:
    """The captions of cost, executions, latency and success rate."""
    return [chart.caption for chart in charts(timeline_of(content))[:4]]


def test_captions_ignore_incomplete_intervals(workspace: Workspace) -> None:
    """The first and the current day count only if no day is complete."""
    days = [(NOON_US, 9), (NOON_US + DAY_US, 3), (NOON_US + 2 * DAY_US, 9)]
    Store(workspace.database).add(
        [
            an_execution(timestamp_us=at_us + number, success=number % size < 2, duration_us=size * 10**6)
            for at_us, size in days
            for number in range(size)
        ]
    )
    now_us = NOON_US + 2 * DAY_US + HOUR_US
    rolling, first = (
        read_content(workspace, PageRequest(Filter(Window(NOON_US, end_us)), "daily", None, 1.15, UTC, now_us))
        for end_us in (None, NOON_US + HOUR_US)
    )
    assert timeline_of(rolling).are_complete == [False, True, False]
    assert [caption[-13:] for caption in captions(rolling)] == [", 2025-11-02."] * 4
    assert timeline_of(first).are_complete == [False]
    assert [caption[-13:] for caption in captions(first)] == [", 2025-11-01."] * 4


def test_a_caption_labels_an_hour_like_the_axis(workspace: Workspace) -> None:
    """The label has no year and no UTC offset."""
    Store(workspace.database).add([an_execution()])
    found = read_content(workspace, a_request())
    assert all(caption.endswith(", 11-01 12:00.") for caption in captions(found)), captions(found)


def an_event(at_us: int, number: int = 0) -> EventRow:
    """A transition of one of the default rules."""
    return EventRow(
        fresh_uid(at_us), at_us, "f", "success-rate", "{}", "critical", "ok", "firing", "BEGAN", None, 80.0, number
    )


def test_alerts_are_current_ones_and_changes_in_the_period(workspace: Workspace) -> None:
    """Changes are the newest first, up to the limit."""
    rules = {"failing": {"metric": "failed_executions", "operator": ">", "threshold": 0, "window": "30d"}}
    workspace = workspace._replace(settings=replace(workspace.settings, alerts=rules))
    Store(workspace.database).add(a_history())
    with workspace.database.write() as connection:
        alerts_store.add_events(connection, [an_event(NOON_US + hour * HOUR_US, hour) for hour in range(60)])
    window = Window(NOON_US + HOUR_US, NOON_US + 4 * HOUR_US, "three hours")
    content = read_content(workspace, PageRequest(Filter(window), None, None, 1.15, UTC, NOON_US + 12 * DAY_US))
    assert [event.samples for event in content.alerts.events] == [3, 2, 1]
    (_, now), (_, events) = part_of(content, "alerts").tables
    assert [row[:2] for row in now.rows] == [["failing", "FIRING"]]
    assert events.rows[0] == ["2025-11-01 15:26", "success-rate", "firing", "80", "breached for long enough"]
    whole = read_content(workspace, a_request())
    assert len(whole.alerts.events) == MOST_EVENTS
    assert f"Only the newest {MOST_EVENTS} changes are shown." in part_of(whole, "alerts").remarks


def test_archived_executions_count_with_approximate_percentiles(workspace: Workspace, tmp_path: Path) -> None:
    """Totals stay the same. Percentiles come from histogram bins, and the page says so."""
    Store(workspace.database).add(a_history())
    before = read_content(workspace, a_request())
    archive_once(workspace.database, tmp_path / "archive", NOW_US, 0)
    after = read_content(workspace, a_request())
    assert after.summary.totals == before.summary.totals
    assert [one.totals for one in timeline_of(after).buckets] == [one.totals for one in timeline_of(before).buckets]
    assert not timeline_of(after).is_exact
    assert "Percentiles are within 1%." in charts(timeline_of(after))[2].caption
    assert "P95 is within 1%." in part_of(after, "agents").remarks


class CountingDatabase(SqliteDatabase):
    """A SQLite database that counts its read transactions."""

    reads = 0

    @contextmanager
    def read(self) -> Iterator[SqliteConnection]:
        """A snapshot, counted."""
        self.reads += 1
        with super().read() as connection:
            yield connection


def test_tables_of_hosts_and_users_say_what_they_lack(workspace: Workspace, tmp_path: Path) -> None:
    """Of archived executions neither is known. The other tables count them; a page about one user lacks them in all,
    which its notes say."""
    names = [("laptop", "ada"), ("ci-1", None), ("laptop", "grace")]
    history = [replace(each, host=names[at % 3][0], user_name=names[at % 3][1]) for at, each in enumerate(a_history())]
    Store(workspace.database).add(history)
    old = archive_once(workspace.database, tmp_path / "archive", NOON_US + 5 * DAY_US, 0).executions
    content = read_content(workspace, a_request())
    assert 0 < old < len(history)
    assert content.agents.totals.executions == len(history)
    for key, name in (("hosts", "host"), ("users", "user")):
        part = part_of(content, key)
        assert sum(int(row[3]) for row in part.tables[0][1].rows) == len(history) - old
        assert part.remarks[-1] == f"Without {old} archived executions, of which no {name} is known."
    assert not any("archived" in remark for key in ("agents", "models") for remark in part_of(content, key).remarks)
    of_ada = read_content(workspace, a_request(Filter(users=("ada",))))
    assert (of_ada.summary.archived.executions, of_ada.summary.archived.is_counted) == (old, False)
    assert not any("archived" in remark for remark in part_of(of_ada, "hosts").remarks)


def test_a_page_reads_the_database_once(tmp_path: Path, home: Path) -> None:
    """Executions that are recorded meanwhile are in all parts or in none."""
    database = CountingDatabase(tmp_path / "metrics.db")
    Store(database).add(a_history())
    create(database, "before", Filter(Window(NOON_US, NOON_US + DAY_US, "a day")), NOW_US, UTC)
    wanted = a_request(baseline="before")
    database.reads = 0
    content = read_content(Workspace(find_home(home), Settings(), str(tmp_path / "metrics.db"), database), wanted)
    assert content.check is not None
    assert database.reads == 1
