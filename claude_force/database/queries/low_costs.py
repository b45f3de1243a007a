"""Costs that are known to be wrong: claude-force 1.3 wrote costs 270 to 1,000 times too low."""

from __future__ import annotations

from claude_force.database.contract import Connection
from claude_force.database.queries.filter import Filter, rows_from

_LEAST_NANOUSD = (250, 1250)
"""No model of Claude ever cost less for an input and an output token."""

_TOO_LOW = (
    # An import fills in the reference cost, except where it found the cost to be too low.
    "reference_cost_nanousd IS NULL", "price_version IS NULL", "cost_nanousd > 0", "model LIKE 'claude%'",
    f"cost_nanousd < {_LEAST_NANOUSD[0]} * input_tokens + {_LEAST_NANOUSD[1]} * output_tokens",
)  # fmt: skip


def costs_too_low(connection: Connection, filters: Filter) -> int:
    """How many matching executions still have such a cost; not those that are archived. Reads every row of the
    period."""
    tables, condition, parameters = rows_from(filters, True, *_TOO_LOW)
    return int(connection.fetch(f"SELECT COUNT(*) FROM {tables}{condition}", parameters)[0][0])
