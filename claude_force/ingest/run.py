"""One ingestion pass: read what is new in every source, and nothing twice.

Executions are stored in one transaction with how far their file was read. A pass can therefore stop at any moment, and
the next one continues from there. A file that cannot be read is reported and does not stop the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from claude_force.database.contract import Database, Progress
from claude_force.database.queries import ingestion as queries
from claude_force.database.queries import names
from claude_force.database.queries import projects as project_queries
from claude_force.database.rows.cursor import Cursor
from claude_force.database.writes import Store
from claude_force.database.writes.projects import remember_repositories
from claude_force.executions.costs import price_row
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import CLAUDE_CODE, RESULT, ExecutionRow, column
from claude_force.ingest import spool
from claude_force.ingest.find_files import FoundFile
from claude_force.ingest.jsonl_pass import JSONL, JsonlPass
from claude_force.ingest.jsonl_source import holds_executions
from claude_force.ingest.plan import IngestInputs, IngestOptions
from claude_force.ingest.report import SourceReport
from claude_force.ingest.repositories import GONE, find_repositories
from claude_force.ingest.results.results_pass import ResultsPass
from claude_force.ingest.statistics import STATISTICS, read_statistics
from claude_force.ingest.tail import is_unchanged
from claude_force.ingest.target import open_target
from claude_force.ingest.transcripts.locate import agent_ids
from claude_force.ingest.transcripts.transcript_pass import TranscriptPass

SPOOL = "spool"
"""The kind of source that spool files are, in reports."""

_COSTS = slice(column("cost_nanousd"), column("price_version") + 1)


def run_pass(
    database: Database, inputs: IngestInputs, options: IngestOptions, progress: Progress | None = None
) -> dict[str, SourceReport]:
    """One pass over all sources. Returns what it did by kind of source: SPOOL, JSONL, CLAUDE_CODE, STATISTICS, and
    RESULT if there is any.

    Raises DatabaseError, or InputError if rejected lines cannot be written. What was stored before that stays.
    """
    spooled = SourceReport()
    if options.rejects is not None:
        spooled = spool.drain(inputs.spooled, Store(database), options.rejects, options.now_us)
    cursors = known_cursors(database, options.host, CLAUDE_CODE)
    executions = _files_of_executions(inputs.transcripts, cursors)
    with open_target(database, is_dry_run=options.is_dry_run) as target:
        jsonl = JsonlPass(target, options, known_cursors(database, options.host, JSONL))
        for path in dict.fromkeys([*inputs.executions, *sorted(executions)]):
            jsonl.run(path)
        transcripts = TranscriptPass(target, options, cursors, progress, inputs.report)
        transcripts.run([file for file in inputs.transcripts if file.path not in executions])
        # After the transcripts, which are the better source of the same sessions.
        results = ResultsPass(target, options, known_cursors(database, options.host, RESULT)).run(inputs.results)
        if inputs.stream is not None:
            ResultsPass(target, options, {}, results).run_stream(inputs.stream)
    if not options.is_dry_run:
        agents = agent_ids(inputs.transcripts)
        changed = apply_reported_usage(Store(database), options.prices, agents, options.now_us)
        transcripts.report.changed += changed
        _find_repositories(database, transcripts.folders)
    # After the transcripts, which say from which day on the statistics do not count.
    statistics = read_statistics(
        database, inputs.statistics, options, known_cursors(database, options.host, STATISTICS)
    )
    reports = {SPOOL: spooled, JSONL: jsonl.report, CLAUDE_CODE: transcripts.report, STATISTICS: statistics}
    return reports | ({RESULT: results} if results.files else {})


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


def _files_of_executions(files: Iterable[FoundFile], cursors: dict[str, Cursor]) -> set[Path]:
    """The files in folders of transcripts that hold executions. A file is asked as long as no response was read from
    it: it may have been empty before."""
    unknown = [file for file in files if file.name not in cursors or not cursors[file.name].responses]
    return {file.path for file in unknown if holds_executions(file.path)}


def new_files(database: Database, inputs: IngestInputs, options: IngestOptions) -> list[FoundFile]:
    """The transcripts that changed since they were read, going by their size, time and inode."""
    cursors = known_cursors(database, options.host, CLAUDE_CODE)
    return [file for file in inputs.transcripts if not is_unchanged(cursors.get(file.name), file)]


def known_cursors(database: Database, host: str, source: str) -> dict[str, Cursor]:
    """How far the files of a source on a host were read, by path."""
    with database.read() as connection:
        return {cursor.path: cursor for cursor in queries.cursors(connection, host) if cursor.source == source}


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
