"""The executions themselves, the newest first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_force.analytics.execution_lists import ExecutionList
from claude_force.formatting import count
from claude_force.reports.freshness import unread_lines
from claude_force.reports.layouts.base import explain_empty
from claude_force.reports.layouts.executions import AGENT, MODEL, PROJECT, RUN, executions_table, run_of
from claude_force.reports.render import Page, Section
from claude_force.web.view import View, Visit
from claude_force.web.views.parts import link_column


def _fill(visit: Visit) -> Mapping[str, Any]:
    request, links = visit.answer.request, visit.links
    found: ExecutionList = visit.answer.report
    assert request is not None
    more = unread_lines(request.freshness)
    if not found.executions:
        lines = explain_empty(request).splitlines()
        return {"found": Page("", [Section(None, [*lines, *more])])}
    listed = found.executions
    table = executions_table(listed, request.zone)
    table = link_column(table, AGENT, (links.here(agent=each.agent_name) for each in listed))
    table = link_column(table, MODEL, (links.here(model=each.model) for each in listed))
    table = link_column(table, PROJECT, (each.project and links.here(project=each.project) for each in listed))
    runs = (run_of(each) for each in listed)
    table = link_column(table, RUN, (run and links.to("/run", id=run) for run in runs))
    if len(listed) < found.matching:
        more.insert(0, f"The newest {count(len(listed))} of {count(found.matching)} are shown. The JSON has all.")
    return {"found": Page("Executions", [table, *([Section(None, more)] if more else [])])}


VIEW = View("/executions", "Executions", "export", "command.html", _fill)
