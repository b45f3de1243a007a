"""Short labels for projects, workflows and sessions, which are stored as paths and UUIDs.

JSON and CSV keep the full names.
"""

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
    """The shortest unique tail of each path: `app`, or `work/app` if two projects are called `app`."""
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
    # The whole path is the tail of a longer one.
    return path


def workflow_labels(workflow_starts: dict[str, WorkflowStart], zone: tzinfo) -> dict[str, str]:
    """The start, the short id and the project of each Claude Code session, and the session of each run that one
    started. Other workflows have no label. The project is last, because a narrow table cuts the end."""
    return {
        name: f"{clock.to_datetime(found.first_us, zone):%Y-%m-%d %H:%M} {_ids(name, found)} {_folder(found)}".rstrip()
        for name, found in workflow_starts.items()
        if found.source == CLAUDE_CODE
    }


def _ids(name: str, found: WorkflowStart) -> str:
    of_session = f" of {found.session[:_SHORT_ID]}" if found.session and found.session != name else ""
    return name[:_SHORT_ID] + of_session


def _folder(found: WorkflowStart) -> str:
    return next((step for step in reversed(_STEPS.split(found.project or "")) if step), "")
