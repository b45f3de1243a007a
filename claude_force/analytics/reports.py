"""The reports. Each reads one snapshot of the database and returns a value of `report_types`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import tzinfo
from typing import TYPE_CHECKING, get_args

from claude_force import clock, time_windows
from claude_force.analytics.backfill import backfill
from claude_force.analytics.groups import SortKey, groups_by, sort_groups, sum_groups, unpriced_models
from claude_force.analytics.names import known_names
from claude_force.analytics.report_types import Breakdown, Change, Costs, Errors, Summary, Trends
from claude_force.analytics.unpriced import unpriced_reasons
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Dimension, Filter
from claude_force.executions.intervals import Interval
from claude_force.executions.totals import Bucket, Group, Percentiles, TimeRange, Totals

if TYPE_CHECKING:
    from claude_force.executions.pricing import PriceTable

INTERVALS: tuple[str, ...] = get_args(Interval)
COST_PARTS = frozenset(("agents", "models"))
"""The parts of a cost report by default. The third one is "trends"."""


def summary(database: Readable, chosen: Filter) -> Summary:
    """The summary of the chosen executions. Agents and models are sorted by their number of executions."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        sums = queries.totals_by(connection, chosen, "agent_name", "model")
        agents, models = groups_by(sums, 0), groups_by(sums, 1)
        all_executions = None if any(wanted for _, wanted in chosen.names()) else sum_groups(agents).executions
        ranked, is_exact = queries.percentiles(connection, chosen, all_executions)
        archived = queries.archived(connection, chosen)
        before = backfill(connection, chosen)
    return Summary(
        chosen.window.label,
        sum_groups(agents),
        ranked,
        is_exact,
        sort_groups(agents, "executions"),
        sort_groups(models, "executions"),
        archived,
        before,
    )


def breakdown(
    database: Readable,
    chosen: Filter,
    dimension: Dimension,
    sort_by: SortKey,
    limit: int | None = None,
    zone: tzinfo | None = None,
) -> Breakdown:
    """The chosen executions by one dimension: the first `limit` groups. `zone` (None: local time) is for instants."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        has_starts = dimension in ("workflow_id", "session_id")
        if has_starts or dimension == "project":
            chosen = queries.with_projects(connection, chosen)
        ranked, is_exact = queries.percentiles_by(connection, chosen, dimension)
        sums = queries.totals_by(connection, chosen, dimension)
        groups = [Group(name, totals, ranked.get(name, Percentiles())) for (name,), totals in sums.items()]
        total, shown = sum_groups(groups), sort_groups(groups, sort_by)[:limit]
        unpriced = _unpriced_models(connection, chosen, total)
        workflows = [group.name for group in shown if group.name is not None] if has_starts else []
        starts = queries.workflow_starts(connection, chosen, workflows, dimension)
        archived = queries.archived(connection, chosen, dimension)
    local, period = zone or clock.local_zone(), chosen.window.label
    return Breakdown(dimension, period, total, shown, len(groups), is_exact, unpriced, starts, local, archived)


def costs(
    database: Readable,
    chosen: Filter,
    parts: frozenset[str] = COST_PARTS,
    interval: Interval = "daily",
    zone: tzinfo | None = None,
    limit: int | None = None,
    prices: PriceTable | None = None,
) -> Costs:
    """The costs of the chosen executions: the first `limit` agents and models, the most expensive first, and the
    intervals in `zone` (None: local time). With `prices` they say why a cost is missing."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        sums = queries.totals_by(connection, chosen, "agent_name", "model")
        buckets = []
        if "trends" in parts:
            buckets = queries.trend(connection, chosen, interval, zone or clock.local_zone())
        archived = queries.archived(connection, chosen)
        agents, models = groups_by(sums, 0), groups_by(sums, 1)
        total = sum_groups(agents)
        reasons = unpriced_reasons(connection, chosen, prices, total.unpriced) if prices else []
    return Costs(
        chosen.window.label,
        total,
        sort_groups(agents, "cost")[:limit] if "agents" in parts else [],
        sort_groups(models, "cost")[:limit] if "models" in parts else [],
        interval,
        buckets,
        parts,
        (len(agents), len(models)),
        unpriced_models(models),
        archived,
        reasons,
    )


def trends(database: Readable, chosen: Filter, interval: Interval, zone: tzinfo, now_us: int | None = None) -> Trends:
    """The chosen executions over time. An interval that ends after `now_us` does not count as whole."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        buckets = queries.trend(connection, chosen, interval, zone)
        history = queries.time_range(connection)
        total = sum((bucket.totals for bucket in buckets), Totals())
        unpriced = _unpriced_models(connection, chosen, total)
        archived = queries.archived(connection, chosen)
        before = backfill(connection, chosen)
    change = _change(buckets, chosen.window, history, now_us)
    return Trends(chosen.window.label, interval, total, buckets, change, unpriced, archived, before)


def errors(database: Readable, chosen: Filter, zone: tzinfo, limit: int | None = None) -> Errors:
    """The failures among the chosen executions, by error type: the first `limit` types."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        groups = queries.errors(connection, chosen)
        total = queries.totals(connection, chosen)
        archived = queries.archived(connection, chosen)
    groups.sort(key=lambda group: (-group.failures, group.error_type or ""))
    return Errors(chosen.window.label, total, groups[:limit], len(groups), zone, archived)


def merge_buckets(buckets: Iterable[Bucket], step_us: int, zone: tzinfo) -> list[tuple[str, Totals]]:
    """Buckets merged into intervals of `step_us`, counted from local midnight of the first day. Each starts at a local
    time: ISO 8601 without an offset, as in claude-force 1.3."""
    merged: dict[int, Totals] = {}
    origin_us = 0
    for bucket in buckets:
        if not merged:
            origin_us = clock.start_of_day(clock.to_datetime(bucket.start_us, zone).date(), zone)
        # Half a step is added, because after a day of 23 hours the next one starts an hour early.
        number = (bucket.start_us - origin_us + (step_us // 2 if step_us >= clock.DAY_US else 0)) // step_us
        merged[number] = merged.get(number, Totals()) + bucket.totals
    starts = ((clock.to_datetime(origin_us + number * step_us, zone), found) for number, found in merged.items())
    return [(start.replace(tzinfo=None).isoformat(), found) for start, found in starts]


def _unpriced_models(connection: Connection, chosen: Filter, total: Totals) -> list[str]:
    """The models without a price. Queried only if an execution has none."""
    return unpriced_models(groups_by(queries.totals_by(connection, chosen, "model"), 0)) if total.unpriced else []


def _change(
    buckets: list[Bucket], window: time_windows.Window, history: TimeRange | None, now_us: int | None
) -> Change | None:
    """The change between the first and the last whole interval. An interval is whole if it is over, and starts neither
    before the window nor before the history. Intervals without executions are skipped."""
    starts = [edge for edge in (window.start_us, history.first_us if history else None) if edge is not None]
    ends = [edge for edge in (window.end_us, now_us) if edge is not None]
    whole = [
        bucket
        for bucket in buckets
        if all(bucket.start_us >= edge for edge in starts) and all(bucket.end_us <= edge for edge in ends)
    ]
    if len(whole) < 2:
        return None
    first, last = whole[0], whole[-1]
    return Change(
        first.label,
        last.label,
        _percent(first.totals.executions, last.totals.executions),
        _percent(first.totals.average_ms, last.totals.average_ms),
    )


def _percent(before: float | None, after: float | None) -> float | None:
    return 100 * (after - before) / before if before and after is not None else None
