"""Layout of `analytics backfill`: days before the first transcript."""

from __future__ import annotations

from functools import partial

from claude_force.analytics.backfill import NO_COST, BackfillReport
from claude_force.formatting import NONE, count, quantity
from claude_force.reports.columns import Column
from claude_force.reports.layouts.base import Layout
from claude_force.reports.layouts.first_steps import INGEST
from claude_force.reports.layouts.notes import cut_note
from claude_force.reports.render import Page, Section, Table
from claude_force.time_windows import heading_of

_CACHE = {1: "included", 0: "not included", None: NONE}
_COLUMNS = (Column("Date (UTC)", "text"), Column("Model", "name"), Column("Tokens"), Column("Cached Tokens", "text"))
_UPPER_BOUND = (
    "Not in any other report. An upper bound: Claude Code counts a response once for each line of its transcript."
)


def backfill_layout(report: BackfillReport) -> Layout:
    """The days by model."""
    return Layout(partial(_page, report), report.rows, not report.count, _explain_empty)


def _page(report: BackfillReport) -> Page:
    rows = [[day.day, day.model, count(day.tokens), _CACHE[day.has_cache_tokens]] for day in report.days]
    page = Page(f"Before the First Transcript ({heading_of(report.period)})", [Table(_COLUMNS, rows)])
    page.parts.extend(cut_note(len(report.days), report.count))
    total = f"{quantity(report.backfill.days, 'day')}, {quantity(report.backfill.tokens, 'token')}; no cost: {NO_COST}"
    page.parts.append(Section(None, [total, _UPPER_BOUND]))
    return page


def _explain_empty() -> str:
    return (
        "No days before the first transcript.\n"
        "Claude Code keeps its statistics in stats-cache.json beside its transcripts.\n"
        "A day counts here if it was over before the first execution of Claude Code\n"
        f"in the store. Read what is new:\n  {INGEST}"
    )
