"""Layout of `budgets`: what of each budget is spent, and when it is used up."""

from __future__ import annotations

from functools import partial

from claude_force import clock
from claude_force.analytics.budgets import BudgetReport, Spending
from claude_force.formatting import NONE, money, percent
from claude_force.reports.columns import Column
from claude_force.reports.layouts.base import Layout
from claude_force.reports.layouts.notes import cut_note, unpriced_sentence
from claude_force.reports.render import Page, Section, Table, bar
from claude_force.text import for_terminal

NO_BUDGETS = """There is no budget. To set one:
  claude-force config set performance.budgets '[{"usd": 200, "per": "month"}]'"""

_NAME_WIDTH = len("project shop, branch main")
_COLUMNS = (
    Column("Budget", "name", _NAME_WIDTH), Column("Per", "text"), Column("Spent"), Column("Limit"), Column("Used"),
    Column("", "bar"), Column("Forecast"), Column("Used up at\nthis rate", "text"),
)  # fmt: skip


def budgets_layout(report: BudgetReport) -> Layout:
    """The budgets, each with its bar."""
    return Layout(partial(_page, report), report.rows, not report.count, lambda: NO_BUDGETS)


def _page(report: BudgetReport) -> Page:
    page = Page("Budgets", [Table(_COLUMNS, [_row(found, report) for found in report.spendings])])
    page.parts.extend(cut_note(len(report.spendings), report.count))
    lines = [line for found in report.spendings for line in _notes(found)]
    page.parts.extend([Section(None, lines)] if lines else [])
    return page


def _row(found: Spending, report: BudgetReport) -> list[str]:
    budget, least = found.budget, "at least " if found.totals.unpriced and found.totals.is_priced else ""
    return [
        for_terminal(budget.title),
        budget.per,
        f"{least}{money(found.totals.cost)}",
        money(budget.usd),
        percent(found.percent, 0),
        bar(min(found.percent or 0, 100), 100, 8),
        f"{least}{money(found.forecast)}",
        _used_up(found, report),
    ]


def _used_up(found: Spending, report: BudgetReport) -> str:
    if found.is_used_up:
        return "used up"
    if found.percent is None:
        return NONE
    if found.used_up_us is None:
        return f"not this {found.budget.per}" if found.budget.per != "day" else "not today"
    return f"{clock.to_datetime(found.used_up_us, report.zone):%m-%d %H:%M}"


def _notes(found: Spending) -> list[str]:
    """What the figures of a budget do not say."""
    of = for_terminal(f"{found.budget.title} per {found.budget.per}")
    lines = [f"{of}: {unpriced_sentence(found.totals.unpriced)}"] if found.totals.unpriced else []
    if found.unknown:
        lines.append(f"{of}: nothing is stored of {for_terminal(', '.join(found.unknown))}")
    return lines
