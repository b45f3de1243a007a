"""Runs, as `executions.runs` defines them: one row for each, with its sums, its outcome and its names.

Rows are read, of the asked runs alone. Which of all are the first in an order is known by their parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from claude_force.database.contract import Connection, Database
from claude_force.database.queries.aggregates import totals_of
from claude_force.database.queries.executions import newest, uid_batches
from claude_force.database.queries.filter import (
    IS_OF_SERIES,
    NAME_SQL,
    SERIES,
    SESSION,
    Filter,
    rows_from,
    where,
)
from claude_force.database.queries.run_parts import (
    IS_PLAIN,
    IS_SEVERAL,
    KEY_SQL,
    LAST,
    NAME,
    RunSource,
    grouped,
    has_steps,
    run_source,
)
from claude_force.database.queries.spans import time_ranges_by
from claude_force.executions.billed_steps import Share
from claude_force.executions.record import MAIN, ExecutionMetrics, identity_text
from claude_force.executions.runs import (
    OUTCOMES,
    FailedRequests,
    Outcome,
    Run,
    RunKey,
    most_frequent,
    told_outcome,
)
from claude_force.executions.totals import TOTALS, TimeRange, Totals
from claude_force.time_windows import Window

RunOrder = Literal["newest", "duration", "executions", "tokens", "cost"]

FAILURE = "CASE WHEN success = 0 THEN COALESCE(error_type, '') END"
_NAMES = (*(NAME_SQL[name] for name in ("agent_name", "model", "project")), "workflow_id", FAILURE)

_OF_HEADLESS = f"""
    SELECT headless_runs.*, {SESSION} AS session, {NAME} AS name, ROW_NUMBER() OVER (
        PARTITION BY headless_runs.run_id, headless_runs.started_us, headless_runs.duration_us
        ORDER BY timestamp_us DESC, uid DESC
    ) AS place
    FROM headless_runs CROSS JOIN executions{SERIES}
    WHERE {IS_OF_SERIES} AND timestamp_us >= headless_runs.started_us
        AND timestamp_us <= headless_runs.started_us + headless_runs.duration_us
        AND {SESSION} = COALESCE(headless_runs.session_id, headless_runs.run_id)
        AND (executions.run_id IS NULL OR series.agent_name IN ('{MAIN}', headless_runs.agent_name))"""
LAST_OF_HEADLESS = f"""
SELECT session, name, success AS told, started_us, run_id FROM ({_OF_HEADLESS}
) AS headless_runs"""
"""For each headless run its session, the last run of its main conversation, and whether its program succeeded, under
IS_LAST. Without one that recorded nothing. A subquery for each would be shorter, and is refused where the executions
are on other servers."""

IS_LAST = "place = 1"

_ALL_TOKENS = "input_tokens + output_tokens + cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens"
_RANKED = ("executions", "timed", "metered", *Share._fields[:5], "priced", "cost_nanousd")
_RANKS: dict[RunOrder, str] = {
    "newest": "last_us",
    "duration": "CASE WHEN timed > 0 OR last_us > began_us THEN last_us - began_us END",
    "executions": "executions",
    "tokens": f"CASE WHEN metered > 0 OR input_tokens + output_tokens > 0 OR executions = 0 THEN {_ALL_TOKENS} END",
    "cost": "CASE WHEN priced > 0 OR cost_nanousd <> 0 THEN cost_nanousd END",
}
_PLAIN_RANKS: dict[RunOrder, str] = {
    "newest": "timestamp_us",
    "duration": "duration_us",
    "executions": "1",
    "tokens": _ALL_TOKENS,
    "cost": "cost_nanousd",
}
"""The same of a plain execution."""

_READ_FIRST = 32
"""Rows read for each of the last runs at first: usual runs have fewer requests."""

_MOST_KEYS = 1000
"""More runs are read with all others."""

_Key = tuple[str | None, str | None, bytes | None]
"""Session, name and uid."""


def runs(connection: Connection, filters: Filter) -> list[Run]:
    """All runs of the matching executions: what matches of each, in no particular order."""
    return _described(connection, filters, _read(connection, filters))


def last_runs(connection: Connection, filters: Filter, limit: int) -> list[Run]:
    """The `limit` runs whose last matching request ended last, that one first. Only their sessions are read. Fewer than
    `limit` are all runs with a matching request."""
    return _runs_of(connection, filters, _last_keys(connection, filters, limit))


def first_runs(
    connection: Connection, filters: Filter, order: RunOrder, limit: int, *, is_ascending: bool
) -> list[Run]:
    """The `limit` runs that are first in an order: the largest (or the smallest) first, unknown values last."""
    rank, direction = _RANKS[order], "ASC" if is_ascending else "DESC"
    source = run_source(connection, filters)
    several, parameters = grouped(source, sums=_RANKED, stored=IS_SEVERAL)
    tables, condition, _ = rows_from(filters, False, IS_PLAIN)
    selects = [
        f"SELECT session, name, alone, last_us, {rank} AS amount FROM ({several}) AS runs",
        f"SELECT NULL, NULL, executions.uid, timestamp_us, {_PLAIN_RANKS[order]} FROM {tables}{condition}",
    ]
    if source.stored:
        lone = f"(SELECT rollup_runs.*, {LAST} AS last_us FROM {source.lone}) AS lone"
        selects.append(f"SELECT NULLIF(session_id, ''), name, NULL, last_us, {rank} FROM {lone}")
    rows = connection.fetch(
        f"{source.several}SELECT session, name, alone FROM ({' UNION ALL '.join(selects)}) AS ranked "
        f"ORDER BY CASE WHEN amount IS NULL THEN 1 ELSE 0 END, amount {direction}, COALESCE(last_us, 0) DESC, "
        "session, name, alone LIMIT :most",
        parameters | {"most": limit},
    )
    return _runs_of(connection, filters, [(row[0], row[1], row[2]) for row in rows])


def runs_called(connection: Connection, filters: Filter, name: str) -> list[Run]:
    """The matching runs with this id (see `RunKey.id`), one for each session that has it; not runs of one execution
    that have no name."""
    return _described(connection, filters, _read(connection, filters, f"{NAME} = :called", {"called": name}))


def newest_of_run(
    connection: Connection, database: Database, size: int, filters: Filter, name: str
) -> list[ExecutionMetrics]:
    """The last `size` matching executions of the runs with this id, newest first. Raises DatabaseCorrupt as `newest`
    does."""
    return newest(connection, database, size, filters, f"{NAME} = :called", called=name)


class _Part(NamedTuple):
    """What a run has of one agent, model, folder, workflow and kind of failure."""

    agent: str
    model: str
    folder: str | None
    workflow: str | None
    failure: str | None
    totals: Totals
    failed: FailedRequests
    began_us: int | None
    last_us: int | None
    code: int | None


_Parts = dict[_Key, list[_Part]]


def _read(
    connection: Connection, filters: Filter, more: str = "", named: Mapping[str, Any] = MappingProxyType({})
) -> _Parts:
    """The parts of the runs whose executions meet a condition."""
    every = RunSource(filters, has_steps(connection, filters.searched), rows="")
    sql, parameters = grouped(every, _NAMES, more)
    parts: _Parts = {}
    for session, name, alone, agent, model, folder, workflow, failure, *sums in connection.fetch(
        sql, parameters | dict(named)
    ):
        totals, (cost, unpriced, *ends) = totals_of(sums[: len(TOTALS)]), sums[len(TOTALS) :]
        failed = FailedRequests(int(cost), int(unpriced))
        part = _Part(agent, model, folder, workflow, failure, totals, failed, *ends)
        parts.setdefault((session, name, alone), []).append(part)
    return parts


def _last_keys(connection: Connection, filters: Filter, limit: int) -> list[_Key]:
    """The `limit` runs that ended last: the newest rows are read until these are of so many runs."""
    tables, condition, parameters = rows_from(filters, False)
    columns = ", ".join(("timestamp_us", *KEY_SQL))
    sql = f"SELECT {columns} FROM {tables}{condition} ORDER BY timestamp_us DESC, executions.uid DESC LIMIT :most"
    most = _READ_FIRST * limit
    while True:
        rows = connection.fetch(sql, parameters | {"most": most})
        keys: dict[_Key, int] = {}
        for last_us, session, name, alone in rows:
            keys.setdefault((session, name, alone), last_us)
        # Of the runs that ended with the oldest of these rows, others may be unread.
        if len(rows) < most or sum(last_us > rows[-1][0] for last_us in keys.values()) >= limit:
            return sorted(keys, key=lambda key: (-keys[key], *map(str, key)))[:limit]
        most *= 4


def _runs_of(connection: Connection, filters: Filter, keys: Sequence[_Key]) -> list[Run]:
    """Some runs, in their order."""
    if len(keys) > _MOST_KEYS:
        parts = _read(connection, filters)
    else:
        parts = {}
        for condition, named in uid_batches([key[2] for key in keys if key[2] is not None], "executions.uid"):
            parts |= _read(connection, filters, condition, named)
        for narrow, names in _narrowed(connection, filters, [(key[0], key[1]) for key in keys if key[1] is not None]):
            for condition, named in uid_batches(names, NAME):
                parts |= _read(connection, narrow, condition, named)
    return _described(connection, filters, {key: parts[key] for key in keys if key in parts})


def _narrowed(
    connection: Connection, filters: Filter, keys: Sequence[tuple[str | None, str]]
) -> Iterator[tuple[Filter, list[str]]]:
    """Filters for runs with a name, and the names: a filter for the period of each session, or one for all if that is
    less to read. For runs without a session it is the whole period."""
    by_session: dict[str | None, list[str]] = {}
    for session, name in keys:
        by_session.setdefault(session, []).append(name)
    if None in by_session:
        yield filters, by_session.pop(None)
    sessions = tuple(session for session in by_session if session is not None)
    if not sessions:
        return
    found = time_ranges_by(connection, Filter(filters.window, sessions=sessions, reach=filters.reach), "session_id")
    ranges = {session: found[session] for session in sessions if session in found}
    hull = TimeRange(min(each.first_us for each in ranges.values()), max(each.last_us for each in ranges.values()))
    if sum(map(_length, ranges.values())) >= _length(hull):
        yield _within(filters, sessions, hull), [name for session in sessions for name in by_session[session]]
        return
    for session, reach in ranges.items():
        yield _within(filters, (session,), reach), by_session[session]


def _within(filters: Filter, sessions: tuple[str, ...], reach: TimeRange) -> Filter:
    return replace(filters, sessions=sessions, reach=Window(reach.first_us, reach.last_us + 1))


def _length(time_range: TimeRange) -> int:
    return time_range.last_us - time_range.first_us + 1


def told_outcomes(connection: Connection, window: Window) -> dict[tuple[str, str], bool]:
    """Whether the program of a headless run succeeded: by session and name of the last run of its main conversation. Of
    two programs with one run the later one counts."""
    conditions, parameters = [IS_LAST], {}
    if window.start_us is not None:
        conditions.append("headless_runs.started_us + headless_runs.duration_us >= :start_us")
        parameters["start_us"] = window.start_us
    if window.end_us is not None:
        conditions.append("headless_runs.started_us < :end_us")
        parameters["end_us"] = window.end_us
    sql = f"{LAST_OF_HEADLESS}{where(conditions)} ORDER BY headless_runs.started_us, headless_runs.run_id"
    rows = connection.fetch(sql, parameters)
    return {(session, name): bool(success) for session, name, success, *_ in rows if name is not None}


def _described(connection: Connection, filters: Filter, parts: _Parts) -> list[Run]:
    told = told_outcomes(connection, filters.window) if parts else {}
    return [_run_of(key, found, told.get((key[0] or "", key[1] or "")), filters) for key, found in parts.items()]


def _run_of(key: _Key, parts: Sequence[_Part], told: bool | None, filters: Filter) -> Run:
    session, name, alone = key
    code = max((part.code for part in parts if part.code is not None), default=None)
    outcome: Outcome = "unknown" if code is None else OUTCOMES[code % len(OUTCOMES)]
    failures = most_frequent(
        {part.failure or None: part.totals.executions} for part in parts if part.failure is not None
    )
    return Run(
        key=RunKey(session, name, None if alone is None else identity_text(alone)),
        began_us=min((part.began_us for part in parts if part.began_us is not None), default=None),
        last_us=max((part.last_us for part in parts if part.last_us is not None), default=None),
        totals=sum((part.totals for part in parts), Totals()),
        outcome=outcome if told is None or code is None else told_outcome(outcome, has_succeeded=told),
        failures=failures,
        failed=FailedRequests(
            sum(part.failed.cost_nanousd for part in parts), sum(part.failed.unpriced for part in parts)
        ),
        agents=_names(parts, lambda part: part.agent),
        models=_names(parts, lambda part: part.model),
        projects=_names(parts, lambda part: filters.project_names.of(part.folder)),
        workflows=_names(parts, lambda part: part.workflow),
    )


def _names(parts: Iterable[_Part], name_of: Callable[[_Part], str | None]) -> tuple[str, ...]:
    """The names of the parts, those with the most requests first."""
    requests: dict[str, int] = {}
    for part in parts:
        if name := name_of(part):
            requests[name] = requests.get(name, 0) + part.totals.executions
    return tuple(sorted(requests, key=lambda name: (-requests[name], name)))
