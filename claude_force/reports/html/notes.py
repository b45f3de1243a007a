"""The notes of the HTML report. They never contain the home folder: the page is passed on to others."""

from __future__ import annotations

import re
from pathlib import Path

from claude_force.reports.freshness import unread_lines
from claude_force.reports.html.content import Content
from claude_force.reports.layouts.base import NOT_READ, Request, archived_lines, explain_empty
from claude_force.reports.layouts.notes import notes, too_low_notes


def page_notes(request: Request, content: Content) -> list[str]:
    """The notes of the tables, or why there are no executions. A line that is indented is a command."""
    summary = content.summary
    lines = _explain_empty(request).splitlines() if content.timeline is None else []
    sections = notes(summary.totals, summary.unpriced_models, content.unpriced_reasons)
    sections += too_low_notes(summary.too_low)
    lines += [line for section in sections for line in section.lines]
    lines += [_shorten_home(line) for line in archived_lines(request.workspace, summary.archived)]
    return lines + [_shorten_home(line) for line in unread_lines(request.freshness)]


def _explain_empty(request: Request) -> str:
    if request.freshness.is_incomplete:
        return NOT_READ
    name = request.workspace.database.name
    return _shorten_home(explain_empty(request).replace(name, Path(name).name))


def _shorten_home(text: str) -> str:
    return re.sub(rf"(?<![^\s']){re.escape(str(Path.home()))}/", "~/", text)
