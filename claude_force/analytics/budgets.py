"""Budgets: what of each is spent, and what will be by the end of its period.

The figures are those that the alert rules of a budget measure. A project is named as in reports; one that the store
does not know has spent nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any, NamedTuple

from claude_force import clock
from claude_force.analytics.forecasts import recent_window, rest_in_windows, span_us
from claude_force.analytics.groups import ALL_ROWS, RowChoice
from claude_force.database import queries
from claude_force.database.contract import Connection, Readable
from claude_force.database.queries import Filter
from claude_force.executions.projects import ProjectNames
from claude_force.executions.record import NANOUSD, dollars
from claude_force.executions.totals import Archived, Totals
from claude_force.settings.budgets import Budget
from claude_force.time_windows import Window, calendar_window


class Spending(NamedTuple):
    """What of a budget is spent in its present period, until now. `forecast_nanousd` is what will be at its end.
    `used_up_us` is when the budget is used up at the present rate; None if that is not in this period. `unknown` are
    the names that the store does not have, if nothing ran. `archived` are what the totals of a branch lack."""

    budget: Budget
    period: Window
    totals: Totals
    forecast_nanousd: int
    used_up_us: int | None
    unknown: tuple[str, ...] = ()
    archived: Archived = Archived()

    @property
    def limit_nanousd(self) -> int:
        """The money of the budget."""
        return round(self.budget.usd * NANOUSD)

    @property
    def percent(self) -> float | None:
        """Percent of the budget that is spent at least; None if no cost is known."""
        return None if self.totals.cost is None else 100 * self.totals.cost_nanousd / self.limit_nanousd

    @property
    def forecast(self) -> float | None:
        """US dollars at the end of the period, at least; None if no cost is known."""
        return None if self.totals.cost is None else dollars(self.forecast_nanousd)

    @property
    def is_used_up(self) -> bool:
        """Whether all of it is spent."""
        return self.totals.cost_nanousd >= self.limit_nanousd


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """The budgets in the order of the settings. `zone` is for instants. `archived` are the archived executions that one
    of them lacks, the most of any."""

    spendings: list[Spending]
    count: int
    zone: tzinfo
    archived: Archived

    def to_dict(self) -> dict[str, Any]:
        """The budgets under `budgets`."""
        return {
            "archived_executions": self.archived.executions,
            "total_budgets": self.count,
            "budgets": self.rows(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """The budgets for JSON and CSV."""
        return [self._row(found) for found in self.spendings]

    def _row(self, found: Spending) -> dict[str, Any]:
        budget, totals = found.budget, found.totals
        start_us, end_us = found.period.start_us, found.period.end_us
        assert start_us is not None
        assert end_us is not None
        return {
            "budget": budget.name,
            "project": budget.project,
            "agent": budget.agent,
            "branch": budget.branch,
            "per": budget.per,
            "limit_cost": budget.usd,
            "total_cost": totals.cost,
            "spent_percent": found.percent,
            "forecast_cost": found.forecast,
            "is_used_up": found.is_used_up,
            "used_up_at": None if found.used_up_us is None else clock.format_instant(found.used_up_us, self.zone),
            "period_start": clock.format_instant(start_us, self.zone),
            "period_end": clock.format_instant(end_us, self.zone),
            "executions": totals.executions,
            "unpriced_executions": totals.unpriced,
            "unknown_names": list(found.unknown),
        }


def budget_report(
    database: Readable,
    budgets: Iterable[Budget],
    project_names: ProjectNames,
    zone: tzinfo,
    now_us: int,
    rows: RowChoice = ALL_ROWS,
) -> BudgetReport:
    """What of each budget is spent: the chosen budgets."""
    with database.read() as connection:
        found = spendings(connection, budgets, project_names, zone, now_us)
    archived = max((each.archived for each in found), key=lambda each: each.executions, default=Archived())
    return BudgetReport(rows.of(found, is_ascending=True), len(found), zone, archived)


def spendings(
    connection: Connection, budgets: Iterable[Budget], project_names: ProjectNames, zone: tzinfo, now_us: int
) -> list[Spending]:
    """What of each budget is spent, in order."""
    recent = recent_window(connection, now_us)
    return [_spending(connection, budget, project_names, zone, now_us, recent) for budget in budgets]


def _spending(
    connection: Connection, budget: Budget, project_names: ProjectNames, zone: tzinfo, now_us: int, recent: Window
) -> Spending:
    period = calendar_window(budget.per, zone, now_us)
    assert period.end_us is not None
    chosen = chosen_by(connection, budget, project_names, zone, now_us)
    totals = queries.totals(connection, chosen)
    lately = queries.totals(connection, replace(chosen, window=recent)).cost_nanousd
    forecast = totals.cost_nanousd + round(lately * rest_in_windows(recent, now_us, period.end_us))
    left = round(budget.usd * NANOUSD) - totals.cost_nanousd
    used_up_us = None
    if left > 0 and lately and (at_us := now_us + left * span_us(recent) // lately) < period.end_us:
        used_up_us = at_us
    unknown = () if totals.executions else tuple(_unknown_names(connection, budget, chosen))
    archived = queries.archived(connection, chosen) if budget.branch is not None else Archived()
    return Spending(budget, period, totals, forecast, used_up_us, unknown, archived)


def _unknown_names(connection: Connection, budget: Budget, chosen: Filter) -> Iterator[str]:
    """The names of a budget that the store does not have, as "agent reviewer". A project is also unknown if several end
    in its name."""
    if budget.project is not None and chosen.project_names.full_name(budget.project) is None:
        yield f"project {budget.project}"
    if budget.agent is not None and not queries.has_name(connection, "agent_name", budget.agent):
        yield f"agent {budget.agent}"
    if budget.branch is not None and not queries.has_name(connection, "git_branch", budget.branch):
        yield f"branch {budget.branch}"


def chosen_by(connection: Connection, budget: Budget, project_names: ProjectNames, zone: tzinfo, now_us: int) -> Filter:
    """The executions of a budget in its present period, until now. A project that the store does not know selects
    nothing."""
    chosen = Filter(
        Window(calendar_window(budget.per, zone, now_us).start_us, now_us),
        agents=() if budget.agent is None else (budget.agent,),
        branches=() if budget.branch is None else (budget.branch,),
        project_names=project_names,
    )
    if budget.project is not None:
        chosen = queries.with_projects(connection, chosen)
        chosen = replace(chosen, projects=(chosen.project_names.full_name(budget.project) or budget.project,))
    return queries.with_reach(connection, chosen)
