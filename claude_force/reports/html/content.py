"""The content of the page, read in one transaction, so that all parts agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import NamedTuple

from claude_force.alerts.check import AlertSetup, load_alert_setup, preview_check
from claude_force.alerts.evaluation import Evaluation
from claude_force.analytics import reports as analytics
from claude_force.analytics.baselines import Check, check
from claude_force.analytics.names import known_names
from claude_force.analytics.report_types import Breakdown, Errors, Summary
from claude_force.analytics.timeline import every_interval, last_of
from claude_force.analytics.unpriced import UnpricedReason, unpriced_reasons
from claude_force.clock import DAY_US, LATEST_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Snapshot
from claude_force.database.queries import Dimension, Filter
from claude_force.database.queries import alerts as alert_queries
from claude_force.database.queries.trend import history_within
from claude_force.database.rows.alerts import EventRow
from claude_force.database.workspace import Workspace
from claude_force.errors import NoBaseline
from claude_force.executions.intervals import Interval
from claude_force.executions.pricing import PriceTable
from claude_force.executions.totals import Bucket, Group, Percentiles, Totals
from claude_force.time_windows import Window

MOST_INTERVALS = 1000
"""A chart cannot show more, and long tables make browsers slow."""

MOST_MODELS = 5
"""In a chart. All other models are one series."""

MOST_EVENTS = 50

_LONGEST: tuple[tuple[Interval, int], ...] = (
    ("hourly", 3 * DAY_US),
    ("daily", 92 * DAY_US),
    ("weekly", 92 * 7 * DAY_US),
)
"""The longest period for each default interval: a telephone shows about ninety bars."""


class PageRequest(NamedTuple):
    """The options of a page.

    - `interval`: None chooses one by the length of the period.
    - `baseline`: a name, a file, or None for the newest one that ended before the period starts.
    - `threshold`: the factor by which times may grow.
    """

    chosen: Filter
    interval: Interval | None
    baseline: str | None
    threshold: float
    zone: tzinfo
    now_us: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """The period in intervals without gaps, oldest first. All sequences but `models` have an item for each interval.

    - `are_complete`: whether the interval is over and lies entirely in the period.
    - `executions_by_model`: for each of `models`, its executions in each interval. With more than `MOST_MODELS`, the
      last one stands for the `other_models` that are left.
    """

    interval: Interval
    buckets: Sequence[Bucket]
    are_complete: Sequence[bool]
    percentiles: Sequence[Percentiles]
    is_exact: bool
    models: Sequence[str]
    executions_by_model: Sequence[Sequence[int]]
    other_models: int


@dataclass(frozen=True, slots=True)
class Alerts:
    """The current alerts of the whole store, and the newest `MOST_EVENTS` transitions in the period."""

    setup: AlertSetup
    now: Evaluation
    events: Sequence[EventRow]


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that the page shows. `check` is None without a baseline, `timeline` is None without executions.
    `team` is by host and by user, each where the store knows several."""

    chosen: Filter
    zone: tzinfo
    now_us: int
    summary: Summary
    agents: Breakdown
    projects: Breakdown
    models: Breakdown
    team: Sequence[Breakdown]
    errors: Errors
    timeline: Timeline | None
    alerts: Alerts
    check: Check | None
    unpriced_reasons: Sequence[UnpricedReason]


def read_content(workspace: Workspace, request: PageRequest) -> Content:
    """Read the content of a page.

    Raises UnknownName, InvalidWindow (more than `MOST_INTERVALS` intervals), and BaselineError (the requested baseline
    does not exist or cannot be read).
    """
    setup = load_alert_setup(workspace)
    with workspace.database.read() as connection:
        snapshot = Snapshot(connection)
        chosen = known_names(connection, request.chosen)
        summary = analytics.summary(snapshot, chosen)
        agents, projects, models = (
            analytics.breakdown(snapshot, chosen, dimension, "cost", zone=request.zone)
            for dimension in ("agent_name", "project", "model")
        )
        return Content(
            chosen=request.chosen,
            zone=request.zone,
            now_us=request.now_us,
            summary=summary,
            agents=agents,
            projects=projects,
            models=models,
            team=_team(connection, snapshot, chosen, request.zone),
            errors=analytics.errors(snapshot, chosen, request.zone),
            timeline=_timeline(connection, chosen, request, summary.models),
            alerts=_alerts(connection, workspace, setup, request),
            check=_check(snapshot, chosen, request),
            unpriced_reasons=unpriced_reasons(connection, chosen, _prices(workspace), summary.totals.unpriced),
        )


def _team(connection: Connection, snapshot: Snapshot, chosen: Filter, zone: tzinfo) -> list[Breakdown]:
    dimensions: tuple[Dimension, ...] = ("host", "user_name")
    return [
        analytics.breakdown(snapshot, chosen, dimension, "cost", zone=zone)
        for dimension in dimensions
        if len(queries.names(connection, dimension)) > 1
    ]


