"""Runs, each with its tree one click away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_force.analytics.runs import RUN_ORDERS, Runs
from claude_force.reports.layouts.runs import AGENT, RUN, show_hint
from claude_force.reports.render import Page
from claude_force.web.links import Links
from claude_force.web.view import MOST_ROWS, View, Visit
from claude_force.web.views.parts import ROWS, choices, command_page, link_part, word_of

_SHOWN = 100
_ORDERS: dict[str, str] = {name: name.capitalize() for name in RUN_ORDERS}


def _fill(visit: Visit) -> Mapping[str, Any]:
    report: Runs = visit.answer.report
    chosen = word_of(visit, "sort-by") or RUN_ORDERS[0]
    return {
        "found": command_page(visit.answer, lambda page: _link(page, report, visit.links)),
        "choices": [("Sorted by", choices(visit.links, "sort_by", _ORDERS, chosen))],
        "more": visit.links.here(limit=str(MOST_ROWS))
        if report.count is None and len(report.runs) < MOST_ROWS
        else None,
    }


def _link(page: Page, report: Runs, links: Links) -> None:
    hint = show_hint(report)
    page.parts[:] = [part for part in page.parts if part not in hint]
    link_part(page, RUN, (links.to("/run", id=run.key.id) if run.key.name else None for run in report.runs))
    link_part(page, AGENT, (links.here(agent=run.agents[0]) if run.agents else None for run in report.runs))


VIEW = View(
    "/runs", "Runs", "runs", "command.html", _fill,
    defaults=({"limit": str(_SHOWN)},), words=("sort-by", *ROWS),
)  # fmt: skip
