"""Executions by a name: agent, model, project, branch, user, machine, workflow. Each is a command, and so a view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_force.analytics.json_fields import TITLES, plural
from claude_force.analytics.report_types import Breakdown
from claude_force.database.queries import Dimension
from claude_force.web.view import View, Visit
from claude_force.web.views.parts import ROWS, command_page, link_part

_DIMENSIONS: tuple[Dimension, ...] = (
    "agent_name", "model", "project", "git_branch", "user_name", "host", "workflow_id",
)  # fmt: skip
_FIRST = f"/by-{TITLES[_DIMENSIONS[0]]}"


def _fill(visit: Visit) -> Mapping[str, Any]:
    report: Breakdown = visit.answer.report
    links, title = visit.links, TITLES[report.dimension]
    others = [
        {"title": plural(each).capitalize(), "href": links.to(_path(each)), "is_here": each == report.dimension}
        for each in _DIMENSIONS
    ]
    hrefs = [links.to("/", **{title: group.name}) if group.name else None for group in report.groups]
    # The last row is the total of several groups.
    hrefs += [None] if report.count > 1 else []
    return {
        "found": command_page(visit.answer, lambda page: link_part(page, 0, hrefs)),
        "choices": [("By", others)],
    }


def _path(dimension: Dimension) -> str:
    return f"/by-{TITLES[dimension]}"


VIEWS = tuple(
    View(
        _path(each), f"By {TITLES[each]}", f"by-{TITLES[each]}", "command.html", _fill,
        navigation=_path(each) == _FIRST, words=("sort-by", *ROWS), below=_FIRST,
    )
    for each in _DIMENSIONS
)  # fmt: skip
