"""One ingestion pass: read what is new in every source, and nothing twice.

Executions are stored in one transaction with how far their file was read. A pass can therefore stop at any moment, and
the next one continues from there. A file that cannot be read is reported and does not stop the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from pathlib import Path

from claude_force.database.contract import Database, Progress
from claude_force.database.ingest_passes import IngestPass, file_stamps, save_pass
from claude_force.database.queries import ingestion as queries
from claude_force.database.queries import names
from claude_force.database.queries import projects as project_queries
from claude_force.database.rows.cursor import Cursor
from claude_force.database.writes import Store
from claude_force.database.writes.projects import remember_repositories
from claude_force.executions.costs import price_row, row_pricer
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import CLAUDE_CODE, RESULT, TELEMETRY, ExecutionRow, column
from claude_force.ingest import spool
from claude_force.ingest.find_files import FoundFile
from claude_force.ingest.jsonl_pass import JsonlPass
from claude_force.ingest.plan import IngestInputs, IngestOptions, ShouldStop, never
from claude_force.ingest.report import SourceReport
from claude_force.ingest.repositories import GONE, find_repositories
from claude_force.ingest.results.results_pass import ResultsPass
from claude_force.ingest.sources import JSONL, SPOOL, STATISTICS, Unread, is_read, unread
from claude_force.ingest.statistics import read_statistics
from claude_force.ingest.target import open_target
from claude_force.ingest.telemetry.segments import sealed_segments
from claude_force.ingest.transcripts.locate import agent_ids
from claude_force.ingest.transcripts.transcript_pass import TranscriptPass

PROBLEMS_KEPT = 20
"""How many problems of a pass are stored, for the reports after it."""

_COSTS = slice(column("cost_nanousd"), column("price_version") + 1)


def run_pass(
    database: Database,
    inputs: IngestInputs,
    options: IngestOptions,
    progress: Progress | None = None,
    should_stop: ShouldStop = never,
) -> dict[str, SourceReport]:
    """One pass over all sources. Returns what it did by kind of source: SPOOL, JSONL, CLAUDE_CODE, STATISTICS, and if
    there is any TELEMETRY and RESULT. A pass that `should_stop` ends has read at least a part of one file with
    something new.

    Raises DatabaseError, or InputError if rejected lines cannot be written. What was stored before that stays.
    """
    spooled, telemetry = SourceReport(), SourceReport()
    if options.rejects is not None:
        spooled = spool.drain(inputs.spooled, Store(database), options.rejects, options.now_us, waits=options.waits)
        telemetry = _store_telemetry(database, inputs.telemetry, options)
    cursors = known_cursors(database, options.host, CLAUDE_CODE)
    with open_target(database, is_dry_run=options.is_dry_run, price=row_pricer(options.prices)) as target:
        jsonl = JsonlPass(target, options, known_cursors(database, options.host, JSONL), should_stop)
        for path in inputs.executions:
            if not jsonl.is_stopped:
                jsonl.run(path)
        read_executions = partial(_read_executions, jsonl, set(inputs.executions))
        transcripts = TranscriptPass(
            target, options, cursors, progress, should_stop, read_executions, report=inputs.report
        )
        transcripts.run(() if jsonl.is_stopped else inputs.transcripts)
        # After the transcripts, which are the better source of the same sessions.
        results = ResultsPass(target, options, known_cursors(database, options.host, RESULT)).run(inputs.results)
        if inputs.stream is not None:
            ResultsPass(target, options, {}, results).run_stream(inputs.stream, inputs.known_totals)
    is_stopped = transcripts.is_stopped or jsonl.is_stopped
    if not options.is_dry_run:
        agents = agent_ids(transcripts.done)
        changed = apply_reported_usage(Store(database), options.prices, agents, options.now_us)
        transcripts.report.changed += changed
        _find_repositories(database, transcripts.folders)
    # After the transcripts, which say from which day on the statistics do not count.
    files = () if is_stopped else inputs.statistics
    statistics = read_statistics(database, files, options, known_cursors(database, options.host, STATISTICS))
    reports = {SPOOL: spooled, JSONL: jsonl.report, CLAUDE_CODE: transcripts.report, STATISTICS: statistics}
    reports |= {TELEMETRY: telemetry} if telemetry.files or telemetry.problems else {}
    reports |= {RESULT: results} if results.files else {}
    if inputs.are_usual_sources and not options.is_dry_run:
        _save_pass(database, inputs, options, reports, is_stopped=is_stopped)
    return reports


def _store_telemetry(database: Database, folders: Iterable[Path], options: IngestOptions) -> SourceReport:
    """Store what telemetry said, before the transcripts, which then give the executions their last names."""
    report = SourceReport()
    for folder in folders:
        try:
            segments = sealed_segments(folder)
        except OSError as error:
            report.add_problem(folder, error.strerror or str(error))
            continue
        if segments:
            # Imported here: there is mostly nothing to read, and a report asks for that before each answer.
            from claude_force.ingest.telemetry.telemetry_pass import store_segments

            store_segments(database, segments, options, report)
    return report


def _save_pass(
    database: Database,
    inputs: IngestInputs,
    options: IngestOptions,
    reports: Mapping[str, SourceReport],
    *,
    is_stopped: bool,
) -> None:
    """Store that the usual sources were read; not in a database that nothing was worth creating for."""
    if not database.exists():
        return
    left = Unread()
    if is_stopped:
        with database.read() as connection:
            left = unread(inputs.files(), file_stamps(connection, options.host))
    with database.write() as connection:
        save_pass(connection, options.host, IngestPass(options.now_us, *left, problem_lines(reports)))


def problem_lines(reports: Mapping[str, SourceReport]) -> tuple[str, ...]:
    """The first problems of a pass, a line each."""
    lines = [f"{path}: {problem}" for report in reports.values() for path, problem in report.problems]
    return tuple(lines[:PROBLEMS_KEPT])


def _find_repositories(database: Database, folders_read: Collection[str]) -> None:
    """Store the repositories of folders that are not known yet. Those in no repository are looked at again when
    something new ran in them, and those that were gone when they are back."""
    with database.read() as connection:
        known = project_queries.repositories(connection)
        folders = names(connection, "project")
    wanted = [
        folder
        for folder in folders
        if folder not in known or (folder in folders_read and known[folder] in (folder, GONE))
    ]
    gone = [folder for folder, root in known.items() if root == GONE]
    roots = {root for folder, root in known.items() if root not in (folder, GONE)}
    found = find_repositories(wanted, roots, gone) if wanted or gone else {}
    new = {folder: root for folder, root in found.items() if known.get(folder) != root}
    if new:
        with database.write() as connection:
            remember_repositories(connection, new)


def _read_executions(jsonl: JsonlPass, done: Collection[Path], file: FoundFile) -> bool:
    """Read a file among the transcripts that holds executions, if it is not `done`; returns whether the pass is to
    end."""
    if file.path not in done:
        jsonl.run(file.path)
    return jsonl.is_stopped


def new_files(database: Database, inputs: IngestInputs, options: IngestOptions) -> list[FoundFile]:
    """The transcripts that changed since they were read, going by their size, time and inode."""
    with database.read() as connection:
        stamps = file_stamps(connection, options.host)
    found = inputs.transcripts
    return [file for file in found if (stamp := stamps.get(file.name)) is None or not is_read(file, stamp)]


def known_cursors(database: Database, host: str, source: str) -> dict[str, Cursor]:
    """How far the files of a source on a host were read, by path."""
    with database.read() as connection:
        return {cursor.path: cursor for cursor in queries.cursors(connection, host, source)}


def apply_reported_usage(store: Store, prices: PriceTable | None, agent_ids: Collection[str], now_us: int) -> int:
    """Update responses without a final usage from the reports about their sub-agent; how many changed. `agent_ids` are
    the sub-agents whose own transcripts were in this pass."""
    with store.database.read() as connection:
        if not queries.reported(connection):
            return 0
    return store.apply_reported_usage(lambda row: _priced(row, prices), agent_ids, now_us)


def _priced(row: ExecutionRow, prices: PriceTable | None) -> ExecutionRow:
    """The row with the costs of its tokens; without costs if there are no prices."""
    if prices is not None:
        return price_row(prices, row)
    return (*row[: _COSTS.start], None, None, None, *row[_COSTS.stop :])
