"""The reports: what a person asks for, put together from queries over one snapshot.

Each report is a value with its rows and a `to_dict` for JSON; nothing here knows how it will look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, Literal, NamedTuple, get_args

from claude_force import clock, windows
from claude_force.analytics.fields import TITLES, bucket_dict, group_dict, latencies, savings, token_kinds
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Dimension, Filter
from claude_force.errors import UnknownName
from claude_force.executions.intervals import Interval
from claude_force.executions.record import model_family
from claude_force.executions.totals import (
    Archived,
    Bucket,
    ErrorGroup,
    Group,
    Percentiles,
    TimeRange,
    Totals,
    WorkflowStart,
)
from claude_force.formatting import quantity
from claude_force.text import for_terminal

SortKey = Literal["executions", "time", "cost", "success", "tokens", "name"]
SORT_KEYS: tuple[str, ...] = get_args(SortKey)
INTERVALS: tuple[str, ...] = get_args(Interval)
COST_PARTS = frozenset(("agents", "models"))
"""What a cost report shows unless asked for something else; it can also show "trends"."""

_NAMES_SHOWN = 12

_SHORTEST_BEGINNING = 4
"""Characters of the id of a workflow that may stand for all of it."""

STABLE_PERCENT = 5
"""A change of no more than this, in percent, is called stable."""


class Summary(NamedTuple):
    """Everything about a set of executions on one page. Percentiles that are not exact are at most 1 % away."""

    period: str
    totals: Totals
    percentiles: Percentiles
    is_exact: bool
    agents: list[Group]
    models: list[Group]
    archived: Archived

    @property
    def unpriced_models(self) -> list[str]:
        """See `unpriced_models`."""
        return unpriced_models(self.models)

    def families(self) -> dict[str, float]:
        """Percent of the executions by model family, the largest first."""
        counts: dict[str, int] = {}
        for group in self.models:
            family = model_family(group.name or "")
            counts[family] = counts.get(family, 0) + group.totals.executions
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return {family: 100 * count / self.totals.executions for family, count in ordered}

    def to_dict(self) -> dict[str, Any]:
        """The keys of the guide's baseline, then the rest."""
        totals = self.totals
        return {
            "period": self.period,
            "total_executions": totals.executions,
            "success_rate": totals.success_rate,
            "avg_execution_time_ms": totals.average_ms,
            **latencies(self.percentiles),
            "total_cost": totals.cost,
            "avg_cost_per_execution": totals.average_cost,
            "avg_input_tokens": totals.average_input_tokens,
            "avg_output_tokens": totals.average_output_tokens,
            "model_distribution": self.families(),
            "successful_executions": totals.successes,
            "failed_executions": totals.failures,
            **token_kinds(totals, "total_"),
            "unpriced_executions": totals.unpriced,
            "unpriced_models": self.unpriced_models,
            "provisional_executions": totals.provisional,
            "archived_executions": self.archived.executions,
            "cost_savings": savings(totals),
            "percentiles": _exactness(self.is_exact),
            "agents": [group_dict("agent_name", group) for group in self.agents],
            "models": [group_dict("model", group) for group in self.models],
        }


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Executions by one dimension. `groups` may be cut to a limit; `count` is how many there are. Percentiles that are
    not exact are at most 1 % away. `workflow_starts` holds the start of each workflow; `zone` is
    for the instants in `rows`; `unpriced_models` are over all groups."""

    dimension: Dimension
    period: str
    totals: Totals
    groups: list[Group]
    count: int
    is_exact: bool
    unpriced_models: list[str]
    workflow_starts: dict[str, WorkflowStart]
    zone: tzinfo
    archived: Archived

    def rows(self) -> list[dict[str, Any]]:
        """The groups for JSON and CSV. A workflow has when its first execution of the period was, and where."""
        return [group_dict(self.dimension, group) | self._beginning(group) for group in self.groups]

    def _beginning(self, group: Group) -> dict[str, Any]:
        if self.dimension != "workflow_id":
            return {}
        found = self.workflow_starts.get(group.name or "")
        started = found and clock.format_instant(found.first_us, self.zone)
        return {"started": started, "project": found and found.project}

    def to_dict(self) -> dict[str, Any]:
        """The groups under the plural of their dimension."""
        title = TITLES[self.dimension]
        return {
            "period": self.period,
            f"total_{title}s": self.count,
            "archived_executions": self.archived.executions,
            "percentiles": _exactness(self.is_exact),
            f"{title}s": self.rows(),
        }


class Costs(NamedTuple):
    """What was spent, on what, and what it would have been on the reference model. Of `parts`, what was not asked for
    is empty; `counts` are the agents and models that there are, whatever the limit."""

    period: str
    totals: Totals
    by_agent: list[Group]
    by_model: list[Group]
    interval: Interval
    buckets: list[Bucket]
    parts: frozenset[str]
    counts: tuple[int, int]
    unpriced_models: list[str]
    archived: Archived

    def to_dict(self) -> dict[str, Any]:
        """Totals first, then the parts that were asked for."""
        totals = self.totals
        found: dict[str, Any] = {
            "period": self.period,
            "total_executions": totals.executions,
            "total_cost": totals.cost,
            "recorded_cost": totals.recorded_cost,
            "avg_cost_per_execution": totals.average_cost,
            "unpriced_executions": totals.unpriced,
            "unpriced_models": self.unpriced_models,
            "provisional_executions": totals.provisional,
            "archived_executions": self.archived.executions,
            "cost_savings": savings(totals),
            **token_kinds(totals, "total_"),
        }
        if "agents" in self.parts:
            found["by_agent"] = [group_dict("agent_name", group) for group in self.by_agent]
        if "models" in self.parts:
            found["by_model"] = [group_dict("model", group) for group in self.by_model]
        if "trends" in self.parts:
            found |= {"interval": self.interval, "trends": [bucket_dict(bucket) for bucket in self.buckets]}
        return found


class Change(NamedTuple):
    """From the first whole interval to the last, in percent; None where the first has nothing to compare with."""

    first: str
    last: str
    executions: float | None
    average_time: float | None


class Trends(NamedTuple):
    """Executions over time. `change` is None where there are fewer than two whole intervals."""

    period: str
    interval: Interval
    totals: Totals
    buckets: list[Bucket]
    change: Change | None
    unpriced_models: list[str]
    archived: Archived

    def to_dict(self) -> dict[str, Any]:
        """The intervals, oldest first, and the change."""
        change = self.change and {
            "from": self.change.first,
            "to": self.change.last,
            "executions_percent": self.change.executions,
            "avg_execution_time_percent": self.change.average_time,
        }
        rows = [bucket_dict(bucket) for bucket in self.buckets]
        return {
            "period": self.period,
            "interval": self.interval,
            "archived_executions": self.archived.executions,
            "trends": rows,
            "change": change,
        }


@dataclass(frozen=True, slots=True)
class Errors:
    """The failures by kind, the most frequent first. `zone` is for the instants in `to_dict`."""

    period: str
    totals: Totals
    groups: list[ErrorGroup]
    count: int
    zone: tzinfo
    archived: Archived

    def to_dict(self) -> dict[str, Any]:
        """Failures by kind; `percent_of_failures` of all failures in the period."""
        return {
            "period": self.period,
            "total_executions": self.totals.executions,
            "failed_executions": self.totals.failures,
            "total_error_types": self.count,
            "archived_executions": self.archived.executions,
            "errors": [
                {
                    "error_type": group.error_type,
                    "failures": group.failures,
                    "percent_of_failures": 100 * group.failures / self.totals.failures,
                    "agents": group.agents,
                    "first_seen": clock.format_instant(group.first_us, self.zone),
                    "last_seen": clock.format_instant(group.last_us, self.zone),
                }
                for group in self.groups
            ],
        }


def summary(database: Readable, chosen: Filter) -> Summary:
    """The summary of the chosen executions; agents and models by number of executions."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        sums = queries.totals_by(connection, chosen, "agent_name", "model")
        agents, models = _groups(sums, 0), _groups(sums, 1)
        whole = None if any(wanted for _, wanted in chosen.names()) else _sum(agents).executions
        ranked, is_exact = queries.percentiles(connection, chosen, whole)
        archived = queries.archived(connection, chosen)
    return Summary(
        chosen.window.label,
        _sum(agents),
        ranked,
        is_exact,
        sort_groups(agents, "executions"),
        sort_groups(models, "executions"),
        archived,
    )


