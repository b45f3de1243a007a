"""A command that a page asks, in this process.

The command does what it always does: it reads its options, and computes. Then it hands its answer over, in place of
writing it; what it says beside goes to the page. So a page has the words, the figures and the errors of a command.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from claude_force.database.contract import Database
    from claude_force.ingest.freshness import Freshness
    from claude_force.reports.layouts.base import Layout, Request
    from claude_force.web.answers import Answer

_KEY = "claude_force.asked"
"""The key of `Context.meta`."""


@dataclass
class Asked:
    """One question. `freshness` says how old the answer is, `open_database` gives the database at a location, kept open
    between questions. `lines` are what the command said, `answer` is what it handed over."""

    freshness: Callable[[int], Freshness]
    open_database: Callable[[str], Database]
    lines: list[str] = field(default_factory=list)
    answer: Answer | None = None

    def take(
        self,
        report: object,
        write_json: Callable[[TextIO], None],
        request: Request | None = None,
        layout: Callable[[], Layout] | None = None,
    ) -> None:
        """Keep the answer: what was computed, what writes the JSON of the command, the options of a report, and its
        layout."""
        # Imported here: only a page asks, and it has loaded this.
        from claude_force.web.answers import Answer

        self.answer = Answer(report, write_json, request, layout, self.lines)


def asked() -> Asked | None:
    """The question that the running command answers; None if it runs by itself."""
    context = click.get_current_context(silent=True)
    found = context.meta.get(_KEY) if context else None
    assert found is None or isinstance(found, Asked)
    return found


def ask_in(context: click.Context, question: Asked) -> None:
    """Let the command of a context answer a question."""
    context.meta[_KEY] = question
