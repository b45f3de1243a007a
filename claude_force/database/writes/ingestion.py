"""Storing what ingestion observed in files, together with how far each file was read: one transaction.

Which execution an observation belongs to is decided here, where all earlier observations are known. An interruption
leaves the rows absent and the files unread, so reading them again is all that is needed, and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from claude_force.clock import DAY_US
from claude_force.database import queries
from claude_force.database.contract import Connection, Database
from claude_force.database.queries import ingestion as file_queries
from claude_force.database.queries.sightings import has_sightings, resolver_of, sightings_of
from claude_force.database.rows.cursor import CURSOR_FIELDS, Cursor
from claude_force.database.writes.executions import delete_rows, insert_rows, revise_rows
from claude_force.database.writes.export_queue import enqueue_identified
from claude_force.database.writes.ledgers import copied_sessions, save_copies
from claude_force.database.writes.sightings import forget_sightings, save_sightings
from claude_force.executions.deduplication import (
    AMBIGUOUS,
    REPLAY,
    REPORTED_FIELDS,
    EntityResolver,
    Observation,
    ReportedUsage,
    apply_report,
    merge,
    merge_result,
    with_usage,
)
from claude_force.executions.joining import JoiningResolver
from claude_force.executions.nearby import session_of
from claude_force.executions.record import PROVISIONAL, ExecutionRow, column
from claude_force.executions.sightings import TRANSCRIPT, Price

REPORT_KEPT_US = 2 * DAY_US
"""How long a reported usage waits for its response, after the report was read."""

_BASIS = column("usage_basis")
_CURSOR_KEY = ("host", "path")
_SAVE_CURSORS = f"ON CONFLICT ({', '.join(_CURSOR_KEY)}) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in CURSOR_FIELDS if name not in _CURSOR_KEY
)
_reported_of = attrgetter(*REPORTED_FIELDS)
_REPORTS = f"reported_usages ({', '.join(REPORTED_FIELDS)})"
_FORGET_REPORT = """
DELETE FROM reported_usages WHERE run_id = :run_id AND basis = :basis AND until_us = :until_us
"""


class IngestResult(NamedTuple):
    """The result of an ingestion: how many observations were new executions, how many were of known ones, and how many
    executions they changed."""

    added: int = 0
    known: int = 0
    changed: int = 0


def ingest(
    connection: Connection,
    database: Database,
    observations: Sequence[Observation],
    cursors: Iterable[Cursor],
    reports: Iterable[ReportedUsage],
    price: Price | None = None,
) -> IngestResult:
    """Store observations, cursors and reported usages. `price` prices what several sources saw. Needs the roll-up
    lock."""
    resolver = resolver_of(connection, observations)
    resolver.match_all(observations)
    replaced = _delete_results(connection, observations, resolver)
    stored = _stored_rows(connection, resolver.seen_again)
    save_copies(connection, copied_sessions(observations, resolver, stored))
    if isinstance(resolver, JoiningResolver):
        changed = _revise_joined(connection, resolver, price)
    else:
        changed = _revise(connection, stored, resolver.seen_again)
    rows = list(resolver.new_rows.values())
    added = insert_rows(connection, rows) if rows else 0
    _save_identities(connection, database, resolver)
    save_cursors(connection, cursors)
    by_key = {(report.run_id, report.basis, report.until_us): report for report in reports}
    connection.insert_all(_REPORTS, [_reported_of(report) for report in by_key.values()], "ON CONFLICT DO NOTHING")
    return IngestResult(added, len(observations) - added, changed + replaced)


def _delete_results(connection: Connection, observations: Sequence[Observation], resolver: EntityResolver) -> int:
    """Delete what results said of sessions whose transcript was found; returns how many executions."""
    sessions = {session_of(seen.row) for seen in observations if seen.session in resolver.replaced}
    rows = [row for session in sessions if session for row in file_queries.results_of(connection, session)]
    delete_rows(connection, rows)
    return len(rows)


def _save_identities(connection: Connection, database: Database, resolver: EntityResolver) -> None:
    """Store the identities of executions. One that other executions may have is not read before: where it is stored
    with another uid, it becomes ambiguous."""
    into = "identities (identity, uid)"
    own, shared = (sorted(found.items()) for found in (resolver.remembered, resolver.shared))
    ambiguous = database.uid_literal(AMBIGUOUS)
    connection.insert_all(into, own, "ON CONFLICT (identity) DO UPDATE SET uid = excluded.uid")
    connection.insert_all(
        into,
        shared,
        f"ON CONFLICT (identity) DO UPDATE SET uid = {ambiguous} WHERE identities.uid <> excluded.uid",
    )
    enqueue_identified(connection, {uid for _, uid in own} - resolver.new_rows.keys() - {AMBIGUOUS, REPLAY})


def save_cursors(connection: Connection, cursors: Iterable[Cursor]) -> None:
    """Store how far files were read."""
    rows = {(cursor.host, cursor.path): cursor for cursor in cursors}
    connection.insert_all(
        f"source_files ({', '.join(CURSOR_FIELDS)})",
        [tuple(getattr(cursor, name) for name in CURSOR_FIELDS) for cursor in rows.values()],
        _SAVE_CURSORS,
    )


def _revise_joined(connection: Connection, resolver: JoiningResolver, price: Price | None) -> int:
    """Merge observations into their stored executions, where telemetry takes part, and store what each source saw;
    returns how many changed."""
    results = [(uid, seen) for uid, seen in resolver.seen_again if seen.is_result]
    changed = _revise(connection, _stored_rows(connection, results), results)
    resolver.finish(price)
    revised = list(resolver.revised())
    revise_rows(connection, [before for before, _ in revised], [after for _, after in revised])
    forget_sightings(connection, resolver.absorbed)
    delete_rows(connection, resolver.absorbed)
    save_sightings(connection, resolver.joined())
    return changed + len(revised)


def _stored_rows(connection: Connection, seen: Sequence[tuple[bytes, Observation]]) -> dict[bytes, ExecutionRow]:
    """The stored executions of observations, by uid."""
    uids = list(dict.fromkeys(uid for uid, _ in seen))
    return {row[0]: row for row in queries.rows_of(connection, uids)}


def _revise(
    connection: Connection, stored: dict[bytes, ExecutionRow], seen: Sequence[tuple[bytes, Observation]]
) -> int:
    """Merge observations into their stored executions; returns how many changed."""
    revised = dict(stored)
    for uid, observation in seen:
        # A missing one was archived or deleted, and is not changed any more.
        if uid in revised:
            if observation.is_result:
                revised[uid] = merge_result(revised[uid], observation.row)
                continue
            is_continuation = observation.is_continuation_of(revised[uid])
            revised[uid] = merge(revised[uid], observation.row, is_continuation=is_continuation)
    changed = [uid for uid, row in revised.items() if row is not stored[uid]]
    revise_rows(connection, [stored[uid] for uid in changed], [revised[uid] for uid in changed])
    return len(changed)


def apply_reported_usage(connection: Connection, price: Price, runs: Collection[str], now_us: int) -> int:
    """Give executions the usage that was reported for them, with its price, and delete the reports that are done;
    returns how many executions changed. Only for `runs` whose own files were read after the reports, so that their
    last response is stored. Needs the roll-up lock."""
    before: list[ExecutionRow] = []
    after: dict[Any, ExecutionRow] = {}
    done: list[ReportedUsage] = []
    reports = file_queries.reported_usages(connection)
    by_report = file_queries.executions_of_runs(connection, [report for report in reports if report.run_id in runs])
    # "task_result" before "task_notification": a result has more detail.
    for report in sorted(reports, key=lambda report: report.basis, reverse=True):
        run = by_report.get(report, [])
        revised = apply_report(report, run)
        if revised is not None and revised[0] not in after:
            before.append(run[-1])
            after[revised[0]] = price(revised)
        if revised is not None or (run and not _is_open(run[-1])) or report.read_us < now_us - REPORT_KEPT_US:
            done.append(report)
    revise_rows(connection, before, list(after.values()))
    _keep_reported(connection, before, after)
    connection.execute_many(
        _FORGET_REPORT,
        [{"run_id": report.run_id, "basis": report.basis, "until_us": report.until_us} for report in done],
    )
    return len(before)


def _keep_reported(connection: Connection, before: Sequence[ExecutionRow], after: dict[Any, ExecutionRow]) -> None:
    """Where telemetry saw executions, too: let their transcripts say the usage that was reported, which would be gone
    with the next sighting."""
    if not before or not has_sightings(connection):
        return
    found = sightings_of(connection, {row[0]: row for row in before})
    for uid, row in after.items():
        seen = found.get(uid, {})
        if TRANSCRIPT in seen:
            seen[TRANSCRIPT] = seen[TRANSCRIPT]._replace(row=with_usage(seen[TRANSCRIPT].row, row))
        save_sightings(connection, [(uid, row, seen)])


def _is_open(row: ExecutionRow) -> bool:
    return bool(row[_BASIS] == PROVISIONAL)
