"""What several sources saw of executions, and finding the executions that telemetry and transcripts are of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from claude_force.clock import MINUTE_US
from claude_force.database.contract import Connection
from claude_force.database.queries.executions import rows_of, uid_batches
from claude_force.database.queries.filter import COLUMNS, IS_OF_SERIES, SERIES
from claude_force.database.queries.ingestion import known_identities
from claude_force.executions.deduplication import AMBIGUOUS, REPLAY, EntityResolver, Observation
from claude_force.executions.joining import JoiningResolver
from claude_force.executions.nearby import NEARBY_US
from claude_force.executions.record import CLAUDE_CODE, TELEMETRY, ExecutionRow, column
from claude_force.executions.sightings import TRANSCRIPT, Sighting, decode_fields
from claude_force.time_windows import Window

SIGHTING_COLUMNS = ("ttft_us", "effort", "query_source", "reported_cost_nanousd")
"""The columns of a sighting beside its key and its other fields."""

_APART_US = 10 * MINUTE_US
"""Observations that are further apart are looked for in two queries."""

_INSTANT = column("timestamp_us")

Found = dict[bytes, dict[str, Sighting]]
"""Sightings by uid and source."""


def has_sightings(connection: Connection) -> bool:
    """Whether telemetry saw any execution."""
    return bool(connection.fetch("SELECT 1 FROM sightings LIMIT 1"))


def sightings_of(connection: Connection, rows: Mapping[bytes, ExecutionRow]) -> Found:
    """The sightings of some executions, which are given by uid as they are stored."""
    found: Found = {}
    names = ", ".join(SIGHTING_COLUMNS)
    for condition, part in uid_batches(sorted(rows)):
        for uid, source, fields, *values in connection.fetch(
            f"SELECT uid, source, fields, {names} FROM sightings WHERE {condition}", part
        ):
            columns = dict(zip(SIGHTING_COLUMNS, values, strict=True))
            found.setdefault(uid, {})[source] = decode_fields(source, fields, rows[uid], **columns)
    return found


def _seen_by_telemetry_alone(connection: Connection, uids: Iterable[bytes]) -> set[bytes]:
    """Those of some executions that no transcript saw."""
    sources: dict[bytes, set[str]] = {}
    for condition, part in uid_batches(sorted(uids)):
        for uid, source in connection.fetch(f"SELECT uid, source FROM sightings WHERE {condition}", part):
            sources.setdefault(uid, set()).add(source)
    return {uid for uid, found in sources.items() if TRANSCRIPT not in found}


def resolver_of(connection: Connection, observations: Sequence[Observation]) -> EntityResolver | JoiningResolver:
    """What finds the executions of some observations: one that joins where telemetry takes part. Transcripts alone cost
    a single short query more."""
    has_telemetry = any(observation.sighting is not None for observation in observations)
    if not has_telemetry and not has_sightings(connection):
        return EntityResolver(known_identities(connection, observations))
    requests = {seen.request for seen in observations if seen.request}
    known = known_identities(connection, observations, requests)
    uids = set(known.values()) - {AMBIGUOUS, REPLAY}
    stored = {row[0]: row for row in rows_of(connection, list(uids))}
    gone = _seen_by_telemetry_alone(connection, uids - stored.keys())
    for row in _nearby(connection, [seen for seen in observations if not _is_known(seen, known)]):
        stored[row[0]] = row
    return JoiningResolver(known, stored=stored, sightings=sightings_of(connection, stored), gone=gone)


def _is_known(observation: Observation, known: dict[bytes, bytes]) -> bool:
    return observation.is_result or any(key in known for key in observation.identities)


def _nearby(connection: Connection, observations: Sequence[Observation]) -> Iterator[ExecutionRow]:
    """Executions that ended when some observations did; of those of transcripts, only executions that telemetry alone
    saw."""
    telemetry = [seen.row[_INSTANT] for seen in observations if seen.sighting is not None]
    transcripts = [seen.row[_INSTANT] for seen in observations if seen.sighting is None]
    if transcripts and not connection.fetch(f"SELECT 1 FROM series WHERE source = '{TELEMETRY}' LIMIT 1"):
        transcripts = []
    joining = {seen.sighting.source for seen in observations if seen.sighting is not None}
    for instants, sources, seen_by in (
        (telemetry, (CLAUDE_CODE, TELEMETRY), joining),
        (transcripts, (TELEMETRY,), {TRANSCRIPT}),
    ):
        among = ", ".join(f"'{source}'" for source in sources)
        names = {f"source_{index}": source for index, source in enumerate(sorted(seen_by))}
        for window in _windows(instants):
            # An execution that all of these sources have seen already is none of theirs.
            yield from connection.fetch(
                f"SELECT {COLUMNS} FROM executions{SERIES} WHERE {IS_OF_SERIES} AND source IN ({among}) "
                "AND timestamp_us >= :start_us AND timestamp_us <= :end_us "
                "AND (SELECT COUNT(*) FROM sightings WHERE sightings.uid = executions.uid "
                f"AND sightings.source IN ({', '.join(f':{name}' for name in names)})) < {len(names)}",
                {"start_us": window.start_us, "end_us": window.end_us} | names,
            )


def _windows(instants: Iterable[int]) -> Iterator[Window]:
    """Periods in which everything near some instants lies, disjoint."""
    start_us = last_us = None
    for instant in sorted(instants):
        if start_us is None or last_us is None:
            start_us = instant
        elif instant - last_us > _APART_US:
            yield Window(start_us - NEARBY_US, last_us + NEARBY_US)
            start_us = instant
        last_us = instant
    if start_us is not None and last_us is not None:
        yield Window(start_us - NEARBY_US, last_us + NEARBY_US)
