"""Labels of runs on both engines: which executions have one, and what a comparison of two says."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from claude_force.analytics.baselines import check_labels
from claude_force.analytics.reports import breakdown, summary
from claude_force.clock import DAY_US, LATEST_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Database
from claude_force.database.merge.tables import merge_tables, read_tables
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.queries.run_labels import labels_of_runs
from claude_force.database.rows.telemetry import HeadlessRun
from claude_force.database.writes import Store
from claude_force.database.writes.run_labels import add_run_labels
from claude_force.database.writes.telemetry import add_headless_run
from claude_force.errors import BaselineError, InvalidRecord, UnknownName
from claude_force.executions.billed_steps import Step
from claude_force.executions.record import ExecutionMetrics
from claude_force.executions.run_labels import RunLabel, check_label, of_whole_session
from claude_force.executions.signals import Call, Labelled, Signal
from claude_force.ingest.telemetry.labels import run_labels
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution
from tests.telemetry import RESOURCE, SESSION, api_request, logs, signals_of, spans

LABELS = ("old prompt", "new|prompt", "\u043d\u043e\u0432\u044b\u0439, 100% = *", "\U0001f680 <b>&amp;</b>")
SESSIONS = ("s1", "s2", "s3", "s4")
SECOND_US = 1_000_000


def a_history(random: Random, size: int) -> list[ExecutionMetrics]:
    """Executions over ten minutes: some of a workflow in a session, some without, some with no price or tokens."""
    return [
        an_execution(
            timestamp_us=NOON_US + random.randrange(600) * SECOND_US,
            agent_name=random.choice(("a", "b")),
            success=random.random() < 0.8,
            workflow_id=random.choice((*SESSIONS, None)),
            session_id=random.choice((*SESSIONS, None, None, None)),
            duration_us=random.choice((None, random.randrange(1, 10**7))),
            cost_nanousd=random.choice((None, random.randrange(10**9), random.randrange(10**9))),
            **({} if random.random() < 0.8 else {"input_tokens": None, "output_tokens": None}),
            cache_read_tokens=random.randrange(100),
        )
        for _ in range(size)
    ]


def some_labels(random: Random, size: int) -> list[RunLabel]:
    """Runs that overlap, each beginning at a time of its own."""
    starts = random.sample(range(600), size)
    return [
        RunLabel(
            random.choice(SESSIONS), random.choice(("", f"r{start}")), random.choice(LABELS),
            NOON_US + start * SECOND_US, NOON_US + (start + random.randrange(120)) * SECOND_US,
        )
        for start in starts
    ]  # fmt: skip


def label_of(one: ExecutionMetrics, labels: Sequence[RunLabel]) -> RunLabel | None:
    """The label of an execution, found by looking at every row."""
    session = one.session_id or one.workflow_id
    found = [row for row in labels if row.session == session and row.since_us <= one.timestamp_us <= row.until_us]
    return max(found, key=lambda row: row.since_us, default=None)


def stored_labels(connection: Connection) -> list[RunLabel]:
    """Every row, in the order of the keys."""
    rows = connection.fetch(f"SELECT {', '.join(RunLabel._fields)} FROM run_labels ORDER BY session, run, label")
    return [RunLabel(*row) for row in rows]


def keep(database: Database, labels: Sequence[RunLabel]) -> list[RunLabel]:
    """Store labels in two transactions; returns the rows."""
    for part in (labels[::2], labels[1::2]):
        with database.write() as connection:
            add_run_labels(connection, part)
    with database.read() as connection:
        return stored_labels(connection)


@pytest.mark.parametrize("seed", range(3))
def test_each_execution_has_the_label_of_its_own_run(database: Database, store: Store, seed: int) -> None:
    """Resumed sessions have several labels, one after the other or at once. Every query agrees with a search in Python:
    rows, totals, failures, percentiles, sessions; with other names and periods too."""
    random = Random(seed)
    history, labels = a_history(random, 300), keep(database, some_labels(random, 25))
    store.add(history[:200])
    store.add(history[200:])
    assert len({row.session for row in labels}) > 1
    for label in LABELS:
        for window in (Window(), Window(NOON_US + 100 * SECOND_US, NOON_US + 400 * SECOND_US)):
            chosen = Filter(window, agents=random.choice(((), ("a",))), run_labels=(label,))
            found = [row.label if (row := label_of(one, labels)) else None for one in history]
            start, end = window.start_us or 0, window.end_us or LATEST_US
            expected = [
                one
                for one, name in zip(history, found, strict=True)
                if name == label and start <= one.timestamp_us < end and one.agent_name in (chosen.agents or "ab")
            ]
            with database.read() as connection:
                chosen = queries.with_reach(connection, chosen)
                totals = queries.totals(connection, chosen)
                errors = queries.errors(connection, chosen)
                timed, _ = queries.percentiles(connection, chosen)
            assert {one.uid for one in queries.iterate(database, chosen)} == {one.uid for one in expected}
            assert totals.executions == len(expected)
            assert totals.cost_nanousd == sum(one.cost_nanousd or 0 for one in expected)
            assert sum(group.failures for group in errors) == sum(not one.success for one in expected)
            durations = sorted(one.duration_us for one in expected if one.duration_us is not None)
            assert timed.p50_us == (durations[(len(durations) + 1) // 2 - 1] if durations else None)


def test_a_report_takes_labels(database: Database, store: Store) -> None:
    """Whole, by a glob, or none for one that no run has had."""
    store.add([an_execution(workflow_id=name) for name in SESSIONS])
    keep(database, [RunLabel(name, name, f"v{name[1]}", 0, LATEST_US - 1) for name in SESSIONS[:3]])
    for wanted, names in ((("v1",), ["s1"]), (("v*",), ["s1", "s2", "s3"]), (("v1", "v3"), ["s1", "s3"])):
        found = breakdown(database, Filter(run_labels=wanted), "session_id", "name")
        assert sorted(group.name or "" for group in found.groups) == names
    with pytest.raises(UnknownName, match="no label w1 in the store; there are: v1, v2, v3"):
        breakdown(database, Filter(run_labels=("w1",)), "session_id", "name")


def test_only_the_time_of_a_label_is_read(database: Database, store: Store) -> None:
    """That of its runs, and that of their sessions: a tracker's label has no time of its own."""
    store.add([an_execution(timestamp_us=NOON_US + day * DAY_US, workflow_id=f"s{day}") for day in range(9)])
    day_us = NOON_US + 4 * DAY_US
    keep(database, [RunLabel("s4", "r", "run", day_us - 5, day_us + 5), of_whole_session("s7", "tracker")])
    with database.read() as connection:
        found = [queries.with_reach(connection, Filter(run_labels=(label,))).reach for label in ("run", "tracker")]
        both = queries.with_reach(connection, Filter(sessions=("s3",), run_labels=("run",))).reach
    assert found == [Window(day_us, day_us + 1), Window(day_us + 3 * DAY_US, day_us + 3 * DAY_US + 1)]
    assert both == Window(0, 0)