def breakdown(
    database: Readable,
    chosen: Filter,
    dimension: Dimension,
    sort_by: SortKey,
    limit: int | None = None,
    zone: tzinfo | None = None,
) -> Breakdown:
    """The chosen executions by one dimension; the first `limit` groups. `zone` (local time) is for instants."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        ranked, is_exact = queries.percentiles_by(connection, chosen, dimension)
        sums = queries.totals_by(connection, chosen, dimension)
        groups = [Group(name, totals, ranked.get(name, Percentiles())) for (name,), totals in sums.items()]
        total, shown = _sum(groups), sort_groups(groups, sort_by)[:limit]
        unpriced = _unpriced_models(connection, chosen, total)
        named = [group.name for group in shown if group.name is not None] if dimension == "workflow_id" else []
        began = queries.workflow_starts(connection, chosen, named)
        archived = queries.archived(connection, chosen, dimension)
    local, period = zone or clock.local_zone(), chosen.window.label
    return Breakdown(dimension, period, total, shown, len(groups), is_exact, unpriced, began, local, archived)


def costs(
    database: Readable,
    chosen: Filter,
    parts: frozenset[str] = COST_PARTS,
    interval: Interval = "daily",
    zone: tzinfo | None = None,
    limit: int | None = None,
) -> Costs:
    """What the chosen executions cost, by the parts asked for: the first `limit` agents and models, the highest first,
    and the intervals of `zone` (local time)."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        sums = queries.totals_by(connection, chosen, "agent_name", "model")
        buckets = []
        if "trends" in parts:
            buckets = queries.trend(connection, chosen, interval, zone or clock.local_zone())
        archived = queries.archived(connection, chosen)
    agents, models = _groups(sums, 0), _groups(sums, 1)
    return Costs(
        chosen.window.label,
        _sum(agents),
        sort_groups(agents, "cost")[:limit] if "agents" in parts else [],
        sort_groups(models, "cost")[:limit] if "models" in parts else [],
        interval,
        buckets,
        parts,
        (len(agents), len(models)),
        unpriced_models(models),
        archived,
    )


