"""What is kept of a run when it has ended: its executions, from every source, and a row about the run itself.

| source                          | what it gives                                                                  |
|---------------------------------|--------------------------------------------------------------------------------|
| telemetry                       | executions, those of side requests too                                         |
| the transcripts of its sessions | executions                                                                     |
| its result, if it wrote one     | the outcome; money only where neither of the others knows the session          |
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from claude_force.database.queries.headless_runs import (
    SeenInRun,
    is_known_otherwise,
    seen_in_run,
)
from claude_force.database.rows.telemetry import HeadlessRun
from claude_force.database.workspace import Workspace
from claude_force.database.writes.run_labels import add_run_labels
from claude_force.database.writes.telemetry import add_headless_run
from claude_force.errors import ClaudeForceError
from claude_force.executions.origin import host_name
from claude_force.executions.run_labels import RunLabel
from claude_force.executions.signals import Labelled
from claude_force.headless.output import SUCCESS, Said, read_output
from claude_force.headless.totals import known_of_fork
from claude_force.ingest.find_files import FoundFile
from claude_force.ingest.loader import without_gc
from claude_force.ingest.plan import IngestInputs, ingest_options
from claude_force.ingest.report import SourceReport
from claude_force.ingest.run import problem_lines, run_pass
from claude_force.ingest.sources import usual_sources
from claude_force.ingest.spool_files import telemetry_folders
from claude_force.ingest.telemetry.spool import TelemetrySpool
from claude_force.ingest.transcripts import locate

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]")
_NAME_LENGTH = 150
"""Claude Code names the folder of transcripts after the working folder, and shortens long names."""


class Ended(NamedTuple):
    """A run that has ended, and was started in a folder. `heard` are the sessions that its telemetry names; `resumed`
    is the session that it was told to go on with, or to copy; `output` is a copy of what it wrote, if that has a
    result."""

    run_id: str
    agent: str | None
    project: str | None
    folder: str
    started_us: int
    ended_us: int
    exit_code: int
    heard: Sequence[str]
    resumed: str | None = None
    output: BufferedReader | None = None
    label: str | None = None


class Recorded(NamedTuple):
    """What is stored of a run, and what of its sources could not be read, a line each."""

    run: HeadlessRun
    seen: SeenInRun
    problems: tuple[str, ...] = ()


def record_run(workspace: Workspace, ended: Ended, now_us: int) -> Recorded:
    """Store what is known of a run. Raises ClaudeForceError, or OSError if the copy of its output cannot be read; its
    label waits in the spool then, as what telemetry said does."""
    said = read_output(ended.output) if ended.output is not None else None
    report = SourceReport()
    sources = usual_sources(workspace, report.add_problem)
    sessions = _sessions(ended, said, sources.transcripts)
    wanted = {*sessions, *([ended.resumed] if ended.resumed else [])}
    transcripts = locate.in_reading_order(_of_sessions(sources.transcripts, wanted, ended.started_us))
    inputs = IngestInputs((), (), transcripts, report, telemetry=sources.telemetry)
    try:
        return _record(workspace, ended, said, sessions, inputs, now_us)
    except (ClaudeForceError, KeyboardInterrupt):
        with suppress(OSError):
            _spool(workspace, _labels(ended, sessions, now_us))
        raise


def _record(
    workspace: Workspace, ended: Ended, said: Said | None, sessions: Sequence[str], inputs: IngestInputs, now_us: int
) -> Recorded:
    problems = _read(workspace, inputs, now_us)
    if said is not None and ended.output is not None:
        _read_result(workspace, ended, ended.output, said, now_us)
    run = _row(ended, said, sessions)
    with workspace.database.write() as connection:
        add_headless_run(connection, run)
        add_run_labels(connection, _labels(ended, sessions, now_us))
    with workspace.database.read() as connection:
        # Calls of the Anthropic SDK are of a session that is called as the run.
        seen = seen_in_run(connection, [*sessions, ended.run_id], ended.started_us, now_us)
    return Recorded(run, seen, problems)


def _sessions(ended: Ended, said: Said | None, transcripts: Iterable[FoundFile]) -> list[str]:
    """The sessions of a run, the one of its result first. Without telemetry and without a result: the one of its folder
    whose transcript changed in the meantime, if there is only one."""
    found = dict.fromkeys([*([said.session_id] if said else []), *ended.heard])
    if found:
        return list(found)
    name = _NOT_IN_NAMES.sub("-", ended.folder)[:_NAME_LENGTH]
    here = (file for file in transcripts if f"{os.sep}{name}" in os.path.dirname(file.location))  # noqa: PTH120
    changed = {_session_of(file) for file in here if _is_changed(file, ended.started_us)} - {None}
    return [session for session in changed if session] if len(changed) == 1 else []


def _is_changed(file: FoundFile, since_us: int) -> bool:
    return file.mtime_ns // 1000 >= since_us


def _session_of(file: FoundFile) -> str | None:
    """The session of a transcript; None for that of a sub-agent by older versions, whose name does not say it."""
    name = Path(locate.session_key(file.location)).name
    return None if locate.AGENT.fullmatch(name) else name


def _of_sessions(transcripts: Iterable[FoundFile], sessions: set[str], since_us: int) -> list[FoundFile]:
    """The transcripts of some sessions, and those of the run's time whose names do not say their session."""
    named = ((file, _session_of(file)) for file in transcripts)
    return [file for file, name in named if name in sessions or (name is None and _is_changed(file, since_us))]