def test_rows_widen_in_any_order(database: Database) -> None:
    """Stored twice, and in another order, labels are the same: a run lasts from its first to its last moment."""
    random = Random(7)
    labels = [*some_labels(random, 40), *some_labels(random, 40)]
    rows = keep(database, labels)
    random.shuffle(labels)
    assert keep(database, labels) == rows
    spans_of: dict[tuple[str, ...], tuple[int, int]] = {}
    for row in labels:
        since, until = spans_of.get(row[:3], (row.since_us, row.until_us))
        spans_of[row[:3]] = min(since, row.since_us), max(until, row.until_us)
    assert {row[:3]: row[3:] for row in rows} == spans_of


def test_a_merge_widens_too(database: Database, tmp_path: Path) -> None:
    """And adds what is new; a second merge changes nothing."""
    other = open_database(str(tmp_path / "other" / "metrics.db"))
    ours, theirs = some_labels(Random(1), 20), some_labels(Random(2), 20)
    theirs += [row._replace(until_us=row.until_us + 9, since_us=row.since_us - 9) for row in ours[:5]]
    keep(database, ours)
    keep(other, theirs)
    found = read_tables(other)
    for is_dry_run, has_news in ((True, True), (False, True), (False, False)):
        assert bool(merge_tables(database, found, is_dry_run=is_dry_run).counts["run_labels"]) is has_news
    with database.read() as connection:
        merged = stored_labels(connection)
    assert merged == keep(other, ours)
    other.close()


class Side(NamedTuple):
    """The figures of one label, computed from rows."""

    average_ms: float
    success_rate: float
    cost: float
    tokens: float
    run_cost: float
    runs: int
    unpriced: int
    unpriced_runs: int


def figures(rows: Sequence[tuple[ExecutionMetrics, str]]) -> Side:
    """Those of executions with their runs."""
    executions = [one for one, _ in rows]
    costs = [one.estimated_cost for one in executions if one.estimated_cost is not None]
    by_run: dict[str, list[float | None]] = {}
    for one, run in rows:
        by_run.setdefault(run, []).append(one.estimated_cost)
    whole = [sum(filter(None, found)) for found in by_run.values() if None not in found]
    return Side(
        statistics.fmean(one.duration_us / 1000 for one in executions if one.duration_us is not None),
        100 * statistics.fmean(one.success for one in executions),
        statistics.fmean(costs),
        statistics.fmean(one.total_tokens for one in executions if one.total_tokens is not None),
        statistics.fmean(whole) if whole else 0.0,
        len(by_run),
        len(executions) - len(costs),
        len(by_run) - len(whole),
    )


