"""Layout of `sessions`: when, where, how long, on which models, and what it cost."""

from __future__ import annotations

from functools import partial

from claude_force import clock
from claude_force.analytics.labels import project_labels, short_ids
from claude_force.analytics.sessions import Sessions
from claude_force.clock import DAY_US, HOUR_US, MINUTE_US
from claude_force.executions.record import CLAUDE_CODE, model_family
from claude_force.executions.totals import Group
from claude_force.formatting import NONE, count, hours_minutes, money
from claude_force.reports.columns import Column
from claude_force.reports.layouts.base import Layout
from claude_force.reports.layouts.notes import notes
from claude_force.reports.render import Page, Section, Table
from claude_force.time_windows import heading_of

_COLUMNS = (
    Column("Started", "text"), Column("Session", "name", 8), Column("Project", "name", 8),
    Column("Branch", "name", 8), Column("Duration"), Column("Exec."), Column("Tokens"), Column("Cost"),
    Column("Models", "name", 8),
)  # fmt: skip
_LONG_DAYS = 2


def sessions_layout(report: Sessions, order: str) -> Layout:
    """The sessions. `order` says in words how they are sorted."""
    return Layout(partial(_page, report, order), report.rows, report.breakdown.totals.is_empty)


def _page(report: Sessions, order: str) -> Page:
    found = report.breakdown
    labels = _Labels(report)
    page = Page(f"Sessions ({heading_of(found.period)})")
    page.parts.append(Table(_COLUMNS, [_row(report, group, labels) for group in found.groups]))
    if len(found.groups) < found.count:
        line = f"{count(len(found.groups))} of {count(found.count)} sessions shown, {order} (--limit)"
        page.parts.append(Section(None, [line]))
    page.parts.extend(notes(found.totals, found.unpriced_models))
    return page


class _Labels:
    """Short names of the sessions and the projects that a report shows."""

    def __init__(self, report: Sessions) -> None:
        starts = [start for group in report.breakdown.groups if (start := report.start_of(group.name))]
        shown = [group.name for group in report.breakdown.groups]
        ids = [name for name in shown if (start := report.start_of(name)) and name and start.source == CLAUDE_CODE]
        self.sessions = short_ids(ids)
        self.projects = project_labels({start.project for start in starts if start.project})


def _row(report: Sessions, group: Group, labels: _Labels) -> list[str]:
    start, details, duration_us = (
        report.start_of(group.name),
        report.details[group.name],
        report.duration_us(group.name),
    )
    return [
        f"{clock.to_datetime(start.first_us, report.breakdown.zone):%Y-%m-%d %H:%M}" if start else NONE,
        labels.sessions.get(group.name, group.name) if group.name else "(no session)",
        labels.projects[start.project] if start and start.project else NONE,
        ", ".join(details.branches) or NONE,
        _duration(duration_us),
        count(group.totals.executions),
        count(group.totals.total_tokens),
        money(group.totals.cost),
        ", ".join(dict.fromkeys(map(model_family, details.models))) or NONE,
    ]


def _duration(duration_us: int | None) -> str:
    """45m, 2h 45m; from two days on 2d 3h."""
    if duration_us is None:
        return NONE
    days, rest_us = divmod(duration_us, DAY_US)
    return f"{days}d {rest_us // HOUR_US}h" if days >= _LONG_DAYS else hours_minutes(duration_us // MINUTE_US)
