"""Sums over runs, by a name: how many succeeded, what they cost, and what of that was for nothing.

A name's runs are the parts of runs that it has, so a row is what the filter for its name gives. Executions that are
runs of their own ("plain" ones) are not grouped: their sums are those of the roll-ups, less those of all others, and
only the failed ones are read. All other executions are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from claude_force.database.contract import Connection
from claude_force.database.queries.archives import archived
from claude_force.database.queries.executions import uid_batches
from claude_force.database.queries.filter import NAME_SQL, Dimension, Filter, rows_from
from claude_force.database.queries.runs import (
    BOTH_ENDS,
    CODE,
    FAILED,
    IS_PLAIN,
    NAME,
    grouped,
    has_steps,
    is_label,
    told_outcomes,
)
from claude_force.database.queries.totals import totals_by
from claude_force.executions.runs import OUTCOMES, FailedRequests, Outcome, RunSums, sums_of, told_outcome
from claude_force.executions.totals import Totals

_SUMS = ("executions", "successes", "timed", "duration_us", "priced", "cost_nanousd")
_HAS_TIME = "(timed > 0 OR last_us > began_us)"


def _is(outcome: Outcome) -> str:
    return f"code % {len(OUTCOMES)} = {OUTCOMES.index(outcome)}"


_UNKNOWN = f"(code IS NULL OR {_is('unknown')})"
_UNPRICED = "executions - priced"
_PARTS: tuple[tuple[str, str, str], ...] = (
    (_is("failed"), "cost_nanousd", _UNPRICED),
    (_is("refused"), "cost_nanousd", _UNPRICED),
    (_is("success"), *FAILED),
    (_UNKNOWN, "cost_nanousd", _UNPRICED),
)
"""The parts of the cost in the order of RunSums: which runs, what of their cost, and which requests without one."""

_COUNTED = ", ".join(
    f"COALESCE(SUM({expression}), 0)"
    for expression in (
        "CASE WHEN code IS NULL THEN 0 ELSE 1 END",
        *(f"CASE WHEN {_is(outcome)} THEN 1 END" for outcome in ("success", "failed", "refused", "unknown")),
        "executions",
        "priced",
        "cost_nanousd",
        *(f"CASE WHEN {condition} THEN {cost} END" for condition, cost, _ in _PARTS),
        *(f"CASE WHEN {condition} THEN {unpriced} END" for condition, _, unpriced in _PARTS),
        f"CASE WHEN {_is('success')} AND {_HAS_TIME} THEN 1 END",
        f"CASE WHEN {_is('success')} AND {_HAS_TIME} THEN last_us - began_us END",
        "successes",
        "timed",
        "duration_us",
    )
)
"""The fields of RunSums, then sums of Totals that it has not."""

_WHOLE = (
    f"SELECT session, name, alone, {', '.join(f'SUM({name}) AS {name}' for name in (*_SUMS, *FAILED))}, {BOTH_ENDS} "
    "FROM parts GROUP BY session, name, alone"
)
"""Whole runs, from their parts by name."""

_FIELDS = len(RunSums.__dataclass_fields__)

Sums = dict[str | None, RunSums]


class RunSumsBy(NamedTuple):
    """Sums over runs. A run with several names is one of each of them, and one in `whole`. Without a dimension there is
    no name."""

    by_name: Sums
    whole: RunSums


def run_sums(connection: Connection, filters: Filter, dimension: Dimension | None = None) -> RunSumsBy:
    """The sums over the runs of the matching executions, by name and of all. Archived executions are not in them."""
    name, names = _name_sql(connection, filters, dimension)
    by_name, whole, others = _grouped_sums(connection, filters, name, names)
    for plain_name, plain in _plain_sums(connection, filters, dimension, others, name, names):
        by_name[plain_name] = by_name.get(plain_name, RunSums()) + plain
        whole += plain
    for told_name, change in _told_changes(connection, filters, name, names):
        by_name[told_name] = by_name.get(told_name, RunSums()) + change
    if dimension is None:
        return RunSumsBy({}, by_name.get(None, RunSums()))
    for _, change in _told_changes(connection, filters, "NULL", {}):
        whole += change
    return RunSumsBy({each: sums for each, sums in by_name.items() if sums != RunSums()}, whole)


def _name_sql(connection: Connection, filters: Filter, dimension: Dimension | None) -> tuple[str, dict[str, Any]]:
    """SQL for a name, and its parameters. Folders of one project have one name: a run may be in several of them."""
    if dimension is None:
        return "NULL", {}
    if dimension != "project":
        return NAME_SQL[dimension], {}
    folders = connection.fetch_once("SELECT DISTINCT project FROM series WHERE project <> ''")
    renamed = [(folder, filters.project_names.of(folder)) for (folder,) in folders]
    names = {
        key: text
        for index, (folder, project) in enumerate(renamed)
        if project is not None and project != folder
        for key, text in ((f"folder_{index}", folder), (f"name_{index}", project))
    }
    if not names:
        return NAME_SQL[dimension], {}
    cases = " ".join(f"WHEN :{key} THEN :{key.replace('folder', 'name')}" for key in names if key.startswith("folder"))
    return f"CASE project {cases} ELSE {NAME_SQL[dimension]} END", names


def _grouped_sums(
    connection: Connection, filters: Filter, name: str, names: dict[str, Any]
) -> tuple[Sums, RunSums, dict[str | None, Totals]]:
    """The sums over the runs that are not plain, by name and of all, and the totals of these by name."""
    steps = has_steps(connection, filters.searched)
    sql, parameters = grouped(filters, (name,), f"NOT ({IS_PLAIN})", _SUMS, with_steps=steps)
    rows = connection.fetch(
        f"WITH parts AS ({sql}) SELECT 0, name_0, {_COUNTED} FROM parts GROUP BY 2 "
        f"UNION ALL SELECT 1, NULL, {_COUNTED} FROM ({_WHOLE}) AS wholes",
        parameters | names,
    )
    found: Sums = {}
    whole = RunSums()
    totals: dict[str | None, Totals] = {}
    for is_whole, each, *values in rows:
        sums = RunSums(*map(int, values[:_FIELDS]))
        if is_whole:
            whole = sums
            continue
        found[each] = sums
        successes, timed, duration_us = map(int, values[_FIELDS:])
        totals[each] = Totals(
            executions=sums.executions, successes=successes, timed=timed, duration_us=duration_us, priced=sums.priced,
            cost_nanousd=sums.cost_nanousd,
        )  # fmt: skip
    return found, whole, totals


def _plain_sums(
    connection: Connection,
    filters: Filter,
    dimension: Dimension | None,
    others: dict[str | None, Totals],
    name: str,
    names: dict[str, Any],
) -> Iterator[tuple[str | None, RunSums]]:
    """The sums over the plain executions."""
    if filters.workflows or filters.sessions:
        return
    if dimension in ("workflow_id", "session_id"):
        # A plain execution has neither.
        every = _stored_totals(connection, filters, None)
        plain: dict[str | None, Totals] = {None: every.get(None, Totals()) - sum(others.values(), Totals())}
    else:
        every = _stored_totals(connection, filters, dimension)
        plain = {each: totals - others.get(each, Totals()) for each, totals in every.items()}
    failed = _failed(connection, filters, name, names)
    for each, totals in plain.items():
        if totals.executions:
            yield each, _sums_of_plain(totals, failed.get(each, []))


def _stored_totals(connection: Connection, filters: Filter, dimension: Dimension | None) -> dict[str | None, Totals]:
    """The totals by name of the executions that are stored: where there are archived ones, rows know it."""
    dimensions: tuple[Dimension, ...] = (dimension,) if dimension else ()
    has_archived = archived(connection, filters).executions
    found = totals_by(connection, filters, *dimensions, *(("workflow_id",) if has_archived else ()))
    sums: dict[str | None, Totals] = {}
    for key, totals in found.items():
        each = key[0] if dimension else None
        sums[each] = sums.get(each, Totals()) + totals
    return sums


Failed = list[tuple[int, ...]]


def _failed(connection: Connection, filters: Filter, name: str, names: dict[str, Any]) -> dict[str | None, Failed]:
    """The failed plain executions by name: code, how many, how many are priced, their cost, how many have a duration,
    and that."""
    tables, condition, parameters = rows_from(filters, False, IS_PLAIN, "success = 0")
    inner, column = ("executions.series_id", "series_id") if is_label(name) else (name, "each")
    outer = name if is_label(name) else "each"
    rows = connection.fetch(
        f"SELECT {outer}, code, SUM(runs), SUM(priced), SUM(cost), SUM(timed), SUM(duration) FROM ("
        f"SELECT {inner} AS {column}, {CODE} AS code, COUNT(*) AS runs, COUNT(cost_nanousd) AS priced, "
        "COALESCE(SUM(cost_nanousd), 0) AS cost, COUNT(duration_us) AS timed, "
        "COALESCE(SUM(duration_us), 0) AS duration "
        f"FROM {tables}{condition} GROUP BY 1, 2) AS failed"
        f"{' CROSS JOIN series WHERE series.series_id = failed.series_id' if is_label(name) else ''} GROUP BY 1, 2",
        parameters | names,
    )
    found: dict[str | None, Failed] = {}
    for each, *values in rows:
        found.setdefault(each, []).append(tuple(map(int, values)))
    return found


def _sums_of_plain(totals: Totals, failed: Failed) -> RunSums:
    every = RunSums(
        runs=totals.executions, executions=totals.executions, successes=totals.successes, priced=totals.priced,
        cost_nanousd=totals.cost_nanousd, timed_successes=totals.timed, success_us=totals.duration_us,
    )  # fmt: skip
    for code, runs, priced, cost_nanousd, timed, duration_us in failed:
        counted = RunSums(runs=runs, executions=runs, priced=priced, cost_nanousd=cost_nanousd)
        of_kind = sums_of(OUTCOMES[code], counted, FailedRequests(0, 0), None)
        # All but their outcome is in the sums already.
        every = every + of_kind - replace(counted, timed_successes=timed, success_us=duration_us)
    return every


def _told_changes(
    connection: Connection, filters: Filter, name: str, names: dict[str, Any]
) -> Iterator[tuple[str | None, RunSums]]:
    """What changes by what the programs of headless runs said of their outcomes."""
    told = told_outcomes(connection, filters.window)
    steps = has_steps(connection, filters.searched) if told else False
    for condition, called in uid_batches(sorted({run for _, run in told}), NAME):
        sql, parameters = grouped(filters, (name,), condition, _SUMS, with_steps=steps)
        rows = connection.fetch(
            "SELECT session, name, name_0, code, executions, priced, cost_nanousd, failed_nanousd, failed_unpriced, "
            f"CASE WHEN {_HAS_TIME} THEN last_us - began_us END FROM ({sql}) AS runs",
            parameters | names | called,
        )
        for session, run, each, code, executions, priced, cost, failed, unpriced, duration_us in rows:
            if (session, run) in told and code is not None:
                own = OUTCOMES[code % len(OUTCOMES)]
                outcome = told_outcome(own, has_succeeded=told[session, run])
                sums = RunSums(runs=1, executions=int(executions), priced=int(priced), cost_nanousd=int(cost))
                requests = FailedRequests(int(failed), int(unpriced))
                new, old = (sums_of(kind, sums, requests, duration_us) for kind in (outcome, own))
                yield each, new - old
