"""The views of what is kept beside executions: alerts, and what agents did."""

from __future__ import annotations

from claude_force.database.views.definition import Column, Dialect, View, boolean, day, instant, integer, same, text
from claude_force.executions.outcomes import ACTIVE_TIME, COST, FAILED, TOKENS

ALERTS = View(
    "alerts_v1",
    "Every transition of an alert, as in `claude-force alerts history`.",
    (
        instant("timestamp", "when it was", "at_us"),
        text("rule", "the rule"),
        Column(
            "labels", "json", lambda dialect: "labels" if dialect.is_sqlite else "CAST(labels AS JSONB)",
            "whose alert it is: the agent, the model ... that the rule tells apart",
        ),
        text("severity", "`info`, `warning` or `critical`"),
        text("before", "the state before: `ok`, `pending`, `firing` ..."),
        text("after", "the state after"),
        text("reason", "the name of the reason"),
        Column("value", "number", same("value"), "what was measured, in the unit of the rule"),
        integer("samples", "over how many executions"),
        text("episode", "the same from the first transition of an episode to its end"),
    ),
    lambda _: "FROM alert_events",
)  # fmt: skip


def _value(dialect: Dialect) -> str:
    return f"CASE WHEN name = '{ACTIVE_TIME}' THEN {dialect.seconds('value')} ELSE {dialect.number('value')} END"


_HAS_FAILED = f"substr(kind, 1, {len(FAILED)}) = '{FAILED}'"

OUTCOMES = View(
    "outcomes_v1",
    "What agents did, by day (UTC) and session, as telemetry says: commits, lines of code, tool calls, decisions ...",
    (
        day("day", "the day in UTC", "day_us"),
        text("session", "the session", "NULLIF(session_id, '')"),
        text("name", "`commit`, `pull_request`, `lines_of_code`, `tool_result`, `decision`, `active_time` ..."),
        text(
            "kind", "`added`, `removed`, `accept`, `reject`, the tool ...",
            f"NULLIF(CASE WHEN {_HAS_FAILED} THEN substr(kind, {len(FAILED) + 1}) ELSE kind END, '')",
        ),
        boolean("failed", "whether it failed", _HAS_FAILED),
        Column("value", "number", _value, "how many; of `active_time` the seconds"),
        integer("records", "records that it is the sum of"),
    ),
    lambda _: f"FROM outcomes WHERE name NOT IN ('{COST}', '{TOKENS}')",
)  # fmt: skip
