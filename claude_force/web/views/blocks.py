"""The limits of the plan, and the five-hour windows of a subscription."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_force.analytics.blocks import SessionBlocks
from claude_force.executions.record import CLAUDE_CODE
from claude_force.reports.render import Page
from claude_force.web.links import Links
from claude_force.web.view import View, Visit, last_days
from claude_force.web.views.parts import ROWS, command_page, link_part


def _fill(visit: Visit) -> Mapping[str, Any]:
    report: SessionBlocks = visit.answer.report
    return {"found": command_page(visit.answer, lambda page: _link(page, report, visit.links))}


def _link(page: Page, report: SessionBlocks, links: Links) -> None:
    """A block leads to its executions."""
    if not report.blocks:
        return
    hrefs = (
        None if block.is_gap else links.within("/executions", block.start_us, block.end_us, source=CLAUDE_CODE)
        for block in report.shown
    )
    link_part(page, 0, hrefs, at=int(bool(report.plan_limits)))


VIEW = View(
    "/blocks", "Limits", "blocks", "command.html", _fill,
    defaults=({"recent": "", "active": "", **last_days(7)},), words=("recent", "active", "session-length", *ROWS),
)  # fmt: skip
