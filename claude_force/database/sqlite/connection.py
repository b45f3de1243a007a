"""SQL in one transaction of a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, compress
from typing import Any

from claude_force.database.contract import Connection, Parameters, Row

_KEYS_AT_ONCE = 500
"""Keys looked up in one query."""

_ROWS_AT_ONCE = 50
"""Rows inserted by one statement."""

_NEW_ROWS_AT_ONCE = 32
"""The same for long rows."""


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

    def insert_new(self, table: str, columns: tuple[str, ...], rows: Sequence[Row], other: str) -> Sequence[Any]:
        if len(rows) == 1:
            values = _quickly_bound(rows[0])
            is_new = self._raw.execute(_insert_one(table, columns, other), (*values, values[0])).rowcount
            return values[:1] if is_new else ()
        return self.insert_columns(table, dict(zip(columns, zip(*rows, strict=True), strict=True)), {}, other)

    def insert_columns(
        self, table: str, each: Mapping[str, Sequence[Any]], same: Mapping[str, Any], other: str
    ) -> Sequence[Any]:
        key, keys = next(iter(each.items()))
        to_search = [name for name in (table, other) if not self._are_all_new(name, key, keys)]
        if to_search:
            known = set().union(*(self._known(name, key, keys) for name in to_search))
            is_new = [not (found in known or known.add(found)) for found in keys]  # type: ignore[func-returns-value]
            each = {name: list(compress(column, is_new)) for name, column in each.items()}
        # Numbers and NULL are part of the statement: binding them for each row takes a sixth of the time.
        spelled = {
            name: "NULL" if value is None else str(int(value)) for name, value in same.items() if _is_short(value)
        }
        columns = {name: _quickly_bound(column) if None in column else column for name, column in each.items()} | {
            name: [value] * len(each[key]) for name, value in same.items() if name not in spelled
        }
        values = ", ".join([*(f"{{{number}}}" for number in range(len(columns))), *spelled.values()])
        rows = zip(*columns.values(), strict=True)
        into = f"{table} ({', '.join((*columns, *spelled))})"
        self._insert_many(into, rows, len(columns), _NEW_ROWS_AT_ONCE, values=values)
        return each[key]

    def _insert_many(
        self, into: str, rows: Iterable[Row], width: int, at_once: int, otherwise: str = "", values: str = ""
    ) -> None:
        """Insert rows of `width` values, so many in a statement: that takes two thirds of the time."""
        flat = list(chain.from_iterable(rows))
        whole = len(flat) - len(flat) % (at_once * width)
        for start, end, count in ((0, whole, at_once), (whole, len(flat), 1)):
            if start < end:
                parts = (flat[at : at + count * width] for at in range(start, end, count * width))
                self._raw.executemany(_insert(into, width, count, otherwise, values), parts)

    def _known(self, table: str, key: str, keys: Sequence[Any]) -> set[Any]:
        """The keys that a table has. Asking for many at once takes a third of the time of trying to insert each."""
        known: set[Any] = set()
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            part = keys[start : start + _KEYS_AT_ONCE]
            select = f"SELECT {key} FROM {table} WHERE {key} IN ({', '.join('?' * len(part))})"
            known.update(row[0] for row in self._raw.execute(select, part))
        return known

    def _are_all_new(self, table: str, key: str, keys: Sequence[Any]) -> bool:
        """Whether the keys differ and the table has none between the least and the greatest of them, as when history
        is imported in order. This check saves a tenth of an import."""
        between = f"SELECT 1 FROM {table} WHERE {key} BETWEEN ? AND ? LIMIT 1"
        return len(set(keys)) == len(keys) and self._raw.execute(between, (min(keys), max(keys))).fetchone() is None

    def insert_all(self, into: str, rows: Sequence[Row], otherwise: str, values: str = "") -> None:
        if len(rows) == 1:
            self._raw.execute(_insert(into, len(rows[0]), 1, otherwise, values), rows[0])
        elif rows:
            self._insert_many(into, rows, len(rows[0]), _ROWS_AT_ONCE, otherwise, values)

    def update_all(self, table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        key, *others = columns
        changes = ", ".join(f"{name} = ?" for name in others)
        self._raw.executemany(f"UPDATE {table} SET {changes} WHERE {key} = ?", [(*row[1:], row[0]) for row in rows])

    def lock_rollups(self) -> None:
        """Nothing to do: a SQLite transaction that writes is the only one."""

    def try_lock_rollups(self) -> bool:
        return True

    def fetch(self, sql: str, parameters: Parameters = {}) -> list[Row]:
        return self._raw.execute(sql, parameters).fetchall()

    def lookup(self, table: str, value: str, key: tuple[str, ...], keys: Sequence[Row]) -> dict[Row, Any]:
        sql = f"SELECT {value} FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in key)}"
        rows = ((each, self._raw.execute(sql, each).fetchone()) for each in keys)
        return {each: row[0] for each, row in rows if row}

    def stream(self, sql: str, parameters: Parameters = {}) -> Iterator[Row]:
        return self._raw.execute(sql, parameters)


_NULL = float("nan")
"""What SQLite stores as NULL, like None."""


def _quickly_bound(values: Iterable[Any]) -> list[Any]:
    """Values for a statement. Python's sqlite3 looks for an adapter of each None, which takes as long as all the rest
    of an insert; of a number it does not."""
    return [_NULL if value is None else value for value in values]


def _is_short(value: Any) -> bool:
    return value is None or isinstance(value, int)


@lru_cache(maxsize=32)
def _insert_one(table: str, columns: tuple[str, ...], other: str) -> str:
    """One statement for the check and the insert: a query before it would take a twelfth of the time of recording."""
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join('?' * len(columns))} "
        f"WHERE NOT EXISTS (SELECT 1 FROM {other} WHERE {columns[0]} = ?) ON CONFLICT DO NOTHING"
    )


@lru_cache(maxsize=32)
def _insert(into: str, width: int, rows: int, otherwise: str, values: str) -> str:
    """Insert rows of `width` values; `values` as in `insert_all`."""
    # By position: named parameters would be looked up for every value of every row.
    values = values or ", ".join(f"{{{number}}}" for number in range(width))
    marks = [f"?{number}" for number in range(1, rows * width + 1)]
    each = (values.format(*marks[first : first + width]) for first in range(0, len(marks), width))
    return f"INSERT INTO {into} VALUES {', '.join(f'({row})' for row in each)} {otherwise}"
