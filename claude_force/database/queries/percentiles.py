"""Nearest-rank percentiles of durations: exact where a period holds few executions, else from bins (see `rollup`). Of
archived executions there are bins alone, by days; at an edge a day is a point at its beginning."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection, Row
from claude_force.database.queries.aggregates import UnionQuery, plan_of
from claude_force.database.queries.archives import archived
from claude_force.database.queries.filter import IS_PENDING, LABELLED, PENDING, Dimension, Filter, rows_from, where
from claude_force.database.queries.totals import totals
from claude_force.executions.histogram import bins_of, nearest_ranks
from claude_force.executions.rollups import ALL_SERIES, ARCHIVED, DAY, EACH_SERIES, RollupPlan
from claude_force.executions.totals import Percentiles

EXACT_LIMIT = 10_000
"""Percentiles over a period of at most so many executions are exact."""

PERCENTS = (50, 95, 99)

Names = tuple[Any, ...]
"""The names of a group, one for each dimension; None for one that it does not have."""


def percentiles(connection: Connection, chosen: Filter, within: int | None = None) -> tuple[Percentiles, bool]:
    """The nearest-rank percentiles over all chosen executions that were timed, and whether they are exact; otherwise
    each is at most 1 % away. `within` is how many executions the period has in all, where that was counted already."""
    found, is_exact = _percentiles(connection, chosen, (), within)
    return found.get((), Percentiles()), is_exact


def percentiles_by(
    connection: Connection, chosen: Filter, dimension: Dimension
) -> tuple[dict[str | None, Percentiles], bool]:
    """The nearest-rank percentiles by each name, and whether they are exact; a name none of whose executions was timed
    is left out."""
    found, is_exact = _percentiles(connection, chosen, (dimension,), None)
    return {names[0]: ranks for names, ranks in found.items()}, is_exact


def durations_by(connection: Connection, chosen: Filter, *dimensions: Dimension) -> dict[Names, Counter[int]]:
    """How many of the chosen executions have a duration in each bin (see `rollup.bin_of`), by each combination of names
    that occurs. Without a dimension it is all of them, under the empty combination."""
    return _bins(connection, chosen, plan_of(connection, chosen, DAY, *dimensions), dimensions)


def _percentiles(
    connection: Connection, chosen: Filter, dimensions: tuple[Dimension, ...], within: int | None
) -> tuple[dict[Names, Percentiles], bool]:
    plan = plan_of(connection, chosen, DAY, *dimensions)
    is_short = not plan.buckets or _within(connection, chosen, within) <= EXACT_LIMIT
    if is_short and not (plan.archived.end_us and archived(connection, Filter(chosen.window)).executions):
        return _exact_percentiles(connection, chosen, dimensions), True
    bins = _bins(connection, chosen, plan, dimensions)
    return {group: Percentiles(*nearest_ranks(counts, PERCENTS)) for group, counts in bins.items()}, False


def _within(connection: Connection, chosen: Filter, known: int | None) -> int:
    return totals(connection, Filter(chosen.window)).executions if known is None else known


def _exact_percentiles(
    connection: Connection, chosen: Filter, dimensions: tuple[Dimension, ...]
) -> dict[Names, Percentiles]:
    """Nearest rank: the smallest duration such that at least p percent of the group is not above it, whose rank is
    p * n / 100 rounded up."""
    tables, condition, parameters = rows_from(chosen, bool(dimensions), "duration_us IS NOT NULL")
    ranks = ", ".join(f"MAX(CASE WHEN place = (size * {p} + 99) / 100 THEN duration_us END)" for p in PERCENTS)
    labels = [LABELLED[dimension] for dimension in dimensions]
    group = f"PARTITION BY {', '.join(labels)} " if labels else ""
    places = ", ".join(f"name_{index}" for index in range(len(labels)))
    rows = connection.fetch(
        f"""
        SELECT {f"{places}, " if labels else ""}{ranks}
        FROM (
            SELECT {"".join(f"{label} AS name_{index}, " for index, label in enumerate(labels))}duration_us,
                ROW_NUMBER() OVER ({group}ORDER BY duration_us) AS place,
                COUNT(*) OVER ({group}) AS size
            FROM {tables}{condition}
        ) AS ranked
        {f"GROUP BY {places}" if labels else ""}
        """,
        parameters,
    )
    return {tuple(row[: len(labels)]): Percentiles(*row[len(labels) :]) for row in rows}


def _bins(
    connection: Connection, chosen: Filter, plan: RollupPlan, dimensions: tuple[Dimension, ...]
) -> dict[Names, Counter[int]]:
    """How many executions have a duration in each bin, by names."""
    found: dict[Names, Counter[int]] = {}
    for *group, number, count in _binned(connection, chosen, plan, dimensions):
        found.setdefault(tuple(group), Counter())[number] += int(count)
    for names, durations in _durations(connection, chosen, plan, dimensions).items():
        found.setdefault(names, Counter()).update(bins_of(durations))
    return found


def _binned(connection: Connection, chosen: Filter, plan: RollupPlan, dimensions: tuple[Dimension, ...]) -> list[Row]:
    """Names, bin and how many executions, of those that are counted in bins."""
    by_series = bool(dimensions) or chosen.has_labels
    union = UnionQuery()
    for level, first, end in plan.buckets:
        union.add(
            "SELECT series_id, bin, executions FROM rollup_durations "
            f"WHERE scope = {EACH_SERIES if by_series else ALL_SERIES} AND level = {level} "
            "AND bucket >= :first AND bucket < :end",
            {"first": first, "end": end},
        )
    for first, end in plan.points(DAY_US):
        union.add(
            f"SELECT series_id, bin, executions FROM rollup_durations WHERE scope = {EACH_SERIES} "
            f"AND level = {ARCHIVED} AND bucket >= :first AND bucket < :end",
            {"first": first, "end": end},
        )
    if not union.selects:
        return []
    conditions, named = chosen.conditions()
    keys = ", ".join([*(LABELLED[dimension] for dimension in dimensions), "bin"])
    return connection.fetch(
        f"SELECT {keys}, SUM(executions) FROM ({union.sql}) AS binned"
        f"{' JOIN series USING (series_id)' if by_series else ''}{where(conditions)} GROUP BY {keys}",
        union.parameters | named,
    )


def _durations(
    connection: Connection, chosen: Filter, plan: RollupPlan, dimensions: tuple[Dimension, ...]
) -> dict[Names, list[int]]:
    """The durations, by names, of the rows that the bins do not count."""
    found: dict[Names, list[int]] = {}
    columns = ", ".join([*(LABELLED[dimension] for dimension in dimensions), "duration_us"])
    for window, is_pending in (*((edge, False) for edge in plan.edges), (plan.inside, True)):
        tables, condition, parameters = rows_from(
            replace(chosen, window=window), bool(dimensions), "duration_us IS NOT NULL"
        )
        if is_pending:
            tables, condition = tables.replace("executions", PENDING), f"{condition} AND {IS_PENDING}"
        for *group, duration_us in connection.fetch(f"SELECT {columns} FROM {tables}{condition}", parameters):
            found.setdefault(tuple(group), []).append(duration_us)
    return found
