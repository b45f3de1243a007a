"""Nearest-rank percentiles of durations: exact where a period holds few executions, else from bins (see `rollup`). Of
archived executions there are bins alone, by days; at an edge a day is a point at its beginning."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from claude_force.clock import DAY_US
from claude_force.database import Connection, Row
from claude_force.query.archives import archived
from claude_force.query.cells import Union, parts_of
from claude_force.query.filter import LABELLED, OF_UNCOUNTED, UNCOUNTED, Dimension, Filter, rows_from, where
from claude_force.query.totals import totals
from claude_force.result import Percentiles
from claude_force.rollup import ALL_SERIES, ARCHIVED, DAY, EACH_SERIES, Parts, bins_of, nearest_ranks

EXACT_LIMIT = 10_000
"""Percentiles over a period of at most so many executions are exact."""

PERCENTS = (50, 95, 99)


def percentiles(connection: Connection, chosen: Filter, within: int | None = None) -> tuple[Percentiles, bool]:
    """The nearest-rank percentiles over all chosen executions that were timed, and whether they are exact; otherwise
    each is at most 1 % away. `within` is how many executions the period has in all, where that was counted already."""
    found, is_exact = _percentiles(connection, chosen, (), within)
    return found.get(None, Percentiles()), is_exact


def percentiles_by(
    connection: Connection, chosen: Filter, dimension: Dimension
) -> tuple[dict[str | None, Percentiles], bool]:
    """The nearest-rank percentiles by each name, and whether they are exact; a name none of whose executions was timed
    is left out."""
    return _percentiles(connection, chosen, (dimension,), None)


def durations_by(connection: Connection, chosen: Filter, *dimensions: Dimension) -> dict[str | None, Counter[int]]:
    """How many of the chosen executions have a duration in each bin (see `rollup.bin_of`), by the names of a dimension;
    without one it is all of them, under None."""
    name = LABELLED[dimensions[0]] if dimensions else "NULL"
    return _bins(connection, chosen, parts_of(connection, chosen, DAY, *dimensions), name)


def _percentiles(
    connection: Connection, chosen: Filter, dimensions: tuple[Dimension, ...], within: int | None
) -> tuple[dict[str | None, Percentiles], bool]:
    name = LABELLED[dimensions[0]] if dimensions else "NULL"
    parts = parts_of(connection, chosen, DAY, *dimensions)
    is_short = not parts.buckets or _within(connection, chosen, within) <= EXACT_LIMIT
    if is_short and not (parts.archived.end_us and archived(connection, Filter(chosen.window)).executions):
        return _exact_percentiles(connection, chosen, name), True
    bins = _bins(connection, chosen, parts, name)
    return {group: Percentiles(*nearest_ranks(counts, PERCENTS)) for group, counts in bins.items()}, False


def _within(connection: Connection, chosen: Filter, known: int | None) -> int:
    return totals(connection, Filter(chosen.window)).executions if known is None else known


def _exact_percentiles(connection: Connection, chosen: Filter, name: str) -> dict[str | None, Percentiles]:
    """Nearest rank: the smallest duration such that at least p percent of the group is not above it, whose rank is
    p * n / 100 rounded up."""
    tables, condition, parameters = rows_from(chosen, name != "NULL", "duration_us IS NOT NULL")
    ranks = ", ".join(f"MAX(CASE WHEN place = (size * {p} + 99) / 100 THEN duration_us END)" for p in PERCENTS)
    rows = connection.fetch(
        f"""
        SELECT name, {ranks}
        FROM (
            SELECT {name} AS name, duration_us,
                ROW_NUMBER() OVER (PARTITION BY {name} ORDER BY duration_us) AS place,
                COUNT(*) OVER (PARTITION BY {name}) AS size
            FROM {tables}{condition}
        ) AS ranked
        GROUP BY name
        """,
        parameters,
    )
    return {row[0]: Percentiles(*row[1:]) for row in rows}


def _bins(connection: Connection, chosen: Filter, parts: Parts, name: str) -> dict[str | None, Counter[int]]:
    """How many executions have a duration in each bin, by name."""
    found: dict[str | None, Counter[int]] = {}
    for group, number, count in _binned(connection, chosen, parts, name):
        found.setdefault(group, Counter())[number] += int(count)
    for group, durations in _durations(connection, chosen, parts, name).items():
        found.setdefault(group, Counter()).update(bins_of(durations))
    return found


def _binned(connection: Connection, chosen: Filter, parts: Parts, name: str) -> list[Row]:
    """Name, bin and how many executions, of those that are counted in bins."""
    by_series = name != "NULL" or chosen.has_labels
    union = Union()
    for level, first, end in parts.buckets:
        union.add(
            "SELECT series_id, bin, executions FROM rollup_durations "
            f"WHERE scope = {EACH_SERIES if by_series else ALL_SERIES} AND level = {level} "
            "AND bucket >= :first AND bucket < :end",
            {"first": first, "end": end},
        )
    for first, end in parts.points(DAY_US):
        union.add(
            f"SELECT series_id, bin, executions FROM rollup_durations WHERE scope = {EACH_SERIES} "
            f"AND level = {ARCHIVED} AND bucket >= :first AND bucket < :end",
            {"first": first, "end": end},
        )
    if not union.selects:
        return []
    conditions, named = chosen.conditions()
    return connection.fetch(
        f"SELECT {name}, bin, SUM(executions) FROM ({union.sql}) AS binned"
        f"{' JOIN series USING (series_id)' if by_series else ''}{where(conditions)} GROUP BY 1, 2",
        union.parameters | named,
    )


def _durations(connection: Connection, chosen: Filter, parts: Parts, name: str) -> dict[str | None, list[int]]:
    """The durations, by name, of the rows that the bins do not count."""
    found: dict[str | None, list[int]] = {}
    for window, is_uncounted in (*((edge, False) for edge in parts.edges), (parts.inside, True)):
        tables, condition, parameters = rows_from(
            replace(chosen, window=window), name != "NULL", "duration_us IS NOT NULL"
        )
        if is_uncounted:
            tables, condition = tables.replace("executions", UNCOUNTED), f"{condition} AND {OF_UNCOUNTED}"
        for group, duration_us in connection.fetch(f"SELECT {name}, duration_us FROM {tables}{condition}", parameters):
            found.setdefault(group, []).append(duration_us)
    return found
