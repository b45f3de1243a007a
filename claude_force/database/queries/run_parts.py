"""The parts of runs, as SQL: from roll-ups for whole days, from rows elsewhere.

| executions                                   | are in                                                      |
|----------------------------------------------|-------------------------------------------------------------|
| of whole days, with the name of a run        | `rollup_runs`, one row for each part (`executions.run_parts`) |
| the same at the edges of a period, or pending | rows, which are grouped                                     |
| runs of their own, with steps                | rows, which the table of steps leads to                     |
| other runs of their own: "plain" ones        | nothing: their sums are those of the roll-ups, less all others |

Most runs have one part, which is the whole run ("lone"), so nothing has to be grouped. Only the few that have several,
or some of it in rows, are put together. Roll-ups know no branches and labels; with these, and with workflows and
sessions, whose period is short, rows are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection
from claude_force.database.queries.aggregates import COUNT_OF, UnionQuery, plan_of
from claude_force.database.queries.filter import (
    IS_PENDING,
    IS_ROLLED_UP,
    NAME_SQL,
    PENDING,
    ROW_NAMES,
    SERIES_NAMES,
    SESSION,
    Filter,
    rows_from,
    where,
    within,
)
from claude_force.executions.billed_steps import REFUSAL, Share
from claude_force.executions.rollups import DAY, RollupPlan
from claude_force.executions.run_parts import PART_TOTALS
from claude_force.executions.runs import OUTCOMES, UNFINISHED
from claude_force.executions.totals import TOTALS
from claude_force.time_windows import Window

NAME = "COALESCE(executions.run_id, executions.workflow_id, executions.session_id)"
_KEYS = ("session", "name", "alone")
KEY_SQL = (SESSION, NAME, f"CASE WHEN {NAME} IS NULL THEN executions.uid END")
"""SQL for the three columns that tell a run from all others: session, name, alone."""

OUTCOME = f"code % {len(OUTCOMES)}"
LAST = f"code / {len(OUTCOMES)}"
"""SQL for the place of the outcome in OUTCOMES, and for the instant of the last request."""

CODE = (
    f"CASE WHEN success = 1 THEN {OUTCOMES.index('success')} "
    f"WHEN error_type = '{REFUSAL}' THEN {OUTCOMES.index('refused')} "
    f"WHEN error_type = '{UNFINISHED}' THEN {OUTCOMES.index('unknown')} ELSE {OUTCOMES.index('failed')} END"
)
# The instant of a request and its code in one number: the largest is that of the last request.
ENDS = f"MIN(timestamp_us - COALESCE(duration_us, 0)) AS began_us, MAX(timestamp_us * {len(OUTCOMES)} + {CODE}) AS code"
_NO_ENDS = "CAST(NULL AS BIGINT) AS began_us, CAST(NULL AS BIGINT) AS code"
BOTH_ENDS = f"MIN(began_us) AS began_us, MAX(code) / {len(OUTCOMES)} AS last_us, MAX(code) AS code"
FAILED_COST = (
    "COALESCE(SUM(CASE WHEN success = 0 THEN cost_nanousd END), 0) AS failed_nanousd, "
    "COALESCE(SUM(CASE WHEN success = 0 AND cost_nanousd IS NULL THEN 1 END), 0) AS failed_unpriced"
)
FAILED = ("failed_nanousd", "failed_unpriced")

STEPS = (
    f"(SELECT step_usage.*, {', '.join(f'executions.{name}' for name in ROW_NAMES)}, executions.run_id, "
    "executions.success, executions.error_type, executions.steps, executions.cost_nanousd AS whole_nanousd "
    "FROM step_usage CROSS JOIN executions WHERE executions.uid = step_usage.uid) AS executions"
)
"""`step_usage` with what its executions say, under their name."""

IS_PLAIN = f"{NAME} IS NULL AND (executions.steps IS NULL OR executions.uid NOT IN (SELECT uid FROM step_usage))"
"""An execution that is a run of its own, and whose steps move nothing: nothing is to be added to it."""

_STORED_SQL = {
    "NULL": "NULL",
    NAME_SQL["workflow_id"]: "NULLIF(workflow_id, '')",
    NAME_SQL["session_id"]: "NULLIF(session_id, '')",
}


def stored_name(name: str) -> str:
    """SQL for a name that is not about the series, from rows of `rollup_runs`."""
    return _STORED_SQL[name]


def _counts(sums: Sequence[str]) -> str:
    return ", ".join(f"COALESCE({COUNT_OF[name]}, 0) AS {name}" for name in sums)


def _shares(sums: Sequence[str]) -> str:
    return ", ".join(f"{f'COALESCE(SUM({name}), 0)' if name in Share._fields else '0'} AS {name}" for name in sums)


def _parts_from(source: str, sums: str, ends: str, is_rolled_up: str) -> str:
    return (
        f"SELECT timestamp_us / {DAY_US} AS day, COALESCE({SESSION}, '') AS session_id, {NAME} AS name, "
        f"COALESCE(executions.workflow_id, '') AS workflow_id, series_id, {sums}, {FAILED_COST}, {ends} "
        f"FROM {source} WHERE timestamp_us >= :start_us AND timestamp_us < :end_us AND {NAME} IS NOT NULL "
        f"AND {is_rolled_up} GROUP BY 1, 2, 3, 4, 5"
    )


_SUM_OF_PARTS = ", ".join(f"SUM({name})" for name in (*PART_TOTALS, *FAILED))
PARTS_OF_ROWS = (
    f"SELECT day, session_id, name, workflow_id, series_id, {_SUM_OF_PARTS}, MIN(began_us), MAX(code) FROM ("
    f"{_parts_from('executions', _counts(PART_TOTALS), ENDS, IS_ROLLED_UP)} UNION ALL "
    f"{_parts_from(STEPS, _shares(PART_TOTALS), _NO_ENDS, IS_ROLLED_UP)}) AS parts GROUP BY 1, 2, 3, 4, 5"
)
"""The rows of `rollup_runs` from :start_us to :end_us, as the executions that are rolled up make them."""


@dataclass(frozen=True, slots=True)
class RunSource:
    """Where the parts of the matching runs are. `rows` is the condition on the executions whose rows are read
    ("" for all that match), `stored` are those on the rows of `rollup_runs`, none if it answers nothing; `several`
    begins a query that uses IS_SEVERAL."""

    filters: Filter
    has_steps: bool
    rows: str = f"NOT ({IS_PLAIN})"
    stored: tuple[str, ...] = ()
    several: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def lone(self) -> str:
        """FROM and WHERE for the runs that are one part of `rollup_runs` and nothing else."""
        return f"rollup_runs{where((*self.stored, f'NOT ({IS_SEVERAL})'))}"


IS_SEVERAL = "(session_id, name) IN (SELECT session, name FROM several)"
"""The condition on rows of `rollup_runs` whose run has several parts, or rows."""


def run_source(connection: Connection, filters: Filter) -> RunSource:
    """Where the parts of the runs of a filter are."""
    with_steps = has_steps(connection, filters.searched)
    plan = plan_of(connection, filters, DAY, coarsest=DAY)
    if not plan.buckets:
        return RunSource(filters, with_steps)
    _, first, end = plan.buckets[0]
    conditions, parameters = filters.conditions(*SERIES_NAMES)
    stored = ["day >= :first_day", "day < :end_day"]
    if conditions:
        stored.append(f"series_id IN (SELECT series_id FROM series{where(conditions)})")
    union = _outside(plan, with_steps)
    rows = f"executions.uid IN ({union.sql}) AND NOT ({IS_PLAIN})"
    found = []
    for table in ("executions", *([STEPS] if with_steps else [])):
        tables, condition, named = rows_from(filters, False, rows, f"{NAME} IS NOT NULL", table=table)
        parameters |= named
        found.append(f"SELECT COALESCE({SESSION}, '') AS session, {NAME} AS name FROM {tables}{condition}")
    found.append(f"SELECT session_id, name FROM rollup_runs{where(stored)} GROUP BY 1, 2 HAVING COUNT(*) > 1")
    return RunSource(
        filters,
        with_steps,
        rows,
        tuple(stored),
        f"WITH several AS ({' UNION '.join(found)}) ",
        parameters | union.parameters | {"first_day": first, "end_day": end},
    )


def _outside(plan: RollupPlan, with_steps: bool) -> UnionQuery:
    """The executions that `rollup_runs` does not have: those at the edges, pending ones, and, though of whole days,
    those with steps that are runs of their own."""
    union = UnionQuery()
    for edge in plan.edges:
        union.selects.append(f"SELECT uid FROM executions{where(union.within(edge))}")
    pending = where([IS_PENDING, *union.within(plan.inside)])
    union.selects.append(f"SELECT executions.uid FROM {PENDING}{pending}")
    if with_steps:
        union.selects.append(
            f"SELECT executions.uid FROM (SELECT DISTINCT uid FROM step_usage{where(union.within(plan.inside))}) "
            f"AS stepped CROSS JOIN executions WHERE executions.uid = stepped.uid AND {NAME} IS NULL"
        )
    return union


def grouped(
    source: RunSource, names: Sequence[str] = (), more: str = "", sums: Sequence[str] = TOTALS, stored: str = ""
) -> tuple[str, dict[str, Any]]:
    """SQL for one row for each run and each combination of `names` (SQL for columns), and its parameters. `more` is a
    further condition on rows, `stored` one on the parts of `rollup_runs`, which are not read without it. Its columns
    are session, name, alone, name_0, name_1 ..., these of Totals, FAILED, began_us, last_us, code."""
    labels = {f"name_{index}": name for index, name in enumerate(names) if is_label(name)}
    others = {f"name_{index}": name for index, name in enumerate(names) if not is_label(name)}
    # Rows are grouped by the series, and these by their labels: a join with every row would take twice as long.
    series = {"series_id": "executions.series_id"} if labels else {}
    inner = dict(zip(_KEYS, KEY_SQL, strict=True)) | others | series
    columns = ", ".join(f"{column} AS {key}" for key, column in inner.items())
    grouping = _first_columns(len(inner))
    conditions = [condition for condition in (source.rows, more) if condition]
    tables, condition, parameters = rows_from(source.filters, False, *conditions)
    selects = [f"SELECT {columns}, {_counts(sums)}, {FAILED_COST}, {ENDS} FROM {tables}{condition} GROUP BY {grouping}"]
    if source.has_steps:
        steps, _, _ = rows_from(source.filters, False, *conditions, table=STEPS)
        selects.append(
            f"SELECT {columns}, {_shares(sums)}, {FAILED_COST}, {_NO_ENDS} FROM {steps}{condition} GROUP BY {grouping}"
        )
    if stored and source.stored:
        keys = ["NULLIF(session_id, '')", "name", "NULL", *map(stored_name, others.values()), *series]
        selects.append(
            f"SELECT {', '.join((*keys, *sums, *FAILED))}, began_us, code FROM rollup_runs"
            f"{where((*source.stored, stored))}"
        )
    found = {key: key for key in (*_KEYS, *others)} | labels
    keys = [f"{found[key]} AS {key}" for key in (*_KEYS, *(f"name_{index}" for index in range(len(names))))]
    both = ", ".join(f"SUM({name}) AS {name}" for name in (*sums, *FAILED))
    joined = " CROSS JOIN series WHERE series.series_id = parts.series_id" if labels else ""
    return (
        f"SELECT {', '.join(keys)}, {both}, {BOTH_ENDS} FROM ({' UNION ALL '.join(selects)}) AS parts{joined} "
        f"GROUP BY {_first_columns(len(keys))}"
    ), parameters | source.parameters


def _first_columns(count: int) -> str:
    return ", ".join(str(index + 1) for index in range(count))


def is_label(name: str) -> bool:
    """Whether SQL for a name is about the series."""
    return any(label in name for label in SERIES_NAMES)


def has_steps(connection: Connection, window: Window) -> bool:
    """Whether any step of a period has a model of its own."""
    conditions, parameters = within(window)
    return bool(connection.fetch(f"SELECT 1 FROM step_usage{where(conditions)} LIMIT 1", parameters))
