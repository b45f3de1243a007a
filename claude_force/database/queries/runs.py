"""Runs, as `executions.runs` defines them: one row for each, with its sums, its outcome and its names.

Roll-ups do not know runs, so rows are read: those of the last runs alone, if only these are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from claude_force.database.contract import Connection, Database
from claude_force.database.queries.aggregates import COUNT_OF, totals_of
from claude_force.database.queries.executions import newest, uid_batches
from claude_force.database.queries.filter import (
    IS_OF_SERIES,
    NAME_SQL,
    ROW_NAMES,
    SERIES,
    SERIES_NAMES,
    SESSION,
    Filter,
    rows_from,
    where,
    within,
)
from claude_force.database.queries.spans import time_ranges_by
from claude_force.executions.billed_steps import REFUSAL, Share
from claude_force.executions.record import MAIN, ExecutionMetrics, identity_text
from claude_force.executions.runs import (
    OUTCOMES,
    UNFINISHED,
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

NAME = "COALESCE(executions.run_id, executions.workflow_id, executions.session_id)"
_KEYS = ("session", "name", "alone")
KEY_SQL = (SESSION, NAME, f"CASE WHEN {NAME} IS NULL THEN executions.uid END")
"""SQL for the three columns that tell a run from all others: session, name, alone."""

CODE = (
    f"CASE WHEN success = 1 THEN {OUTCOMES.index('success')} "
    f"WHEN error_type = '{REFUSAL}' THEN {OUTCOMES.index('refused')} "
    f"WHEN error_type = '{UNFINISHED}' THEN {OUTCOMES.index('unknown')} ELSE {OUTCOMES.index('failed')} END"
)
# The instant of a request and its code in one number: the largest is that of the last request.
ENDS = (
    "MIN(timestamp_us - COALESCE(duration_us, 0)) AS began_us, "
    f"MAX(timestamp_us) AS last_us, MAX(timestamp_us * {len(OUTCOMES)} + {CODE}) AS code"
)
BOTH_ENDS = "MIN(began_us) AS began_us, MAX(last_us) AS last_us, MAX(code) AS code"
FAILED_COST = (
    "COALESCE(SUM(CASE WHEN success = 0 THEN cost_nanousd END), 0) AS failed_nanousd, "
    "COALESCE(SUM(CASE WHEN success = 0 AND cost_nanousd IS NULL THEN 1 END), 0) AS failed_unpriced"
)
FAILED = ("failed_nanousd", "failed_unpriced")
FAILURE = "CASE WHEN success = 0 THEN COALESCE(error_type, '') END"
_NAMES = (*(NAME_SQL[name] for name in ("agent_name", "model", "project")), "workflow_id", FAILURE)

STEPS = (
    f"(SELECT step_usage.*, {', '.join(f'executions.{name}' for name in ROW_NAMES)}, executions.run_id, "
    "executions.success, executions.error_type, executions.steps, executions.cost_nanousd AS whole_nanousd "
    "FROM step_usage CROSS JOIN executions WHERE executions.uid = step_usage.uid) AS executions"
)
"""`step_usage` with what its executions say, under their name."""

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

IS_PLAIN = f"{NAME} IS NULL AND executions.steps IS NULL"
"""An execution that is a run of its own, and has no steps: nothing is to be added to it."""

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
    with_steps = has_steps(connection, filters.searched)
    others, parameters = grouped(filters, more=f"NOT ({IS_PLAIN})", sums=_RANKED, with_steps=with_steps)
    tables, condition, _ = rows_from(filters, False, IS_PLAIN)
    rows = connection.fetch(
        f"SELECT session, name, alone FROM (SELECT session, name, alone, last_us, {rank} AS amount FROM ({others}) "
        "AS runs UNION ALL SELECT NULL, NULL, executions.uid, timestamp_us, "
        f"{_PLAIN_RANKS[order]} FROM {tables}{condition}) AS ranked "
        f"ORDER BY CASE WHEN amount IS NULL THEN 1 ELSE 0 END, amount {direction}, last_us DESC, session, name, alone "
        "LIMIT :most",
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


def grouped(
    filters: Filter, names: Sequence[str] = (), more: str = "", sums: Sequence[str] = TOTALS, *, with_steps: bool
) -> tuple[str, dict[str, Any]]:
    """SQL for one row for each run and each combination of `names` (SQL for columns), and its parameters. Its columns
    are session, name, alone, name_0, name_1 ..., these of Totals, FAILED, began_us, last_us, code."""
    labels = {f"name_{index}": name for index, name in enumerate(names) if is_label(name)}
    others = {f"name_{index}": name for index, name in enumerate(names) if not is_label(name)}
    # Rows are grouped by the series, and these by their labels: a join with every row would take twice as long.
    inner = dict(zip(_KEYS, KEY_SQL, strict=True)) | others | ({"series_id": "executions.series_id"} if labels else {})
    columns = ", ".join(f"{column} AS {key}" for key, column in inner.items())
    grouping = _first_columns(len(inner))
    tables, condition, parameters = rows_from(filters, False, *([more] if more else []))
    counts = ", ".join(f"COALESCE({COUNT_OF[name]}, 0) AS {name}" for name in sums)
    sql = f"SELECT {columns}, {counts}, {FAILED_COST}, {ENDS} FROM {tables}{condition} GROUP BY {grouping}"
    if with_steps:
        steps, _, _ = rows_from(filters, False, table=STEPS)
        shares = ", ".join(f"COALESCE(SUM({name}), 0)" if name in Share._fields else "0" for name in sums)
        sql += (
            f" UNION ALL SELECT {columns}, {shares}, {FAILED_COST}, NULL, NULL, NULL FROM {steps}{condition} "
            f"GROUP BY {grouping}"
        )
    if not labels and not with_steps:
        return sql, parameters
    found = {key: key for key in (*_KEYS, *others)} | labels
    keys = [f"{found[key]} AS {key}" for key in (*_KEYS, *(f"name_{index}" for index in range(len(names))))]
    both = ", ".join(f"SUM({name}) AS {name}" for name in (*sums, *FAILED))
    joined = " CROSS JOIN series WHERE series.series_id = parts.series_id" if labels else ""
    return (
        f"SELECT {', '.join(keys)}, {both}, {BOTH_ENDS} FROM ({sql}) AS parts{joined} "
        f"GROUP BY {_first_columns(len(keys))}"
    ), parameters


def _first_columns(count: int) -> str:
    return ", ".join(str(index + 1) for index in range(count))


def is_label(name: str) -> bool:
    """Whether SQL for a name is about the series."""
    return any(label in name for label in SERIES_NAMES)


def has_steps(connection: Connection, window: Window) -> bool:
    """Whether any step of a period has a model of its own."""
    conditions, parameters = within(window)
    return bool(connection.fetch(f"SELECT 1 FROM step_usage{where(conditions)} LIMIT 1", parameters))


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
    sql, parameters = grouped(filters, _NAMES, more, with_steps=has_steps(connection, filters.searched))
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
