"""How old things are: the newest execution, the last ingestion pass, the last backup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from claude_force.clock import DAY_US, SECOND_US
from claude_force.database import queries
from claude_force.database.ingest_passes import last_pass
from claude_force.database.workspace import Workspace
from claude_force.doctor.backups import newest_backup_us
from claude_force.doctor.findings import Finding, note, ok
from claude_force.doctor.text import format_minute
from claude_force.executions.origin import host_name
from claude_force.formatting import age, quantity

_INGEST = "claude-force ingest, or all by itself: claude-force scheduler start --detach"


class Ages(NamedTuple):
    """When the newest execution ended, when this machine last looked for new ones, how many files it left unread then,
    and when the last backup was made; None for never, or not known. In microseconds since the epoch."""

    newest_execution_us: int | None = None
    last_pass_us: int | None = None
    unread_files: int | None = None
    last_backup_us: int | None = None


def read_ages(workspace: Workspace) -> Ages:
    """The ages of a database. Raises DatabaseError."""
    with workspace.database.read() as connection:
        history, last = queries.time_range(connection), last_pass(connection, host_name() or "")
    return Ages(
        history and history.last_us,
        last and last.began_us,
        last and last.unread_files,
        newest_backup_us(workspace),
    )


def check_ages(ages: Ages, now_us: int) -> Iterator[Finding]:
    """The age of the newest execution and of the last pass. `backups` has that of the last backup."""
    if ages.newest_execution_us is None:
        yield ok("newest-data", "there is no execution yet")
    else:
        since = age((now_us - ages.newest_execution_us) // SECOND_US)
        yield ok("newest-data", f"the newest execution is from {format_minute(ages.newest_execution_us)}, {since}")
    if ages.last_pass_us is None:
        yield ok("last-pass", "this machine never read its usual sources into this database")
        return
    age_us = now_us - ages.last_pass_us
    left = f"; {quantity(ages.unread_files, 'file')} were left unread" if ages.unread_files else ""
    text = f"this machine last read its sources at {format_minute(ages.last_pass_us)}, {age(age_us // SECOND_US)}{left}"
    yield note("last-pass", text, _INGEST) if age_us > DAY_US else ok("last-pass", text)
