"""The views of executions: each one, and their sums by day."""

from __future__ import annotations

from claude_force.clock import DAY_US
from claude_force.database.queries.aggregates import COUNTS, SHARES
from claude_force.database.queries.filter import IS_PENDING, PENDING, SESSION
from claude_force.database.queries.run_parts import NAME
from claude_force.database.views.definition import (
    Column,
    Dialect,
    View,
    boolean,
    day,
    instant,
    integer,
    money,
    seconds,
    text,
)
from claude_force.executions.rollups import DAY, EACH_SERIES
from claude_force.executions.totals import TOTALS

_WORKTREES = "/.claude/worktrees/"

_METERED = "(metered <> 0 OR input_tokens <> 0 OR output_tokens <> 0)"
_HAS_TOKENS = f"({_METERED} OR executions = 0)"
_HAS_COST = f"(priced <> 0 OR cost_nanousd <> 0 OR (executions = 0 AND NOT {_METERED}))"
_HAS_RECORDED = f"(recorded_cost_nanousd <> 0 OR ({_HAS_COST} AND cost_nanousd = 0))"
"""When a sum is known: as in `Totals`."""

_CACHED = "cache_read_tokens + cache_write_5m_tokens + cache_write_1h_tokens"


def project(dialect: Dialect) -> str:
    """SQL for the project of a series that is joined with `projects`: see `executions.projects`, but for the names of
    the settings and the spellings of Windows."""
    place = dialect.position(f"'{_WORKTREES}'", "replace(series.project, '\\', '/')")
    first = f"substr(series.project, {place} + {len(_WORKTREES)}, 1)"
    root = f"CASE WHEN {place} > 1 AND {first} NOT IN ('', '/', '\\') THEN substr(series.project, 1, {place} - 1) END"
    return f"COALESCE(NULLIF(projects.project, ''), {root}, NULLIF(series.project, ''))"


def named(table: str) -> str:
    """FROM and WHERE for the rows of a table that has a `series_id`, with their series and their project."""
    # The first table is read first on SQLite, whatever its statistics say: CROSS JOIN fixes the order.
    return (
        f"FROM {table} CROSS JOIN series LEFT JOIN projects ON projects.folder = series.project\n"
        f"WHERE series.series_id = {table.rpartition(' ')[2]}.series_id"
    )


PROJECT = Column("project", "text", project, "the repository of the folder")

LABELS = (
    text("agent", "who made the request", "series.agent_name"),
    text("model", "the model that answered", "series.model"),
    PROJECT,
    text("folder", "where it ran", "NULLIF(series.project, '')"),
    text("source", "who recorded it: `claude-code`, `tracker`, `telemetry` ...", "series.source"),
)

RECORDED_COST = "CASE WHEN recorded_basis IS NULL THEN executions.cost_nanousd ELSE recorded_cost_nanousd END"
"""SQL for the cost before any repricing."""

