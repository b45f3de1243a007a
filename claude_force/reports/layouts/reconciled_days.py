"""Layout of `analytics reconcile --by-day`: what each source knows of days, and what Anthropic bills."""

from __future__ import annotations

from collections import Counter
from functools import partial

from claude_force.analytics.compared_sessions import ONE_SOURCE
from claude_force.analytics.reconciled_days import DayComparison, ReconciledDays
from claude_force.executions.record import dollars
from claude_force.formatting import NONE, quantity, unit_cost
from claude_force.reports.columns import Column
from claude_force.reports.layouts.base import Layout
from claude_force.reports.layouts.reconciliation import differences_text
from claude_force.reports.render import Page, Section, Table
from claude_force.time_windows import heading_of


def reconciled_days_layout(report: ReconciledDays) -> Layout:
    """The days, the oldest first."""
    return Layout(partial(_page, report), report.rows, not report.count)


def _page(report: ReconciledDays) -> Page:
    figures = ["Transcripts", "Telemetry", "Stored", "Metrics", *(["Anthropic"] if report.has_bill else []), "Missing"]
    columns = [Column("Day (UTC)", "text"), *map(Column, figures), Column("What differs", "name")]
    rows = [_cells(day, has_bill=report.has_bill) for day in report.days]
    page = Page(f"What each source knows by day ({heading_of(report.period)})", [Table(columns, rows)])
    page.parts.append(Section(None, _total_lines(report)))
    if report.problem:
        page.parts.append(Section(None, [f"Anthropic's reports are not here: {report.problem}"]))
    return page


def _cells(day: DayComparison, *, has_bill: bool) -> list[str]:
    return [
        day.day,
        _cost(day.transcript.known_cost_nanousd),
        _cost(day.telemetry.known_cost_nanousd),
        _cost(day.stored.known_cost_nanousd),
        _cost(day.metrics.cost_nanousd),
        *([_cost(day.billed.cost_nanousd)] if has_bill else []),
        _cost(day.missing_nanousd),
        differences_text(day.differences, day.missing_nanousd),
    ]


def _cost(nanousd: int | None) -> str:
    return NONE if nanousd is None else unit_cost(dollars(nanousd))


def _total_lines(report: ReconciledDays) -> list[str]:
    lines = ["No day can be compared"]
    if report.compared:
        lines = [f"{quantity(report.compared, 'day')} compared: missing {_cost(report.missing_nanousd)}"]
    reasons = Counter(day.unknown_reason for day in report.days if day.unknown_reason)
    lines += [f"{quantity(days, 'day')} not compared: {reason}" for reason, days in sorted(reasons.items())]
    if ONE_SOURCE in reasons:
        lines.append("With a key of Anthropic's Admin API, what it bills is compared:")
        lines.append("  claude-force config set performance.admin_api_key '${ANTHROPIC_ADMIN_KEY}'")
    return lines
