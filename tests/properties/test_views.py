"""Truth about the views: DuckDB computes them from exported executions by itself, and the reports agree with them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.analytics.runs import runs
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.database.rows.telemetry import HeadlessRun
from claude_force.database.views import VIEWS
from claude_force.database.writes.telemetry import add_headless_run
from claude_force.executions.jsonl.codec import encode_line
from claude_force.executions.record import ExecutionMetrics
from tests.builders import NOON_US
from tests.profiles import scaled
from tests.properties.strategies import on_both_engines, records, refill
from tests.properties.test_run_oracle import near
from tests.properties.test_runs import histories

both_engines = settings(on_both_engines, max_examples=scaled(15))

Rows = list[dict[str, Any]]

_LOAD = """
CREATE TABLE executions AS SELECT
    json ->> 'uid' AS uid, epoch_us((json ->> 'timestamp')::TIMESTAMPTZ) AS timestamp_us,
    json ->> 'agent_name' AS agent, json ->> 'model' AS model, json ->> 'project' AS folder,
    json ->> 'source' AS source, json ->> 'host' AS host, json ->> 'git_branch' AS branch,
    json ->> 'user' AS user_name,
    coalesce(json ->> 'session_id', json ->> 'workflow_id') AS session,
    coalesce(json ->> 'run_id', json ->> 'workflow_id', json ->> 'session_id', json ->> 'uid') AS run,
    json ->> 'workflow_id' AS workflow, (json ->> 'workflow_position')::BIGINT AS workflow_position,
    json ->> 'task_hash' AS task_hash, (json ->> 'success')::BOOLEAN AS success, json ->> 'error_type' AS error_type,
    (json ->> 'execution_time_ms')::DOUBLE AS took_ms,
    (json ->> 'input_tokens')::BIGINT AS input_tokens, (json ->> 'output_tokens')::BIGINT AS output_tokens,
    (json ->> 'cache_read_tokens')::BIGINT AS cache_read_tokens,
    (json ->> 'cache_write_5m_tokens')::BIGINT AS cache_write_5m_tokens,
    (json ->> 'cache_write_1h_tokens')::BIGINT AS cache_write_1h_tokens,
    (json ->> 'total_tokens')::BIGINT AS total_tokens, (json ->> 'web_searches')::BIGINT AS web_searches,
    (json ->> 'estimated_cost')::DOUBLE AS cost, (json ->> 'reference_cost')::DOUBLE AS reference_cost,
    json ->> 'recorded_basis' AS recorded_basis,
    (json ->> 'recorded_cost')::DOUBLE AS recorded, json ->> 'price_version' AS price_version,
    json ->> 'usage_basis' AS usage_basis, json ->> 'service_tier' AS service_tier,
    json ->> 'inference_geo' AS inference_geo, json ->> 'provider' AS provider
FROM read_ndjson_objects($file);
"""

_EXECUTIONS = """
SELECT * EXCLUDE (took_ms, recorded, recorded_basis), took_ms / 1000 AS duration_seconds,
    CASE WHEN recorded_basis IS NULL THEN cost ELSE recorded END AS recorded_cost,
    strftime(make_timestamp(timestamp_us), '%Y-%m-%dT%H:%M:%S.%f+00:00') AS timestamp,
    strftime(make_timestamp(timestamp_us), '%Y-%m-%d') AS day
FROM executions ORDER BY uid
"""

_DAILY = """
SELECT strftime(make_timestamp(timestamp_us), '%Y-%m-%d') AS day, agent, model, folder, source,
    count(*) AS executions, count(*) FILTER (success) AS successful_executions,
    count(took_ms) AS timed_executions, coalesce(sum(took_ms), 0) / 1000 AS execution_seconds,
    sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens,
    sum(cache_read_tokens) AS cache_read_tokens, sum(cache_write_5m_tokens) AS cache_write_5m_tokens,
    sum(cache_write_1h_tokens) AS cache_write_1h_tokens,
    CASE WHEN count(input_tokens) > 0 THEN sum(input_tokens) + sum(output_tokens) + sum(cache_read_tokens)
        + sum(cache_write_5m_tokens) + sum(cache_write_1h_tokens) END AS total_tokens,
    sum(cost) AS cost, count(*) - count(cost) AS unpriced_executions,
    coalesce(sum(reference_cost) FILTER (cost IS NOT NULL), 0) AS reference_cost,
    coalesce(sum(cost) FILTER (reference_cost IS NOT NULL), 0) AS compared_cost,
    count(*) FILTER (usage_basis = 'provisional') AS provisional_executions
