"""`sessions`: when, where, how long, on which models, and what each cost."""

from __future__ import annotations

import io
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.analytics.groups import RowChoice
from claude_force.analytics.reports import breakdown, summary
from claude_force.analytics.sessions import SORT_KEYS, SessionKey, sessions
from claude_force.clock import DAY_US, HOUR_US, MINUTE_US
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.executions.record import ExecutionMetrics
from claude_force.reports.layouts.sessions import sessions_layout
from claude_force.reports.render import write_page
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution
from tests.profiles import scaled
from tests.properties.strategies import on_both_engines, refill

FIRST, SECOND = "1b2c3d4e-0000-4000-8000-000000000001", "9f8e7d6c-0000-4000-8000-000000000002"


RESPONSES = st.lists(
    st.builds(
        lambda session, minutes, model, is_priced: a_response(
            session, NOON_US + minutes * MINUTE_US, model=model, cost_nanousd=7 if is_priced else None
        ),
        st.sampled_from([FIRST, SECOND, "third", None]), st.integers(0, 9), st.sampled_from(["a", "b"]), st.booleans(),
    ),
    max_size=9,
)  # fmt: skip
"""Executions of a few sessions that overlap."""


def a_response(session: str | None, at_us: int, **changes: Any) -> ExecutionMetrics:
    """An execution of a session of Claude Code."""
    found = {"source": "claude-code", "project": "/home/ada/shop", "git_branch": "main", "model": "claude-opus-4-5"}
    return an_execution(workflow_id=session, timestamp_us=at_us, **(found | changes))


@pytest.fixture
def store(database: Database) -> Database:
    """A session of two models, two branches and a run; a later one that costs more; and what is in no session."""
    Store(database).add(
        [
            a_response(FIRST, NOON_US, cost_nanousd=10**9),
            a_response(FIRST, NOON_US + MINUTE_US, model="claude-haiku-4-5", cost_nanousd=1, git_branch="fix"),
            a_response("wf-1", NOON_US + 95 * MINUTE_US, session_id=FIRST, cost_nanousd=10**9),
            a_response(SECOND, NOON_US + HOUR_US, cost_nanousd=5 * 10**9),
            a_response(SECOND, NOON_US + 3 * DAY_US + 2 * HOUR_US, cost_nanousd=None, project="/home/ada/docs"),
            an_execution(workflow_id=None, timestamp_us=NOON_US + 9 * DAY_US),
        ]
    )
    return database


def test_a_session_knows_when_where_and_on_what(store: Database) -> None:
    """Its run and its branches belong to it; models and branches with the most executions come first."""
    found = sessions(store, Filter(), "newest", zone=UTC).to_dict()
    assert found["total_sessions"] == 3
    second, first, outside = found["sessions"]
    assert (first["session"], first["executions"], first["total_cost"]) == (FIRST, 3, 2.000000001)
    assert (first["started"], first["ended"]) == (
        "2025-11-01T12:26:40.000000+00:00",
        "2025-11-01T14:01:40.000000+00:00",
    )
    assert (first["duration_seconds"], first["project"]) == (95 * 60, "/home/ada/shop")
    assert (first["models"], first["branches"]) == (["claude-opus-4-5", "claude-haiku-4-5"], ["main", "fix"])
    assert (second["session"], second["duration_seconds"]) == (SECOND, 3 * 86_400 + 3600)
    assert [outside[key] for key in ("session", "started", "ended", "duration_seconds", "project")] == [None] * 5


@pytest.mark.parametrize("key", SORT_KEYS)
def test_every_order_has_all_sessions(store: Database, key: SessionKey) -> None:
    """What is in no session is last by age, however new it is."""
    names = [row["session"] for row in sessions(store, Filter(), key, zone=UTC).rows()]
    assert sorted(map(str, names)) == sorted([FIRST, SECOND, "None"])
    expected = {"newest": [SECOND, FIRST, None], "cost": [SECOND, FIRST, None], "name": [FIRST, SECOND, None]}
    assert names == expected.get(key, names)


@pytest.mark.parametrize(("is_ascending", "order"), [(None, [SECOND, FIRST]), (True, [FIRST, SECOND])])
def test_by_duration_the_longest_comes_first(store: Database, is_ascending: bool | None, order: list[str]) -> None:
    """Three days, then 95 minutes; what is in no session comes last. The sums are those of all sessions."""
    whole = sessions(store, Filter(), "newest")
    found = sessions(store, Filter(), "duration", RowChoice(is_ascending))
    assert [group.name for group in found.breakdown.groups] == [*order, None]
    assert found.breakdown.totals == whole.breakdown.totals
    durations = [found.duration_us(name) for name in (SECOND, FIRST)]
    assert durations == [3 * DAY_US + HOUR_US, 95 * MINUTE_US]
    assert [
        group.name for group in sessions(store, Filter(), "duration", RowChoice(is_ascending, 1)).breakdown.groups
    ] == order[:1]


