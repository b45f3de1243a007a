"""Executions, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from claude_force.clock import EARLIEST_US, LATEST_US
from claude_force.database.contract import Connection, Database
from claude_force.database.queries.filter import COLUMNS, IS_OF_SERIES, IS_ROLLED_UP, SERIES, Filter, rows_from
from claude_force.errors import DatabaseCorrupt, InvalidRecord
from claude_force.executions.record import ExecutionMetrics, ExecutionRow, from_row, identity_text
from claude_force.time_windows import Window

PAGE = 5000
"""Rows that an iteration reads at a time. Each page is a read of its own, so a slow consumer holds no snapshot."""

ALL = Filter()
"""Every execution."""

KEYS_AT_ONCE = 200
"""Keys in one query, and in a batch of `uid_batches`. With named parameters, the time of a query grows with the square
of their number."""


def read_every_column(connection: Connection) -> None:
    """Raise DatabaseError unless every column of an execution can be read."""
    connection.fetch(f"SELECT {COLUMNS} FROM executions{SERIES} WHERE {IS_OF_SERIES} LIMIT 1")


def stored(connection: Connection) -> int:
    """The number of executions, by counting rows, not from the roll-ups."""
    return int(connection.fetch("SELECT COUNT(*) FROM executions")[0][0])


def known_uids(database: Database, uids: Sequence[bytes]) -> set[bytes]:
    """The uids that are stored or archived."""
    with database.read() as connection:
        return known_among(connection, uids)


def known_among(connection: Connection, uids: Sequence[bytes]) -> set[bytes]:
    """The uids that are stored or archived, as a transaction sees it."""
    known: set[bytes] = set()
    for condition, part in uid_batches(uids):
        for table in ("executions", "archived"):
            known.update(row[0] for row in connection.fetch(f"SELECT uid FROM {table} WHERE {condition}", part))
    return known


def rows_of(connection: Connection, uids: Sequence[Any]) -> list[ExecutionRow]:
    """The stored executions among some uids, in no particular order."""
    rows: list[ExecutionRow] = []
    for condition, part in uid_batches(uids):
        rows += connection.fetch(
            f"SELECT {COLUMNS} FROM executions{SERIES} WHERE {IS_OF_SERIES} AND executions.{condition}", part
        )
    return rows


def uid_batches(uids: Sequence[Any], column: str = "uid") -> Iterator[tuple[str, dict[str, Any]]]:
    """Conditions that match a column with some uids, a batch of uids each, and their parameters."""
    for start in range(0, len(uids), KEYS_AT_ONCE):
        part = uids[start : start + KEYS_AT_ONCE]
        names, placeholders = _uid_names(len(part))
        yield f"{column} IN ({placeholders})", dict(zip(names, part, strict=True))


@lru_cache(maxsize=32)
def _uid_names(count: int) -> tuple[list[str], str]:
    """The names of so many parameters, and their placeholders."""
    names = [f"uid_{index}" for index in range(count)]
    return names, ", ".join(f":{name}" for name in names)


def page(
    connection: Connection, filters: Filter, after: ExecutionRow | None, size: int, *more: str
) -> list[ExecutionRow]:
    """The first `size` matching rows after a row, by time. `more` are further conditions."""
    position: dict[str, Any] = {}
    if after is not None:
        more += ("(timestamp_us, executions.uid) > (:after_us, :after_uid)",)
        position = {"after_us": after[1], "after_uid": after[0]}
    tables, condition, parameters = rows_from(filters, True, *more)
    return connection.fetch(
        f"SELECT {COLUMNS} FROM {tables}{condition} ORDER BY timestamp_us, executions.uid LIMIT {size}",
        parameters | position,
    )


def rolled_up_page(
    connection: Connection, filters: Filter, after: ExecutionRow | None, size: int
) -> list[ExecutionRow]:
    """`page` without the rows that are not rolled up yet."""
    return page(connection, filters, after, size, IS_ROLLED_UP)


def newest(
    connection: Connection, database: Database, size: int, filters: Filter = ALL, *more: str, **values: Any
) -> list[ExecutionMetrics]:
    """The last `size` matching executions, newest first. `more` are further conditions, `values` their parameters.
    Raises DatabaseCorrupt for a row that is no valid record."""
    tables, condition, parameters = rows_from(filters, True, *more)
    rows = connection.fetch(
        f"SELECT {COLUMNS} FROM {tables}{condition} ORDER BY timestamp_us DESC, executions.uid DESC LIMIT :size",
        parameters | values | {"size": size},
    )
    return [_record_of(database, row) for row in rows]


def iterate_rows(database: Database, filters: Filter) -> Iterator[ExecutionRow]:
    """Every matching row, oldest first, in constant memory.

    Each page is a snapshot of its own: an execution added while the iteration runs is seen if it is later than the
    position of the iteration. Raises DatabaseCorrupt for an instant that no execution can have.
    """
    after: ExecutionRow | None = None
    # What is added meanwhile lies beyond what was known to be the last of a workflow.
    filters = replace(filters, reach=Window(filters.reach.start_us))
    while True:
        with database.read() as connection:
            rows = page(connection, filters, after, PAGE)
        if rows and not EARLIEST_US <= rows[0][1] <= rows[-1][1] < LATEST_US:
            raise DatabaseCorrupt(f"{database.name} holds an invalid row; restore a backup")
        yield from rows
        if len(rows) < PAGE:
            return
        after = rows[-1]


def iterate(database: Database, filters: Filter) -> Iterator[ExecutionMetrics]:
    """`iterate_rows` as records. Raises DatabaseCorrupt for a row that is no valid record."""
    for row in iterate_rows(database, filters):
        yield _record_of(database, row)


def _record_of(database: Database, row: ExecutionRow) -> ExecutionMetrics:
    try:
        return from_row(row)
    except InvalidRecord as error:
        raise DatabaseCorrupt(
            f"{database.name} holds an invalid row ({identity_text(row[0])}: {error}); restore a backup"
        ) from error
