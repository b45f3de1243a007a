"""The reports. Each reads one snapshot of the database and returns a value of `report_types`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import tzinfo
from typing import TYPE_CHECKING, get_args

from claude_force import clock
from claude_force.analytics.backfill import backfill
from claude_force.analytics.breakdowns import BreakdownKey, breakdown_of
from claude_force.analytics.groups import (
    ALL_ROWS,
    RowChoice,
    groups_by,
    sort_groups,
    sum_groups,
    unpriced_models,
)
from claude_force.analytics.names import known_names
from claude_force.analytics.report_types import Breakdown, Costs, Errors, Summary, Trends
from claude_force.analytics.timeline import change_of, every_interval
from claude_force.analytics.unpriced import unpriced_of, unpriced_reasons
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Dimension, Filter
from claude_force.database.queries.low_costs import costs_too_low
from claude_force.executions.intervals import Interval
from claude_force.executions.totals import Bucket, Totals

if TYPE_CHECKING:
    from claude_force.analytics.model_success import CheaperModel
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
        total = sum_groups(agents)
        too_low = _too_low(connection, chosen, total)
    return Summary(
        chosen.window.label,
        total,
        ranked,
        is_exact,
        sort_groups(agents, "executions"),
        sort_groups(models, "executions"),
        archived,
        before,
        too_low,
    )


def breakdown(
    database: Readable,
    chosen: Filter,
    dimension: Dimension,
    sort_by: BreakdownKey,
    rows: RowChoice = ALL_ROWS,
    zone: tzinfo | None = None,
) -> Breakdown:
    """The chosen executions by one dimension: the chosen groups, in an order of `breakdowns`. `zone` (None: local time)
    is for instants."""
    with database.read() as connection:
        return breakdown_of(connection, known_names(connection, chosen), dimension, sort_by, rows, zone)


def costs(
    database: Readable,
    chosen: Filter,
    parts: frozenset[str] = COST_PARTS,
    interval: Interval = "daily",
    zone: tzinfo | None = None,
    rows: RowChoice = ALL_ROWS,
    prices: PriceTable | None = None,
    now_us: int | None = None,
    reference_model: str | None = None,
) -> Costs:
    """The costs of the chosen executions: the chosen agents and models, the most expensive first, and intervals in
    `zone` (None: local time), also those without executions until `now_us`. With `prices` they say why a cost is
    missing, with `reference_model` which model would have cost less."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        sums = queries.totals_by(connection, chosen, "agent_name", "model")
        buckets = []
        if "trends" in parts:
            local = zone or clock.local_zone()
            buckets = queries.trend(connection, chosen, interval, local)
            history = queries.time_range(connection)
            buckets = every_interval(buckets, chosen.window, history, interval, local, now_us)
        archived = queries.archived(connection, chosen)
        agents, models = groups_by(sums, 0), groups_by(sums, 1)
        total = sum_groups(agents)
        reasons = unpriced_reasons(connection, chosen, prices, total.unpriced) if prices else []
        too_low = _too_low(connection, chosen, total)
    return Costs(
        chosen.window.label,
        total,
        sort_groups(agents, "cost", rows) if "agents" in parts else [],
        sort_groups(models, "cost", rows) if "models" in parts else [],
        interval,
        rows.in_time(buckets),
        parts,
        (len(agents), len(models), len(buckets)),
        unpriced_models(models),
        archived,
        reasons,
        too_low,
        _cheaper(sums, reference_model),
    )


def trends(
    database: Readable,
    chosen: Filter,
    interval: Interval,
    zone: tzinfo,
    now_us: int | None = None,
    rows: RowChoice = ALL_ROWS,
) -> Trends:
    """The chosen executions over time: the chosen intervals, also those without any until `now_us`, and the trend of
    all. An interval that ends later does not count as whole."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        buckets = queries.trend(connection, chosen, interval, zone)
        history = queries.time_range(connection)
        buckets = every_interval(buckets, chosen.window, history, interval, zone, now_us)
        total = sum((bucket.totals for bucket in buckets), Totals())
        unpriced = unpriced_of(connection, chosen, total)
        archived = queries.archived(connection, chosen)
        before = backfill(connection, chosen)
    change = change_of(buckets, chosen.window, history, now_us)
    shown = rows.in_time(buckets)
    return Trends(chosen.window.label, interval, total, shown, change, unpriced, archived, before, len(buckets))


def errors(database: Readable, chosen: Filter, zone: tzinfo, rows: RowChoice = ALL_ROWS) -> Errors:
    """The failures among the chosen executions, by error type: the chosen types, the most frequent first."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        groups = queries.errors(connection, chosen)
        total = queries.totals(connection, chosen)
        archived = queries.archived(connection, chosen)
    sign = 1 if rows.is_ascending else -1
    groups.sort(key=lambda group: (sign * group.failures, group.error_type or ""))
    return Errors(chosen.window.label, total, groups[: rows.limit], len(groups), zone, archived)


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


def _too_low(connection: Connection, chosen: Filter, total: Totals) -> int:
    """The executions with a cost of claude-force 1.3. Queried only if a cost has nothing to be compared with."""
    return costs_too_low(connection, chosen) if total.cost_nanousd > total.compared_cost_nanousd else 0


def _cheaper(sums: Mapping[tuple[str | None, ...], Totals], reference_model: str | None) -> list[CheaperModel]:
    if reference_model is None:
        return []
    # Imported here: the other reports compare no models.
    from claude_force.analytics.model_success import cheaper_models, named_sums

    return cheaper_models(named_sums(sums), reference_model)
