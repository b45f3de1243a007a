"""What the page says, read from one snapshot: every part of it agrees with every other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import NamedTuple

from claude_force.alerts.check import AlertSetup, load_alert_setup, preview_check
from claude_force.alerts.evaluation import Evaluation
from claude_force.analytics import reports as analytics
from claude_force.analytics.baselines import Check, check
from claude_force.analytics.reports import Breakdown, Summary
from claude_force.clock import DAY_US, HOUR_US, LATEST_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Snapshot
from claude_force.database.queries import Filter
from claude_force.database.queries import alerts as alerts_kept
from claude_force.database.queries.trend import history_within
from claude_force.database.rows.alerts import EventRow
from claude_force.database.workspace import Workspace
from claude_force.errors import InvalidWindow, NoBaseline
from claude_force.executions.intervals import Interval, without_gaps
from claude_force.executions.totals import Bucket, Group, Percentiles, Totals
from claude_force.windows import Window

MOST_INTERVALS = 1000
"""More of them no chart can show, and no browser likes in a table."""

MOST_MODELS = 5
"""In a chart; the others are one."""

MOST_EVENTS = 50

_LONGEST: tuple[tuple[Interval, int], ...] = (
    ("hourly", 3 * DAY_US),
    ("daily", 400 * DAY_US),
    ("weekly", 2800 * DAY_US),
)
"""The longest period that is shown by each interval unless another is asked for."""


_LENGTHS: dict[Interval, int] = {"hourly": HOUR_US, "daily": DAY_US, "weekly": 7 * DAY_US, "monthly": 28 * DAY_US}


class Asked(NamedTuple):
    """What the page is to be about. Without an `interval` it is chosen by the length of the period; `baseline` is a
    name, a file, or None for the newest that ended before the period begins; `threshold` is the factor by which times
    may grow."""

    chosen: Filter
    interval: Interval | None
    baseline: str | None
    threshold: float
    zone: tzinfo
    now_us: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """The period in intervals without gaps, oldest first. For each it is known whether all of it lies in the period and
    is over, there are percentiles, and how many executions each of `models` had, the last of them standing for all
    others where there are more than `MOST_MODELS`."""

    interval: Interval
    buckets: Sequence[Bucket]
    are_whole: Sequence[bool]
    percentiles: Sequence[Percentiles]
    is_exact: bool
    models: Sequence[str]
    mix: Sequence[Sequence[int]]
    models_besides: int


@dataclass(frozen=True, slots=True)
class Alerts:
    """Where the alerts of the whole store stand now, and what became of them in the period, the newest first and at
    most `MOST_EVENTS`."""

    setup: AlertSetup
    now: Evaluation
    events: Sequence[EventRow]


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that the page shows. `check` is None where there is no baseline to compare with, `timeline` where
    there are no executions."""

    chosen: Filter
    zone: tzinfo
    now_us: int
    summary: Summary
    agents: Breakdown
    projects: Breakdown
    models: Breakdown
    errors: analytics.Errors
    timeline: Timeline | None
    alerts: Alerts
    check: Check | None


def gather(workspace: Workspace, asked: Asked) -> Content:
    """What there is to say about the chosen executions. Raises UnknownName, InvalidWindow where there are more than
    `MOST_INTERVALS` intervals, and BaselineError where the baseline that was asked for cannot be had."""
    setup = load_alert_setup(workspace)
    with workspace.database.read() as connection:
        snapshot = Snapshot(connection)
        chosen = analytics.known_names(connection, asked.chosen)
        summary = analytics.summary(snapshot, chosen)
        agents, projects, models = (
            analytics.breakdown(snapshot, chosen, dimension, "cost", zone=asked.zone)
            for dimension in ("agent_name", "project", "model")
        )
        return Content(
            chosen=chosen,
            zone=asked.zone,
            now_us=asked.now_us,
            summary=summary,
            agents=agents,
            projects=projects,
            models=models,
            errors=analytics.errors(snapshot, chosen, asked.zone),
            timeline=_timeline(connection, chosen, asked, summary.models),
            alerts=_alerts(connection, workspace, setup, asked),
            check=_check(snapshot, chosen, asked),
        )


