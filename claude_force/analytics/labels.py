"""Names that a person recognises, for what the store knows by a path or a UUID. JSON and CSV keep the full names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import tzinfo

from claude_force import clock
from claude_force.executions.record import CLAUDE_CODE
from claude_force.executions.totals import WorkflowStart

_STEPS = re.compile(r"[/\\]+")
_SHORT_ID = 8


def project_labels(paths: Iterable[str]) -> dict[str, str]:
    """The shortest tail of each path that no other of them ends with: `app`, or `work/app` where two are called so."""
    steps = {path: [step for step in _STEPS.split(path) if step] for path in paths}
    seen: dict[tuple[str, ...], set[str]] = {}
    for path, parts in steps.items():
        for length in range(1, len(parts) + 1):
            seen.setdefault(tuple(parts[-length:]), set()).add(path)
    return {path: _shortest(path, parts, seen) for path, parts in steps.items()}


def _shortest(path: str, parts: list[str], seen: dict[tuple[str, ...], set[str]]) -> str:
    for length in range(1, len(parts) + 1):
        if len(seen[tuple(parts[-length:])]) == 1:
            return "/".join(parts[-length:])
    # All of it is the tail of a longer one.
    return path


def workflow_labels(workflow_starts: dict[str, WorkflowStart], zone: tzinfo) -> dict[str, str]:
    """When and in which folder the sessions of Claude Code began, with the head of their ids; other workflows keep
    their names. The folder is last: where there is no room, it is what is cut."""
    return {
        name: f"{clock.to_datetime(found.first_us, zone):%Y-%m-%d %H:%M} {name[:_SHORT_ID]} {_folder(found)}".rstrip()
        for name, found in workflow_starts.items()
        if found.source == CLAUDE_CODE
    }


def _folder(found: WorkflowStart) -> str:
    return next((step for step in reversed(_STEPS.split(found.project or "")) if step), "")
