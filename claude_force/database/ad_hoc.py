"""Queries that somebody writes: what every engine promises about them.

A query reads, and nothing else. It is one statement; it ends in time; no value, and no answer, is larger than fits into
memory. An answer that was cut says so. Each engine has an `ad_hoc` module that keeps this.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal, NamedTuple

from claude_force.errors import QueryRefused

QUERY_LIMIT = 100_000
"""The characters of a query."""

VALUE_LIMIT = 1_000_000
"""The bytes or characters of a value."""

ANSWER_LIMIT = 64_000_000
"""The bytes or characters of an answer, about."""

_ROW_BYTES, _NUMBER_BYTES = 64, 8

Cut = Literal["rows", "size"]
"""Which limit an answer was cut at."""


class QueryLimits(NamedTuple):
    """The most rows of an answer, and how long a query may take."""

    rows: int
    seconds: int


class Answer(NamedTuple):
    """The rows of a query. If they were cut, there is at least one more."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    cut: Cut | None = None

    @property
    def rows_at_least(self) -> int:
        """How many rows there are; with a cut answer there may be more."""
        return len(self.rows) + (self.cut is not None)


def checked(sql: str) -> str:
    """The query. Raises QueryRefused if no engine takes it."""
    if not sql.strip():
        raise QueryRefused("the query is empty; claude-force db sql --help has an example")
    if len(sql) > QUERY_LIMIT:
        raise QueryRefused(f"the query has {len(sql):,} characters; {QUERY_LIMIT:,} is the most")
    if "\0" in sql:
        raise QueryRefused("the query has a NUL character")
    try:
        sql.encode()
    except UnicodeEncodeError:
        raise QueryRefused("the query is not valid UTF-8") from None
    return sql


def gather(columns: Iterable[str], rows: Iterable[tuple[Any, ...]], limits: QueryLimits) -> Answer:
    """The answer, cut at the limits. No more rows are read than these, and one."""
    found = Answer(_distinct(columns), [])
    size = 0
    for row in rows:
        values = tuple(map(_plain, row))
        size += _ROW_BYTES + sum(len(value) if isinstance(value, str) else _NUMBER_BYTES for value in values)
        if len(found.rows) == limits.rows or size > ANSWER_LIMIT:
            return found._replace(cut="rows" if len(found.rows) == limits.rows else "size")
        found.rows.append(values)
    return found


def _distinct(columns: Iterable[str]) -> list[str]:
    """Column names, of which later equal ones get a number: they are keys in JSON."""
    found: dict[str, None] = {}
    last = Counter[str]()
    for name in columns:
        each = name
        while each in found:
            last[name] = max(last[name], 1) + 1
            each = f"{name}_{last[name]}"
        found[each] = None
    return list(found)


def _plain(value: Any) -> Any:
    """A value for JSON and CSV: bytes in hexadecimal, an instant as the views of SQLite have it."""
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else str(value)


def took_too_long(limits: QueryLimits) -> QueryRefused:
    """The error for a query that was stopped."""
    return QueryRefused(f"the query took more than {limits.seconds} s; ask for less, or give it more with --timeout")


VALUE_TOO_LARGE = f"a value of the answer is larger than {VALUE_LIMIT:,} bytes"
NAMES_SHOWN = "; claude-force db sql shows the views and their columns"
"""What to add to the error about a name that there is not."""