FROM executions GROUP BY ALL ORDER BY day, agent, model, folder NULLS FIRST, source
"""


def oracle(executions: Iterable[ExecutionMetrics], sql: str) -> Rows:
    """What DuckDB says about some executions."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file, duckdb.connect(config={"threads": 1}) as database:
        file.write(b"".join(encode_line(each, UTC) for each in executions) or b"\n")
        file.flush()
        database.execute(_LOAD.replace("$file", f"'{file.name}'"))
        found = database.execute(sql)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def view(database: Database, name: str, order: str = "1") -> Rows:
    """The rows of a view, the same from both engines: instants and days as text, JSON as values."""
    found = next(each for each in VIEWS if each.name == name)
    names = [column.name for column in found.columns]
    kinds = {column.name: column.kind for column in found.columns}
    with database.read() as connection:
        rows = connection.fetch(f"SELECT {', '.join(names)} FROM {name} ORDER BY {order}")
    return [{key: _plain(kinds[key], value) for key, value in zip(names, row, strict=True)} for row in rows]


def _plain(kind: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")
    if isinstance(value, date):
        return value.isoformat()
    if kind == "boolean":
        return bool(value)
    return json.loads(value) if kind == "json" and isinstance(value, str) else value


def assert_equal(found: Rows, expected: Rows) -> None:
    """Row by row; numbers but for the rounding of their last digit."""
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        for name, value in wanted.items():
            is_number = isinstance(row[name], float) or isinstance(value, float)
            assert near(row[name], value) if is_number else row[name] == value, name


@given(executions=st.lists(records(), max_size=8, unique_by=lambda record: record.uid))
@both_engines
def test_executions_are_those_of_the_export(database: Database, executions: list[ExecutionMetrics]) -> None:
    """Every field, to its limits."""
    refill(database, executions)
    assert_equal(view(database, "executions_v1"), oracle(executions, _EXECUTIONS))


@given(executions=st.lists(records(), max_size=12, unique_by=lambda record: record.uid))
@both_engines
def test_days_add_up(database: Database, executions: list[ExecutionMetrics]) -> None:
    """Every sum, of what is rolled up and of what is not."""
    executions = [replace(each, steps=None, recorded_basis=None) for each in executions]
    refill(database, executions)
    order = "day, agent, model, folder NULLS FIRST, source"
    if database.dialect == "postgresql":
        order = ", ".join(f'{name} COLLATE "C"' if name != "day" else name for name in order.split(", "))
        order = order.replace('folder NULLS FIRST COLLATE "C"', 'folder COLLATE "C" NULLS FIRST')
    assert_equal(view(database, "daily_v1", order), oracle(executions, _DAILY))


@given(executions=histories, told=st.one_of(st.none(), st.booleans()))
@both_engines
def test_runs_are_those_of_the_report(
    database: Database, executions: list[ExecutionMetrics], told: bool | None
) -> None:
    """`claude-force runs --json` says the same of every run, with steps, failures and outcomes of programs."""
    refill(database, executions)
    with database.write() as connection:
        connection.execute("DELETE FROM headless_runs")
        if told is not None:
            run = HeadlessRun("run", "one", None, None, None, NOON_US, 10**9, 1, int(told), *[None] * 3)
            add_headless_run(connection, run)
    report = runs(database, Filter(), "newest", zone=UTC).to_dict()["runs"]
    expected = {(row["session"], row["run"]): row for row in report}
    found = {(row["session"], row["run"]): row for row in view(database, "runs_v1")}
    assert found.keys() == expected.keys()
    for key, row in found.items():
        wanted = expected[key]
        assert row["cost"] == wanted["total_cost"]
        assert wanted | row == row | wanted