def test_a_comparison_has_the_figures_of_the_rows(database: Database, store: Store) -> None:
    """Those of each label, computed here from the executions that the store gives out."""
    random = Random(11)
    history = a_history(random, 600)
    labels = keep(database, [row._replace(label=random.choice("xy")) for row in some_labels(random, 40)])
    store.add(history)
    found = check_labels(database, Filter(run_labels=("x",)), "y", 1.15)
    by_label: dict[str, list[tuple[ExecutionMetrics, str]]] = {"x": [], "y": []}
    for one in queries.iterate(database, Filter()):
        if row := label_of(one, labels):
            by_label[row.label].append((one, row.run or row.session))
    now, before = figures(by_label["x"]), figures(by_label["y"])
    results = {result.key: result for result in found.results}
    for key, expected in (
        ("avg_execution_time_ms", (before.average_ms, now.average_ms)),
        ("success_rate", (before.success_rate, now.success_rate)),
        ("avg_cost_per_execution", (before.cost, now.cost)),
        ("avg_tokens_per_execution", (before.tokens, now.tokens)),
        ("avg_cost_per_run", (before.run_cost, now.run_cost)),
    ):
        assert (results[key].baseline or 0, results[key].current or 0) == pytest.approx(expected)
    assert found.labels is not None
    for side, expected_side in zip(found.labels, (before, now), strict=True):
        counted = (side.runs, side.unpriced_executions, side.unpriced_runs)
        assert counted == (expected_side.runs, expected_side.unpriced, expected_side.unpriced_runs)
    assert now.unpriced > 0
    assert any(f"Costs of x are without {now.unpriced} executions" in remark for remark in found.remarks)


def runs_of(label: str, number: int, requests: int, fails: int = 0) -> tuple[list[ExecutionMetrics], list[RunLabel]]:
    """Runs with some requests each, a day apart."""
    executions, labels = [], []
    for run in range(number):
        start_us, session = NOON_US + run * DAY_US, f"{label}-{run}"
        executions += [
            an_execution(timestamp_us=start_us + place, workflow_id=session, success=place >= fails)
            for place in range(requests)
        ]
        labels.append(RunLabel(session, session, label, start_us, start_us + requests))
    return executions, labels


def test_a_prompt_that_asks_more_often_costs_more_by_the_run(database: Database, store: Store) -> None:
    """Although each request costs what it did. The other direction is no regression."""
    for label, requests in (("old", 2), ("new", 4)):
        executions, labels = runs_of(label, 40, requests)
        store.add(executions)
        keep(database, labels)
    found = check_labels(database, Filter(run_labels=("new",)), "old", 1.15)
    assert [result.key for result in found.regressions] == ["avg_cost_per_run"]
    assert check_labels(database, Filter(run_labels=("old",)), "new", 1.15).verdict == "ok"


def test_a_few_runs_are_too_few_to_tell(database: Database, store: Store) -> None:
    """Even if everything looks worse: that is said, and is no regression. A label cannot be compared with itself."""
    for label, requests, fails in (("old", 2, 0), ("new", 4, 4)):
        executions, labels = runs_of(label, 5, requests, fails)
        store.add(executions)
        keep(database, labels)
    found = check_labels(database, Filter(run_labels=("new",)), "old", 1.15)
    assert found.verdict == "not enough data"
    assert found.remarks[0].startswith("Too few to tell, so not compared: Average Execution Time, ")
    assert {result.why for result in found.results} >= {"old has 10 executions; 30 are needed"}
    with pytest.raises(BaselineError, match="label old is on both sides"):
        check_labels(database, Filter(run_labels=("new", "old")), "o*", 1.15)


