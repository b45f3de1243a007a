"""Store the signals that wait in the spool.

A segment is deleted after all of its signals are committed. Storing is idempotent, so a pass may be killed at any
moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from claude_force.database.contract import Database
from claude_force.database.writes import Store
from claude_force.database.writes.run_labels import add_run_labels
from claude_force.database.writes.telemetry import add_heard, add_outcomes
from claude_force.errors import InvalidRecord
from claude_force.executions.costs import row_pricer
from claude_force.executions.deduplication import Observation
from claude_force.executions.signals import Call, Heard, ModelRequest, Outcome, Signal, encode
from claude_force.formatting import quantity
from claude_force.ingest.plan import IngestOptions
from claude_force.ingest.rejects import Rejected
from claude_force.ingest.report import SourceReport
from claude_force.ingest.telemetry.calls import observe_call
from claude_force.ingest.telemetry.labels import run_labels
from claude_force.ingest.telemetry.requests import observe, parent_of
from claude_force.ingest.telemetry.spool import Segment, claimed

AT_ONCE = 5000
"""Signals of one transaction."""


def store_segments(database: Database, segments: Iterable[Path], options: IngestOptions, report: SourceReport) -> None:
    """Store what is in some sealed segments, and delete them. Raises DatabaseError, or InputError if rejected signals
    cannot be written; what was not stored stays."""
    for path in segments:
        try:
            with claimed(path) as segment:
                if segment is not None:
                    _store_segment(database, segment, options, report)
        except OSError as error:
            report.add_problem(path, error.strerror or str(error))


def _store_segment(database: Database, segment: Segment, options: IngestOptions, report: SourceReport) -> None:
    report.files += 1
    name = str(segment.path)
    first = 1
    for signals in _batches(segment.signals()):
        store_signals(database, signals, options, report, name, first)
        first += len(signals)
    if segment.damaged:
        verb = "was" if segment.damaged == 1 else "were"
        report.add_problem(segment.path, f"{quantity(segment.damaged, 'damaged line')} {verb} left out")
    segment.delete()


def store_signals(
    database: Database,
    signals: Sequence[Signal],
    options: IngestOptions,
    report: SourceReport | None = None,
    name: str = "telemetry",
    first: int = 1,
) -> SourceReport:
    """Store some signals, in the file `name` from number `first` on; returns the report, with what was done added.
    Storing them again adds nothing. Raises DatabaseError, or InputError if rejected signals cannot be written."""
    report = report or SourceReport()
    observations = list(_observations(signals, options, report, name, first))
    store = Store(database, row_pricer(options.prices))
    if observations:
        requests = [signal for signal in signals if isinstance(signal, ModelRequest)]
        parents = [parent for request in requests for parent in parent_of(request)]
        result = store.ingest(observations, [], parents=parents)
        report.added += result.added
        report.known += result.known
        report.changed += result.changed
    outcomes = [signal for signal in signals if isinstance(signal, Outcome)]
    heard = [signal for signal in signals if isinstance(signal, Heard)]
    labels = list(run_labels(signals))
    if outcomes or heard or labels:
        with database.write() as connection:
            add_run_labels(connection, labels)
            add_outcomes(connection, outcomes, options.now_us)
            add_heard(connection, options.host, heard)
    report.lines += len(signals)
    return report


def _observations(
    signals: Sequence[Signal], options: IngestOptions, report: SourceReport, name: str, first: int
) -> Iterator[Observation]:
    rejected: list[Rejected] = []
    for number, signal in enumerate(signals, first):
        if isinstance(signal, (ModelRequest, Call)):
            try:
                if isinstance(signal, Call):
                    yield observe_call(signal, options.prices, options.host or None, options.user)
                else:
                    yield observe(signal, options.prices, options.host or None, options.user)
            except InvalidRecord as error:
                rejected.append(Rejected(number, 0, str(error), encode([signal])))
    if options.rejects is not None:
        options.rejects.write(name, rejected)
    report.reject(name, rejected)


def _batches(signals: Iterator[Signal]) -> Iterator[list[Signal]]:
    while batch := list(islice(signals, AT_ONCE)):
        yield batch
