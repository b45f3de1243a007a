"""Sums over runs, by a name: how many succeeded, what they cost, and what of that was for nothing.

A name's runs are the parts of runs that it has, so a row is what the filter for its name gives. Where these parts are
is said in `run_parts`. The sums of plain executions are those of the roll-ups, less those of all others, and only the
failed ones are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from claude_force.database.contract import Connection
from claude_force.database.queries.archives import archived
from claude_force.database.queries.executions import uid_batches
from claude_force.database.queries.filter import NAME_SQL, Dimension, Filter, rows_from
from claude_force.database.queries.run_parts import (
    BOTH_ENDS,
    CODE,
    FAILED,
    IS_PLAIN,
    IS_SEVERAL,
    LAST,
    NAME,
    OUTCOME,
    RunSource,
    grouped,
    is_label,
    run_source,
    stored_name,
)
from claude_force.database.queries.runs import told_outcomes
from claude_force.database.queries.totals import totals_by
from claude_force.executions.runs import OUTCOMES, FailedRequests, RunSums, sums_of, told_outcome
from claude_force.executions.totals import Totals

_SUMS = ("executions", "successes", "timed", "duration_us", "priced", "cost_nanousd")
_COLUMNS = (*_SUMS, *FAILED)
_LONGEST = "CASE WHEN timed > 0 OR last_us > began_us THEN last_us - began_us END"
"""How long a run took; NULL for one request without a duration."""

_COUNT_OF = {
    "runs": "COUNT(code)", **{name: f"SUM({name})" for name in _COLUMNS}, "lengths": "COUNT(length_us)",
    "length_us": "COALESCE(SUM(length_us), 0)",
}  # fmt: skip
_COUNTED = ", ".join(_COUNT_OF.values())
"""What runs of one outcome come to: how many, _COLUMNS, how many have a length, and the sum of these."""

_OF_RUNS: tuple[Dimension, ...] = ("workflow_id", "session_id")
"""The names that no plain execution has."""

_WHOLE = (
    f"SELECT session, name, alone, {', '.join(f'SUM({name}) AS {name}' for name in _COLUMNS)}, {BOTH_ENDS} "
    "FROM parts GROUP BY session, name, alone"
)
"""Whole runs, from their parts by name."""

Sums = dict[str | None, RunSums]


class RunSumsBy(NamedTuple):
    """Sums over runs. A run with several names is one of each of them, and one in `whole`. Without a dimension there is
    no name."""

    by_name: Sums
    whole: RunSums


def run_sums(connection: Connection, filters: Filter, dimension: Dimension | None = None) -> RunSumsBy:
    """The sums over the runs of the matching executions, by name and of all. Archived executions are not in them."""
    name, names = _name_sql(connection, filters, dimension)
    source = run_source(connection, filters)
    by_name, whole, others = _counted(connection, source, name, names, is_of_plain=dimension not in _OF_RUNS)
    for plain_name, plain in _plain_sums(connection, filters, dimension, others, name, names):
        by_name[plain_name] = by_name.get(plain_name, RunSums()) + plain
        whole += plain
    for told_name, change in _told_changes(connection, source, name, names):
        by_name[told_name] = by_name.get(told_name, RunSums()) + change
    if dimension is None:
        return RunSumsBy({}, by_name.get(None, RunSums()))
    for _, change in _told_changes(connection, source, "NULL", {}):
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


_LONE, _BY_NAME, _WHOLE_RUNS = 0, 1, 2


def _counted(
    connection: Connection, source: RunSource, name: str, names: dict[str, Any], *, is_of_plain: bool
) -> tuple[Sums, RunSums, dict[str | None, Totals]]:
    """The sums over the runs that are not plain, by name and of all, and the totals of these: by the names that plain
    executions have, too."""
    sql, parameters = grouped(source, (name,), sums=_SUMS, stored=IS_SEVERAL)
    timed = f"(SELECT parts.*, {OUTCOME} AS outcome, {_LONGEST} AS length_us FROM {{}} AS parts) AS timed"
    selects = [
        f"SELECT {_BY_NAME}, name_0, outcome, {_COUNTED} FROM {timed.format('parts')} GROUP BY 2, 3",
        f"SELECT {_WHOLE_RUNS}, NULL, outcome, {_COUNTED} FROM {timed.format(f'({_WHOLE})')} GROUP BY 3",
        *([_lone(source, name)] if source.stored else []),
    ]
    several = f"{source.several}, " if source.several else "WITH "
    rows = connection.fetch(f"{several}parts AS ({sql}) {' UNION ALL '.join(selects)}", parameters | names)
    found: Sums = {}
    whole: list[RunSums] = []
    requests: dict[str | None, list[Sequence[Any]]] = {}
    for kind, each, outcome, *values in rows:
        sums = _sums_of(outcome, values)
        if kind != _BY_NAME:
            whole.append(sums)
        if kind != _WHOLE_RUNS:
            found[each] = found[each] + sums if each in found else sums
            requests.setdefault(each if is_of_plain else None, []).append(values)
    totals = {each: _totals_of(parts) for each, parts in requests.items()}
    return found, RunSums(*map(sum, zip(*whole, strict=True))), totals


def _lone(source: RunSource, name: str) -> str:
    """The sums over the runs that are one part each, by name and outcome."""
    lone = (
        f"(SELECT *, {OUTCOME} AS outcome, CASE WHEN timed > 0 OR {LAST} > began_us THEN {LAST} - began_us END "
        f"AS length_us FROM {source.lone}) AS lone"
    )
    if not is_label(name):
        return f"SELECT {_LONE}, {stored_name(name)}, outcome, {_COUNTED} FROM {lone} GROUP BY 2, 3"
    # Grouped by the series, and these by their labels: few rows are joined then.
    counted = ", ".join(f"{sql} AS {column}" for column, sql in _COUNT_OF.items())
    return (
        f"SELECT {_LONE}, {name}, outcome, {', '.join(f'SUM({column})' for column in _COUNT_OF)} "
        f"FROM (SELECT series_id, outcome, {counted} FROM {lone} GROUP BY 1, 2) AS counted "
        "CROSS JOIN series WHERE series.series_id = counted.series_id GROUP BY 2, 3"
    )


def _sums_of(outcome: int | None, values: Sequence[Any]) -> RunSums:
    """The sums of runs of one outcome (None: without a request)."""
    runs, executions, _, _, _, priced, cost, failed, unpriced, lengths, length_us = map(int, values)
    sums = RunSums(
        runs=runs, executions=executions, priced=priced, cost_nanousd=cost, timed_successes=lengths,
        success_us=length_us,
    )  # fmt: skip
    return sums_of("unknown" if outcome is None else OUTCOMES[outcome], sums, FailedRequests(failed, unpriced))


def _totals_of(parts: Sequence[Sequence[Any]]) -> Totals:
    """The totals of the requests of runs."""
    _, *sums = map(sum, zip(*parts, strict=True))
    return Totals(**dict(zip(_SUMS, map(int, sums), strict=False)))


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
    if dimension in _OF_RUNS:
        every = _stored_totals(connection, filters, None)
        plain: dict[str | None, Totals] = {None: every.get(None, Totals()) - sum(others.values(), Totals())}
    else:
        every = _stored_totals(connection, filters, dimension)
        plain = {each: totals - others.get(each, Totals()) for each, totals in every.items()}
    has_failed = any(totals.failures for totals in plain.values())
    failed = _failed(connection, filters, name, names) if has_failed else {}
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
        counted = RunSums(
            runs=runs, executions=runs, priced=priced, cost_nanousd=cost_nanousd, timed_successes=timed,
            success_us=duration_us,
        )  # fmt: skip
        # All but their outcome is in the sums already.
        every = every + sums_of(OUTCOMES[code], counted, FailedRequests(0, 0)) - counted
    return every


def _told_changes(
    connection: Connection, source: RunSource, name: str, names: dict[str, Any]
) -> Iterator[tuple[str | None, RunSums]]:
    """What changes by what the programs of headless runs said of their outcomes."""
    told = told_outcomes(connection, source.filters.window)
    for condition, called in uid_batches(sorted({run for _, run in told}), "name"):
        more = condition.replace("name", NAME, 1)
        sql, parameters = grouped(source, (name,), more, _SUMS, stored=condition)
        rows = connection.fetch(
            "SELECT session, name, name_0, code, executions, priced, cost_nanousd, failed_nanousd, failed_unpriced, "
            f"{_LONGEST} FROM ({sql}) AS runs",
            parameters | names | called,
        )
        for session, run, each, code, executions, priced, cost, failed, unpriced, length_us in rows:
            if (session, run) in told and code is not None:
                own = OUTCOMES[code % len(OUTCOMES)]
                outcome = told_outcome(own, has_succeeded=told[session, run])
                sums = RunSums(
                    runs=1, executions=int(executions), priced=int(priced), cost_nanousd=int(cost),
                    timed_successes=int(length_us is not None), success_us=length_us or 0,
                )  # fmt: skip
                requests = FailedRequests(int(failed), int(unpriced))
                yield each, sums_of(outcome, sums, requests) - sums_of(own, sums, requests)
