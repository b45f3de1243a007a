"""The same tokens at other prices, with a choice of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from claude_force.analytics.what_if import WhatIf
from claude_force.database import queries
from claude_force.executions.published_rates import published_models
from claude_force.executions.what_if import CachePolicy
from claude_force.reports.render import Page
from claude_force.web.links import Links
from claude_force.web.view import View, Visit, last_days
from claude_force.web.views.parts import ROWS, command_page, link_part

_CHANGES = ("model", "batch", "cache")
_DEFAULT_MODEL = "claude-haiku-4-5"


def _fill(visit: Visit) -> Mapping[str, Any]:
    request, report = visit.answer.request, visit.answer.report
    assert isinstance(report, WhatIf)
    assert request is not None
    with request.workspace.database.read() as connection:
        stored = queries.names(connection, "model")
    return {
        "found": command_page(visit.answer, lambda page: _link(page, report, visit.links)),
        "path": visit.links.path,
        "models": sorted({*stored, *filter(_is_of_api, published_models())}),
        "policies": get_args(CachePolicy),
        "change": report.change,
        "kept": [pair for pair in visit.links.query if pair[0] not in _CHANGES],
    }


def _is_of_api(model: str) -> bool:
    """Not a name of a cloud, of which there are hundreds for the same models."""
    return model.startswith("claude-")


def _link(page: Page, report: WhatIf, links: Links) -> None:
    if report.agents:
        link_part(page, 0, (name and links.here(agent=name) for name, _ in report.agents), at=1)


VIEW = View(
    "/what-if", "What if", "what-if", "what_if.html", _fill,
    defaults=({"model": _DEFAULT_MODEL, "batch": "", "cache": ""}, last_days(30)), renamed={"model": "for-model"},
    words=(*_CHANGES, *ROWS),
)  # fmt: skip
