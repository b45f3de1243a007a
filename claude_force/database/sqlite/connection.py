"""SQL on one transaction of a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from claude_force.database.contract import Parameters, Row

_KEYS_AT_ONCE = 500
"""Keys in one question."""


class SqliteConnection:
    """A transaction on a SQLite file."""

    def __init__(self, raw: sqlite3.Connection) -> None:
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
            one = _insert_one(into, len(columns), other, key)
            return rows if self._raw.execute(one, (*rows[0], rows[0][0])).rowcount else ()
        sql = _insert(into, len(columns), "ON CONFLICT DO NOTHING")
        is_new = [self._are_all_new(f"FROM {place} WHERE {key}", rows) for place in (table, other)]
        if all(is_new):
            self._raw.executemany(sql, rows)
            return rows
        keys = {row[0] for row in rows}
        known = self._known(f"SELECT {key} FROM {table} WHERE {key}", keys)
        if not is_new[1]:
            known |= self._known(f"SELECT {key} FROM {other} WHERE {key}", keys)
        # Of equal keys the first is stored.
        new = {row[0]: row for row in reversed(rows) if row[0] not in known}
        found = [row for row in rows if new.get(row[0]) is row]
        self._raw.executemany(sql, found)
        return found

    def _known(self, select: str, keys: set[Any]) -> set[Any]:
        """Those of some keys that are there. A question for many costs a third of trying to insert each."""
        found: set[Any] = set()
        wanted = list(keys)
        for start in range(0, len(wanted), _KEYS_AT_ONCE):
            part = wanted[start : start + _KEYS_AT_ONCE]
            found.update(row[0] for row in self._raw.execute(f"{select} IN ({', '.join('?' * len(part))})", part))
        return found

    def _are_all_new(self, source: str, rows: Sequence[Row]) -> bool:
        """Whether no row has the key of another, and nothing is stored between the least key and the greatest, as it is
        when history comes in order; this saves a tenth of an import."""
        keys = {row[0] for row in rows}
        between = f"SELECT 1 {source} BETWEEN ? AND ? LIMIT 1"
        return len(keys) == len(rows) and self._raw.execute(between, (min(keys), max(keys))).fetchone() is None

    def insert_all(self, into: str, rows: Sequence[Row], otherwise: str) -> None:
        if rows:
            self._raw.executemany(_insert(into, len(rows[0]), otherwise), rows)

    def lock_rollups(self) -> None:
        """Nothing to wait for: a transaction that writes is alone."""

    def try_lock_rollups(self) -> bool:
        return True

    def fetch(self, sql: str, parameters: Parameters = {}) -> list[Row]:
        return self._raw.execute(sql, parameters).fetchall()


@lru_cache(maxsize=32)
def _insert_one(into: str, columns: int, other: str, key: str) -> str:
    """In the same statement: to ask before would take a twelfth of the time of recording an execution."""
    return (
        f"INSERT INTO {into} SELECT {', '.join('?' * columns)} "
        f"WHERE NOT EXISTS (SELECT 1 FROM {other} WHERE {key} = ?) ON CONFLICT DO NOTHING"
    )


@lru_cache(maxsize=32)
def _insert(into: str, columns: int, otherwise: str) -> str:
    # By place: names would be looked up for every value of every row.
    return f"INSERT INTO {into} VALUES ({', '.join('?' * columns)}) {otherwise}"
