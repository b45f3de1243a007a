"""The rows of `executions_v1` that a filter matches: the columns of the view, and behind them what its dollars and
seconds are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from claude_force.database.contract import Database
from claude_force.database.queries.executions import PAGE
from claude_force.database.queries.filter import Filter, rows_from
from claude_force.database.views.definition import Dialect, integer
from claude_force.database.views.executions import EXECUTIONS, RECORDED_COST, named
from claude_force.time_windows import Window

EXACT_EXECUTIONS = (
    *EXECUTIONS.columns,
    integer("duration_us", "how long it took, in microseconds", "executions.duration_us"),
    integer("cost_nanousd", "the cost in nano-dollars: sums of it are exact", "executions.cost_nanousd"),
    integer("reference_cost_nanousd", "the same of the reference cost", "executions.reference_cost_nanousd"),
    integer("recorded_cost_nanousd", "the same of the recorded cost", RECORDED_COST),
)
"""The columns of the rows."""

_AT = [column.name for column in EXACT_EXECUTIONS].index("timestamp_us")


def iterate_exact(database: Database, filters: Filter) -> Iterator[tuple[Any, ...]]:
    """Every matching execution, oldest first, in constant memory, with the values of EXACT_EXECUTIONS as the engine has
    them. Each page is a snapshot of its own, as in `queries.iterate_rows`."""
    dialect = Dialect("sqlite" if database.dialect == "sqlite" else "postgresql")
    columns = ", ".join(f"{column.sql(dialect)} AS {column.name}" for column in EXACT_EXECUTIONS)
    # What is added meanwhile lies beyond what was known to be the last of a workflow.
    filters = replace(filters, reach=Window(filters.reach.start_us))
    position: dict[str, Any] = {}
    while True:
        after = ["(timestamp_us, executions.uid) > (:after_us, :after_uid)"] if position else []
        tables, condition, parameters = rows_from(filters, filters.has_labels, *after)
        # The names of a filter would have two meanings where `projects` is joined.
        page = f"SELECT executions.uid FROM {tables}{condition} ORDER BY timestamp_us, executions.uid LIMIT {PAGE}"
        with database.read() as connection:
            rows = connection.fetch(
                f"SELECT {columns}, executions.uid {named('executions')} AND executions.uid IN ({page}) "
                "ORDER BY executions.timestamp_us, executions.uid",
                parameters | position,
            )
        for *values, _ in rows:
            yield tuple(values)
        if len(rows) < PAGE:
            return
        position = {"after_us": rows[-1][_AT], "after_uid": rows[-1][-1]}
