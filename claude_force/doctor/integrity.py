"""Checks of what the database holds: pages and indexes, sums, and instants."""

from __future__ import annotations

from collections.abc import Iterator

from claude_force.clock import SECOND_US
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import verify_rollups
from claude_force.database.workspace import Workspace
from claude_force.doctor.backups import restore_command
from claude_force.doctor.findings import Finding, note, ok, problem
from claude_force.doctor.text import format_minute

_ON_SERVER = "its administrator: REINDEX an index; restore a backup for a table"

CLOCK_TOLERANCE_US = 300 * SECOND_US
"""The clocks of two machines may differ by this much."""


def check_pages(workspace: Workspace, *, is_full: bool) -> Iterator[Finding]:
    """Damage that the engine's own check reports, or what it checked."""
    found = workspace.database.check_integrity(is_quick=not is_full)
    for line in found.defects:
        yield problem("integrity", line, restore_command(workspace) or _ON_SERVER)
    unchecked = f"not checked: {found.unchecked}" if found.unchecked else ""
    if found.defects:
        return
    if found.checked:
        yield ok("integrity", "; ".join(filter(None, [f"{found.checked} are sound", unchecked])))
    else:
        yield note("integrity", unchecked)


def check_rollups(database: Database, *, is_full: bool) -> Iterator[Finding]:
    """Whether the sums that reports read equal those of the executions: the number of executions, or every sum."""
    with database.read() as connection:
        if is_full:
            queries.read_every_column(connection)
        found = verify_rollups.differences(connection) if is_full else verify_rollups.count_differences(connection)
    for line in found:
        what, _, remedy = line.partition(": ")
        yield problem("roll-ups", what, remedy)
    if not found and is_full:
        yield ok("roll-ups", "every sum equals that of the executions, to the last unit")
    elif not found:
        yield ok("roll-ups", "the number of executions is right; --full also checks every sum")


def check_clock(database: Database, now_us: int) -> Iterator[Finding]:
    """Executions from the future."""
    with database.read() as connection:
        history = queries.time_range(connection)
    if history is not None and history.last_us > now_us + CLOCK_TOLERANCE_US:
        text = (
            f"there are executions from the future, up to {format_minute(history.last_us)}: the clock was wrong where "
            "they were recorded, or is wrong on this machine"
        )
        yield note("clock", text)
    else:
        yield ok("clock", "no execution is from the future")
