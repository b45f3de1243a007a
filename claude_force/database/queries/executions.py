"""The executions themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from claude_force.clock import EARLIEST_US, LATEST_US
from claude_force.database.contract import Connection, Database
from claude_force.database.queries.filter import COLUMNS, OF_SERIES, SERIES, Filter, rows_from
from claude_force.errors import DatabaseCorrupt, InvalidRecord
from claude_force.executions.record import ExecutionMetrics, ExecutionRow, from_row, identity_text

PAGE = 5000
"""Rows that an iteration holds at a time; each page is a read of its own, so a slow consumer pins nothing."""


def read_every_column(connection: Connection) -> None:
    """Raise DatabaseError unless every column of an execution is there to be read."""
    connection.fetch(f"SELECT {COLUMNS} FROM executions{SERIES} WHERE {OF_SERIES} LIMIT 1")


def stored(connection: Connection) -> int:
    """How many executions there are, by counting them: not what the roll-ups say."""
    return int(connection.fetch("SELECT COUNT(*) FROM executions")[0][0])


def known_uids(database: Database, uids: Sequence[bytes]) -> set[bytes]:
    """Those of the uids that are stored, or were archived."""
    found: set[bytes] = set()
    with database.read() as connection:
        for condition, part in uid_batches(list(map(database.encode_uid, uids))):
            for table in ("executions", "archived"):
                rows = connection.fetch(f"SELECT uid FROM {table} WHERE {condition}", part)
                found.update(database.decode_uid(row[0]) for row in rows)
    return found


def rows_of(connection: Connection, uids: Sequence[Any]) -> list[ExecutionRow]:
    """The rows of some executions, in the order of FIELDS; uids are as the engine has them."""
    found: list[ExecutionRow] = []
    for condition, part in uid_batches(uids):
        found += connection.fetch(
            f"SELECT {COLUMNS} FROM executions{SERIES} WHERE {OF_SERIES} AND executions.{condition}", part
        )
    return found


def uid_batches(uids: Sequence[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Conditions that together choose some uids, as the engine has them, and their parameters."""
    for start in range(0, len(uids), 500):
        part = {f"uid_{index}": uid for index, uid in enumerate(uids[start : start + 500])}
        yield f"uid IN ({', '.join(f':{key}' for key in part)})", part


def page(
    connection: Connection, chosen: Filter, after: ExecutionRow | None, size: int, *more: str
) -> list[ExecutionRow]:
    """The first chosen rows after a row, by time, in the order of FIELDS; uids are as the engine has them. `more` are
    further conditions."""
    place: dict[str, Any] = {}
    if after is not None:
        more += ("(timestamp_us, executions.uid) > (:after_us, :after_uid)",)
        place = {"after_us": after[1], "after_uid": after[0]}
    tables, condition, parameters = rows_from(chosen, True, *more)
    return connection.fetch(
        f"SELECT {COLUMNS} FROM {tables}{condition} ORDER BY timestamp_us, executions.uid LIMIT {size}",
        parameters | place,
    )


def rolled_up_page(connection: Connection, chosen: Filter, after: ExecutionRow | None, size: int) -> list[ExecutionRow]:
    """The same without the rows that wait to be counted."""
    return page(
        connection, chosen, after, size, "NOT EXISTS (SELECT 1 FROM uncounted WHERE uncounted.uid = executions.uid)"
    )


def newest(connection: Connection, database: Database, size: int) -> list[ExecutionMetrics]:
    """The last executions by time, the newest first. Raises DatabaseCorrupt for anything that no record holds."""
    rows = connection.fetch(
        f"SELECT {COLUMNS} FROM executions{SERIES} WHERE {OF_SERIES} "
        "ORDER BY timestamp_us DESC, executions.uid DESC LIMIT :size",
        {"size": size},
    )
    return [_record_of(database, row) for row in database.decode_rows(rows)]


def iterate_rows(database: Database, chosen: Filter) -> Iterator[ExecutionRow]:
    """The rows (see `record.to_row`) of every chosen execution, oldest first, in constant memory.

    Each page is a snapshot of its own: an execution that is added behind the place that the iteration has reached is
    not seen, one that is added ahead of it is. Raises DatabaseCorrupt for an instant that no execution has.
    """
    after: ExecutionRow | None = None
    while True:
        with database.read() as connection:
            rows = page(connection, chosen, after, PAGE)
        if rows and not EARLIEST_US <= rows[0][1] <= rows[-1][1] < LATEST_US:
            raise DatabaseCorrupt(f"{database.name} holds a row that no claude-force wrote; restore a backup")
        yield from database.decode_rows(rows)
        if len(rows) < PAGE:
            return
        after = rows[-1]


def iterate(database: Database, chosen: Filter) -> Iterator[ExecutionMetrics]:
    """The same as records. Raises DatabaseCorrupt for anything that no record holds."""
    for row in iterate_rows(database, chosen):
        yield _record_of(database, row)


def _record_of(database: Database, row: ExecutionRow) -> ExecutionMetrics:
    try:
        return from_row(row)
    except InvalidRecord as error:
        raise DatabaseCorrupt(
            f"{database.name} holds a row that no claude-force wrote ({identity_text(row[0])}: {error}); "
            "restore a backup"
        ) from error
