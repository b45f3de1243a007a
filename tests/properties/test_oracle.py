"""Truth: every number of every report is what an independent oracle computes from the same JSONL."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.analytics import reports as analytics
from claude_force.analytics.groups import SortKey
from claude_force.analytics.periodic_usage import Period, periodic_usage
from claude_force.database.contract import Database
from claude_force.database.queries import Dimension, Filter
from claude_force.executions.intervals import Interval
from claude_force.time_windows import ALL_TIME, Window, dated_window
from tests.conftest import EXAMPLES, Run
from tests.profiles import scaled, thorough
from tests.properties.oracle import Oracle
from tests.properties.strategies import (
    AGENTS,
    EDGES,
    SOURCES,
    ZONES,
    Line,
    fill,
    histories,
    on_both_engines,
    to_bytes,
    utc,
)

REAL_FILES = (EXAMPLES / "executions-guide.jsonl", EXAMPLES / "executions-1.3.jsonl")
SONNET_RATES = (3000, 15_000)
"""Nano-dollars for an input and an output token of every Sonnet of these files, and of the reference model."""

DIMENSIONS: dict[Dimension, str] = {
    "agent_name": "agent",
    "model": "model",
    "workflow_id": "workflow",
    "project": "project",
    "source": "source",
    "session_id": "session",
    "git_branch": "branch",
    "host": "host",
    "user_name": "user",
}
INTERVALS: tuple[Interval, ...] = get_args(Interval)
SORT_KEYS: tuple[SortKey, ...] = get_args(SortKey)

every_zone = pytest.mark.parametrize("zone", [*ZONES[:2], *thorough(*ZONES[2:])])

EVERYTHING = Filter()

Figures = tuple[dict[str, Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Question:
    """A report to ask both: of the package, and of the oracle."""

    database: Database
    oracle: Oracle
    zone: ZoneInfo
    chosen: Filter = EVERYTHING
    keys: tuple[SortKey, ...] = SORT_KEYS

    @property
    def period(self) -> str:
        return self.chosen.window.label


def summaries(ask: Question) -> Iterator[Figures]:
    yield analytics.summary(ask.database, ask.chosen).to_dict(), ask.oracle.summary(ask.period)


def breakdowns(ask: Question) -> Iterator[Figures]:
    for dimension, title in DIMENSIONS.items():
        for key in ask.keys:
            found = analytics.breakdown(ask.database, ask.chosen, dimension, key, zone=ask.zone).to_dict()
            # Of executions at one instant, the oracle cannot tell which is the first.
            for name in ("project", "session") if dimension == "workflow_id" else ():
                assert all(group.pop(name, ...) is not ... for group in found["workflows"])
            if dimension == "session_id":
                assert all(group.pop("project", ...) is not ... for group in found["sessions"])
            yield found, ask.oracle.breakdown(title, key, ask.period)


def costs(ask: Question) -> Iterator[Figures]:
    for interval in INTERVALS:
        found = analytics.costs(
            ask.database, ask.chosen, analytics.COST_PARTS | {"trends"}, interval, ask.zone
        ).to_dict()
        yield without_empty(found), ask.oracle.costs(interval, ask.period)


def trends(ask: Question) -> Iterator[Figures]:
    for interval in INTERVALS:
        found = analytics.trends(ask.database, ask.chosen, interval, ask.zone).to_dict()
        del found["change"]
        yield without_empty(found), ask.oracle.trends(interval, ask.period)


def without_empty(found: dict[str, Any]) -> dict[str, Any]:
    """A report without its intervals in which nothing happened: `test_laws` is about them."""
    assert found.pop("total_intervals") == len(found["trends"])
    return found | {"trends": [row for row in found["trends"] if row["executions"]]}


def usages(ask: Question) -> Iterator[Figures]:
    """Of all time: without a period they show the last 30 days."""
    assert ask.chosen.window == ALL_TIME
    chosen = replace(ask.chosen, window=Window(label="everything"))
    last = ask.oracle.rows("SELECT max(at_us) AS us FROM runs")[0]["us"] or 0
    for interval in get_args(Period):
        found = periodic_usage(ask.database, chosen, interval, ask.zone, last).to_dict()
        yield found, ask.oracle.usage(interval, "everything")


def errors(ask: Question) -> Iterator[Figures]:
    yield analytics.errors(ask.database, ask.chosen, ask.zone).to_dict(), ask.oracle.errors(ask.period)


Report = Callable[[Question], Iterator[Figures]]
REPORTS: tuple[Report, ...] = (summaries, breakdowns, costs, trends, usages, errors)


def assert_agree(pairs: Iterator[Figures]) -> None:
    """Equal values in equal order."""
    for found, expected in pairs:
        assert differences(found, expected) == []


def differences(found: Any, expected: Any, place: str = "") -> list[str]:
    """Where two reports differ; the order of rows counts, and of model families."""
    if isinstance(found, dict) and isinstance(expected, dict) and found.keys() == expected.keys():
        if place.endswith("model_distribution") and list(found) != list(expected):
            return [f"{place}: the order {list(found)} is not {list(expected)}"]
        return [line for key in found for line in differences(found[key], expected[key], f"{place}.{key}")]
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        pairs = enumerate(zip(found, expected, strict=True))
        return [line for at, (left, right) in pairs for line in differences(left, right, f"{place}[{at}]")]
    return [] if found == expected else [f"{place}: {found!r} is not {expected!r}"]


@contextmanager
def told(content: bytes, zone: str, naive_zone: str | None = None) -> Iterator[Oracle]:
    """The oracle on one history."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(content)
        file.flush()
        oracle = Oracle([Path(file.name)], zone, naive_zone)
        try:
            yield oracle
        finally:
            oracle.close()


