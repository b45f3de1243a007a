"""The result of a check. A check that fails is a finding too, because the doctor runs when things are broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from claude_force.errors import ClaudeForceError

Level = Literal["ok", "note", "problem"]
"""A problem needs action; a note is worth knowing."""

_ERROR_LENGTH = 300


class Finding(NamedTuple):
    """One result. `id` stays the same in every version. `remedy` is a command where there is one, None where nothing
    has to be done."""

    id: str
    level: Level
    text: str
    remedy: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict()


def ok(finding_id: str, text: str) -> Finding:
    """A check that passed."""
    return Finding(finding_id, "ok", text)


def note(finding_id: str, text: str, remedy: str | None = None) -> Finding:
    """A fact worth knowing."""
    return Finding(finding_id, "note", text, remedy)


def problem(finding_id: str, text: str, remedy: str | None = None) -> Finding:
    """Something that needs action."""
    return Finding(finding_id, "problem", text, remedy)


def attempt(finding_id: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The findings of a check. If the check raises, the findings up to then and one problem with the error."""
    found: list[Finding] = []
    try:
        found.extend(check())
    except ClaudeForceError as error:
        found.append(problem(finding_id, str(error)))
    except OSError as error:
        found.append(problem(finding_id, f"{error.filename or 'a file'}: {error.strerror}"))
    except Exception as error:
        message = " ".join(f"{type(error).__name__}: {error}".split())[:_ERROR_LENGTH]
        remedy = "report it, and attach the file that claude-force doctor --bundle writes"
        found.append(problem(finding_id, f"this check failed: {message}", remedy))
    return found
