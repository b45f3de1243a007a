"""What each report returns: a value with its rows, and `to_dict` for JSON. Nothing here knows how a report looks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple

from claude_force import clock
from claude_force.analytics.backfill import Backfill
from claude_force.analytics.groups import unpriced_models
from claude_force.analytics.json_fields import (
    bucket_dict,
    group_dict,
    latencies,
    plural,
    savings,
    token_kinds,
    totals_dict,
)
from claude_force.analytics.trend import Trend
from claude_force.analytics.unpriced import UnpricedReason
from claude_force.database.queries import Dimension
from claude_force.executions.intervals import Interval
from claude_force.executions.record import model_family
from claude_force.executions.totals import Archived, Bucket, ErrorGroup, Group, Percentiles, Totals, WorkflowStart

if TYPE_CHECKING:
    from claude_force.analytics.model_success import CheaperModel


class Summary(NamedTuple):
    """The summary of a set of executions. Percentiles that are not exact are at most 1 % off. `too_low` executions have
    a cost that claude-force 1.3 computed wrongly."""

    period: str
    totals: Totals
    percentiles: Percentiles
    is_exact: bool
    agents: list[Group]
    models: list[Group]
    archived: Archived
    backfill: Backfill = Backfill()
    too_low: int = 0

    @property
    def unpriced_models(self) -> list[str]:
        """See `groups.unpriced_models`."""
        return unpriced_models(self.models)

    def families(self) -> dict[str, float]:
        """The share of each model family in the executions in percent, the largest first; empty without executions."""
        if not self.totals.executions:
            return {}
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
            "cost_too_low_executions": self.too_low,
            "archived_executions": self.archived.executions,
            "before_first_transcript": self.backfill.to_dict(),
            "cost_savings": savings(totals),
            "percentiles": _exactness(self.is_exact),
            "agents": [group_dict("agent_name", group) for group in self.agents],
            "models": [group_dict("model", group) for group in self.models],
        }


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Executions by one dimension. `groups` may be cut to a limit; `count` is the number of all groups, and
    `unpriced_models` are those of all groups. Percentiles that are not exact are at most 1 % off. `zone` is for the
    instants in `rows`."""

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
        """The groups for JSON and CSV. A workflow also has its session, and a workflow and a session have the start and
        the project of their first execution."""
        return [group_dict(self.dimension, group) | self._start_of(group) for group in self.groups]

    def _start_of(self, group: Group) -> dict[str, Any]:
        if self.dimension not in ("workflow_id", "session_id"):
            return {}
        found = self.workflow_starts.get(group.name or "")
        started = found and clock.format_instant(found.first_us, self.zone)
        session = {"session": found and found.session} if self.dimension == "workflow_id" else {}
        return {"started": started, "project": found and found.project, **session}

    def to_dict(self) -> dict[str, Any]:
        """The groups under the plural of their dimension, and the totals of all of them, also of those that a limit
        leaves out."""
        groups = plural(self.dimension)
        return {
            "period": self.period,
            f"total_{groups}": self.count,
            "archived_executions": self.archived.executions,
            "percentiles": _exactness(self.is_exact),
            groups: self.rows(),
            "totals": totals_dict(self.totals),
        }


class Costs(NamedTuple):
    """The costs by agent, model and interval. A part that is not in `parts` is empty. `counts` are the numbers of all
    agents, models and intervals, whatever the limit. `too_low` executions have a cost that claude-force 1.3 computed
    wrongly. `cheaper` are models that would have cost less."""

    period: str
    totals: Totals
    by_agent: list[Group]
    by_model: list[Group]
    interval: Interval
    buckets: list[Bucket]
    parts: frozenset[str]
    counts: tuple[int, int, int]
    unpriced_models: list[str]
    archived: Archived
    unpriced_reasons: list[UnpricedReason]
    too_low: int
    cheaper: list[CheaperModel]

    def to_dict(self) -> dict[str, Any]:
        """Totals first, then the chosen parts."""
        totals = self.totals
        found: dict[str, Any] = {
            "period": self.period,
            "total_executions": totals.executions,
            "total_cost": totals.cost,
            "recorded_cost": totals.recorded_cost,
            "avg_cost_per_execution": totals.average_cost,
            "unpriced_executions": totals.unpriced,
            "unpriced_models": self.unpriced_models,
            "unpriced_reasons": [reason.to_dict() for reason in self.unpriced_reasons],
            "provisional_executions": totals.provisional,
            "cost_too_low_executions": self.too_low,
            "archived_executions": self.archived.executions,
            "cost_savings": savings(totals),
            "recommendations": [option.to_dict() for option in self.cheaper],
            **token_kinds(totals, "total_"),
        }
        agents, models, intervals = self.counts
        if "agents" in self.parts:
            found |= {"total_agents": agents, "by_agent": [group_dict("agent_name", group) for group in self.by_agent]}
        if "models" in self.parts:
            found |= {"total_models": models, "by_model": [group_dict("model", group) for group in self.by_model]}
        if "trends" in self.parts:
            found |= {"interval": self.interval, "total_intervals": intervals}
            found["trends"] = [bucket_dict(bucket) for bucket in self.buckets]
        return found


class Change(NamedTuple):
    """The trends over the whole intervals from `first` to `last`; None where too few values are known."""

    first: str
    last: str
    intervals: int
    executions: Trend | None
    average_time: Trend | None
    cost: Trend | None

    def to_dict(self) -> dict[str, Any]:
        """The change of each fitted line in percent, its direction, and how likely chance alone is."""
        series = {"executions": self.executions, "avg_execution_time": self.average_time, "total_cost": self.cost}
        found: dict[str, Any] = {"from": self.first, "to": self.last, "intervals": self.intervals}
        for name, trend in series.items():
            found[f"{name}_percent"] = trend and trend.percent
            found[f"{name}_trend"] = trend and trend.direction
            found[f"{name}_p_value"] = trend and trend.p_value
        return found


class Trends(NamedTuple):
    """Executions over time, also the intervals without any. `change` is None if no interval is whole. `buckets` may be
    cut to a limit; `interval_count` is the number of all."""

    period: str
    interval: Interval
    totals: Totals
    buckets: list[Bucket]
    change: Change | None
    unpriced_models: list[str]
    archived: Archived
    backfill: Backfill = Backfill()
    interval_count: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The intervals and the change."""
        rows = [bucket_dict(bucket) for bucket in self.buckets]
        return {
            "period": self.period,
            "interval": self.interval,
            "archived_executions": self.archived.executions,
            "before_first_transcript": self.backfill.to_dict(),
            "total_intervals": self.interval_count,
            "trends": rows,
            "change": self.change and self.change.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Errors:
    """The failures by error type. `zone` is for the instants in `to_dict`."""

    period: str
    totals: Totals
    groups: list[ErrorGroup]
    count: int
    zone: tzinfo
    archived: Archived

    def to_dict(self) -> dict[str, Any]:
        """`percent_of_failures` is the share of all failures in the period."""
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


def _exactness(is_exact: bool) -> str:
    return "exact" if is_exact else "approximate"
