"""The view of runs. It reads every execution: the roll-up of runs has not all of their sums and failures."""

from __future__ import annotations

from claude_force.database.queries.aggregates import COUNTS, SHARES
from claude_force.database.queries.run_parts import BOTH_ENDS, ENDS, FAILED, FAILED_COST, KEY_SQL, STEPS
from claude_force.database.queries.runs import FAILURE, IS_LAST, LAST_OF_HEADLESS
from claude_force.database.views.definition import Column, Dialect, View, instant, money, seconds, text
from claude_force.database.views.executions import SUMS, project
from claude_force.executions.runs import OUTCOMES
from claude_force.executions.totals import TOTALS

_KEYS = ("session", "name", "alone")
_PART = ", ".join(f"{sql} AS {key}" for key, sql in zip(_KEYS, KEY_SQL, strict=True))
_PART += f", executions.series_id, workflow_id, {FAILURE} AS failure"
_GROUPING = "1, 2, 3, 4, 5, 6"

_PARTS = f"""
    SELECT {_PART}, {COUNTS}, {FAILED_COST}, {ENDS} FROM executions GROUP BY {_GROUPING}
    UNION ALL SELECT {_PART}, {SHARES}, {FAILED_COST}, NULL, NULL FROM {STEPS} GROUP BY {_GROUPING}"""
"""What each run has of each series, workflow and kind of failure."""

_COLUMNS = {"agent_name": "agents", "model": "models", "project": "projects", "workflow_id": "workflows"}
"""The columns of lists, by what they list."""

_NAMES = (*_COLUMNS, "failure", "executions")

_TOLD = f"""
    SELECT session, name, told FROM (
        SELECT session, name, told,
            ROW_NUMBER() OVER (PARTITION BY session, name ORDER BY started_us DESC, run_id DESC) AS place
        FROM ({LAST_OF_HEADLESS} WHERE {IS_LAST}) AS programs WHERE name IS NOT NULL
    ) AS placed WHERE place = 1"""
"""How the program of a headless run ended, by its last run; of two programs the later one."""

_OWN = f"CASE code - code / {len(OUTCOMES)} * {len(OUTCOMES)} " + " ".join(
    f"WHEN {code} THEN '{outcome}'" for code, outcome in enumerate(OUTCOMES)
)
_OUTCOME = (
    f"CASE WHEN told = 1 THEN 'success' WHEN told = 0 AND {_OWN} END <> 'refused' THEN 'failed' ELSE {_OWN} END END"
)

_WASTED, _WASTED_UNPRICED = (
    f"CASE WHEN outcome IN ('failed', 'refused') THEN {whole} WHEN outcome = 'success' THEN {failed} ELSE 0 END"
    for whole, failed in zip(("cost_nanousd", "executions - priced"), FAILED, strict=True)
)


def _rows(dialect: Dialect) -> str:
    """Whole runs: their sums, their outcome, and their parts as JSON."""
    sums = ", ".join(f"SUM({name}) AS {name}" for name in (*TOTALS, *FAILED))
    listed = ("json_group_array(json_array(", "))") if dialect.is_sqlite else ("jsonb_agg(jsonb_build_array(", "))")
    names = f"{listed[0]}{', '.join(_NAMES)}{listed[1]}"
    ends = ", ".join(f"MIN({name}) AS first_{name}, MAX({name}) AS last_{name}" for name in _COLUMNS)
    return f"""FROM (SELECT runs.*, {_OUTCOME} AS outcome FROM (
    SELECT session, name, alone, {sums}, {BOTH_ENDS}, {ends}, {names} AS parts
    FROM ({_PARTS}
    ) AS parts CROSS JOIN (
        SELECT series_id, agent_name, model, {project(dialect)} AS project
        FROM series LEFT JOIN projects ON projects.folder = series.project
    ) AS labels WHERE labels.series_id = parts.series_id GROUP BY session, name, alone
) AS runs LEFT JOIN ({_TOLD}
) AS told ON told.session = runs.session AND told.name = runs.name) AS whole"""


def _listed(name: str) -> Column:
    """A column with the names of a run as a JSON array, those with the most requests first."""

    def sql(dialect: Dialect) -> str:
        each, first = _each(dialect, name), f"first_{name}"
        if dialect.is_sqlite:
            ordered = f"(SELECT json_group_array(name) FROM ({each} HAVING name <> '' ORDER BY requests DESC, name))"
            one = f"json_array({first})"
        else:
            ordered = 'SELECT jsonb_agg(name ORDER BY requests DESC, name COLLATE "C")'
            ordered = f"({ordered} FROM ({each}) AS names WHERE name <> '')"
            one = f"jsonb_build_array({first})"
        # Most runs have one name, and to put several in order takes ten times as long as all the rest.
        return f"CASE WHEN {first} IS NULL THEN '[]' WHEN {first} = last_{name} THEN {one} ELSE {ordered} END"

    return Column(_COLUMNS[name], "json", sql, f"its {_COLUMNS[name]}, the one with the most requests first")


def _errors(dialect: Dialect) -> str:
    """SQL for the failed requests of a run as JSON, the most frequent error first."""
    each = _each(dialect, "failure")
    pair = "('error_type', NULLIF(name, ''), 'failures', requests)"
    if dialect.is_sqlite:
        rows = f"{each} HAVING name IS NOT NULL ORDER BY requests DESC, name"
        found = f"(SELECT json_group_array(json_object{pair}) FROM ({rows}))"
    else:
        ordered = f'jsonb_agg(jsonb_build_object{pair} ORDER BY requests DESC, name COLLATE "C")'
        found = f"(SELECT {ordered} FROM ({each}) AS names WHERE name IS NOT NULL)"
    return f"CASE WHEN successes = executions THEN '[]' ELSE {found} END"


def _each(dialect: Dialect, name: str) -> str:
    """SELECT of each `name` in the parts of a run, and its `requests`."""
    place, count = _NAMES.index(name), _NAMES.index("executions")
    if dialect.is_sqlite:
        return (
            f"SELECT json_extract(value, '$[{place}]') AS name, SUM(json_extract(value, '$[{count}]')) AS requests "
            "FROM json_each(parts) GROUP BY 1"
        )
    return (
        f"SELECT part ->> {place} AS name, CAST(SUM(CAST(part ->> {count} AS BIGINT)) AS BIGINT) AS requests "
        "FROM jsonb_array_elements(parts) AS part GROUP BY 1"
    )


RUNS = View(
    "runs_v1",
    "Every run: what an agent did about one task, in one or more requests. The same runs as `claude-force runs`, "
    "without archived executions. It reads all executions.",
    (
        Column("run", "text", lambda dialect: f"COALESCE(name, {dialect.uid('alone')})", "its id"),
        text("session", "its session: an id counts within its session only"),
        text("outcome", "`success`, `failed`, `refused` or `unknown`: how its last request ended"),
        instant("started", "when its first request began", "began_us"),
        instant("ended", "when its last request ended", "last_us"),
        seconds(
            "duration_seconds", "from the one to the other; null for one request without a duration",
            "CASE WHEN timed > 0 OR last_us > began_us THEN last_us - began_us END",
        ),
        *map(_listed, _COLUMNS),
        Column("errors", "json", _errors, "its failed requests: `error_type` and `failures` of each, the most first"),
        money(
            "wasted_cost", "what failed, refused and repeated requests cost; null if nothing of it is known",
            f"CASE WHEN {_WASTED_UNPRICED} = 0 OR {_WASTED} <> 0 THEN {_WASTED} END",
        ),
        *SUMS,
    ),
    _rows,
)  # fmt: skip
