"""Truth about runs: DuckDB computes them from exported executions by itself, and shares no code with the package."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC
from typing import Any, get_args

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.analytics.run_outcomes import RunsBy, run_outcomes
from claude_force.analytics.runs import runs
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Filter
from claude_force.executions.jsonl.codec import encode_line
from claude_force.executions.projects import ProjectNames
from claude_force.executions.record import ExecutionMetrics
from tests.profiles import scaled
from tests.properties.strategies import on_both_engines, refill
from tests.properties.test_runs import RENAMED, histories

both_engines = settings(on_both_engines, max_examples=scaled(10))

_PARTS = """
CREATE TABLE requests AS SELECT
    json ->> 'uid' AS uid, epoch_us((json ->> 'timestamp')::TIMESTAMPTZ) AS at_us,
    round_even((json ->> 'execution_time_ms')::DOUBLE * 1000, 0)::BIGINT AS took_us,
    coalesce(json ->> 'session_id', json ->> 'workflow_id') AS session,
    coalesce(json ->> 'run_id', json ->> 'workflow_id', json ->> 'session_id', json ->> 'uid') AS run,
    json ->> 'agent_name' AS agent, json ->> 'workflow_id' AS workflow, json ->> 'model' AS model,
    CASE WHEN json ->> 'project' LIKE '/work/%' THEN 'shop' ELSE json ->> 'project' END AS project,
    (json ->> 'success')::BOOLEAN AS ok, json ->> 'error_type' AS error,
    round_even((json ->> 'estimated_cost')::DOUBLE * 1e9, 0)::BIGINT AS whole, json ->> 'steps' AS steps
FROM read_ndjson_objects($file);
CREATE TABLE parts AS
    SELECT *, 1 AS requests, CASE WHEN steps IS NULL THEN coalesce(whole, 0) ELSE 0 END AS cost FROM requests
UNION ALL
    SELECT * EXCLUDE (step) REPLACE (step ->> 'model' AS model), 0,
        coalesce(round_even((step ->> 'cost')::DOUBLE * 1e9, 0)::BIGINT, 0)
    FROM (SELECT *, unnest(from_json(steps, '["JSON"]')) AS step FROM requests WHERE steps IS NOT NULL)
    AS stepped (uid, at_us, took_us, session, run, agent, workflow, model, project, ok, error, whole, steps, step)
"""

_RUNS = """
CREATE OR REPLACE TABLE runs AS SELECT *, CASE last
        WHEN 4 THEN 'success' WHEN 3 THEN 'failed' WHEN 2 THEN 'refused' ELSE 'unknown' END AS outcome
FROM (
    SELECT name, session, run, sum(requests) AS requests, sum(cost) AS cost,
        count(whole) FILTER (requests = 1) AS priced,
        coalesce(sum(cost) FILTER (NOT ok), 0) AS failed, min(began) AS began, max(ended) AS ended,
        count(took_us) FILTER (requests = 1) AS timed,
        max(rank) FILTER (ended = last_end AND requests = 1) AS last
    FROM (
        SELECT *, max(ended) OVER (PARTITION BY name, session, run) AS last_end FROM (
            SELECT *, {name} AS name, CASE WHEN requests = 1 THEN at_us END AS ended,
                CASE WHEN requests = 1 THEN at_us - coalesce(took_us, 0) END AS began,
                CASE WHEN ok THEN 4 WHEN error = 'refusal' THEN 2 WHEN error = 'unfinished' THEN 1 ELSE 3 END AS rank
            FROM parts
        )
    ) GROUP BY name, session, run
)
"""

_SUMS = """
SELECT {name}count(*) FILTER (requests > 0) AS runs,
    count(*) FILTER (outcome = 'success') AS successful_runs,
    count(*) FILTER (outcome = 'failed') AS failed_runs,
    count(*) FILTER (outcome = 'refused') AS refused_runs,
    count(*) FILTER (outcome = 'unknown' AND requests > 0) AS unknown_runs,
    sum(requests) AS executions, sum(cost) AS cost, sum(priced) AS priced,
    coalesce(sum(cost) FILTER (outcome = 'failed'), 0) AS failed_cost,
    coalesce(sum(cost) FILTER (outcome = 'refused'), 0) AS refused_cost,
    coalesce(sum(failed) FILTER (outcome = 'success'), 0) AS retried_cost,
    coalesce(sum(cost) FILTER (outcome = 'unknown'), 0) AS unknown_outcome_cost,
    coalesce(sum(cost - failed) FILTER (outcome = 'success'), 0) AS useful_cost,
    avg(ended - began) FILTER (outcome = 'success' AND (timed > 0 OR ended > began)) / 1e6 AS seconds_per_success