def test_a_limit_keeps_the_first(store: Database) -> None:
    """And the number of all sessions."""
    found = sessions(store, Filter(), "cost", RowChoice(limit=1), UTC).to_dict()
    assert ([row["session"] for row in found["sessions"]], found["total_sessions"]) == ([SECOND], 3)


def test_a_filter_is_a_filter_of_the_details(store: Database) -> None:
    """Times, models and branches are those of the chosen executions."""
    (found,) = sessions(store, Filter(branches=("fix",)), "newest", zone=UTC).rows()
    assert (found["models"], found["branches"], found["duration_seconds"]) == ("claude-haiku-4-5", "fix", 0)


def table(store: Database, width: int, monkeypatch: pytest.MonkeyPatch, limit: int | None = None) -> list[str]:
    """The lines of the table in a terminal of some width."""
    monkeypatch.setenv("COLUMNS", str(width))
    file = io.StringIO()
    write_page(
        sessions_layout(sessions(store, Filter(), "newest", RowChoice(limit=limit), UTC), "the newest first").page(),
        file,
    )
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_table_names_sessions_as_people_do(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their start, the begin of their id, project and branch."""
    lines = table(store, 120, monkeypatch)
    rows = [" ".join(line.split()) for line in lines[5:8]]
    assert rows[0].startswith("2025-11-01 13:26 9f8e7d6c shop main 3d 1h 2 ")
    assert rows[1].startswith("2025-11-01 12:26 1b2c3d4e shop main, fix 1h 35m 3 ")
    assert rows[1].endswith("opus, haiku")
    assert rows[2].startswith("– (no session) – – – 1 ")


def test_a_cut_table_says_so(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many there are, in which order, and the option that shows more."""
    assert "1 of 3 sessions shown, the newest first (--limit)" in table(store, 80, monkeypatch, limit=1)


@given(
    executions=RESPONSES,
    key=st.sampled_from(SORT_KEYS),
    rows=st.builds(RowChoice, st.sampled_from([None, True, False]), st.integers(1, 4)),
    chosen=st.sampled_from(
        [Filter(), Filter(Window(NOON_US + MINUTE_US, NOON_US + 5 * MINUTE_US)), Filter(projects=("/home/ada/shop",))]
    ),
)
@settings(on_both_engines, max_examples=scaled(15))
def test_a_limit_reads_less_and_says_the_same(
    database: Database, executions: list[ExecutionMetrics], key: Any, rows: RowChoice, chosen: Filter
) -> None:
    """The first sessions and workflows in any order are what they are among all, with their totals, percentiles and
    starts, though the rest is not read."""
    refill(database, executions)
    chosen = chosen if executions else Filter()
    every = sessions(database, chosen, key, rows._replace(limit=None), UTC)
    few = sessions(database, chosen, key, rows, UTC)
    assert few.to_dict() == every.to_dict() | {"sessions": every.to_dict()["sessions"][: rows.limit]}
    assert few.breakdown.totals == every.breakdown.totals
    assert few.breakdown.unpriced_models == every.breakdown.unpriced_models
    if key != "duration":
        whole = breakdown(database, chosen, "workflow_id", key, rows._replace(limit=None), UTC)
        part = breakdown(database, chosen, "workflow_id", key, rows, UTC)
        assert (part.totals, part.rows()) == (whole.totals, whole.rows()[: rows.limit])


@given(executions=RESPONSES)
@settings(on_both_engines, max_examples=scaled(10))
def test_a_session_is_found_where_it_was(database: Database, executions: list[ExecutionMetrics]) -> None:
    """Whoever asks for a session, a workflow or a branch gets the executions that have it, pending ones included."""
    refill(database, executions)
    for name in {execution.workflow_id for execution in executions} - {None}:
        wanted = sum(execution.workflow_id == name for execution in executions)
        for chosen in (Filter(sessions=(str(name),)), Filter(workflows=(str(name),))):
            assert summary(database, chosen).totals.executions == wanted
    if executions:
        assert summary(database, Filter(branches=("main",))).totals.executions == len(executions)
