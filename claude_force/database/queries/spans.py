"""When the executions of workflows, sessions, branches, hosts and users were, without reading the executions.

Of whole days it is in `rollup_spans`; at the edges of a period, and for executions that are not rolled up yet, in the
rows. Spans know no agents, models, projects and sources: with a filter on these, rows are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection
from claude_force.database.queries.aggregates import UnionQuery, is_known_to_rollups, plan_of_period, rows_only
from claude_force.database.queries.archives import archived
from claude_force.database.queries.filter import (
    IS_OF_SERIES,
    IS_PENDING,
    NAME_SQL,
    PENDING,
    ROW_NAMES,
    SERIES,
    Dimension,
    Filter,
    Names,
    among_names,
    is_of_labelled,
    where,
)
from claude_force.executions.rollups import DAY
from claude_force.executions.totals import TimeRange
from claude_force.time_windows import Window

_NAMES = ", ".join(f"NULLIF({name}, '') AS {name}" for name in ROW_NAMES)
SPANS = f"(SELECT day, {_NAMES}, first_us, last_us FROM rollup_spans) AS spans"
"""FROM for the spans, with the names as executions have them."""


class Ranges(NamedTuple):
    """The first and last execution of some names, and how many names there are. The name None is for executions without
    one."""

    by_name: dict[str | None, TimeRange]
    names: int


class Grouping(NamedTuple):
    """By which dimensions executions are grouped, and the names that all of them have in the other ones."""

    dimensions: tuple[Dimension, ...]
    shared: Mapping[Dimension, str | None]

    def names(self, found: Names, asked: tuple[Dimension, ...]) -> Names:
        """The names of a group in the dimensions that were asked for."""
        known = {**self.shared, **dict(zip(self.dimensions, found, strict=True))}
        return tuple(known[dimension] for dimension in asked)


def with_reach(connection: Connection, filters: Filter) -> Filter:
    """The filter that knows in which period the executions of its names lie that only rows have, so that only this is
    read."""
    if not filters.has_rows_only:
        return filters
    conditions, named = filters.conditions(*ROW_NAMES)
    labelled = _labelled(connection, filters)
    if labelled is not None:
        conditions.append(is_of_labelled(labelled.among))
        named |= labelled.parameters
    first_us, last_us = connection.fetch(
        f"SELECT MIN(first_us), MAX(last_us) FROM (SELECT first_us, last_us FROM {SPANS}{where(conditions)} "
        f"UNION ALL SELECT timestamp_us, timestamp_us FROM {PENDING}{where([IS_PENDING, *conditions])}) AS found",
        named,
    )[0]
    if labelled is not None and first_us is not None:
        first_us, last_us = max(first_us, labelled.since_us), min(last_us, labelled.until_us)
    return replace(filters, reach=Window(0, 0) if first_us is None else Window(first_us, max(first_us, last_us + 1)))


class _Labelled(NamedTuple):
    """The labels of a filter as SQL, and when the runs with one of them were."""

    among: str
    parameters: dict[str, str]
    since_us: int
    until_us: int


def _labelled(connection: Connection, filters: Filter) -> _Labelled | None:
    """None if the filter has no labels, or no run has one of them."""
    if not filters.run_labels:
        return None
    among, parameters = among_names("run_label", filters.run_labels)
    since_us, until_us = connection.fetch(
        f"SELECT MIN(since_us), MAX(until_us) FROM run_labels WHERE label {among}", parameters
    )[0]
    return None if since_us is None else _Labelled(among, parameters, since_us, until_us)


def time_ranges_by(connection: Connection, filters: Filter, dimension: Dimension) -> dict[str | None, TimeRange]:
    """The first and the last matching execution of each name in a dimension that only rows have."""
    spans = _spans(connection, filters, dimension)
    return {name: TimeRange(*found) for name, *found in connection.fetch(spans.sql, spans.parameters)}


def ranges_in_time(
    connection: Connection, filters: Filter, dimension: Dimension, limit: int, *, is_ascending: bool
) -> Ranges:
    """`time_ranges_by` of the `limit` names that began last (or first), and of those that began with the last of them;
    also of the name None."""
    spans = _spans(connection, filters, dimension)
    last, beyond = ("MAX", "<=") if is_ascending else ("MIN", ">=")
    rows = connection.fetch(
        f"WITH ranges (name, first_us, last_us) AS ({spans.sql}) "
        "SELECT name, first_us, last_us, (SELECT COUNT(*) FROM ranges) FROM ranges "
        f"WHERE name IS NULL OR first_us {beyond} (SELECT {last}(first_us) FROM (SELECT first_us FROM ranges "
        f"WHERE name IS NOT NULL ORDER BY first_us {'ASC' if is_ascending else 'DESC'} LIMIT :most) AS chosen)",
        spans.parameters | {"most": limit},
    )
    return Ranges({row[0]: TimeRange(row[1], row[2]) for row in rows}, int(rows[0][3]) if rows else 0)


def grouping_of(connection: Connection, filters: Filter, dimensions: tuple[Dimension, ...]) -> Grouping:
    """What has to be grouped by, if roll-ups can answer for the rest: most executions of programs have no names, those
    of a laptop have one host and one user, and to group them by it would read every row. Of archived executions, which
    roll-ups contain too, no names are known."""
    if not is_known_to_rollups(filters) or is_known_to_rollups(filters, *dimensions):
        return Grouping(dimensions, {})
    found = {each: _some_names(connection, filters.window, each) for each in dimensions if each in ROW_NAMES}
    shared = {each: next(iter(names), None) for each, names in found.items() if len(names) < 2}
    if shared and archived(connection, Filter(filters.window)).executions:
        return Grouping(dimensions, {})
    return Grouping(tuple(each for each in dimensions if each not in shared), shared)


def _spans(connection: Connection, filters: Filter, dimension: Dimension) -> UnionQuery:
    """Name, first and last instant of each name."""
    period, name = filters.searched, NAME_SQL[dimension]
    plan = (
        rows_only(period) if filters.has_labels or filters.run_labels else plan_of_period(connection, period, DAY, DAY)
    )
    names, named = filters.conditions(*ROW_NAMES)
    union = UnionQuery(parameters=dict(named))
    for _, first, end in plan.buckets:
        days = f"day >= {union.bind(first)} AND day < {union.bind(end)}"
        union.selects.append(f"SELECT {name} AS name, first_us, last_us FROM {SPANS}{where([days, *names])}")
        _add_rows(union, filters, plan.inside, name, is_pending=True)
    for edge in plan.edges:
        _add_rows(union, filters, edge, name)
    union.selects = [f"SELECT name, MIN(first_us), MAX(last_us) FROM ({union.sql}) AS spans GROUP BY name"]
    return union


def _add_rows(union: UnionQuery, filters: Filter, window: Window, name: str, *, is_pending: bool = False) -> None:
    """Add the executions in a window, each as a span of its own."""
    names, named = filters.conditions()
    union.parameters |= named
    joined = [IS_OF_SERIES] if filters.has_labels else []
    conditions = [*([IS_PENDING] if is_pending else []), *joined, *union.within(window), *names]
    union.selects.append(
        f"SELECT {name} AS name, timestamp_us AS first_us, timestamp_us AS last_us "
        f"FROM {PENDING if is_pending else 'executions'}{SERIES if joined else ''}{where(conditions)}"
    )


def _some_names(connection: Connection, window: Window, dimension: Dimension) -> set[str | None]:
    """The names, two at most, of executions that are pending, or in the days of a period; None for having none."""
    name = NAME_SQL[dimension]
    edges = (("day >= :first", window.start_us), ("day <= :last", window.end_us))
    days = [condition for condition, edge in edges if edge is not None]
    parameters = {condition.split(":")[1]: edge // DAY_US for condition, edge in edges if edge is not None}
    rows = connection.fetch(
        f"SELECT {name} FROM {SPANS}{where(days)} UNION SELECT {name} FROM {PENDING} WHERE {IS_PENDING} LIMIT 2",
        parameters,
    )
    return {row[0] for row in rows}
