"""Layout of `daily`, `weekly` and `monthly`: a row for each model of each interval, with the kinds of its tokens."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from claude_force import clock
from claude_force.analytics.labels import model_labels
from claude_force.analytics.periodic_usage import PeriodicUsage, first_day
from claude_force.database import queries
from claude_force.executions.record import UNKNOWN
from claude_force.executions.totals import Totals
from claude_force.formatting import NONE, count, money
from claude_force.reports.columns import Column
from claude_force.reports.layouts.base import Layout, Request, explain_empty
from claude_force.reports.layouts.notes import cut_note, notes
from claude_force.reports.render import Page, Section, Table
from claude_force.time_windows import ALL_TIME, heading_of

_UNITS = {"daily": "day", "weekly": "week", "monthly": "month"}
_FIRST = {"daily": "Date", "weekly": "Week of", "monthly": "Month"}
_COLUMNS = (
    Column("Model", "name"), Column("Input"), Column("Output"), Column("Write\n5m"), Column("Write\n1h"),
    Column("Cache\nRead"), Column("Tokens"), Column("Cost"),
)  # fmt: skip


def periodic_usage_layout(report: PeriodicUsage, request: Request) -> Layout:
    """The intervals, the newest last, those of several models with their total, and the total of the period."""
    explain = partial(_explain_empty, report, request)
    return Layout(partial(_page, report), report.rows, not report.models, explain)


def _explain_empty(report: PeriodicUsage, request: Request) -> str:
    """Why there is nothing; where no period was chosen, also how to see what there is."""
    explanation = explain_empty(request)
    with request.workspace.database.read() as connection:
        stored = queries.time_range(connection)
    if stored is None or request.chosen.window != ALL_TIME:
        return explanation
    first = clock.to_datetime(stored.first_us, request.zone).date()
    command = f"claude-force {report.interval} --start {first}"
    return f"{explanation}\nWithout a period this shows the last {report.period}. To see all:\n  {command}"


def _page(report: PeriodicUsage) -> Page:
    title = f"{report.interval.capitalize()} Usage ({heading_of(report.period)})"
    table = Table([Column(_FIRST[report.interval], "text"), *_COLUMNS], list(_rows(report)))
    cut = cut_note(len(report.intervals), report.count)
    return Page(title, [table, *cut, *_beginning_note(report), *notes(report.totals, report.unpriced_models)])


def _beginning_note(report: PeriodicUsage) -> list[Section]:
    """That the first interval is not whole, and how to see all of it. Empty if it is whole."""
    if report.begins_at is None:
        return []
    first = first_day(report.interval, report.begins_at.date())
    lines = [
        f"The first {_UNITS[report.interval]} counts from {report.begins_at:%Y-%m-%d %H:%M}. All of it:",
        f"  claude-force {report.interval} --since {first}",
    ]
    return [Section(None, lines)]


def _rows(report: PeriodicUsage) -> Iterator[list[str]]:
    labels = model_labels(group.name or UNKNOWN for group in report.models)
    for bucket, models in report.intervals:
        for group in models:
            yield [bucket.label, labels[group.name or UNKNOWN], *_cells(group.totals)]
        if len(models) != 1:
            yield [bucket.label, "total" if models else NONE, *_cells(bucket.totals)]
    yield ["Total", "", *_cells(report.totals)]


def _cells(totals: Totals) -> list[str]:
    return [
        count(totals.known_input_tokens),
        count(totals.known_output_tokens),
        count(totals.cache_write_5m_tokens),
        count(totals.cache_write_1h_tokens),
        count(totals.cache_read_tokens),
        count(totals.total_tokens),
        money(totals.cost),
    ]
