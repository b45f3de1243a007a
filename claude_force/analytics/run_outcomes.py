"""What success costs: runs by agent, model, workflow or project, with the money that was for nothing.

| figure             | meaning                                                                                    |
|--------------------|--------------------------------------------------------------------------------------------|
| success rate       | of the runs whose outcome is known; None for fewer than FEWEST of them                     |
| cost per success   | the cost of all runs, divided by the successful ones                                       |
| time per success   | how long a successful run took on average                                                  |
| wasted             | failed + refused + retried, as `executions.runs` defines them: no dollar counts twice      |
| commits and others | from telemetry, which says them by session: of a workflow that is a session, of a project  |
|                    | if all its executions of a session are in it alone, and in total; otherwise None           |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from claude_force.analytics.groups import ALL_ROWS, RowChoice
from claude_force.analytics.names import MOST_NAMES, known_names
from claude_force.analytics.outcomes import known_kinds, outcomes_of
from claude_force.analytics.proportions import rate_interval
from claude_force.analytics.unpriced import unpriced_of
from claude_force.clock import SECOND_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Dimension, Filter
from claude_force.database.queries import telemetry as stored
from claude_force.database.queries.run_sums import run_sums
from claude_force.database.rows.telemetry import OutcomeSum
from claude_force.executions.runs import RunSums, amount_of
from claude_force.executions.totals import Archived

RunsBy = Literal["agent", "workflow", "model", "project"]

FEWEST = 10
"""Of fewer runs no success rate is claimed."""

_DIMENSIONS: dict[RunsBy, Dimension] = {
    "agent": "agent_name", "workflow": "workflow_id", "model": "model", "project": "project",
}  # fmt: skip


class Delivered(NamedTuple):
    """What telemetry says came of some runs; None if it is not known."""

    commits: int | None = None
    pull_requests: int | None = None
    lines: int | None = None


@dataclass(frozen=True, slots=True)
class SuccessCost:
    """What the runs of a name cost, and what came of them."""

    sums: RunSums
    delivered: Delivered

    @property
    def known_runs(self) -> int:
        """Runs whose outcome is known."""
        return self.sums.runs - self.sums.unknown

    @property
    def success_rate(self) -> float | None:
        """Percent of the runs whose outcome is known; None for too few."""
        return 100 * self.sums.successes / self.known_runs if self.known_runs >= FEWEST else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the success rate (Wilson's), in percent; None for too few runs."""
        return rate_interval(self.sums.successes, self.known_runs) if self.known_runs >= FEWEST else None

    @property
    def cost(self) -> float | None:
        """US dollars of all runs; None if no cost is known."""
        return amount_of(self.sums.cost_nanousd, 0 if self.sums.priced else self.sums.unpriced)

    @property
    def cost_per_success(self) -> float | None:
        """US dollars of all runs for each successful one; None if none succeeded, or no cost is known."""
        return None if self.cost is None or not self.sums.successes else self.cost / self.sums.successes

    @property
    def seconds_per_success(self) -> float | None:
        """How long a successful run took on average; None if no duration is known."""
        timed = self.sums.timed_successes
        return self.sums.success_us / SECOND_US / timed if timed else None

    @property
    def wasted(self) -> float | None:
        """US dollars for nothing; None if no cost of it is known."""
        return amount_of(self.sums.wasted_nanousd, self.sums.wasted_unpriced)

    def per_dollar(self, number: int | None) -> float | None:
        """A number for each dollar of the cost; None if it or the cost is not known, or the cost is 0."""
        return None if number is None or not self.cost else number / self.cost

    def to_dict(self) -> dict[str, Any]:
        """For JSON and CSV."""
        low, high = self.interval or (None, None)
        sums = self.sums
        return {
            "runs": sums.runs,
            "successful_runs": sums.successes,
            "failed_runs": sums.failures,
            "refused_runs": sums.refusals,
            "unknown_runs": sums.unknown,
            "success_rate": self.success_rate,
            "success_rate_low": low,
            "success_rate_high": high,
            "executions": sums.executions,
            "total_cost": self.cost,
            "cost_per_success": self.cost_per_success,
            "seconds_per_success": self.seconds_per_success,
            "useful_cost": amount_of(sums.useful_nanousd, sums.useful_unpriced),
            "wasted_cost": self.wasted,
            "failed_cost": amount_of(sums.failed_nanousd, sums.failed_unpriced),
            "refused_cost": amount_of(sums.refused_nanousd, sums.refused_unpriced),
            "retried_cost": amount_of(sums.retried_nanousd, sums.retried_unpriced),
            "unknown_outcome_cost": amount_of(sums.unknown_nanousd, sums.unknown_unpriced),
            "unpriced_executions": sums.unpriced,
            **self.delivered._asdict(),
            **{f"{name}_per_dollar": self.per_dollar(number) for name, number in self.delivered._asdict().items()},
        }


