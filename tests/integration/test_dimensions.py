"""Queries by project, session and branch, on both engines, against sums over the records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Any

import pytest

from claude_force.alerts.measure import measure
from claude_force.alerts.rules import load_rules
from claude_force.analytics import reports
from claude_force.analytics.baselines import snapshots
from claude_force.analytics.baselines.check import check
from claude_force.analytics.breakdowns import BreakdownKey
from claude_force.analytics.groups import RowChoice
from claude_force.analytics.names import known_names
from claude_force.analytics.runs import runs
from claude_force.clock import DAY_US, HOUR_US
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Dimension, Filter
from claude_force.database.queries.baselines import costs_by
from claude_force.database.writes import Store
from claude_force.database.writes.projects import remember_repositories
from claude_force.errors import UnknownName
from claude_force.executions.billed_steps import Step
from claude_force.executions.histogram import bins_of
from claude_force.executions.projects import NO_PROJECTS, ProjectNames
from claude_force.executions.record import ExecutionMetrics
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution

SHOP, BESIDE, INSIDE, OTHER = "/x/shop", "/x/shop-feat-a", "/x/shop/.claude/worktrees/quiet-otter", "/y/other"
PROJECT = {SHOP: SHOP, BESIDE: SHOP, INSIDE: SHOP, OTHER: OTHER, None: None}
NAMES = ProjectNames((("all of it", ("/x/*", "/y/*")),))


def a_history() -> list[ExecutionMetrics]:
    """Executions of every combination of folder, session and branch, with durations that differ."""
    folders = (SHOP, BESIDE, INSIDE, OTHER, None)
    sessions = (("s1", None), ("run", "s1"), ("run", "s2"), ("s2", None), (None, None))
    return [
        an_execution(
            timestamp_us=NOON_US + number * HOUR_US // 3,
            project=folder,
            workflow_id=sessions[(number + place) % 5][0],
            session_id=sessions[(number + place) % 5][1],
            git_branch=("main", "feat", None)[number % 3],
            host=("laptop", "ci-1")[number % 2],
            user_name=("ada", None, "grace")[number % 7 % 3],
            duration_us=1000 * (1 + number * 7 % 31) if number % 4 else None,
            success=number % 5 != 0,
            error_type=None if number % 5 else "timeout",
            cost_nanousd=1000 * number,
        )
        for place, folder in enumerate(folders)
        for number in range(60)
    ]


@pytest.fixture
def filled(database: Database) -> tuple[Database, list[ExecutionMetrics]]:
    """A database with the history, most of which is rolled up, and what ingestion found of its folders."""
    history = a_history()
    Store(database).add(history[:-3])
    Store(database).add(history[-3:])
    with database.write() as connection:
        remember_repositories(connection, {SHOP: SHOP, BESIDE: SHOP})
    return database, history


def nearest(durations: Sequence[int], percent: int) -> int:
    """Nearest rank by its definition."""
    ordered = sorted(durations)
    return next(value for place, value in enumerate(ordered, 1) if place * 100 >= percent * len(ordered))


KEYS: dict[Dimension, Callable[[ExecutionMetrics], str | None]] = {
    "project": lambda record: PROJECT[record.project],
    "session_id": lambda record: record.session_id or record.workflow_id,
    "git_branch": lambda record: record.git_branch,
    "host": lambda record: record.host,
    "user_name": lambda record: record.user_name,
    "workflow_id": lambda record: record.workflow_id,
}
WINDOWS = (Window(), Window(NOON_US + HOUR_US, NOON_US + 9 * HOUR_US), Window(NOON_US - DAY_US, NOON_US + DAY_US))


@pytest.mark.parametrize("dimension", KEYS)
def test_groups_are_those_of_the_records(dimension: Dimension, filled: tuple[Database, list[ExecutionMetrics]]) -> None:
    """Executions, costs, failures and latencies of each group, in any period; each name alone gives its group."""
    database, history = filled
    for window in WINDOWS:
        groups: dict[str | None, list[ExecutionMetrics]] = defaultdict(list)
        for record in history:
            if (window.start_us or 0) <= record.timestamp_us < (window.end_us or 10**18):
                groups[KEYS[dimension](record)].append(record)
        found = reports.breakdown(database, Filter(window), dimension, "name")
        assert {group.name: group.totals.executions for group in found.groups} == {
            name: len(records) for name, records in groups.items()
        }
        for group in found.groups:
            records = groups[group.name]
            timed = [record.duration_us for record in records if record.duration_us is not None]
            assert group.totals.cost_nanousd == sum(record.cost_nanousd or 0 for record in records)
            assert group.percentiles == tuple(nearest(timed, percent) for percent in (50, 95, 99))
            if group.name is not None:
                assert reports.summary(database, only(dimension, group.name, window)).totals == group.totals
                assert reports.errors(database, only(dimension, group.name, window), UTC).totals == group.totals
        assert found.is_exact


def only(dimension: Dimension, name: str, window: Window = WINDOWS[0]) -> Filter:
    """The filter of one name."""
    return Filter(window).with_names({dimension: (name,)})


@pytest.mark.parametrize("dimension", KEYS)
def test_bins_of_groups(dimension: Dimension, filled: tuple[Database, list[ExecutionMetrics]]) -> None:
    """The bins of merged folders add up, those of durations and those of costs."""
    database, history = filled
    durations: dict[str | None, list[int]] = defaultdict(list)
    executions: Counter[str | None] = Counter()
    for record in history:
        executions[KEYS[dimension](record)] += 1
        if record.duration_us is not None:
            durations[KEYS[dimension](record)].append(record.duration_us)
    with database.read() as connection:
        chosen = queries.with_projects(connection, Filter())
        found = queries.durations_by(connection, chosen, dimension)
        assert found == {(name,): bins_of(values) for name, values in durations.items()}
        if dimension == "project":
            costs = costs_by(connection, chosen, dimension)
            assert {name: bins.total() for name, bins in costs.items()} == executions


def test_steps_of_other_models_are_in_the_group(database: Database) -> None:
    """What a step of another model costs belongs to the session, branch and project of its execution."""
    steps = (
        Step("message", "claude-sonnet-4-6", 200, 100, cost_nanousd=2_100_000),
        Step("advisor_message", "claude-opus-4-7", 1000, 20, cost_nanousd=5_500_000),
    )
    whole = {"input_tokens": 1200, "output_tokens": 120, "cost_nanousd": 7_600_000}
    names = {"workflow_id": "run", "session_id": "s", "git_branch": "main", "project": SHOP}
    Store(database).add(
        [an_execution(model="claude-sonnet-4-6", steps=steps, reference_cost_nanousd=None, **whole | names)]
    )
    for dimension, name in (("session_id", "s"), ("git_branch", "main"), ("workflow_id", "run"), ("project", SHOP)):
        (group,) = reports.breakdown(database, Filter(), dimension, "name").groups  # type: ignore[arg-type]
        assert (group.name, group.totals.cost_nanousd, group.totals.input_tokens) == (name, 7_600_000, 1200)
        found = reports.summary(database, only(dimension, name))  # type: ignore[arg-type]
        assert {model.name: model.totals.cost_nanousd for model in found.models} == {
            "claude-sonnet-4-6": 2_100_000,
            "claude-opus-4-7": 5_500_000,
        }


@pytest.mark.parametrize("key", ["newest", "executions"])
def test_a_limit_keeps_the_steps_of_other_models(database: Database, key: BreakdownKey) -> None:
    """A step of a chosen model counts also where its execution is later than all those of the model in the branch."""
    haiku = Step("message", "claude-haiku-4-5", 1, 1, cost_nanousd=7)
    Store(database).add(
        [
            an_execution(git_branch="other", model=haiku.model, timestamp_us=NOON_US - 9),
            an_execution(git_branch="main", model=haiku.model),
            an_execution(git_branch="main", model=haiku.model, timestamp_us=NOON_US + 1),
            an_execution(
                git_branch="main", model="claude-opus-4-1", timestamp_us=NOON_US + 9, input_tokens=1, output_tokens=1,
                cost_nanousd=7, steps=(haiku,),
            ),
        ]
    )  # fmt: skip
    chosen = Filter(models=(haiku.model,))
    (first,) = reports.breakdown(database, chosen, "git_branch", key, RowChoice(limit=1)).groups
    assert first == reports.breakdown(database, chosen, "git_branch", key).groups[0]
    assert first.totals.cost_nanousd == 2 * 3_255_200 + 7


def test_tokens_of_a_step_are_known_beside_a_request_without_usage(database: Database) -> None:
    """A model with both has the tokens of the step, so that the rows add up to the total, and `runs` sorts by them."""
    steps = (Step("message", "claude-sonnet-4-6", 200, 100), Step("advisor_message", "claude-opus-4-7", 1000, 20))
    unknown = {"input_tokens": None, "output_tokens": None, "cost_nanousd": None, "reference_cost_nanousd": None}
    names = {"workflow_id": "w", "run_id": "r"}
    Store(database).add(
        [
            an_execution(model="claude-sonnet-4-6", steps=steps, input_tokens=1200, output_tokens=120, **names),
            an_execution(model="claude-opus-4-7", **unknown | names),
        ]
    )
    report = reports.breakdown(database, Filter(), "model", "tokens")
    assert {model.name: model.totals.total_tokens for model in report.groups} == {
        "claude-sonnet-4-6": 300,
        "claude-opus-4-7": 1020,
    }
    opus = Filter(models=("claude-opus-4-7",))
    assert [run.totals.total_tokens for run in runs(database, opus, "tokens", RowChoice(limit=1)).runs] == [1020]


def test_a_filter_takes_a_project_or_a_folder(filled: tuple[Database, list[ExecutionMetrics]]) -> None:
    """By its full name or its last folders; an unknown one names those that there are."""
    database, _ = filled
    wanted = {SHOP: 180, "shop": 180, BESIDE: 60, "shop-feat-a": 60, INSIDE: 60, "quiet-otter": 60, "other": 60}
    for name, executions in wanted.items():
        assert reports.summary(database, Filter(projects=(name,))).totals.executions == executions
        assert reports.trends(database, Filter(projects=(name,)), "daily", UTC).totals.executions == executions
    assert reports.summary(database, Filter(projects=("shop", BESIDE))).totals.executions == 180
    with pytest.raises(UnknownName, match=r"no project shap in the store; .*there are: /x/shop, /y/other$"):
        reports.summary(database, Filter(projects=("shap",)))


def test_the_settings_group(filled: tuple[Database, list[ExecutionMetrics]]) -> None:
    """Their names are those of reports and filters."""
    database, _ = filled
    found = reports.breakdown(database, Filter(project_names=NAMES), "project", "name").groups
    assert [(group.name, group.totals.executions) for group in found] == [("all of it", 240), (None, 60)]
    chosen = Filter(projects=("all of it",), project_names=NAMES)
    assert reports.summary(database, chosen).totals.executions == 240


def alerts_of(database: Database, names: ProjectNames = NO_PROJECTS, **config: Any) -> dict[str | None, float | None]:
    """The value of a rule for each group."""
    given = {"metric": "total_executions", "operator": ">", "threshold": 1, "window": "30d", "min_samples": 0} | config
    (rule,), problems = load_rules({"mine": given})
    assert problems == {}
    with database.read() as connection:
        found = measure(connection, rule, NOON_US + 2 * DAY_US, UTC, project_names=names)
    return {name: group.value for name, group in found.items()}


def test_alert_rules_know_projects(filled: tuple[Database, list[ExecutionMetrics]]) -> None:
    """A rule for a folder measures that folder, a rule for a project all of it; groups are projects."""
    database, _ = filled
    assert alerts_of(database, project=[BESIDE]) == {None: 60}
    assert alerts_of(database, project=[SHOP]) == {None: 180}
    assert alerts_of(database, project=["shop"]) == {None: 180}
    assert alerts_of(database, project=["nobody"]) == {None: 0}
    assert alerts_of(database, group_by="project") == {SHOP: 180, OTHER: 60, None: 60}
    assert alerts_of(database, NAMES, group_by="project") == {"all of it": 240, None: 60}
    latencies = alerts_of(database, metric="p95_latency_ms", group_by="project")
    assert latencies.keys() == {SHOP, OTHER, None}
    assert None not in latencies.values()


def test_baselines_of_a_project(filled: tuple[Database, list[ExecutionMetrics]]) -> None:
    """A baseline keeps the name of its project, and a check without a filter measures all of it again."""
    database, _ = filled
    window = Window(NOON_US - DAY_US, NOON_US + DAY_US)
    made = snapshots.create(database, "shop", Filter(window, projects=("shop",)), NOON_US + 2 * DAY_US, UTC)
    assert (made.executions, made.snapshot["filters"]) == (180, {"project": [SHOP]})
    for chosen in (Filter(window), Filter(window, projects=("shop",))):
        found = check(database, chosen, "shop", 1.15, NOON_US + 2 * DAY_US, UTC)
        assert found.filters == {"project": [SHOP]}
        assert {(result.samples, result.change) for result in found.results} == {(180, 0.0), (135, 0.0)}


def test_names_are_found_by_their_beginning(filled: tuple[Database, list[ExecutionMetrics]]) -> None:
    """Ids of sessions as those of workflows; branches are written in full."""
    database, _ = filled
    Store(database).add([an_execution(workflow_id="abcdef-1", git_branch="release")])
    with database.read() as connection:
        assert known_names(connection, Filter(sessions=("abcd",))).sessions == ("abcdef-1",)
        assert queries.names(connection, "session_id") == ["abcdef-1", "s1", "s2"]
        assert queries.names(connection, "git_branch") == ["feat", "main", "release"]
        with pytest.raises(UnknownName, match="no branch rel in the store; did you mean release"):
            known_names(connection, Filter(branches=("rel",)))
