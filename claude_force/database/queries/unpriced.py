"""Executions without a cost, grouped by what a price depends on."""

from __future__ import annotations

from typing import NamedTuple

from claude_force.clock import DAY_US
from claude_force.database.contract import Connection
from claude_force.database.queries.filter import Filter, rows_from


class UnpricedGroup(NamedTuple):
    """Executions of one day that have no cost for the same reason. `first_us` is the instant of the first one; `steps`
    is as the database has it."""

    model: str
    service_tier: str | None
    inference_geo: str | None
    provider: str | None
    steps: str | None
    has_searches: bool
    has_usage: bool
    first_us: int
    executions: int


def unpriced(connection: Connection, filters: Filter) -> list[UnpricedGroup]:
    """The matching executions without a cost, in no particular order; not those that are archived."""
    tables, condition, parameters = rows_from(filters, True, "cost_nanousd IS NULL")
    rows = connection.fetch(
        "SELECT model, service_tier, inference_geo, provider, steps, "
        "CASE WHEN web_searches > 0 THEN 1 ELSE 0 END, CASE WHEN input_tokens IS NULL THEN 0 ELSE 1 END, "
        f"MIN(timestamp_us), COUNT(*) FROM {tables}{condition} "
        f"GROUP BY 1, 2, 3, 4, 5, 6, 7, timestamp_us / {DAY_US}",
        parameters,
    )
    return [
        UnpricedGroup(model, tier, geo, provider, steps, bool(searches), bool(usage), int(first_us), int(executions))
        for model, tier, geo, provider, steps, searches, usage, first_us, executions in rows
    ]
