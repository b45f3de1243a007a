"""Filters for the few workflows, sessions or branches that a report shows, so that it reads their rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from claude_force.database import queries
from claude_force.database.contract import Connection
from claude_force.database.queries import ROW_NAMES, Dimension, Filter
from claude_force.executions.totals import TimeRange
from claude_force.time_windows import Window

_MOST_NAMES = 1000
"""More names are read with all others."""

_MOST_FILTERS = 100
"""Each filter is a few statements."""


def narrowed(
    connection: Connection,
    chosen: Filter,
    dimension: Dimension,
    names: Sequence[str | None],
    ranges: Mapping[str | None, TimeRange] | None = None,
) -> list[Filter]:
    """Filters that together match the chosen executions of some names, each name by one of them: one for all in the
    period that they share, or one for each if that is less to read. The chosen filter itself if it is not worth it,
    or if a period has archived executions, of which no names are known. `ranges` are the first and last executions of
    the names, if they are known."""
    known = [name for name in names if name is not None]
    if dimension not in ROW_NAMES or len(known) < len(names) or not 0 < len(known) <= _MOST_NAMES:
        return [chosen]
    if queries.archived(connection, chosen, dimension).executions:
        return [chosen]
    every = _of(chosen, dimension, known)
    if ranges is None or chosen.models:
        # Without names of which spans know nothing. Steps of a model are also where no execution of it is.
        anybody = replace(every, agents=(), models=(), projects=(), sources=(), run_labels=())
        ranges = queries.time_ranges_by(connection, anybody, dimension)
    if not ranges:
        return [chosen]
    hull = TimeRange(min(each.first_us for each in ranges.values()), max(each.last_us for each in ranges.values()))
    if len(known) > _MOST_FILTERS or sum(map(_length, ranges.values())) >= _length(hull):
        return [_within(every, hull)]
    return [_within(_of(chosen, dimension, [name]), ranges[name]) for name in known if name in ranges]


def _of(chosen: Filter, dimension: Dimension, names: Sequence[str]) -> Filter:
    wanted = {**dict(chosen.names()), dimension: tuple(names)}
    return replace(chosen.with_names(wanted), is_of_store=chosen.is_of_store)


def _within(chosen: Filter, reach: TimeRange) -> Filter:
    return replace(chosen, reach=Window(reach.first_us, reach.last_us + 1))


def _length(time_range: TimeRange) -> int:
    return time_range.last_us - time_range.first_us + 1