def _read(workspace: Workspace, inputs: IngestInputs, now_us: int) -> tuple[str, ...]:
    """One pass; returns its problems."""
    with without_gc():
        return problem_lines(run_pass(workspace.database, inputs, ingest_options(workspace, now_us)))


def _read_result(workspace: Workspace, ended: Ended, output: BufferedReader, said: Said, now_us: int) -> None:
    """Take the money of a run from its result, if no other source knows the session."""
    with workspace.database.read() as connection:
        if is_known_otherwise(connection, said.session_id, ended.started_us):
            return
        known = known_of_fork(connection, said.session_id, ended.resumed)
    output.seek(0)
    known_totals = {said.session_id: known}
    _read(workspace, IngestInputs((), (), (), SourceReport(), stream=output, known_totals=known_totals), now_us)


def _labels(ended: Ended, sessions: Sequence[str], now_us: int) -> list[RunLabel]:
    """The label of a run, in its sessions and in the one that is called as the run. A result that is all that is known
    of a session is an execution of the moment at which it is read."""
    if ended.label is None:
        return []
    return [
        RunLabel(session, ended.run_id, ended.label, ended.started_us, now_us) for session in (*sessions, ended.run_id)
    ]


def _spool(workspace: Workspace, labels: Sequence[RunLabel]) -> None:
    """Keep labels for the next pass. Raises OSError."""
    spool = TelemetrySpool(telemetry_folders(workspace.location, workspace.home.metrics_folder)[0])
    spool.append([Labelled(**label._asdict()) for label in labels])
    spool.seal()


def _row(ended: Ended, said: Said | None, sessions: Sequence[str]) -> HeadlessRun:
    succeeded = ended.exit_code == 0 if said is None else said.outcome == SUCCESS
    return HeadlessRun(
        run_id=ended.run_id,
        session_id=said.session_id if said else sessions[0] if len(sessions) == 1 else None,
        agent_name=ended.agent,
        project=ended.project,
        host=host_name(),
        started_us=ended.started_us,
        duration_us=ended.ended_us - ended.started_us,
        exit_code=ended.exit_code,
        success=int(succeeded),
        outcome=said.outcome if said else None,
        turns=said.turns if said else None,
        reported_cost_nanousd=said.total_cost_nanousd if said else None,
    )