EXECUTIONS = View(
    "executions_v1",
    "Every execution: one model request of an agent. Archived ones are not in it.",
    (
        Column("uid", "text", lambda dialect: dialect.uid("executions.uid"), "its identity"),
        instant("timestamp", "when it ended", "executions.timestamp_us"),
        integer("timestamp_us", "the same in microseconds since 1970: a condition on it uses an index"),
        day("day", "its day in UTC", "executions.timestamp_us"),
        *LABELS,
        text("host", "the machine", "executions.host"),
        text("user_name", "who ran it, if that is recorded", "executions.user_name"),
        text("branch", "the git branch", "executions.git_branch"),
        text("session", "the session of Claude Code, or of the program", SESSION),
        Column(
            "run", "text", lambda dialect: f"COALESCE({NAME}, {dialect.uid('executions.uid')})",
            "the run that it is part of: with `session` the key of `runs_v1`",
        ),
        text("workflow", "the workflow", "executions.workflow_id"),
        integer("workflow_position", "its place in the workflow"),
        text("task_hash", "the hash of its task"),
        boolean("success", "whether it succeeded", "executions.success = 1"),
        text("error_type", "why it failed: `rate_limit`, `overloaded`, `refusal` ..."),
        seconds("duration_seconds", "how long it took", "executions.duration_us"),
        integer("input_tokens", "uncached input"),
        integer("output_tokens", "output"),
        integer("cache_read_tokens", "input that was read from the cache"),
        integer("cache_write_5m_tokens", "input that was cached for five minutes"),
        integer("cache_write_1h_tokens", "input that was cached for an hour"),
        integer("total_tokens", "all of them", f"input_tokens + output_tokens + {_CACHED}"),
        integer("web_searches", "searches that it made"),
        money("cost", "US dollars; null if the price is not known", "executions.cost_nanousd"),
        money("reference_cost", "the same tokens on the reference model", "executions.reference_cost_nanousd"),
        money("recorded_cost", "the cost before any repricing", RECORDED_COST),
        text("price_version", "the prices of the cost; null if the cost came with the record"),
        text("usage_basis", "`provisional` if the usage was never final: a lower bound; null if it is final"),
        text("service_tier", "`fast`, `batch`: another price; null is the standard tier"),
        text("inference_geo", "`us`: another price; null is no data residency"),
        text("provider", "`bedrock`, `vertex`; null is the Claude API"),
    ),
    lambda _: named("executions"),
)  # fmt: skip

SUMS = (
    integer("executions", "model requests"),
    integer("successful_executions", "those that succeeded", "successes"),
    integer("timed_executions", "those whose duration is known", "timed"),
    seconds("execution_seconds", "how long these took together", "duration_us"),
    *(
        integer(name, meaning, f"CASE WHEN {_HAS_TOKENS} THEN {name} END")
        for name, meaning in (("input_tokens", "uncached input"), ("output_tokens", "output"))
    ),
    integer("cache_read_tokens", "input that was read from the cache"),
    integer("cache_write_5m_tokens", "input that was cached for five minutes"),
    integer("cache_write_1h_tokens", "input that was cached for an hour"),
    integer(
        "total_tokens", "all of them; null if no usage is known",
        f"CASE WHEN {_HAS_TOKENS} THEN input_tokens + output_tokens + {_CACHED} END",
    ),
    money("cost", "US dollars of what is priced; null if nothing is", f"CASE WHEN {_HAS_COST} THEN cost_nanousd END"),
    integer("unpriced_executions", "those whose cost is not known", "executions - priced"),
    money("reference_cost", "on the reference model, of those with both costs", "compared_reference_nanousd"),
    money("compared_cost", "the cost of the same ones: the difference is what was saved", "compared_cost_nanousd"),
    money(
        "recorded_cost", "the cost before any repricing",
        f"CASE WHEN {_HAS_RECORDED} THEN recorded_cost_nanousd END",
    ),
    integer("provisional_executions", "those whose usage was never final", "provisional"),
)  # fmt: skip
"""The columns of sums, from the columns of `Totals`."""

_EACH_SUM = ", ".join(f"SUM({name}) AS {name}" for name in TOTALS)

_DAILY = f"""(
    SELECT bucket, series_id, {_EACH_SUM} FROM (
        SELECT bucket, series_id, {", ".join(TOTALS)} FROM rollups WHERE scope = {EACH_SERIES} AND level = {DAY}
        UNION ALL
        SELECT timestamp_us / {DAY_US}, series_id, {COUNTS} FROM {PENDING} WHERE {IS_PENDING} GROUP BY 1, 2
        UNION ALL
        SELECT timestamp_us / {DAY_US}, series_id, {SHARES}
        FROM uncounted CROSS JOIN step_usage WHERE step_usage.uid = uncounted.uid GROUP BY 1, 2
    ) AS parts GROUP BY bucket, series_id
) AS sums"""

DAILY = View(
    "daily_v1",
    "Sums by day (UTC), agent, model, folder and source, archived executions included. It reads the roll-ups and what "
    "is not rolled up yet, so it is exact, and fast for any number of executions. Steps that a model took within "
    "requests of other models count for that model, as in `by-model`.",
    (day("day", "the day in UTC", f"bucket * {DAY_US}"), *LABELS, *SUMS),
    lambda _: named(_DAILY),
)
