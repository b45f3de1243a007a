"""The executions by one dimension.

Workflows, sessions and branches have no roll-ups, so their sums are made of rows. A report on the last ones reads the
rows of these alone; one by another order sums up all rows, and reads the rest of the ones that it shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo
from typing import Literal

from claude_force import clock
from claude_force.analytics.groups import ALL_ROWS, RowChoice, SortKey, sort_groups, sum_groups
from claude_force.analytics.narrowing import narrowed
from claude_force.analytics.report_types import Breakdown
from claude_force.analytics.unpriced import unpriced_of
from claude_force.database import queries
from claude_force.database.contract import Connection
from claude_force.database.queries import Dimension, Filter
from claude_force.executions.totals import Group, Percentiles, TimeRange, Totals, WorkflowStart

BreakdownKey = Literal["newest"] | SortKey
"""An order of a breakdown; "newest" only for workflows, sessions and branches."""

_HAVE_STARTS: tuple[Dimension, ...] = ("workflow_id", "session_id")


def breakdown_of(
    connection: Connection,
    chosen: Filter,
    dimension: Dimension,
    sort_by: BreakdownKey,
    rows: RowChoice = ALL_ROWS,
    zone: tzinfo | None = None,
) -> Breakdown:
    """The breakdown of a filter whose names are whole (see `names.known_names`)."""
    if sort_by == "newest":
        ranges, count = _ranges_in_time(connection, chosen, dimension, rows)
        first = {name: ranges[name] for name in _in_time(ranges, rows)}
        return breakdown_in_order(connection, chosen, dimension, first, count, zone)
    if dimension in _HAVE_STARTS or dimension == "project":
        chosen = queries.with_projects(connection, chosen)
    sums = queries.totals_by(connection, chosen, dimension)
    groups = [Group(name, totals) for (name,), totals in sums.items()]
    shown = sort_groups(groups, sort_by, rows)
    names = [group.name for group in shown]
    parts = narrowed(connection, chosen, dimension, names) if len(names) < len(groups) else [chosen]
    return _described(connection, chosen, dimension, parts, shown, sum_groups(groups), len(groups), zone)


def breakdown_in_order(
    connection: Connection,
    chosen: Filter,
    dimension: Dimension,
    ranges: Mapping[str | None, TimeRange],
    count: int,
    zone: tzinfo | None,
) -> Breakdown:
    """The breakdown that shows some of `count` names, in their order, with the totals of all. `ranges` are the first
    and the last execution of each."""
    chosen, names = queries.with_projects(connection, chosen), list(ranges)
    parts = narrowed(connection, chosen, dimension, names, ranges) if len(names) < count else [chosen]
    sums = {name: found for part in parts for (name,), found in queries.totals_by(connection, part, dimension).items()}
    total = sum(sums.values(), Totals()) if parts[0] is chosen else queries.totals(connection, chosen)
    shown = [Group(name, sums[name]) for name in names]
    return _described(connection, chosen, dimension, parts, shown, total, count, zone)


def _ranges_in_time(
    connection: Connection, chosen: Filter, dimension: Dimension, rows: RowChoice
) -> tuple[dict[str | None, TimeRange], int]:
    """The first and the last execution of each name that a report shows which has the last ones first, and perhaps of
    others; and the number of all names."""
    if rows.limit is None or chosen.has_labels:
        ranges = time_ranges(connection, chosen, dimension)
        return ranges, len(ranges)
    found = queries.ranges_in_time(connection, chosen, dimension, rows.limit, is_ascending=bool(rows.is_ascending))
    return found.by_name, found.names


def time_ranges(connection: Connection, chosen: Filter, dimension: Dimension) -> dict[str | None, TimeRange]:
    """The first and the last execution of each name. A session in which the chosen models only took a step of other
    models' executions has the times of these."""
    found = queries.time_ranges_by(connection, chosen, dimension)
    if chosen.models:
        billed = {name for (name,) in queries.totals_by(connection, chosen, dimension)}
        if billed - found.keys():
            of_any_model = queries.time_ranges_by(connection, replace(chosen, models=()), dimension)
            found |= {name: of_any_model[name] for name in billed - found.keys()}
    return found


def _in_time(ranges: Mapping[str | None, TimeRange], rows: RowChoice) -> list[str | None]:
    """The chosen names by their first execution, the newest first; executions without a name come last."""
    sign = 1 if rows.is_ascending else -1
    return sorted(ranges, key=lambda name: (name is None, sign * ranges[name].first_us, name or ""))[: rows.limit]


def _described(
    connection: Connection,
    chosen: Filter,
    dimension: Dimension,
    parts: Sequence[Filter],
    shown: Sequence[Group],
    total: Totals,
    count: int,
    zone: tzinfo | None,
) -> Breakdown:
    """The breakdown that shows some groups, with their percentiles and starts. `parts` are filters for them, `total` is
    that of all `count` groups."""
    ranked: dict[str | None, Percentiles] = {}
    starts: dict[str, WorkflowStart] = {}
    are_exact: list[bool] = []
    names = [group.name for group in shown if group.name is not None] if dimension in _HAVE_STARTS else []
    for part in parts:
        found, is_exact = queries.percentiles_by(connection, part, dimension)
        are_exact.append(is_exact)
        ranked |= found
        starts |= queries.workflow_starts(connection, part, names, dimension)
    groups = [group._replace(percentiles=ranked.get(group.name, Percentiles())) for group in shown]
    unpriced, archived = unpriced_of(connection, chosen, total), queries.archived(connection, chosen, dimension)
    local, period = zone or clock.local_zone(), chosen.window.label
    return Breakdown(dimension, period, total, groups, count, all(are_exact), unpriced, starts, local, archived)
