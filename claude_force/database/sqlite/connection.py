"""SQL in one transaction of a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from claude_force.database.contract import Connection, Parameters, Row

_KEYS_AT_ONCE = 500
"""Keys looked up in one query."""


class SqliteConnection(Connection):
    """A transaction on a SQLite file."""

    def __init__(self, raw: sqlite3.Connection, *, is_snapshot: bool = False) -> None:
        super().__init__(is_snapshot=is_snapshot)
        self._raw = raw

    def execute(self, sql: str, parameters: Parameters = {}) -> int:
        return self._raw.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, rows: Sequence[Parameters]) -> int:
        before = self._raw.total_changes
        self._raw.executemany(sql, rows)
        return self._raw.total_changes - before

    def insert_new(self, table: str, columns: Sequence[str], rows: Sequence[Row], other: str) -> Sequence[Row]:
        into, key = f"{table} ({', '.join(columns)})", columns[0]
        if len(rows) == 1:
            statement = _insert_one(into, len(columns), other, key)
            return rows if self._raw.execute(statement, (*rows[0], rows[0][0])).rowcount else ()
        new = self._new_rows(table, key, rows, other)
        self._raw.executemany(_insert(into, len(columns), "ON CONFLICT DO NOTHING"), new)
        return new

    def _new_rows(self, table: str, key: str, rows: Sequence[Row], other: str) -> Sequence[Row]:
        """The rows whose key neither table has; of rows with equal keys, the first."""
        to_search = [name for name in (table, other) if not self._are_all_new(name, key, rows)]
        if not to_search:
            return rows
        keys = {row[0] for row in rows}
        known = set().union(*(self._known(name, key, keys) for name in to_search))
        first_of = {row[0]: row for row in reversed(rows) if row[0] not in known}
        return [row for row in rows if first_of.get(row[0]) is row]

    def _known(self, table: str, key: str, keys: set[Any]) -> set[Any]:
        """The keys that a table has. Asking for many at once takes a third of the time of trying to insert each."""
        known: set[Any] = set()
        ordered = list(keys)
        for start in range(0, len(ordered), _KEYS_AT_ONCE):
            part = ordered[start : start + _KEYS_AT_ONCE]
            select = f"SELECT {key} FROM {table} WHERE {key} IN ({', '.join('?' * len(part))})"
            known.update(row[0] for row in self._raw.execute(select, part))
        return known

    def _are_all_new(self, table: str, key: str, rows: Sequence[Row]) -> bool:
        """Whether the keys differ and the table has none between the least and the greatest of them, as when history
        is imported in order. This check saves a tenth of an import."""
        keys = {row[0] for row in rows}
        between = f"SELECT 1 FROM {table} WHERE {key} BETWEEN ? AND ? LIMIT 1"
        return len(keys) == len(rows) and self._raw.execute(between, (min(keys), max(keys))).fetchone() is None

    def insert_all(self, into: str, rows: Sequence[Row], otherwise: str) -> None:
        if rows:
            self._raw.executemany(_insert(into, len(rows[0]), otherwise), rows)

    def lock_rollups(self) -> None:
        """Nothing to do: a SQLite transaction that writes is the only one."""

    def try_lock_rollups(self) -> bool:
        return True

    def fetch(self, sql: str, parameters: Parameters = {}) -> list[Row]:
        return self._raw.execute(sql, parameters).fetchall()

    def stream(self, sql: str, parameters: Parameters = {}) -> Iterator[Row]:
        return self._raw.execute(sql, parameters)


@lru_cache(maxsize=32)
def _insert_one(into: str, columns: int, other: str, key: str) -> str:
    """One statement for the check and the insert: a query before it would take a twelfth of the time of recording."""
    return (
        f"INSERT INTO {into} SELECT {', '.join('?' * columns)} "
        f"WHERE NOT EXISTS (SELECT 1 FROM {other} WHERE {key} = ?) ON CONFLICT DO NOTHING"
    )


@lru_cache(maxsize=32)
def _insert(into: str, columns: int, otherwise: str) -> str:
    # By position: named parameters would be looked up for every value of every row.
    return f"INSERT INTO {into} VALUES ({', '.join('?' * columns)}) {otherwise}"
