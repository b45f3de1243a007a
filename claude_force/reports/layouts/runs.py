"""Layout of `runs`: when, who, how long, for how much, and how it ended."""

from __future__ import annotations

from functools import partial

from claude_force import clock
from claude_force.analytics.labels import short_ids
from claude_force.analytics.runs import Runs
from claude_force.executions.runs import Run
from claude_force.formatting import NONE, count, duration, money
from claude_force.reports.columns import Column
from claude_force.reports.layouts.base import Layout
from claude_force.reports.layouts.notes import notes
from claude_force.reports.render import Page, Section, Table
from claude_force.time_windows import heading_of

_COLUMNS = (
    Column("Started", "text"), Column("Run", "name", 8), Column("Agent", "name", 8), Column("Duration"), Column("Req."),
    Column("Failed"), Column("Tokens"), Column("Cost"), Column("Outcome", "text"),
)  # fmt: skip


RUN, AGENT = 1, 2
"""The columns of names."""


def runs_layout(report: Runs, order: str) -> Layout:
    """The runs. `order` says in words how they are sorted."""
    return Layout(partial(_page, report, order), report.rows, report.totals.is_empty)


def _page(report: Runs, order: str) -> Page:
    labels = short_ids({run.key.id for run in report.runs})
    page = Page(f"Runs ({heading_of(report.period)})")
    page.parts.append(Table(_COLUMNS, [_row(run, labels[run.key.id], report) for run in report.runs]))
    if report.count is None:
        page.parts.append(Section(None, [f"{count(len(report.runs))} runs shown, {order} (--limit)"]))
    page.parts.extend(notes(report.totals, report.unpriced_models))
    page.parts.extend(show_hint(report))
    return page


def show_hint(report: Runs) -> list[Section]:
    """The command that shows what the first run of the table started. Empty if no run has a name."""
    named = next((run.key.id for run in report.runs if run.key.name), None)
    if named is None:
        return []
    label = short_ids({run.key.id for run in report.runs})[named]
    return [Section(None, [f"What a run started: claude-force run show {label}"])]


def _row(run: Run, label: str, report: Runs) -> list[str]:
    more = len(run.agents) - 1
    took_us = run.duration_us
    return [
        NONE if run.began_us is None else f"{clock.to_datetime(run.began_us, report.zone):%Y-%m-%d %H:%M}",
        label if run.key.name else NONE,
        f"{run.agents[0]} +{more}" if more > 0 else "".join(run.agents) or NONE,
        duration(None if took_us is None else took_us / 1000),
        count(run.totals.executions),
        count(run.totals.failures),
        count(run.totals.total_tokens),
        money(run.totals.cost),
        run.outcome,
    ]
