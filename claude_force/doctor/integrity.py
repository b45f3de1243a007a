"""What is in the database: whether it is whole, whether its sums agree, and whether it can be true."""

from __future__ import annotations

from collections.abc import Iterator

from claude_force.clock import SECOND_US, local_zone, to_datetime
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import verify_rollups
from claude_force.database.workspace import Workspace
from claude_force.doctor.backups import restore_command
from claude_force.doctor.findings import Finding, note, ok, problem

CLOCK_TOLERANCE_US = 300 * SECOND_US
"""Two machines may disagree on the time by so much."""


def integrity(workspace: Workspace, *, is_full: bool) -> Iterator[Finding]:
    """What the engine finds wrong with what is stored."""
    found = workspace.database.check_integrity(is_quick=not is_full)
    for line in found:
        yield problem("integrity", line, restore_command(workspace))
    if not found:
        more = "" if is_full else "; indexes too with --full"
        yield ok("integrity", f"every page is sound{more}")


def roll_ups(database: Database, *, is_full: bool) -> Iterator[Finding]:
    """Whether the sums that reports read are those of the executions: the number of all, or each of them."""
    with database.read() as connection:
        if is_full:
            queries.read_every_column(connection)
        found = verify_rollups.differences(connection) if is_full else verify_rollups.count_differences(connection)
    for line in found:
        what, _, remedy = line.partition(": ")
        yield problem("roll-ups", what, remedy)
    if not found:
        more = "to the last unit" if is_full else "in number; each of them with --full"
        yield ok("roll-ups", f"the sums are those of the executions, {more}")


def clock(database: Database, now_us: int) -> Iterator[Finding]:
    """Whether executions are from the future."""
    with database.read() as connection:
        reach = queries.time_range(connection)
    if reach is not None and reach.last_us > now_us + CLOCK_TOLERANCE_US:
        last = to_datetime(reach.last_us, local_zone())
        yield note(
            "clock",
            f"there are executions of the future, until {last:%Y-%m-%d %H:%M}: a clock was wrong where they were "
            "recorded, or is wrong here",
        )
    else:
        yield ok("clock", "no execution is from the future")