def a_minimal_line(instant_us: int) -> Line:
    """A line at an instant; every second microsecond is a failure."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant_us)
    figures = {"execution_time_ms": 1, "input_tokens": 1, "output_tokens": 2, "estimated_cost": 0.5}
    return {"timestamp": moment.isoformat(), "agent_name": "a", "success": instant_us % 2 == 0, "model": "m"} | figures


def test_the_oracle_agrees_with_a_calculation_by_hand(tmp_path: Path) -> None:
    """Three executions, worked out on paper: the oracle itself is held to something."""
    path = tmp_path / "three.jsonl"
    lines = [
        a_minimal_line(utc("2025-11-02T04:00:00")) | {"execution_time_ms": 1.0005},
        a_minimal_line(utc("2025-11-02T05:30:00")) | {"execution_time_ms": 7, "estimated_cost": 1.5e-9},
        a_minimal_line(utc("2025-11-03T05:00:00") - 1)
        | {"execution_time_ms": 3, "estimated_cost": 0.25, "reference_cost": 1},
    ]
    path.write_bytes(to_bytes(lines))
    oracle = Oracle([path], "America/New_York")
    report = oracle.summary("")
    assert (report["total_executions"], report["failed_executions"], report["success_rate"]) == (3, 1, 200 / 3)
    assert (report["p50_latency_ms"], report["p95_latency_ms"], report["avg_execution_time_ms"]) == (3, 7, 11 / 3)
    assert (report["total_cost"], report["total_tokens"]) == (0.750000002, 9)
    assert report["cost_savings"] == {"amount": 0.75, "percent": 75}
    assert [bucket["executions"] for bucket in oracle.trends("daily", "")["trends"]] == [3]
    assert [bucket["date"] for bucket in oracle.trends("hourly", "")["trends"]] == [
        "2025-11-02 00:00-04:00",
        "2025-11-02 01:00-04:00",
        "2025-11-02 23:00-05:00",
    ]


@pytest.mark.parametrize("zone", ["America/New_York", *thorough("Asia/Kolkata", "UTC")])
@pytest.mark.parametrize("path", REAL_FILES, ids=lambda path: path.stem)
def test_every_report_on_the_real_files_is_true(path: Path, zone: str, database: Database) -> None:
    """Both shipped histories, their times read in three zones: every figure of every report is the oracle's."""
    fill(database, path.read_bytes(), zone)
    ask = Question(database, Oracle([path], zone), ZoneInfo(zone), keys=("time", "cost"))
    for report in REPORTS:
        assert_agree(report(ask))


@pytest.mark.parametrize("report", REPORTS)
@given(
    history=histories(),
    zone=st.sampled_from(ZONES),
    naive_zone=st.sampled_from(ZONES),
    key=st.sampled_from(SORT_KEYS),
)
@settings(on_both_engines, max_examples=scaled(12))
def test_every_report_on_random_histories_is_true(
    report: Report, database: Database, history: list[Line], zone: str, naive_zone: str, key: SortKey
) -> None:
    """Whatever happened, in whatever order and zone: every figure is the oracle's."""
    content = to_bytes(history)
    fill(database, content, naive_zone)
    with told(content, zone, naive_zone) as oracle:
        assert_agree(report(Question(database, oracle, ZoneInfo(zone), keys=(key,))))


@given(history=histories(), agents=st.sets(st.sampled_from(AGENTS), min_size=1, max_size=3))
@settings(on_both_engines, max_examples=scaled(12))
def test_every_report_on_some_agents_is_true(database: Database, history: list[Line], agents: set[str]) -> None:
    """A report on named agents counts their executions and no others."""
    chosen = tuple(sorted(agents & {line["agent_name"] for line in history}))
    content = to_bytes(history)
    fill(database, content, "UTC")
    with told(content, "UTC") as oracle:
        if chosen:
            oracle.where = "agent IN ('{}')".format("', '".join(chosen))
        ask = Question(database, oracle, ZoneInfo("UTC"), Filter(agents=chosen))
        for report in (summaries, costs, trends, usages, errors):
            assert_agree(report(ask))


