"""SQL in one transaction on a server.

Many rows are one statement, `INSERT ... SELECT ... FROM unnest(...)`, whose parameters are columns: the server plans it
once, and the driver handles a few long texts instead of each value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from claude_force.database.contract import Connection, Parameters, Row
from claude_force.database.postgres.values import Raw, array_of

_ROWS_AT_ONCE = 20_000
"""Rows in one statement, to bound its memory."""

_FEW_ROWS = 4
"""So few rows are inserted by VALUES, which is planned faster."""

_ROLLUP_LOCK = 0x636C6672
"""The key of the advisory lock of transactions that change the roll-ups."""

_NAMED = re.compile(r"(?<![:\w]):(\w+)(?!:)")


@lru_cache(maxsize=512)
def numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """SQL whose parameters `:name` are $1, $2 ..., and their names in that order."""
    places: dict[str, int] = {}
    marked = _NAMED.sub(lambda found: f"${places.setdefault(found[1], len(places) + 1)}", sql)
    return marked, tuple(places)


class ServerConnection(Connection):
    """A transaction on a server."""

    def __init__(self, raw: Raw, *, is_snapshot: bool = False) -> None:
        super().__init__(is_snapshot=is_snapshot)
        self._raw = raw
        self._cursor = raw.cursor()

    def execute(self, sql: str, parameters: Parameters = {}) -> int:
        self._run(sql, parameters)
        return self._cursor.rowcount

    def execute_many(self, sql: str, rows: Sequence[Parameters]) -> int:
        if not rows:
            return 0
        marked, names = numbered(sql)
        self._cursor.executemany(marked.encode(), [[row[name] for name in names] for row in rows])
        return self._cursor.rowcount

    def fetch(self, sql: str, parameters: Parameters = {}) -> list[Row]:
        self._run(sql, parameters)
        return self._cursor.fetchall()

    def lookup(self, table: str, value: str, key: tuple[str, ...], keys: Sequence[Row]) -> dict[Row, Any]:
        if not keys:
            return {}
        sources, texts = _unnest([array_of(column) or ("{}", "text[]") for column in zip(*keys, strict=True)])
        names = [f"{table}.{name}" for name in key]
        same = " AND ".join(f"{name} = value_{number}" for number, name in enumerate(names))
        sql = f"SELECT {value}, {', '.join(names)} FROM {table} JOIN {sources} ON {same}"
        return {tuple(found): value for value, *found in self._cursor.execute(sql.encode(), texts)}

    def stream(self, sql: str, parameters: Parameters = {}) -> Iterator[Row]:
        marked, names = numbered(sql)
        with self._raw.cursor("rows") as cursor:
            cursor.execute(marked.encode(), [parameters[name] for name in names])
            yield from cursor

    def _run(self, sql: str, parameters: Parameters) -> None:
        marked, names = numbered(sql)
        self._cursor.execute(marked.encode(), [parameters[name] for name in names])

    def insert_new(self, table: str, columns: tuple[str, ...], rows: Sequence[Row], other: str) -> Sequence[Any]:
        if len(rows) > _FEW_ROWS:
            return self.insert_columns(table, dict(zip(columns, zip(*rows, strict=True), strict=True)), {}, other)
        sql = f"{_values(table, columns, len(rows))} ON CONFLICT DO NOTHING RETURNING {columns[0]}"
        # In the order of the keys: see `_ascending`.
        values = [value for row in sorted(rows, key=lambda row: row[0]) for value in row]
        return self._without_moved(table, columns[0], self._keys(sql, values), other)

    def insert_columns(
        self, table: str, each: Mapping[str, Sequence[Any]], same: Mapping[str, Any], other: str
    ) -> Sequence[Any]:
        key, keys = next(iter(each.items()))
        if not keys:
            return []
        each = _ascending(each, keys)
        new: list[Any] = []
        for start in range(0, len(keys), _ROWS_AT_ONCE):
            part = {name: column[start : start + _ROWS_AT_ONCE] for name, column in each.items()}
            sql, values = _insert_columns(table, part, same)
            inserted = self._keys(f"{sql} ON CONFLICT DO NOTHING RETURNING {key}", values)
            new += self._without_moved(table, key, inserted, other)
        return new

    def _keys(self, sql: str, values: Sequence[Any]) -> list[Any]:
        """The keys that a statement returns."""
        return [row[0] for row in self._cursor.execute(sql.encode(), values, binary=True)]

    def _without_moved(self, table: str, key: str, inserted: list[Any], other: str) -> list[Any]:
        """Delete the inserted rows whose key `other` has; returns the keys of those that stay.

        After the insert: that waits for a transaction that is moving the key to `other`, and only the next statement
        sees the key there. To look first and delete what was found, nearly never, takes no lock on other rows."""
        if not inserted:
            return inserted
        text, kind = array_of(inserted) or ("{}", "uuid[]")
        moved = set(self._keys(f"SELECT {key} FROM {other} WHERE {key} = ANY(CAST($1 AS {kind}))", [text]))
        if not moved:
            return inserted
        text, _ = array_of(list(moved)) or ("{}", kind)
        self._cursor.execute(f"DELETE FROM {table} WHERE {key} = ANY(CAST($1 AS {kind}))".encode(), [text])
        return [found for found in inserted if found not in moved]

    def insert_all(self, into: str, rows: Sequence[Row], otherwise: str, values: str = "") -> None:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            sql, parameters = _insert_all(into, part, values)
            self._cursor.execute(f"{sql} {otherwise}".encode(), parameters)

    def lock_rollups(self) -> None:
        self.fetch("SELECT pg_advisory_xact_lock(:key)", {"key": _ROLLUP_LOCK})

    def try_lock_rollups(self) -> bool:
        return bool(self.fetch("SELECT pg_try_advisory_xact_lock(:key)", {"key": _ROLLUP_LOCK})[0][0])


def _ascending(each: Mapping[str, Sequence[Any]], keys: Sequence[Any]) -> Mapping[str, Sequence[Any]]:
    """Columns in the order of the keys. Every transaction inserts in that order, so that two with the same rows cannot
    deadlock."""
    order = sorted(range(len(keys)), key=keys.__getitem__)
    if order == list(range(len(keys))):
        return each
    return {name: list(map(column.__getitem__, order)) for name, column in each.items()}


@lru_cache(maxsize=64)
def _values(table: str, columns: tuple[str, ...], rows: int) -> str:
    """Insert so many rows."""
    width = len(columns)
    marks = [f"${number}" for number in range(1, rows * width + 1)]
    each = (f"({', '.join(marks[at : at + width])})" for at in range(0, len(marks), width))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join(each)}"


def _insert_columns(table: str, each: Mapping[str, Sequence[Any]], same: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """A statement that inserts columns, and its parameters. What is NULL everywhere is left out."""
    arrays = {name: found for name, column in each.items() if (found := array_of(column))}
    spelled = {name: value for name, value in same.items() if value is not None}
    sources, values = _unnest(list(arrays.values()))
    singles = [
        f"CAST(${len(values) + number} AS {'text' if isinstance(value, str) else 'bigint'})"
        for number, value in enumerate(spelled.values(), 1)
    ]
    names = [f"value_{number}" for number in range(len(arrays))]
    return (
        f"INSERT INTO {table} ({', '.join((*arrays, *spelled))}) SELECT {', '.join((*names, *singles))} FROM {sources}",
        [*values, *spelled.values()],
    )


def _insert_all(into: str, rows: Sequence[Row], values: str) -> tuple[str, list[Any]]:
    """A statement that inserts rows, and its parameters; `values` as in `Connection.insert_all`."""
    width = len(rows[0])
    if len(rows) <= _FEW_ROWS:
        pattern = values or ", ".join(f"{{{number}}}" for number in range(width))
        marks = [f"${number}" for number in range(1, len(rows) * width + 1)]
        each = (f"({pattern.format(*marks[at : at + width])})" for at in range(0, len(marks), width))
        return f"INSERT INTO {into} VALUES {', '.join(each)}", [value for row in rows for value in row]
    arrays = [array_of(column) for column in zip(*rows, strict=True)]
    sources, parameters = _unnest([found for found in arrays if found])
    numbers = iter(range(width))
    names = [f"value_{next(numbers)}" if found else "NULL" for found in arrays]
    return f"INSERT INTO {into} SELECT {values.format(*names) or ', '.join(names)} FROM {sources}", parameters


def _unnest(arrays: Sequence[tuple[str, str]]) -> tuple[str, list[Any]]:
    """A source of rows with the columns value_0, value_1 ..., and its parameters."""
    casts = [f"CAST(${number} AS {kind})" for number, (_, kind) in enumerate(arrays, 1)]
    names = [f"value_{number}" for number in range(len(arrays))]
    return f"unnest({', '.join(casts)}) AS new ({', '.join(names)})", [text for text, _ in arrays]
