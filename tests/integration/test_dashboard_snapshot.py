"""A snapshot for the dashboard, on both engines: its totals are those of the reports."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from claude_force.analytics import reports as analytics
from claude_force.analytics.groups import sort_groups
from claude_force.analytics.json_fields import latencies
from claude_force.clock import DAY_US, HOUR_US, SECOND_US
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.rows.alerts import AlertRow
from claude_force.database.writes import Store
from claude_force.database.writes import alerts as alert_writes
from claude_force.errors import DatabaseMissing
from claude_force.executions.record import ExecutionMetrics
from claude_force.executions.totals import Totals
from claude_force.reports.dashboard.snapshot import RECENT_LIMIT, SPANS, Span, read_snapshot, window_of
from claude_force.time_windows import Window, last_window
from tests.builders import NOON_US, an_execution

WINDOWS: dict[Span, Window] = {
    "1h": last_window(NOON_US, hours=1),
    "24h": last_window(NOON_US, hours=24),
    "7d": last_window(NOON_US, days=7),
}
every_span = pytest.mark.parametrize("span", SPANS)


@pytest.fixture
def history(store: Store) -> list[ExecutionMetrics]:
    """Executions of nine days: many in the last ten minutes, some at and beside the start of each period, one in the
    future. Some failed; some have no duration or no price."""
    ages = [minute * 60 * SECOND_US for minute in range(0, 9 * 24 * 60, 47)]
    ages += [second * SECOND_US for second in range(1, 600, 7)]
    ages += [edge + step for edge in (HOUR_US, DAY_US, 7 * DAY_US) for step in (-1, 0, 1)]
    executions = [
        an_execution(
            timestamp_us=NOON_US - age,
            agent_name=f"agent-{number % 7}",
            model=("claude-haiku-4-5", "claude-opus-5", "gpt-9")[number % 3],
            success=number % 11 != 0,
            duration_us=None if number % 13 == 0 else 1000 * (number + 1),
            cost_nanousd=None if number % 3 == 2 else 1_000_001 * number,
        )
        for number, age in enumerate([*ages, -HOUR_US])
    ]
    store.add(executions)
    return executions


@every_span
def test_the_totals_of_a_period_are_those_of_the_summary(
    span: Span, database: Database, history: list[ExecutionMetrics]
) -> None:
    """They equal `analytics summary` with --hours 1, --hours 24 and --days 7 exactly."""
    period = read_snapshot(database, "1h", NOON_US).periods[span]
    summary = analytics.summary(database, Filter(WINDOWS[span])).to_dict()
    assert summary["total_executions"] > 20
    assert summary == summary | {
        "period": period.window.label,
        "total_executions": period.totals.executions,
        "success_rate": period.totals.success_rate,
        "avg_execution_time_ms": period.totals.average_ms,
        **latencies(period.percentiles),
        "total_cost": period.totals.cost,
        "total_tokens": period.totals.total_tokens,
        "unpriced_executions": period.totals.unpriced,
        "percentiles": "exact" if period.is_exact else "approximate",
    }


@every_span
def test_agents_and_models_are_those_of_the_summary(
    span: Span, database: Database, history: list[ExecutionMetrics]
) -> None:
    """They equal those of the summary of the chosen span."""
    found = read_snapshot(database, span, NOON_US)
    summary = analytics.summary(database, Filter(WINDOWS[span]))
    assert sort_groups(found.agents, "executions") == summary.agents
    assert sort_groups(found.models, "executions") == summary.models
    assert found.unpriced_models == ["gpt-9"]


@every_span
def test_the_time_series_adds_up(span: Span, database: Database, history: list[ExecutionMetrics]) -> None:
    """The buckets are whole minutes or hours, the last one is the current one, and every execution is in one bucket."""
    series = read_snapshot(database, span, NOON_US).time_series
    first_us = (NOON_US // series.step_us - len(series.buckets) + 1) * series.step_us
    with database.read() as connection:
        whole = queries.totals(connection, Filter(Window(first_us, NOON_US)))
    assert sum(series.buckets, Totals()) == whole
    assert 0 < first_us - (WINDOWS[span].start_us or 0) <= series.step_us
    for index, bucket in enumerate(series.buckets[:-1]):
        start_us = first_us + index * series.step_us
        inside = [record for record in history if start_us <= record.timestamp_us < start_us + series.step_us]
        assert bucket.executions == len(inside)


def test_the_last_executions_are_the_newest_first(database: Database, history: list[ExecutionMetrics]) -> None:
    """Executions of the same instant are sorted by uid."""
    newest = sorted(history, key=lambda record: (record.timestamp_us, record.uid), reverse=True)
    assert read_snapshot(database, "1h", NOON_US).recent == newest[:RECENT_LIMIT]
    with database.read() as connection:
        assert queries.newest(connection, database, 3) == newest[:3]


def test_only_stored_firing_alerts_are_read(database: Database, store: Store) -> None:
    """No rule is evaluated. Alerts in any other state are left out."""
    alert = AlertRow("f", "success-rate", "{}", "critical", "firing", "BEGAN", NOON_US - 1, NOON_US)
    others = [replace(alert, fingerprint=state, state=state) for state in ("ok", "pending", "resolved", "no data")]
    with database.write() as connection:
        alert_writes.save_alerts(connection, [alert, *others])
    assert read_snapshot(database, "24h", NOON_US).firing == [alert]


def test_an_empty_store_reads_as_empty(database: Database) -> None:
    """There is no error, no range and no group."""
    found = read_snapshot(database, "24h", NOON_US)
    assert (found.stored_range, found.agents, found.models, found.recent) == (None, [], [], [])
    assert found.periods["7d"].totals == Totals()


def test_a_server_without_tables_is_refused(bare_url: str) -> None:
    """The error names the command that makes them."""
    with closing(open_database(bare_url)) as database, pytest.raises(DatabaseMissing, match="db upgrade"):
        read_snapshot(database, "24h", NOON_US)


def test_no_window_begins_before_the_epoch() -> None:
    """This is what a machine has whose clock was never set."""
    assert window_of("7d", HOUR_US).start_us == 0