def _prices(workspace: Workspace) -> PriceTable:
    return PriceTable(workspace.settings.reference_model, workspace.settings.prices)


def _timeline(connection: Connection, chosen: Filter, request: PageRequest, models: Sequence[Group]) -> Timeline | None:
    stored = history_within(connection, chosen.window)
    if stored is None or not models:
        return None
    history = queries.time_range(connection) or stored
    last_us = max(last_of(chosen.window, history, request.now_us), stored.last_us)
    interval = request.interval or interval_for(last_us - stored.first_us)
    found = queries.trend(connection, chosen, interval, request.zone)
    window, now_us = chosen.window, request.now_us
    buckets = every_interval(found, window, history, interval, request.zone, now_us, MOST_INTERVALS)
    ranked = [_percentiles(connection, chosen, bucket) for bucket in buckets]
    names, counts = _count_by_model(connection, chosen, models, buckets, interval, request.zone)
    return Timeline(
        interval=interval,
        buckets=buckets,
        are_complete=[_is_complete(bucket, chosen.window, request.now_us) for bucket in buckets],
        percentiles=[percentiles for percentiles, _ in ranked],
        is_exact=all(is_exact for _, is_exact in ranked),
        models=names,
        executions_by_model=counts,
        other_models=max(len(models) - MOST_MODELS, 0),
    )


def _count_by_model(
    connection: Connection,
    chosen: Filter,
    models: Sequence[Group],
    buckets: Sequence[Bucket],
    interval: Interval,
    zone: tzinfo,
) -> tuple[list[str], list[list[int]]]:
    """The names of the models in the chart, and the executions of each in each interval."""
    names = [group.name or "" for group in models[:MOST_MODELS]]
    counts = [_executions_of(connection, chosen, name, buckets, interval, zone) for name in names]
    others = len(models) - len(names)
    if others:
        names.append(f"other ({others})")
        counts.append([bucket.totals.executions - sum(known) for bucket, *known in zip(buckets, *counts, strict=True)])
    return names, counts


def interval_for(length_us: int) -> Interval:
    """The default interval for a period of this length."""
    return next((interval for interval, longest_us in _LONGEST if length_us <= longest_us), "monthly")


def _percentiles(connection: Connection, chosen: Filter, bucket: Bucket) -> tuple[Percentiles, bool]:
    """The percentiles of the part of an interval that lies in the period, and whether they are exact."""
    executions = bucket.totals.executions
    if not executions:
        return Percentiles(), True
    whole = None if any(wanted for _, wanted in chosen.names()) else executions
    return queries.percentiles(connection, replace(chosen, window=_common(chosen.window, bucket)), whole)


def _is_complete(bucket: Bucket, window: Window, now_us: int) -> bool:
    """Whether an interval is over and lies entirely in the period."""
    part = _common(window, bucket)
    return (part.start_us, part.end_us) == (bucket.start_us, bucket.end_us) and bucket.end_us <= now_us


def _common(window: Window, bucket: Bucket) -> Window:
    start_us = bucket.start_us if window.start_us is None else max(window.start_us, bucket.start_us)
    end_us = bucket.end_us if window.end_us is None else min(window.end_us, bucket.end_us)
    return Window(start_us, end_us)


def _executions_of(
    connection: Connection, chosen: Filter, model: str, buckets: Sequence[Bucket], interval: Interval, zone: tzinfo
) -> list[int]:
    """The executions of a model in each interval."""
    found = queries.trend(connection, replace(chosen, models=(model,)), interval, zone)
    counts = {bucket.start_us: bucket.totals.executions for bucket in found}
    return [counts.get(bucket.start_us, 0) for bucket in buckets]


def _alerts(connection: Connection, workspace: Workspace, setup: AlertSetup, request: PageRequest) -> Alerts:
    start_us, end_us = request.chosen.window.start_us, request.chosen.window.end_us
    events = alert_queries.events(connection, start_us or 0, MOST_EVENTS, LATEST_US if end_us is None else end_us)
    return Alerts(setup, preview_check(connection, workspace, setup, request.now_us), events)


def _check(snapshot: Snapshot, chosen: Filter, request: PageRequest) -> Check | None:
    """The comparison with a baseline, or None. A default baseline must not overlap the period."""
    try:
        found = check(snapshot, chosen, request.baseline, request.threshold, request.now_us, request.zone)
    except NoBaseline:
        return None
    return None if request.baseline is None and found.is_overlapping else found


def sum_groups(groups: Sequence[Group]) -> Totals:
    """The totals of several groups."""
    return sum((group.totals for group in groups), Totals())
