"""What `claude-force` alone shows, read in one transaction: today, the week, the month, the plan, and what needs
attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple

from claude_force import clock
from claude_force.analytics.blocks import SessionBlocks, session_blocks
from claude_force.analytics.groups import groups_by, sort_groups, sum_groups
from claude_force.analytics.json_fields import group_dict, totals_dict
from claude_force.clock import DAY_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable, Snapshot
from claude_force.database.queries import Filter
from claude_force.database.queries.attention import failed_jobs, firing_rules, rejected_lines
from claude_force.executions.session_blocks import LENGTH
from claude_force.executions.totals import Group, TimeRange, Totals
from claude_force.formatting import quantity
from claude_force.time_windows import Window

if TYPE_CHECKING:
    from claude_force.database.workspace import Workspace


class Period(NamedTuple):
    """A calendar period up to now: its totals, and its models and agents, the most expensive first."""

    name: str
    start_us: int
    totals: Totals
    models: list[Group]
    agents: list[Group]

    def to_dict(self, zone: tzinfo) -> dict[str, Any]:
        """For JSON."""
        return {
            "start": clock.format_instant(self.start_us, zone),
            **totals_dict(self.totals),
            "models": [group_dict("model", group) for group in self.models],
            "agents": [group_dict("agent_name", group) for group in self.agents],
        }


class Attention(NamedTuple):
    """Something to look at: what it is, how many, and the command that shows it."""

    kind: str
    number: int
    text: str
    command: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, "count": self.number, "text": self.text, "command": self.command}


@dataclass(frozen=True, slots=True)
class Overview:
    """The database at one instant. `stored` is from its first to its last execution, None if it has none; `blocks` has
    the active block, if there is one, and the current limits of the plan."""

    now_us: int
    zone: tzinfo
    stored: TimeRange | None
    periods: list[Period]
    blocks: SessionBlocks
    attention: list[Attention]

    @property
    def longest(self) -> Period:
        """The period that began first. That is the week while the month is younger."""
        return _longest(self.periods)

    def to_dict(self) -> dict[str, Any]:
        """The periods by name, then the rest. `active_block` is as in `analytics blocks`."""
        blocks = self.blocks.to_dict()
        return {
            "first_execution": self.stored and clock.format_instant(self.stored.first_us, self.zone),
            "last_execution": self.stored and clock.format_instant(self.stored.last_us, self.zone),
            **{period.name: period.to_dict(self.zone) for period in self.periods},
            "active_block": next(iter(blocks["blocks"]), None),
            "plan_limits": blocks["plan_limits"],
            "attention": [found.to_dict() for found in self.attention],
        }


def read_overview(database: Readable, zone: tzinfo, now_us: int, workspace: Workspace | None = None) -> Overview:
    """Read what the overview shows. The settings of `workspace` say which rules are still on. A database that does not
    exist reads as empty. Raises DatabaseError."""
    with database.read() as connection:
        periods = [_period(connection, name, start_us, now_us) for name, start_us in _starts(zone, now_us)]
        blocks = session_blocks(Snapshot(connection), Filter(Window(now_us, now_us + 1, "now")), LENGTH, zone, now_us)
        attention = _attention(connection, workspace, _longest(periods), now_us)
        return Overview(now_us, zone, queries.time_range(connection), periods, blocks, attention)


def _longest(periods: Sequence[Period]) -> Period:
    # Of those that began on the same day the last, which is named after the longest time.
    return min(reversed(periods), key=lambda period: period.start_us)


def _starts(zone: tzinfo, now_us: int) -> list[tuple[str, int]]:
    today = clock.to_datetime(now_us, zone).date()
    firsts: dict[str, date] = {
        "today": today,
        "week": today - timedelta(days=today.weekday()),
        "month": today.replace(day=1),
    }
    return [(name, clock.start_of_day(first, zone)) for name, first in firsts.items()]


def _period(connection: Connection, name: str, start_us: int, now_us: int) -> Period:
    sums = queries.totals_by(connection, Filter(Window(start_us, now_us + 1)), "agent_name", "model")
    agents, models = (sort_groups(groups_by(sums, position), "cost") for position in (0, 1))
    return Period(name, start_us, sum_groups(models), models, agents)


def _firing(connection: Connection, workspace: Workspace | None, now_us: int) -> Sequence[str]:
    """The rule of each alert that fires and is neither silenced nor over."""
    found = firing_rules(connection, now_us)
    if not found or workspace is None:
        return found
    # Loaded only where something fires.
    from claude_force.alerts.configured import going_on, rules_of_store

    return going_on(connection, found, rules_of_store(workspace))


def _attention(connection: Connection, workspace: Workspace | None, longest: Period, now_us: int) -> list[Attention]:
    """What a user should know without asking. Only what is quick to find: the doctor looks at the rest."""
    firing, failed = _firing(connection, workspace, now_us), failed_jobs(connection, now_us - DAY_US)
    rejected, unpriced = rejected_lines(connection), longest.totals.unpriced
    jobs = f"job {failed[0]} failed" if len(failed) == 1 else f"{quantity(len(failed), 'job')} failed"
    alerts = f"{quantity(len(firing), 'alert')} {'fires' if len(firing) == 1 else 'fire'}"
    without_price = f"{quantity(unpriced, 'execution')} without a price"
    found = [
        Attention("alerts", len(firing), alerts, "claude-force alerts list"),
        Attention("jobs", len(failed), jobs, "claude-force scheduler status"),
        Attention("unpriced_executions", unpriced, without_price, f"claude-force costs --last {longest.name}"),
        Attention("rejected_lines", rejected, f"{quantity(rejected, 'line')} could not be read", "claude-force doctor"),
    ]
    return [each for each in found if each.number]
