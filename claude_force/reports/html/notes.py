"""The notes of the HTML report. They never contain the home folder: the page is passed on to others."""

from __future__ import annotations

import re
from pathlib import Path

from claude_force.reports.html.content import Content
from claude_force.reports.layouts.base import Request, archived_lines, explain_empty
from claude_force.reports.layouts.notes import notes


def page_notes(request: Request, content: Content) -> list[str]:
    """The notes of the tables, or why there are no executions. A line that is indented is a command."""
    summary = content.summary
    lines = _explain_empty(request).splitlines() if content.timeline is None else []
    sections = notes(summary.totals, summary.unpriced_models, content.unpriced_reasons)
    lines += [line for section in sections for line in section.lines]
    return lines + [_shorten_home(line) for line in archived_lines(request.workspace, summary.archived)]


def _explain_empty(request: Request) -> str:
    name = request.workspace.database.name
    return _shorten_home(explain_empty(request).replace(name, Path(name).name))


def _shorten_home(text: str) -> str:
    return re.sub(rf"(?<![^\s']){re.escape(str(Path.home()))}/", "~/", text)