def trends(database: Readable, chosen: Filter, interval: Interval, zone: tzinfo, now_us: int | None = None) -> Trends:
    """The chosen executions over time. `now_us` tells which interval is not over yet."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        buckets = queries.trend(connection, chosen, interval, zone)
        history = queries.time_range(connection)
        total = sum((bucket.totals for bucket in buckets), Totals())
        unpriced = _unpriced_models(connection, chosen, total)
        archived = queries.archived(connection, chosen)
    change = _change(buckets, chosen.window, history, now_us)
    return Trends(chosen.window.label, interval, total, buckets, change, unpriced, archived)


def errors(database: Readable, chosen: Filter, zone: tzinfo, limit: int | None = None) -> Errors:
    """The failures among the chosen executions, by kind."""
    with database.read() as connection:
        chosen = known_names(connection, chosen)
        groups = queries.errors(connection, chosen)
        found = queries.totals(connection, chosen)
        archived = queries.archived(connection, chosen)
    groups.sort(key=lambda group: (-group.failures, group.error_type or ""))
    return Errors(chosen.window.label, found, groups[:limit], len(groups), zone, archived)


def merge_buckets(buckets: Iterable[Bucket], step_us: int, zone: tzinfo) -> list[tuple[str, Totals]]:
    """Buckets folded into intervals of `step_us`, counted from local midnight of the first day; the local start of each
    interval as ISO 8601 without an offset, as claude-force 1.3 gave it."""
    merged: dict[int, Totals] = {}
    origin = 0
    for bucket in buckets:
        if not merged:
            origin = clock.start_of_day(clock.to_datetime(bucket.start_us, zone).date(), zone)
        # Half a step more, since a day of 23 hours begins an hour before its multiple of 24.
        place = (bucket.start_us - origin + (step_us // 2 if step_us >= clock.DAY_US else 0)) // step_us
        merged[place] = merged.get(place, Totals()) + bucket.totals
    starts = ((clock.to_datetime(origin + place * step_us, zone), found) for place, found in merged.items())
    return [(start.replace(tzinfo=None).isoformat(), found) for start, found in starts]


def sort_groups(groups: list[Group], sort_by: SortKey) -> list[Group]:
    """The largest first, by name from A to Z; equal ones by name; what is not known last."""
    keys: dict[str, Callable[[Totals], float | None]] = {
        "executions": lambda totals: totals.executions,
        "time": lambda totals: totals.average_ms,
        "cost": lambda totals: totals.cost,
        "success": lambda totals: totals.success_rate,
        "tokens": lambda totals: totals.total_tokens,
    }
    by_name = sorted(groups, key=lambda group: (group.name is None, group.name or ""))
    if sort_by == "name":
        return by_name
    values = {id(group): keys[sort_by](group.totals) for group in by_name}
    return sorted(by_name, key=lambda group: (values[id(group)] is None, -(values[id(group)] or 0)))


def unpriced_models(models: Iterable[Group]) -> list[str]:
    """The models of the executions without a known cost, the one with the most of them first."""
    found = [group for group in models if group.totals.unpriced]
    return [group.name or "" for group in sorted(found, key=lambda group: (-group.totals.unpriced, group.name or ""))]


def _unpriced_models(connection: Connection, chosen: Filter, found: Totals) -> list[str]:
    """The same, asked for only where there are such executions."""
    return unpriced_models(_groups(queries.totals_by(connection, chosen, "model"), 0)) if found.unpriced else []


def _exactness(is_exact: bool) -> str:
    return "exact" if is_exact else "approximate"


def _groups(sums: dict[tuple[str | None, ...], Totals], place: int) -> list[Group]:
    """The sums by the name at one place of their keys."""
    found: dict[str | None, Totals] = {}
    for names, totals in sums.items():
        name = names[place]
        found[name] = found[name] + totals if name in found else totals
    return [Group(name, totals) for name, totals in found.items()]


def _sum(groups: Iterable[Group]) -> Totals:
    return sum((group.totals for group in groups), Totals())


def _change(
    buckets: list[Bucket], window: windows.Window, history: TimeRange | None, now_us: int | None
) -> Change | None:
    """An interval is whole if it is over, and neither the window nor the history begins within it. Intervals without
    executions are passed over."""
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


def known_names(connection: Connection, chosen: Filter) -> Filter:
    """The filter with names as the store has them: of a project its last folders are enough, of a workflow the
    beginning of its id, where that is of one alone. Raises UnknownName for a name that the store has never seen: a
    report about nothing would hide the slip."""
    names = [tuple(_known(connection, dimension, name) for name in wanted) for dimension, wanted in chosen.names()]
    return Filter(chosen.window, *names)


def _known(connection: Connection, dimension: Dimension, name: str) -> str:
    if queries.has_name(connection, dimension, name) or queries.time_range(connection) is None:
        return name
    known = queries.names(connection, dimension)
    meant: list[str] = []
    if dimension == "project":
        meant = [project for project in known if project.endswith(f"/{name}")]
    elif dimension == "workflow_id" and len(name) >= _SHORTEST_BEGINNING:
        meant = [workflow for workflow in known if workflow.startswith(name)]
    if len(meant) == 1:
        return meant[0]
    message = _unknown_message(TITLES[dimension], name, known)
    gone = queries.archived(connection, Filter()).executions if dimension == "workflow_id" else 0
    raise UnknownName(f"{message}; of {quantity(gone, 'archived execution')} none is known" if gone else message)


def _unknown_message(title: str, name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    near = [item for item in known if name in item] or get_close_matches(name, known, n=1)
    guess = f" did you mean {near[0]}?" if near else ""
    more = f" and {len(known) - _NAMES_SHOWN} more" if len(known) > _NAMES_SHOWN else ""
    shown = for_terminal(", ".join(known[:_NAMES_SHOWN])) or "none"
    return f"no {title} {for_terminal(name)} in the store;{for_terminal(guess)} there are: {shown}{more}"
