"""Checks of what comes in: the spool, the sources, and their rejected lines."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from claude_force.clock import DAY_US, local_zone, parse_instant
from claude_force.database.contract import Database
from claude_force.database.queries import ingestion as file_queries
from claude_force.doctor.findings import Finding, note, ok, problem
from claude_force.doctor.rejected import RejectedLines, rejected_lines
from claude_force.doctor.text import format_minute, format_waiting
from claude_force.executions.origin import host_name
from claude_force.executions.record import CLAUDE_CODE
from claude_force.formatting import quantity
from claude_force.ingest.report import SourceReport
from claude_force.ingest.status import SourceState, source_states
from claude_force.ingest.transcripts import locate as transcripts
from claude_force.settings.home import user_folder

INGEST = "claude-force ingest"


class SourceOverview(NamedTuple):
    """The sources of a database: their states, the transcript folders of this machine, the number of final usages of
    sub-agents whose transcripts were not read yet, and the files with rejected lines."""

    states: list[SourceState]
    folders: list[str]
    reported_usages: int
    rejected: list[RejectedLines]


def read_sources(database: Database, rejected_file: Path) -> SourceOverview:
    """The present state of the sources. Raises DatabaseError, and OSError for a `rejected_file` that cannot be
    read."""
    report = SourceReport()
    folders = transcripts.roots(os.environ, user_folder(), report.add_problem)
    files = transcripts.find(folders, report.add_problem)
    with database.read() as connection:
        cursors, reported_usages = file_queries.cursors(connection), file_queries.reported(connection)
    states = source_states(cursors, files, host_name() or "", report.problems, CLAUDE_CODE)
    rejected = rejected_lines(cursors, rejected_file)
    return SourceOverview(states, [str(folder) for folder in folders], reported_usages, rejected)


def check_sources(overview: SourceOverview) -> Iterator[Finding]:
    """Sources that cannot be read, and sources with new lines."""
    for state in overview.states:
        for path, what in state.problems:
            yield problem("sources", f"{path}: {what}")
    unread = sum(state.unread for state in overview.states)
    if unread:
        yield note("sources", f"{quantity(unread, 'file')} {'has' if unread == 1 else 'have'} new lines", INGEST)
    elif not any(state.problems for state in overview.states):
        files = sum(state.files for state in overview.states)
        unfinished = sum(state.unfinished for state in overview.states)
        rest = f"; {unfinished} of them up to a last line that is not whole yet" if unfinished else ""
        yield ok("sources", f"{quantity(files, 'file')} read to the end{rest}" if files else "no source was read yet")


def check_spool(spool_files: Sequence[Path], now_us: int) -> Iterator[Finding]:
    """Recorded executions that are not in the database yet; a problem after a day."""
    for path in spool_files:
        executions, since_us = _count_spooled(path)
        since = f", the first from {format_minute(since_us)}" if since_us else ""
        finding = problem if since_us and now_us - since_us > DAY_US else note
        yield finding("spool", f"{format_waiting(executions)} in {path}{since}", INGEST)
    if not spool_files:
        yield ok("spool", "no execution waits to be stored")


def _count_spooled(path: Path) -> tuple[int, int | None]:
    """The number of lines, and the instant of the first one; None if it has none that can be read."""
    with path.open("rb") as file:
        first = file.readline()
        lines = sum(1 for _ in file) + bool(first)
    try:
        return lines, parse_instant(json.loads(first)["timestamp"], local_zone())
    except (ValueError, KeyError, TypeError):
        return lines, None