@given(history=histories(), sources=st.sets(st.sampled_from(SOURCES), min_size=1, max_size=2))
@settings(on_both_engines, max_examples=scaled(12))
def test_every_report_on_some_sources_is_true(database: Database, history: list[Line], sources: set[str]) -> None:
    """A report on named sources counts what they told and nothing else, by workflow too."""
    chosen = tuple(sorted(sources & {line.get("source", "jsonl") for line in history}))
    content = to_bytes(history)
    fill(database, content, "UTC")
    with told(content, "UTC") as oracle:
        if chosen:
            oracle.where = "source IN ('{}')".format("', '".join(chosen))
        ask = Question(database, oracle, ZoneInfo("UTC"), Filter(sources=chosen), ("cost",))
        for report in REPORTS:
            assert_agree(report(ask))


@every_zone
def test_intervals_at_every_edge_are_true(zone: str, database: Database) -> None:
    """Executions at, just before and every quarter of an hour around midnights and clock changes: each is in the hour,
    day, week and month that a clock on the wall shows."""
    quarters = [minutes * 60_000_000 for minutes in range(-150, 151, 15)]
    moments = {utc(edge) + quarter + more for edge in EDGES for quarter in quarters for more in (-1, 0)}
    content = to_bytes([a_minimal_line(at) for at in sorted(moments)])
    fill(database, content, "UTC")
    with told(content, zone, "UTC") as oracle:
        assert_agree(trends(Question(database, oracle, ZoneInfo(zone))))
        assert_agree(usages(Question(database, oracle, ZoneInfo(zone))))


PERIODS = (
    ("2025-11-02", "2025-11-02"), ("2025-10-26", "2025-11-09"), ("2025-04-06", "2025-10-05"), ("2025-11-01", None),
)  # fmt: skip


@every_zone
def test_dates_select_whole_local_days(zone: str, database: Database) -> None:
    """--start and --end are local days, both included to their last microsecond, also when the clock changes."""
    days = ("04-06", "10-06", "10-26", "10-27", "11-01", "11-02", "11-03", "11-10")
    offsets = [minutes * 60_000_000 for minutes in (0, 240, 300, -60, -120, -330, -630, -660)]
    midnights = [utc(f"2025-{day}T00:00:00") + offset for day in days for offset in offsets]
    moments = sorted({at + more for at in midnights for more in (-1, 0, 1)})
    content = to_bytes([a_minimal_line(at) for at in moments])
    fill(database, content, zone)
    with told(content, zone) as oracle:
        for start, end in PERIODS:
            oracle.where = f"local::DATE >= '{start}'" + (f" AND local::DATE <= '{end}'" if end else "")
            assert 0 < oracle.rows(f"SELECT count(*) AS n FROM runs WHERE {oracle.where}")[0]["n"] < len(moments)
            window = dated_window(start, end, ZoneInfo(zone))
            ask = Question(database, oracle, ZoneInfo(zone), Filter(window), ("cost",))
            for report in (summaries, breakdowns, costs, errors):
                assert_agree(report(ask))


def test_the_installed_program_tells_the_same_truth(run: Run, location: str) -> None:
    """Import the guide's file, ask for every report as JSON: the figures are the oracle's, savings included."""
    files = [file for file in REAL_FILES if "guide" in str(file)]
    zone = "Europe/Berlin"
    options = ("--timezone", zone, "--db", location)
    assert run("import", *files, *options).returncode == 0
    oracle = Oracle(files, zone, reference_rates=SONNET_RATES)
    oracle.where = "local::DATE BETWEEN '2025-09-20' AND '2025-11-10'"
    window = ("--start", "2025-09-20", "--end", "2025-11-10")
    period = "2025-09-20 to 2025-11-10"
    expected = {
        "summary": oracle.summary(period),
        "by-agent --sort-by time": oracle.breakdown("agent", "time", period),
        "by-model --sort-by success": oracle.breakdown("model", "success", period),
        "by-workflow --sort-by cost": oracle.breakdown("workflow", "cost", period),
        "by-session --sort-by cost": oracle.breakdown("session", "cost", period),
        "by-host": oracle.breakdown("host", "executions", period),
        "by-user --sort-by cost": oracle.breakdown("user", "cost", period),
        "by-branch": oracle.breakdown("branch", "executions", period),
        "by-project --sort-by name": oracle.breakdown("project", "name", period),
        "costs --by-agent --by-model --interval weekly": oracle.costs("weekly", period),
        "trends --interval daily": oracle.trends("daily", period),
        "trends --interval hourly": oracle.trends("hourly", period),
        "errors": oracle.errors(period),
    }
    for command, figures in expected.items():
        result = run("analytics", *command.split(), *window, *options, "--json")
        assert (result.returncode, result.stderr) == (0, "")
        found = json.loads(result.stdout)
        assert (found.pop("filters"), found.pop("timezone")) == ({}, zone)
        assert set(found.pop("data")) >= {"as_of", "last_ingest", "unread_files"}
        found.pop("change", None)
        found = without_empty(found) if "trends" in found else found
        for group in [*found.get("workflows", ()), *found.get("sessions", ())]:
            del group["project"]
        for group in found.get("sessions", ()):
            assert all(group.pop(key, ...) is not ... for key in ("ended", "duration_seconds", "models", "branches"))
        for group in found.get("workflows", ()):
            del group["session"]
        assert differences(found, figures, command) == []
