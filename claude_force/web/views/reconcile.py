"""What transcripts, telemetry and Claude Code itself say of each session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from claude_force.analytics.reconciliation import Reconciliation
from claude_force.reports.render import Page
from claude_force.web.links import Links
from claude_force.web.view import View, Visit, last_days
from claude_force.web.views.parts import ROWS, choices, command_page, link_part, word_of

_ROWS = {"": "Sessions", "true": "Sessions and models"}


def _fill(visit: Visit) -> Mapping[str, Any]:
    report: Reconciliation = visit.answer.report
    by_model = word_of(visit, "by-model")
    return {
        "found": command_page(visit.answer, lambda page: _link(page, report, visit.links, by_model=bool(by_model))),
        "choices": [("Rows", choices(visit.links, "by_model", _ROWS, by_model))],
    }


def _link(page: Page, report: Reconciliation, links: Links, *, by_model: bool) -> None:
    """A session leads to its requests here; a session that was asked for is shown in detail already."""
    if not (len(report.sessions) == 1 and any(word == "session" for word, _ in links.query)):
        link_part(page, 0, _hrefs(report, links, by_model=by_model))


def _hrefs(report: Reconciliation, links: Links, *, by_model: bool) -> Iterator[str | None]:
    for session in report.sessions:
        yield links.here(session=session.session_id, by_model=None)
        yield from [None] * (len(session.models) if by_model else 0)


VIEW = View(
    "/reconcile", "Reconcile", "reconcile", "command.html", _fill,
    defaults=(last_days(30),), words=("by-model", "tolerance", *ROWS),
)  # fmt: skip
