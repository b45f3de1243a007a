"""Laws of the regression check, and its false alarm and detection rates."""

from __future__ import annotations

import json
from datetime import UTC

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.regressions import UNCHANGED, Scenario, alarm_rate, with_distributions, without_distributions
from claude_force.analytics.baselines import check, create
from claude_force.analytics.baselines.parse import ParsedSnapshot
from claude_force.analytics.baselines.rules import compare
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.database.writes import baselines as kept
from claude_force.executions.histogram import bins_of
from claude_force.executions.record import ExecutionMetrics
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution
from tests.profiles import scaled
from tests.properties.strategies import on_both_engines, records, refill

WHOLE = Filter(Window(0, 4_000_000_000_000_000))


def a_snapshot(durations: list[int], costs: list[int], successes: int) -> ParsedSnapshot:
    """The snapshot of executions with these durations (microseconds) and costs (micro-dollars)."""
    size = len(durations)
    p95 = sorted(durations)[(95 * size + 99) // 100 - 1] / 1000
    average, cost = sum(durations) / size / 1000, sum(costs) / size / 1e6
    bins = dict(bins_of(durations)), dict(bins_of(costs))
    return ParsedSnapshot(100 * successes / size, average, p95, cost, size, size, size, *bins)


durations = st.lists(st.integers(0, 10**9), min_size=30, max_size=80)
snapshots = st.builds(lambda values: a_snapshot(values, values, len(values) // 2), durations)


@given(snapshots)
def test_a_snapshot_is_no_worse_than_itself(snapshot: ParsedSnapshot) -> None:
    """Equal values are never a regression, not even with a threshold of 1."""
    assert {finding.verdict for finding in compare(snapshot, snapshot, 1.0)} == {"ok"}


@given(st.lists(st.integers(1_000_000, 4_000_000), min_size=60, max_size=100))
@settings(max_examples=scaled(40))
def test_twice_the_time_and_the_cost_is_a_regression(values: list[int]) -> None:
    """With 60 executions or more of a moderate spread."""
    doubled = [2 * value for value in values]
    before, now = a_snapshot(values, values, 55), a_snapshot(doubled, doubled, 55)
    found = {finding.key: finding.verdict for finding in compare(before, now, 1.15)}
    assert found["avg_execution_time_ms"] == found["avg_cost_per_execution"] == "regressed"


@given(durations, durations, st.randoms(use_true_random=False))
@settings(max_examples=scaled(40))
def test_the_order_of_executions_does_not_matter(before: list[int], now: list[int], random: object) -> None:
    """Verdicts and reasons are the same for every order of both sides."""
    shuffle = getattr(random, "shuffle")  # noqa: B009  (hypothesis does not name its type)
    first = compare(a_snapshot(before, before, 25), a_snapshot(now, now, 25), 1.15)
    shuffle(before)
    shuffle(now)
    assert compare(a_snapshot(before, before, 25), a_snapshot(now, now, 25), 1.15) == first


@settings(on_both_engines, max_examples=scaled(8))
@given(st.lists(records(), min_size=30, max_size=60, unique_by=lambda record: record.uid))
def test_a_history_is_no_worse_than_its_own_baseline(database: Database, history: list[ExecutionMetrics]) -> None:
    """On both engines, for every history, with unknown values in it."""
    refill(database, history)
    with database.write() as connection:
        connection.execute("DELETE FROM baselines")
    now_us = 3_900_000_000_000_000
    made = create(database, "own", WHOLE, now_us, UTC)
    json.dumps(made.snapshot, allow_nan=False)
    found = check(database, WHOLE, "own", 1.0, now_us, UTC)
    assert [finding.verdict for finding in found.results if finding.verdict == "regressed"] == []
    assert found.results[2].verdict == "ok"


def test_twice_the_time_regresses_on_both_engines(database: Database) -> None:
    """From recorded executions to the verdict, in whatever order they were recorded."""

    def executions(start_us: int, factor: int) -> list[ExecutionMetrics]:
        return [
            an_execution(timestamp_us=start_us + place, duration_us=factor * (1_000_000 + 40_000 * (place % 50)))
            for place in range(200)
        ]

    Store(database).add(executions(NOON_US, 1)[::-1])
    create(database, "before", Filter(Window(NOON_US, NOON_US + 10**6)), NOON_US + 10**9, UTC)
    Store(database).add(executions(NOON_US + 10**12, 2))
    period = Filter(Window(NOON_US + 10**12, NOON_US + 10**12 + 10**6))
    found = check(database, period, None, 1.15, NOON_US + 10**13, UTC)
    assert [finding.key for finding in found.regressions] == ["avg_execution_time_ms", "p95_latency_ms"]
    with database.write() as connection:
        assert kept.remove(connection, [("before", "", "")]) == 1


@pytest.mark.parametrize("stored", [with_distributions, without_distributions])
@pytest.mark.parametrize(
    ("sizes", "rounds"), [((30, 30), 500), ((100, 100), 500), ((1000, 1000), 150), ((3000, 100), 150)]
)
def test_false_alarms_are_rare(stored: object, sizes: tuple[int, int], rounds: int) -> None:
    """Fewer than one in twenty checks of unchanged executions finds a regression in any metric."""
    assert callable(stored)
    assert alarm_rate(UNCHANGED, sizes, scaled(rounds), stored, seed=1) < 5


@pytest.mark.parametrize(
    ("scenario", "sizes", "least"),
    [
        (Scenario("time +100%", time=2.0), (100, 100), 95),
        (Scenario("time +50%", time=1.5), (3000, 100), 90),
        (Scenario("time +20%", time=1.2), (1000, 1000), 70),
        (Scenario("a tail", tail_share=0.05, tail=10.0), (3000, 1000), 90),
        (Scenario("cost x2", cost=2.0), (100, 100), 90),
        (Scenario("success 95% -> 85%", success=0.85), (3000, 100), 75),
    ],
    ids=lambda value: value.name if isinstance(value, Scenario) else None,
)
def test_a_regression_is_detected(scenario: Scenario, sizes: tuple[int, int], least: int) -> None:
    """With realistic numbers of executions."""
    assert alarm_rate(scenario, sizes, 60, seed=1) >= least