def _timeline(connection: Connection, chosen: Filter, asked: Asked, models: Sequence[Group]) -> Timeline | None:
    reach = history_within(connection, chosen.window)
    if reach is None or not models:
        return None
    interval = asked.interval or interval_for(reach.last_us - reach.first_us)
    found = queries.trend(connection, chosen, interval, asked.zone)
    _refuse_too_many(found, interval)
    buckets = without_gaps(found, interval, asked.zone)
    ranked = [_percentiles(connection, chosen, bucket) for bucket in buckets]
    shown = [group.name or "" for group in models[:MOST_MODELS]]
    mix = [_executions_of(connection, chosen, name, buckets, interval, asked.zone) for name in shown]
    besides = len(models) - len(shown)
    if besides:
        shown.append(f"other ({besides})")
        mix.append([bucket.totals.executions - sum(known) for bucket, *known in zip(buckets, *mix, strict=True)])
    return Timeline(
        interval=interval,
        buckets=buckets,
        are_whole=[_is_whole(bucket, chosen.window, asked.now_us) for bucket in buckets],
        percentiles=[percentiles for percentiles, _ in ranked],
        is_exact=all(is_exact for _, is_exact in ranked),
        models=shown,
        mix=mix,
        models_besides=besides,
    )


def interval_for(length_us: int) -> Interval:
    """The interval that shows a period of this length well."""
    return next((interval for interval, longest_us in _LONGEST if length_us <= longest_us), "monthly")


def _refuse_too_many(found: Sequence[Bucket], interval: Interval) -> None:
    """Gaps count, too: they are shown."""
    number = (found[-1].end_us - found[0].start_us) // _LENGTHS[interval]
    if number > MOST_INTERVALS:
        raise InvalidWindow(
            f"{number:,} {interval} intervals are more than a page can show ({MOST_INTERVALS:,}); "
            "choose a longer --interval or a shorter period"
        )


def _percentiles(connection: Connection, chosen: Filter, bucket: Bucket) -> tuple[Percentiles, bool]:
    """Those of one interval, as far as it lies in the period, and whether they are exact."""
    executions = bucket.totals.executions
    if not executions:
        return Percentiles(), True
    whole = None if any(wanted for _, wanted in chosen.names()) else executions
    return queries.percentiles(connection, replace(chosen, window=_common(chosen.window, bucket)), whole)


def _is_whole(bucket: Bucket, window: Window, now_us: int) -> bool:
    """Whether all of an interval lies in the period, and is over."""
    part = _common(window, bucket)
    return (part.start_us, part.end_us) == (bucket.start_us, bucket.end_us) and bucket.end_us <= now_us


def _common(window: Window, bucket: Bucket) -> Window:
    start_us = bucket.start_us if window.start_us is None else max(window.start_us, bucket.start_us)
    end_us = bucket.end_us if window.end_us is None else min(window.end_us, bucket.end_us)
    return Window(start_us, end_us)


def _executions_of(
    connection: Connection, chosen: Filter, model: str, buckets: Sequence[Bucket], interval: Interval, zone: tzinfo
) -> list[int]:
    """How many executions a model had in each interval."""
    found = queries.trend(connection, replace(chosen, models=(model,)), interval, zone)
    counts = {bucket.start_us: bucket.totals.executions for bucket in found}
    return [counts.get(bucket.start_us, 0) for bucket in buckets]


def _alerts(connection: Connection, workspace: Workspace, setup: AlertSetup, asked: Asked) -> Alerts:
    start_us, end_us = asked.chosen.window.start_us, asked.chosen.window.end_us
    events = alerts_kept.events(connection, start_us or 0, MOST_EVENTS, LATEST_US if end_us is None else end_us)
    return Alerts(setup, preview_check(connection, workspace, setup, asked.now_us), events)


def _check(snapshot: Snapshot, chosen: Filter, asked: Asked) -> Check | None:
    """None where there is nothing to compare with: a baseline that nobody asked for must not hold the period itself."""
    try:
        found = check(snapshot, chosen, asked.baseline, asked.threshold, asked.now_us, asked.zone)
    except NoBaseline:
        return None
    return None if asked.baseline is None and found.is_overlapping else found


def summed(groups: Sequence[Group]) -> Totals:
    """The sums over groups."""
    return sum((group.totals for group in groups), Totals())
