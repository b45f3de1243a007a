"""Tokens and costs by day, week or month and model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, Literal, NamedTuple

from claude_force import clock
from claude_force.analytics.groups import ALL_ROWS, RowChoice, groups_by, sort_groups, sum_groups, unpriced_models
from claude_force.analytics.json_fields import bucket_dict, group_dict, totals_dict
from claude_force.analytics.names import known_names
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Filter
from claude_force.executions import intervals
from claude_force.executions.totals import Archived, Bucket, Group, TimeRange, Totals
from claude_force.time_windows import ALL_TIME, Window

Period = Literal["daily", "weekly", "monthly"]

DEFAULTS: dict[Period, tuple[int, str]] = {"daily": (30, "days"), "weekly": (12, "weeks"), "monthly": (12, "months")}
"""How many intervals a report shows when no period is chosen, the current one included."""


class IntervalUsage(NamedTuple):
    """An interval with its totals, and its models, the most expensive first. It is empty if it has no model."""

    bucket: Bucket
    models: list[Group]


@dataclass(frozen=True, slots=True)
class PeriodicUsage:
    """The intervals from the first one with an execution to the end of the period, oldest first, and the models of the
    whole period, the most expensive first. `intervals` may be cut to a limit; `count` is the number of all of them.
    `begins_at` is the instant within the first interval at which the period begins; None if that interval is whole."""

    period: str
    interval: Period
    intervals: list[IntervalUsage]
    models: list[Group]
    count: int
    archived: Archived
    begins_at: datetime | None

    @property
    def totals(self) -> Totals:
        """The sum of all intervals."""
        return sum_groups(self.models)

    @property
    def unpriced_models(self) -> list[str]:
        """See `groups.unpriced_models`."""
        return unpriced_models(self.models)

    def to_dict(self) -> dict[str, Any]:
        """The intervals under the name of their length ("daily"), each with its models; then the totals."""
        return {
            "period": self.period,
            "interval": self.interval,
            "begins_at": self.begins_at and self.begins_at.isoformat(),
            "archived_executions": self.archived.executions,
            "unpriced_models": self.unpriced_models,
            "total_intervals": self.count,
            self.interval: [
                {**bucket_dict(bucket), "models": [group_dict("model", group) for group in models]}
                for bucket, models in self.intervals
            ],
            "totals": totals_dict(self.totals),
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row for each model of each interval, for CSV. An empty interval is one row without a model."""
        return [
            {"date": bucket.label, **group_dict("model", group)}
            for bucket, models in self.intervals
            for group in models or [Group(None, Totals())]
        ]


def periodic_usage(
    database: Readable, chosen: Filter, interval: Period, zone: tzinfo, now_us: int, rows: RowChoice = ALL_ROWS
) -> PeriodicUsage:
    """The chosen executions by interval in local time of `zone`, and model: the chosen intervals. Without a period, the
    last intervals: see `DEFAULTS`."""
    if chosen.window == ALL_TIME:
        chosen = replace(chosen, window=default_window(interval, zone, now_us))
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        buckets = queries.trend(connection, chosen, interval, zone)
        found = [IntervalUsage(bucket, _models_in(connection, chosen, bucket)) for bucket in buckets]
        reach = _reach(connection, chosen.window, now_us)
        archived = queries.archived(connection, chosen)
    every = _with_empty(found, reach, interval, zone) if found and reach else found
    shown, models = rows.in_time(every), _all_models(found)
    begins_at = _beginning(every, chosen.window, zone)
    return PeriodicUsage(chosen.window.label, interval, shown, models, len(every), archived, begins_at)


def _beginning(every: Sequence[IntervalUsage], window: Window, zone: tzinfo) -> datetime | None:
    """See `PeriodicUsage.begins_at`."""
    if window.start_us is None or not every or every[0].bucket.start_us >= window.start_us:
        return None
    return clock.to_datetime(window.start_us, zone)


def _models_in(connection: Connection, chosen: Filter, bucket: Bucket) -> list[Group]:
    """The models of an interval, as far as it lies in the period. Asked for by interval, because a month is a few
    buckets of the roll-ups: one query for all of them would read every hour."""
    start_us = max(bucket.start_us, chosen.window.start_us or bucket.start_us)
    end_us = min(bucket.end_us, chosen.window.end_us or bucket.end_us)
    sums = queries.totals_by(connection, replace(chosen, window=Window(start_us, end_us)), "model")
    return sort_groups(groups_by(sums, 0), "cost")


def _all_models(found: Iterable[IntervalUsage]) -> list[Group]:
    sums: dict[str | None, Totals] = {}
    for group in (group for _, models in found for group in models):
        sums[group.name] = sums.get(group.name, Totals()) + group.totals
    return sort_groups([Group(name, totals) for name, totals in sums.items()], "cost")


def default_window(interval: Period, zone: tzinfo, now_us: int) -> Window:
    """The last intervals up to now, whole ones but for the current one: see `DEFAULTS`."""
    number, unit = DEFAULTS[interval]
    today = clock.to_datetime(now_us, zone).date()
    return Window(clock.start_of_day(first_day(interval, today, number - 1), zone), now_us + 1, f"{number} {unit}")


def first_day(interval: Period, day: date, back: int = 0) -> date:
    """The first day of the interval that lies `back` intervals before that of `day`."""
    if interval == "daily":
        return day - timedelta(days=back)
    if interval == "weekly":
        return day - timedelta(days=day.weekday() + 7 * back)
    months = 12 * day.year + day.month - 1 - back
    return date(months // 12, months % 12 + 1, 1)


def _with_empty(
    found: Iterable[IntervalUsage], reach: TimeRange, interval: Period, zone: tzinfo
) -> list[IntervalUsage]:
    """The intervals with executions, also those after `reach`, which a wrong clock recorded; and the empty ones in
    it."""
    empty = intervals.days_between(reach.first_us, reach.last_us, interval, zone)
    shown = {bucket.start_us: IntervalUsage(bucket, []) for bucket in empty}
    shown |= {usage.bucket.start_us: usage for usage in found}
    return [shown[start_us] for start_us in sorted(shown)]


def _reach(connection: Connection, window: Window, now_us: int) -> TimeRange | None:
    """From the start of the period, or of the history if that is later, to the end of the period, or to now if that is
    earlier; None if there is nothing between them."""
    history = queries.time_range(connection)
    if history is None:
        return None
    first_us = max(window.start_us or history.first_us, history.first_us)
    last_us = min(window.end_us - 1 if window.end_us else now_us, now_us)
    return TimeRange(first_us, last_us) if first_us <= last_us else None
