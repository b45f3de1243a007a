"""What success costs, by a name; and what was done, by day and by session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_force.reports.render import Page
from claude_force.web.links import Links
from claude_force.web.view import View, Visit, last_days
from claude_force.web.views.parts import ROWS, choices, command_page, link_part, word_of

_DEFAULT = "agent"
_BY = {name: name.capitalize() for name in ("agent", "model", "project", "workflow", "day", "session")}


def _fill(visit: Visit) -> Mapping[str, Any]:
    report, by = visit.answer.report, word_of(visit, "by") or _DEFAULT
    return {
        "found": command_page(visit.answer, lambda page: _link(page, report.groups, by, visit.links)),
        "choices": [("By", choices(visit.links, "by", _BY, by))],
    }


def _link(page: Page, groups: list[tuple[str | None, Any]], by: str, links: Links) -> None:
    """Each row leads to its runs; the last one is the total."""
    link_part(page, 0, [*(_href(name, by, links) for name, _ in groups), None])


def _href(name: str | None, by: str, links: Links) -> str | None:
    if not name:
        return None
    if by == "session":
        return links.to("/run", id=name)
    if by == "day":
        # Days of outcomes are those of UTC.
        return links.to("/runs", since=name, until=name, timezone="UTC")
    return links.to("/runs", **{by: name})


VIEW = View(
    "/outcomes", "Outcomes", "outcomes", "command.html", _fill,
    defaults=({"by": _DEFAULT}, last_days(30)), words=("by", *ROWS),
)  # fmt: skip
