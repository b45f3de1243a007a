"""What a check finds. A check that fails itself is a finding too: the doctor is asked when things are broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

from claude_force.errors import ClaudeForceError

Level = Literal["ok", "note", "problem"]
"""A problem needs somebody, a note is worth knowing, and the rest is as it should be."""


class Finding(NamedTuple):
    """What was found. `id` is the same in every version, `text` says what there is, `remedy` what to do: a command
    where there is one."""

    id: str
    level: Level
    text: str
    remedy: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict()


def ok(name: str, text: str) -> Finding:
    """Something that is as it should be."""
    return Finding(name, "ok", text)


def note(name: str, text: str, remedy: str | None = None) -> Finding:
    """Something worth knowing."""
    return Finding(name, "note", text, remedy)


def problem(name: str, text: str, remedy: str | None = None) -> Finding:
    """Something that needs somebody."""
    return Finding(name, "problem", text, remedy)


def attempt(name: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What a check finds; where it fails, what it had found, and that it failed."""
    found: list[Finding] = []
    try:
        found.extend(check())
    except ClaudeForceError as error:
        found.append(problem(name, str(error)))
    except OSError as error:
        found.append(problem(name, f"{error.filename or 'a file'}: {error.strerror}"))
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        text = f"this could not be looked at: {said}"
        found.append(problem(name, text, "report it, with what claude-force doctor --bundle writes"))
    return found
