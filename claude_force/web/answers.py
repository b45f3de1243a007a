"""What a view asks a command, and what it gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TextIO

from claude_force.errors import ClaudeForceError
from claude_force.reports.layouts.base import Layout, Request

Query = tuple[tuple[str, str], ...]
"""The query string of an address: words of the command line without their dashes, in order. A word may be repeated."""

Form = Literal["table", "json"]


class BadQuestion(ClaudeForceError):
    """The query string is not what the command takes; the message is that of the command."""

    exit_code = 2


class Answer(NamedTuple):
    """The answer of a command: what it computed, what writes its JSON, the options of a report (None for a command
    without filters), how the command would lay it out (None if a view has to), and what it said beside."""

    report: Any
    write_json: Callable[[TextIO], None]
    request: Request | None
    layout: Callable[[], Layout] | None
    lines: Sequence[str]


class Ask(Protocol):
    """Runs commands."""

    def __call__(self, command: str, query: Query, form: Form) -> Answer:
        """Run a command ("alerts list") with the options of a query. Raises BadQuestion, and the errors of the
        command."""

    def change(self, command: str, query: Query) -> None:
        """Run a command that changes something. Raises as a call does."""