def test_a_comparison_of_a_model_counts_its_steps_alone(database: Database, store: Store) -> None:
    """Also those of others' requests, so that tokens and costs add up to `summary --model`; an unknown cost of the
    whole is an unknown cost of the run."""
    steps = (
        Step("message", "claude-sonnet-4-6", 200, 100, cost_nanousd=2_000_000),
        Step("advisor_message", "claude-opus-4-7", 1000, 20, cost_nanousd=5_000_000),
    )
    advised = {"model": "claude-sonnet-4-6", "steps": steps, "input_tokens": 1200, "output_tokens": 120}
    alone = {"model": "claude-opus-4-7", "input_tokens": 10, "output_tokens": 5, "cost_nanousd": 4_000_000}
    for label in "xy":
        keep(database, [of_whole_session(run, label) for run in (f"{label}1", f"{label}2")])
        store.add(
            [
                an_execution(workflow_id=f"{label}1", **advised | {"cost_nanousd": 7_000_000}),
                an_execution(workflow_id=f"{label}1", **alone),
                an_execution(workflow_id=f"{label}2", **advised | {"cost_nanousd": None}),
                an_execution(workflow_id=f"{label}2", **alone),
            ]
        )
    for model, tokens, cost in (("claude-opus-4-7", 1035.0, 0.009), ("claude-sonnet-4-6", 300.0, 0.002)):
        chosen = Filter(run_labels=("x",), models=(model,))
        found = check_labels(database, chosen, "y", 1.15)
        results = {result.key: result.current for result in found.results}
        assert (results["avg_tokens_per_execution"], results["avg_cost_per_run"]) == (tokens, cost)
        assert [(side.runs, side.unpriced_runs) for side in found.labels or ()] == [(2, 1), (2, 1)]
        assert summary(database, chosen).totals.total_tokens == 2 * tokens


def test_programs_that_fail_are_runs_that_fail(database: Database, store: Store) -> None:
    """Of `claude-force run`, whether their requests succeed or not; also where there is no request at all."""
    for label, failing in (("old", 0), ("new", 20)):
        executions, labels = runs_of(label, 40, 1)
        store.add(executions[1:])
        keep(database, labels)
        with database.write() as connection:
            for number, row in enumerate(labels):
                success = int(number >= failing)
                run = HeadlessRun(row.run, row.session, *(None,) * 3, row.since_us, 1, 1, success, *(None,) * 3)
                add_headless_run(connection, run)
    found = check_labels(database, Filter(run_labels=("new",)), "old", 1.15)
    assert [result.key for result in found.regressions] == ["run_success_rate"]
    assert (found.regressions[0].baseline, found.regressions[0].current) == (100, 50)
    assert found.labels is not None
    assert [side.runs for side in found.labels] == [40, 40]
    with database.read() as connection:
        assert labels_of_runs(connection, ["old-0", "new-3", "else"]) == {"old-0": "old", "new-3": "new"}


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_valid(label: str) -> None:
    """Any printable text."""
    assert check_label(label) == label


@pytest.mark.parametrize("label", ["", " ", "-x", "a\nb", "a\0", "\x1b[31m", "x" * 201, "\ud800", "a\u202eb", 7, None])
def test_a_label_is_not_valid(label: object) -> None:
    """An empty one, one like an option, control characters and what turns text around, more than 200 characters."""
    with pytest.raises(InvalidRecord, match="label: "):
        check_label(label)


def test_telemetry_says_the_label_of_its_sender() -> None:
    """From the start of the first to the end of the last request of each session. Without a label, nothing is said."""
    resource = RESOURCE | {"label": LABELS[2], "claude_force.run": "r1"}
    first, second = api_request(duration_ms=2000), api_request(session__id="other", request_id="req_2")
    found = [one for one in signals_of(logs(first, first, second, resource=resource)) if isinstance(one, Labelled)]
    assert [(one.session, one.run, one.label) for one in found] == [
        (SESSION, "r1", LABELS[2]), ("other", "r1", LABELS[2]),
    ]  # fmt: skip
    assert [one.until_us - one.since_us for one in found] == [3_000_000, 9_120_000]
    assert not any(isinstance(one, Labelled) for one in signals_of(logs(first)))
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 1}
    (of_span,) = (
        one for one in signals_of(spans(chat | {"session.id": "s"}, resource=resource)) if isinstance(one, Labelled)
    )
    assert of_span.session == "s"


def test_a_signal_with_an_impossible_label_is_none() -> None:
    """It says nothing, and the others count."""
    signals: list[Signal] = [
        Labelled(session="s", label="a\nb", since_us=1, until_us=2),
        Labelled(session="", label="a", since_us=1, until_us=2),
        Labelled(session="s", label="a", since_us=3, until_us=2),
        Call(at_us=9, model="m", agent_name="a", session_id="s", label="x" * 201),
        Call(at_us=9, model="m", agent_name="a", session_id="s", duration_us=4, label="b"),
        Labelled(session="s", label="c", since_us=-5, until_us=LATEST_US + 5),
    ]
    assert list(run_labels(signals)) == [
        RunLabel("s", "s", "b", 5, 9), RunLabel("s", "", "c", 0, LATEST_US - 1),
    ]  # fmt: skip
