"""Nearest-rank percentiles of durations: exact for a period of few executions, else from the bins of
`executions.histogram`. Archived executions have bins only, by day; at an edge a day counts as a point at its start."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection, Row
from claude_force.database.queries.aggregates import SEAT_NAMES, UnionQuery, plan_of, plan_with_seats, rows_only
from claude_force.database.queries.archives import archived
from claude_force.database.queries.filter import (
    IS_PENDING,
    NAME_SQL,
    PENDING,
    SERIES_NAMES,
    Dimension,
    Filter,
    Names,
    rows_from,
    where,
)
from claude_force.database.queries.spans import grouping_of
from claude_force.database.queries.totals import totals
from claude_force.executions.histogram import bins_of, nearest_ranks
from claude_force.executions.rollups import ALL_SERIES, ARCHIVED, DAY, EACH_SERIES, RollupPlan
from claude_force.executions.totals import Percentiles

EXACT_LIMIT = 10_000
"""Percentiles over a period of at most so many executions are exact."""

PERCENTS = (50, 95, 99)

_IS_TIMED = "duration_us IS NOT NULL"
_BINS_OF_SEATS = (
    f"(SELECT {ALL_SERIES} AS scope, level, bucket, seat_id AS series_id, bin, executions FROM rollup_seat_durations) "
    "AS rollup_seat_durations"
)
_NAMES_OF_SEATS = f" JOIN (SELECT seat_id AS series_id, {SEAT_NAMES} FROM seats) AS seats USING (series_id)"


def percentiles(connection: Connection, filters: Filter, within: int | None = None) -> tuple[Percentiles, bool]:
    """The nearest-rank percentiles over all matching executions that were timed, and whether they are exact; otherwise
    each is at most 1 % off. `within` is the number of executions in the period, if the caller has counted them."""
    by_names, is_exact = _percentiles(connection, filters, (), within)
    return by_names.get((), Percentiles()), is_exact


def percentiles_by(
    connection: Connection, filters: Filter, dimension: Dimension
) -> tuple[dict[str | None, Percentiles], bool]:
    """The nearest-rank percentiles by name, and whether they are exact. A name without timed executions is left
    out. Where all executions have the same, or none, they are those of the whole period."""
    grouping = grouping_of(connection, filters, (dimension,))
    by_names, is_exact = _percentiles(connection, filters, grouping.dimensions, None)
    of_names = {grouping.names(names, (dimension,))[0]: ranks for names, ranks in by_names.items()}
    return {name: ranks for name, ranks in of_names.items() if ranks != Percentiles()}, is_exact


def durations_by(connection: Connection, filters: Filter, *dimensions: Dimension) -> dict[Names, Counter[int]]:
    """How many matching executions have a duration in each bin (see `histogram.bin_of`), by each combination of names
    that occurs. Without a dimension it is all of them, under the empty tuple."""
    return _bins(connection, filters, _plan_of(connection, filters, dimensions), dimensions)


def _percentiles(
    connection: Connection, filters: Filter, dimensions: tuple[Dimension, ...], within: int | None
) -> tuple[dict[Names, Percentiles], bool]:
    plan = _plan_of(connection, filters, dimensions)
    is_small = not plan.buckets or _within(connection, filters, within) <= EXACT_LIMIT
    if is_small and not (plan.archived.end_us and archived(connection, Filter(filters.window)).executions):
        has_merged = "project" in dimensions and filters.project_names.has_merged
        exact = _exact_percentiles_of_merged if has_merged else _exact_percentiles
        return exact(connection, filters, dimensions), True
    bins = _bins(connection, filters, plan, dimensions)
    return {names: Percentiles(*nearest_ranks(counts, PERCENTS)) for names, counts in bins.items()}, False


def _plan_of(connection: Connection, filters: Filter, dimensions: tuple[Dimension, ...]) -> RollupPlan:
    """How to answer. The bins of hosts and users are those of all series."""
    of_series = filters.has_labels or any(dimension in SERIES_NAMES for dimension in dimensions)
    return (plan_of if of_series else plan_with_seats)(connection, filters, DAY, *dimensions)


def _within(connection: Connection, filters: Filter, known: int | None) -> int:
    return totals(connection, Filter(filters.window)).executions if known is None else known


def _exact_percentiles(
    connection: Connection, filters: Filter, dimensions: tuple[Dimension, ...]
) -> dict[Names, Percentiles]:
    """Nearest rank: the smallest duration that at least p percent of the group do not exceed. Its rank is p * n / 100,
    rounded up."""
    tables, condition, parameters = rows_from(filters, bool(dimensions), _IS_TIMED)
    ranks = ", ".join(f"MAX(CASE WHEN place = (size * {p} + 99) / 100 THEN duration_us END)" for p in PERCENTS)
    labels = [NAME_SQL[dimension] for dimension in dimensions]
    group = f"PARTITION BY {', '.join(labels)} " if labels else ""
    names = ", ".join(f"name_{index}" for index in range(len(labels)))
    rows = connection.fetch(
        f"""
        SELECT {f"{names}, " if labels else ""}{ranks}
        FROM (
            SELECT {"".join(f"{label} AS name_{index}, " for index, label in enumerate(labels))}duration_us,
                ROW_NUMBER() OVER ({group}ORDER BY duration_us) AS place,
                COUNT(*) OVER ({group}) AS size
            FROM {tables}{condition}
        ) AS ranked
        {f"GROUP BY {names}" if labels else ""}
        """,
        parameters,
    )
    return {tuple(row[: len(labels)]): Percentiles(*row[len(labels) :]) for row in rows}


def _exact_percentiles_of_merged(
    connection: Connection, filters: Filter, dimensions: tuple[Dimension, ...]
) -> dict[Names, Percentiles]:
    """The same, ranked here: the database does not know which folders are one project."""
    rows = _durations_of_rows(connection, filters, rows_only(filters.searched), dimensions)
    durations = filters.merge_projects(dimensions, rows)
    return {
        names: Percentiles(*map(partial(_nearest_rank, sorted(found)), PERCENTS)) for names, found in durations.items()
    }


def _nearest_rank(ordered: list[int], percent: int) -> int:
    return ordered[(len(ordered) * percent + 99) // 100 - 1]


def _bins(
    connection: Connection, filters: Filter, plan: RollupPlan, dimensions: tuple[Dimension, ...]
) -> dict[Names, Counter[int]]:
    """How many executions have a duration in each bin, by names."""
    counts: dict[Names, Counter[int]] = {}
    for *names, number, count in _stored_bins(connection, filters, plan, dimensions):
        counts.setdefault(tuple(names), Counter())[number] += int(count)
    for group, durations in _durations_of_rows(connection, filters, plan, dimensions).items():
        counts.setdefault(group, Counter()).update(bins_of(durations))
    return filters.merge_projects(dimensions, counts)


def _stored_bins(
    connection: Connection, filters: Filter, plan: RollupPlan, dimensions: tuple[Dimension, ...]
) -> list[Row]:
    """Names, bin and count, from the roll-ups."""
    by_series = bool(dimensions) or filters.has_labels
    scope = EACH_SERIES if by_series and not plan.is_by_seat else ALL_SERIES
    source = _BINS_OF_SEATS if plan.is_by_seat else "rollup_durations"
    union = UnionQuery()
    spans = [(scope, *bucket) for bucket in plan.buckets]
    archives = [(EACH_SERIES, ARCHIVED, *span) for span in plan.archived_buckets(DAY_US)]
    for table_scope, level, first, end in (*spans, *archives):
        union.selects.append(
            f"SELECT series_id, bin, executions FROM {source} WHERE scope = {table_scope} "
            f"AND level = {level} AND {union.buckets(first, end)}"
        )
    if not union.selects:
        return []
    named_by = _NAMES_OF_SEATS if plan.is_by_seat else " JOIN series USING (series_id)" if by_series else ""
    conditions, named = filters.conditions()
    keys = ", ".join([*(NAME_SQL[dimension] for dimension in dimensions), "bin"])
    return connection.fetch(
        f"SELECT {keys}, SUM(executions) FROM ({union.sql}) AS binned{named_by}{where(conditions)} GROUP BY {keys}",
        union.parameters | named,
    )


def _durations_of_rows(
    connection: Connection, filters: Filter, plan: RollupPlan, dimensions: tuple[Dimension, ...]
) -> dict[Names, list[int]]:
    """The durations, by names, of the rows at the edges and of the pending ones inside."""
    durations: dict[Names, list[int]] = {}
    columns = ", ".join([*(NAME_SQL[dimension] for dimension in dimensions), "duration_us"])
    with_labels = bool(dimensions)
    queries = [rows_from(replace(filters, window=edge), with_labels, _IS_TIMED) for edge in plan.edges]
    inside = replace(filters, window=plan.inside)
    queries.append(rows_from(inside, with_labels, _IS_TIMED, IS_PENDING, table=PENDING))
    for tables, condition, parameters in queries:
        for *names, duration_us in connection.fetch(f"SELECT {columns} FROM {tables}{condition}", parameters):
            durations.setdefault(tuple(names), []).append(duration_us)
    return durations