FROM runs {group} HAVING sum(requests) > 0 OR sum(cost) <> 0
"""
_COUNTS = ("runs", "successful_runs", "failed_runs", "refused_runs", "unknown_runs", "executions")
_COSTS = ("failed_cost", "refused_cost", "retried_cost", "unknown_outcome_cost", "useful_cost")


class Oracle:
    """The runs of some executions."""

    def __init__(self, executions: list[ExecutionMetrics]) -> None:
        self._database = duckdb.connect(config={"threads": 1})
        with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
            file.write(b"".join(encode_line(each, UTC) for each in executions) or b"\n")
            file.flush()
            self._database.execute(_PARTS.replace("$file", f"'{file.name}'"))

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """What a query gives, by column name."""
        found = self._database.execute(sql)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def sums(self, by: str) -> list[dict[str, Any]]:
        """The sums over runs by a name."""
        self._database.execute(_RUNS.format(name=by))
        return self.rows(
            _SUMS.format(name="name, " if by != "NULL" else "", group="GROUP BY 1" if by != "NULL" else "")
        )


def assert_agree(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """The counts, and each part of the cost to the nano-dollar where it is known; None only where nothing is known."""
    assert {name: found[name] for name in _COUNTS} == {name: int(expected[name]) for name in _COUNTS}
    for name in _COSTS:
        cost = found[name]
        assert round((cost or 0) * 10**9) == expected[name]
        assert cost is not None or found["unpriced_executions"]
    assert found["unpriced_executions"] == expected["executions"] - expected["priced"]
    is_known = bool(expected["priced"] or expected["cost"])
    cost_per_success = expected["cost"] / expected["successful_runs"] if expected["successful_runs"] else None
    assert near(found["total_cost"], expected["cost"] if is_known else None, 10**9)
    assert near(found["cost_per_success"], cost_per_success if is_known else None, 10**9)
    assert near(found["seconds_per_success"], expected["seconds_per_success"])
    assert found["success_rate"] is None or found["runs"] - found["unknown_runs"] >= 10


def near(found: float | None, expected: Any, factor: int = 1) -> bool:
    """Equal but for the rounding of a division."""
    if found is None or expected is None:
        return found is expected
    return abs(found * factor - float(expected)) <= 1e-9 * max(1.0, abs(float(expected)))


@given(executions=histories, by=st.sampled_from(get_args(RunsBy)))
@both_engines
def test_cost_per_success_and_waste_are_true(
    database: Database, executions: list[ExecutionMetrics], by: RunsBy
) -> None:
    """Of unknown costs, retries, refusals, provisional usages, several steps and renamed projects."""
    refill(database, executions)
    oracle = Oracle(executions)
    found = run_outcomes(database, Filter(project_names=ProjectNames(RENAMED)), by).to_dict()
    expected = {row.pop("name"): row for row in oracle.sums(by)}
    rows = {row[by]: row for row in found[f"{by}s"]}
    assert rows.keys() == expected.keys()
    for name, row in rows.items():
        assert_agree(row, expected[name])
    for whole in oracle.sums("NULL"):
        assert_agree(found["totals"], whole)


@given(executions=histories)
@both_engines
def test_every_run_is_true(database: Database, executions: list[ExecutionMetrics]) -> None:
    """When it was, how long it took, what it cost, and how it ended."""
    refill(database, executions)
    oracle = Oracle(executions)
    oracle.sums("NULL")
    expected = {(row["session"], row["run"]): row for row in oracle.rows("SELECT * FROM runs")}
    with database.read() as connection:
        chosen = queries.with_projects(connection, replace(Filter(), project_names=ProjectNames(RENAMED)))
    report = runs(database, chosen, "newest", zone=UTC)
    assert report.count == len(expected)
    for run in report.runs:
        row = expected.pop((run.key.session, run.key.id))
        assert (run.outcome, run.totals.executions, run.totals.cost_nanousd, run.totals.priced) == (
            row["outcome"], row["requests"], row["cost"], row["priced"],
        )  # fmt: skip
        assert (run.began_us, run.last_us, run.failed.cost_nanousd) == (row["began"], row["ended"], row["failed"])
    assert not expected
