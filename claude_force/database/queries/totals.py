"""Sums over a period, as a whole and by names."""

from __future__ import annotations

from claude_force.database.contract import Connection
from claude_force.database.queries.aggregates import SUMS, plan_with_seats, select_aggregates, totals_of
from claude_force.database.queries.filter import (
    NAME_SQL,
    ROW_NAMES,
    SERIES_NAMES,
    Dimension,
    Filter,
    where,
)
from claude_force.database.queries.spans import grouping_of
from claude_force.executions.rollups import ALL_SERIES, EACH_SERIES, HOUR
from claude_force.executions.totals import Totals


def totals(connection: Connection, filters: Filter) -> Totals:
    """The sums over all executions that match."""
    return totals_by(connection, filters)[()]


def totals_by(connection: Connection, filters: Filter, *dimensions: Dimension) -> dict[tuple[str | None, ...], Totals]:
    """The sums by each combination of names that occurs; None is the name of executions that have none. Without a
    dimension there is one sum, under the empty tuple."""
    grouping = grouping_of(connection, filters, dimensions)
    if grouping.shared:
        sums = totals_by(connection, filters, *grouping.dimensions)
        return {grouping.names(names, dimensions): found for names, found in sums.items() if found != Totals()}
    plan = plan_with_seats(connection, filters, HOUR, *dimensions)
    by_series = filters.has_labels or any(dimension in SERIES_NAMES for dimension in dimensions)
    columns = {name: f"{NAME_SQL[name]} AS {name}" for name in dimensions if name in ROW_NAMES}
    aggregates = select_aggregates(filters, plan, EACH_SERIES if by_series else ALL_SERIES, tuple(columns.values()))
    conditions, parameters = filters.conditions(*SERIES_NAMES)
    names = "".join(f"{name if name in columns else NAME_SQL[name]}, " for name in dimensions)
    rows = connection.fetch(
        f"SELECT {names}{SUMS} FROM ({aggregates.sql}) AS aggregates"
        f"{' JOIN series USING (series_id)' if by_series else ''}{where(conditions)}{_group_by(len(dimensions))}",
        aggregates.parameters | parameters,
    )
    sums = {tuple(row[: len(dimensions)]): totals_of(row[len(dimensions) :]) for row in rows}
    return filters.merge_projects(dimensions, sums)


def _group_by(columns: int) -> str:
    return f" GROUP BY {', '.join(str(index + 1) for index in range(columns))}" if columns else ""
