"""What comes in: executions that wait, sources, and the lines of them that were left out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from claude_force.clock import DAY_US, local_zone, parse_instant, to_datetime
from claude_force.database.contract import Database
from claude_force.database.queries import ingestion as file_queries
from claude_force.doctor.findings import Finding, note, ok, problem
from claude_force.executions.origin import host_name
from claude_force.executions.record import CLAUDE_CODE
from claude_force.formatting import quantity
from claude_force.ingest.report import SourceReport
from claude_force.ingest.status import SourceState, source_states
from claude_force.ingest.transcripts import locate as transcripts
from claude_force.settings.home import user_folder

INGEST = "claude-force ingest"


class Intake(NamedTuple):
    """The sources of a database: their state, the folders of transcripts of this machine, and how many final figures of
    sub-agents wait for the files of these."""

    states: list[SourceState]
    folders: list[str]
    reported: int


def intake_of(database: Database) -> Intake:
    """The sources as they are now. Raises DatabaseError."""
    looking = SourceReport()
    folders = transcripts.roots(os.environ, user_folder(), looking.add_problem)
    found = transcripts.find(folders, looking.add_problem)
    with database.read() as connection:
        cursors, reported = file_queries.cursors(connection), file_queries.reported(connection)
    states = source_states(cursors, found, host_name() or "", looking.problems, CLAUDE_CODE)
    return Intake(states, [str(folder) for folder in folders], reported)


def sources(intake: Intake) -> Iterator[Finding]:
    """What of the sources could not be read, and what is new in them."""
    for state in intake.states:
        for path, what in state.problems:
            yield problem("sources", f"{path}: {what}")
    unread = sum(state.unread for state in intake.states)
    if unread:
        yield note("sources", f"there is something new in {quantity(unread, 'file')}", INGEST)
    elif not any(state.problems for state in intake.states):
        number = sum(state.files for state in intake.states)
        yield ok("sources", f"{quantity(number, 'file')} read to the end" if number else "no source was read yet")


def rejected(intake: Intake, rejected_file: Path) -> Iterator[Finding]:
    """Lines of sources that no execution could be made of."""
    number = sum(state.rejected for state in intake.states)
    if number:
        text = f"{quantity(number, 'line')} could not be taken in; the reason of each is in {rejected_file}"
        yield note("rejected-lines", text, "mend its writer, and import the line again")


def spool(waiting: Sequence[Path], now_us: int) -> Iterator[Finding]:
    """Executions that the database could not take when they were recorded."""
    for path in waiting:
        number, since_us = _backlog(path)
        since = f", the first of {to_datetime(since_us, local_zone()):%Y-%m-%d %H:%M}" if since_us else ""
        say = problem if since_us and now_us - since_us > DAY_US else note
        yield say("spool", f"{executions_wait(number)} in {path}{since}", INGEST)
    if not waiting:
        yield ok("spool", "no execution waits to be stored")


def executions_wait(number: int) -> str:
    """That so many wait."""
    return f"{quantity(number, 'execution')} wait{'s' if number == 1 else ''}"


def _backlog(path: Path) -> tuple[int, int | None]:
    """How many lines a file has, and the time of the first; None where it does not say."""
    with path.open("rb") as file:
        first = file.readline()
        number = sum(1 for _ in file) + bool(first)
    try:
        return number, parse_instant(json.loads(first)["timestamp"], local_zone())
    except (ValueError, KeyError, TypeError):
        return number, None
