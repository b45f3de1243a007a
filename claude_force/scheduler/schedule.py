"""Which jobs run, and how often: `performance.schedule` of claude.json over the intervals of the jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claude_force.clock import parse_span
from claude_force.database.workspace import Workspace
from claude_force.errors import SettingsError
from claude_force.scheduler.jobs import JOBS, configured_jobs

OFF = "off"
_SECTION = "performance.schedule"


def intervals(workspace: Workspace) -> dict[str, int | None]:
    """The interval of each job in microseconds; None if it is off. Raises SettingsError."""
    settings = workspace.settings
    problems = problems_of(settings.schedule)
    if problems:
        raise SettingsError("; ".join(problems))
    found: dict[str, int | None] = {name: job.every_us for name, job in JOBS.items()}
    found |= {name: _interval(value) for name, value in settings.schedule.items()}
    return found | dict.fromkeys(JOBS.keys() - configured_jobs(workspace).keys())


def problems_of(schedule: Mapping[str, Any]) -> list[str]:
    """The errors in `performance.schedule` of claude.json, one line each."""
    found = []
    for name, value in schedule.items():
        if name not in JOBS:
            found.append(f"{_SECTION}: there is no job {name}; there are: {', '.join(JOBS)}")
        elif value != OFF and not _interval(value):
            found.append(f'{_SECTION}: {name} must be a length of time such as "30s" or "24h", or "off"')
    return found


def _interval(value: object) -> int | None:
    """Microseconds; None for "off", and for anything that is not a length of time."""
    try:
        return parse_span(value) if isinstance(value, str) and value != OFF else None
    except ValueError:
        return None