@dataclass(frozen=True, slots=True)
class RunOutcomes:
    """The runs of a period by a name, the most expensive first. `groups` may be cut to a limit; `count` and `totals`
    are of all. A run that has several agents or models is one of each of them, and one in the totals."""

    period: str
    by: RunsBy
    groups: list[tuple[str | None, SuccessCost]]
    count: int
    totals: SuccessCost
    unpriced_models: list[str]
    archived: Archived

    def to_dict(self) -> dict[str, Any]:
        """The totals, then the rows."""
        return {
            "period": self.period,
            "archived_executions": self.archived.executions,
            "totals": self.totals.to_dict(),
            f"total_{self.by}s": self.count,
            f"{self.by}s": self.rows(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """The rows, for CSV. The name is null for what has none."""
        return [{self.by: name, **found.to_dict()} for name, found in self.groups]


def run_outcomes(database: Readable, chosen: Filter, by: RunsBy, rows: RowChoice = ALL_ROWS) -> RunOutcomes:
    """What success cost in the chosen executions, by a name."""
    with database.read() as connection:
        chosen = queries.with_projects(connection, known_names(connection, chosen))
        sums, whole = run_sums(connection, chosen, _DIMENSIONS[by])
        said = stored.outcomes(connection, chosen)
        by_name = _by_name(connection, chosen, by, said)
        archived = queries.archived(connection, chosen, "workflow_id")
        unpriced = unpriced_of(connection, chosen, queries.totals(connection, chosen)) if whole.unpriced else []
    groups = [(name, SuccessCost(found, by_name.get(name, Delivered()))) for name, found in sums.items()]
    return RunOutcomes(
        period=chosen.window.label,
        by=by,
        groups=_sorted(groups, rows)[: rows.limit],
        count=len(groups),
        totals=SuccessCost(whole, _delivered(said, said)),
        unpriced_models=unpriced,
        archived=archived,
    )


def _sorted(groups: Sequence[tuple[str | None, SuccessCost]], rows: RowChoice) -> list[tuple[str | None, SuccessCost]]:
    sign = 1 if rows.is_ascending else -1

    def order(group: tuple[str | None, SuccessCost]) -> tuple[bool, float, bool, str]:
        name, found = group
        return found.cost is None, sign * (found.cost or 0), name is None, name or ""

    return sorted(groups, key=order)


def _by_name(
    connection: Connection, chosen: Filter, by: RunsBy, said: Sequence[OutcomeSum]
) -> Mapping[str | None, Delivered]:
    """What telemetry says of each name, as far as it can be told."""
    sessions = {row.session_id for row in said} - {""}
    if not sessions or len(sessions) > MOST_NAMES or by in ("agent", "model"):
        return {}
    names: dict[str, str | None] = {session: session for session in sessions}
    if by == "project":
        names = _projects(connection, chosen, tuple(sorted(sessions)))
    found: dict[str | None, list[OutcomeSum]] = {}
    for row in said:
        if row.session_id in names:
            found.setdefault(names[row.session_id], []).append(row)
    return {name: _delivered(rows, said) for name, rows in found.items()}


def _projects(connection: Connection, chosen: Filter, sessions: tuple[str, ...]) -> dict[str, str | None]:
    """The project of each session that is in one project alone."""
    only = queries.with_reach(connection, replace(chosen, sessions=sessions))
    projects: dict[str, set[str | None]] = {}
    for session, project in queries.totals_by(connection, only, "session_id", "project"):
        projects.setdefault(session or "", set()).add(project)
    return {session: found.pop() for session, found in projects.items() if len(found) == 1}


def _delivered(rows: Sequence[OutcomeSum], said: Sequence[OutcomeSum]) -> Delivered:
    """What some sums come to; it is known if metrics came in the period at all."""
    found = outcomes_of(rows, known_kinds(said))
    lines = None if found.lines_added is None else found.lines_added + (found.lines_removed or 0)
    return Delivered(found.commits, found.pull_requests, lines)
