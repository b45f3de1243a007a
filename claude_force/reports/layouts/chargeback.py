"""Layout of `costs --by team`: a row for each team as a table, and one for each kind of token as CSV."""

from __future__ import annotations

from functools import partial
from typing import Any

from claude_force.analytics.chargeback import NO_TEAM, Chargeback, ChargedRow, TeamUsage
from claude_force.executions.intervals import NOUNS
from claude_force.formatting import count, money, percent
from claude_force.reports.columns import Column
from claude_force.reports.layouts.base import Layout
from claude_force.reports.layouts.notes import cut_note, notes
from claude_force.reports.render import Page, Section, Table
from claude_force.text import for_terminal
from claude_force.time_windows import heading_of

_NAME_WIDTH = len("claude-sonnet-4-5-20250929")
_NO_TEAMS = [
    "A team is a group of projects. There is none; to make one:",
    """  claude-force config set performance.projects.shop '["~/shop", "~/shop-*"]'""",
]


def chargeback_layout(report: Chargeback) -> Layout:
    """The teams of each interval; as CSV their rows."""
    return Layout(partial(_page, report), lambda: [_csv_row(row) for row in report.rows], report.totals.is_empty)


def _csv_row(row: ChargedRow) -> dict[str, Any]:
    cents = None if row.cents is None else f"{row.cents / 100:.2f}"
    return {**row.to_dict(), "team": row.team or NO_TEAM, "cost_usd": cents}


def _page(report: Chargeback) -> Page:
    first = Column(NOUNS[report.interval].capitalize(), "text")
    columns = [first, Column("Team", "name", _NAME_WIDTH), *map(Column, ("Executions", "Tokens", "Cost", "Share"))]
    rows = [_row(team, report) for team in report.teams]
    if report.count > 1:
        rows.append(_row(TeamUsage("Total", "", report.totals, report.cents), report))
    page = Page(f"Costs by Team ({heading_of(report.period)})", [Table(columns, rows)])
    page.parts.extend(cut_note(len(report.teams), report.count))
    page.parts.extend([] if report.has_teams else [Section(None, _NO_TEAMS)])
    page.parts.extend(notes(report.totals, report.unpriced_models))
    return page


def _row(team: TeamUsage, report: Chargeback) -> list[str]:
    totals = team.totals
    return [
        team.interval,
        for_terminal(NO_TEAM if team.team is None else team.team),
        count(totals.executions),
        count(totals.total_tokens),
        money(team.cents / 100) if totals.is_priced or not totals.executions else money(None),
        percent(100 * totals.cost_nanousd / report.totals.cost_nanousd if report.totals.cost_nanousd else None),
    ]
