"""What the bills of executions depend on, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from claude_force.database.contract import Connection
from claude_force.database.queries.filter import LABELLED, Filter, rows_from


class Bill(NamedTuple):
    """The fields of an execution that its bill depends on, as the database has them, and its cost."""

    project: str | None
    model: str
    timestamp_us: int
    service_tier: str | None
    inference_geo: str | None
    provider: str | None
    web_searches: int
    steps: str | None
    cost_nanousd: int | None
    price_version: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int


_COLUMNS = ", ".join(LABELLED[name] for name in Bill._fields)


def bills(connection: Connection, filters: Filter) -> Iterator[Bill]:
    """The matching executions that are stored as rows, in no particular order and in constant memory."""
    tables, condition, parameters = rows_from(filters, True)
    return map(Bill._make, connection.stream(f"SELECT {_COLUMNS} FROM {tables}{condition}", parameters))
