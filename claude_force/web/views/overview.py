"""The first view: what the report shows, with names and intervals that lead on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_force.reports.html.notes import page_notes
from claude_force.reports.html.page import report_body
from claude_force.web.pages import trusted
from claude_force.web.view import View, Visit


def _fill(visit: Visit) -> Mapping[str, Any]:
    request, content = visit.answer.request, visit.answer.report
    assert request is not None
    body = report_body(content, page_notes(request, content), request.workspace.settings.reference_model, visit.links)
    return {"body": trusted("\n".join(body))}


VIEW = View(
    "/", "Overview", "report", "overview.html", _fill, json_command="summary", words=("interval", "baseline")
)  # fmt: skip
