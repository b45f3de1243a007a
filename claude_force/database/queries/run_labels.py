"""The labels of runs, and what the runs with a label used. See `executions.run_labels`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from claude_force.database.contract import Connection
from claude_force.database.queries.filter import Filter, among_names, of_labelled_run, rows_from, where, within
from claude_force.database.queries.run_parts import STEPS

_RUN = of_labelled_run("CASE WHEN run = '' THEN session ELSE run END")
"""SQL for the run of an execution with a label; for a run without an id it is its session."""

_TOKENS = (
    "CASE WHEN input_tokens IS NOT NULL THEN input_tokens + COALESCE(output_tokens, 0) + cache_read_tokens "
    "+ cache_write_5m_tokens + cache_write_1h_tokens END"
)

_COLUMNS = f"uid, {_RUN} AS run, cost_nanousd, {_TOKENS} AS tokens, 1 AS is_request"
_SHARES = (
    f"uid, {_RUN} AS run, CASE WHEN whole_nanousd IS NOT NULL THEN cost_nanousd END AS cost_nanousd, "
    f"{_TOKENS} AS tokens, 0 AS is_request"
)
"""What the steps of a model add to an execution, or take from it: see `executions.billed_steps`."""


class Used(NamedTuple):
    """What an execution of a run used; None if that is not known. Of chosen models only their steps count, also those
    of others' requests, which are no request of theirs."""

    run: str
    cost_nanousd: int | None
    tokens: int | None
    is_request: bool = True


def used_by_runs(connection: Connection, filters: Filter) -> Iterator[Used]:
    """What each execution used that a filter by labels matches, in no particular order."""
    tables, condition, parameters = rows_from(filters, False)
    sql = f"SELECT {_COLUMNS} FROM {tables}{condition}"
    if filters.models:
        tables, condition, _ = rows_from(filters, True, table=STEPS)
        both = f"({sql} UNION ALL SELECT {_SHARES} FROM {tables}{condition}) AS parts"
        # All parts of an execution are of one run. PostgreSQL sums bigint as numeric.
        sql = (
            "SELECT uid, MAX(run), CAST(SUM(cost_nanousd) AS BIGINT), CAST(SUM(tokens) AS BIGINT), MAX(is_request) "
            f"FROM {both} GROUP BY uid"
        )
    for _, run, cost, tokens, is_request in connection.stream(sql, parameters):
        yield Used(run, cost, tokens, bool(is_request))


def ended_runs(connection: Connection, filters: Filter) -> dict[str, bool]:
    """The runs of `claude-force run` with one of the labels of a filter that began in its period, and whether each was
    a success. Other names in the filter do not count."""
    among, labels = among_names("run_label", filters.run_labels)
    period, edges = within(filters.window, "started_us")
    rows = connection.fetch(
        f"SELECT run_id, success FROM headless_runs JOIN run_labels ON run = run_id AND session = run_id"
        f"{where([f'label {among}', *period])}",
        labels | edges,
    )
    return {run: bool(success) for run, success in rows}


def labels_of_runs(connection: Connection, runs: Collection[str]) -> dict[str, str]:
    """The labels of some runs of `claude-force run`, by run; those without one are left out."""
    if not runs:
        return {}
    named = {f"run_{index}": run for index, run in enumerate(runs)}
    rows = connection.fetch(
        f"SELECT run, label FROM run_labels WHERE session = run AND run IN ({', '.join(f':{name}' for name in named)})",
        named,
    )
    return dict(rows)


def sessions_with_label(connection: Connection, run: str) -> list[str]:
    """The sessions of a run with a label."""
    rows = connection.fetch("SELECT session FROM run_labels WHERE run = :run ORDER BY session", {"run": run})
    return [row[0] for row in rows]
