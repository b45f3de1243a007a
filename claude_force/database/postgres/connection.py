"""SQL in one transaction on a server.

Many rows are one statement, `INSERT ... SELECT ... FROM unnest(...)`, whose parameters are columns: the server plans it
once, and the driver handles a few long texts instead of each value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import psycopg

from claude_force.database.contract import Connection, Parameters, Row
from claude_force.database.postgres import citus, pipeline
from claude_force.database.postgres.values import Cursor, Raw, array_of

_ROWS_AT_ONCE = 20_000
"""Rows in one statement, to bound its memory."""

_FEW_ROWS = 4
"""So few rows are inserted by VALUES, which is planned faster."""

ROLLUP_LOCK = 0x636C6672
"""The key of the advisory lock of transactions that change the roll-ups."""

UNLIMITED = """
SELECT COUNT(set_config(name, '0', true)) FROM pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
"""
"""Lets a transaction that holds a lock be idle for as long as the lock is needed: no limit of the server ends it."""

_NAMED = re.compile(r"(?<![:\w]):(\w+)(?!:)")


@lru_cache(maxsize=512)
def _numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """SQL whose parameters `:name` are $1, $2 ..., and their names in that order."""
    places: dict[str, int] = {}
    marked = _NAMED.sub(lambda found: f"${places.setdefault(found[1], len(places) + 1)}", sql)
    return marked, tuple(places)


class _Statement(NamedTuple):
    """A statement, the values of its marks, and where its result goes."""

    sql: str
    values: Sequence[Any]
    cursor: Cursor


class ServerConnection(Connection):
    """A transaction on a server, from `begin` to `commit` or `roll_back`.

    What nobody waits for the result of is sent with the next statement, so fewer answers of the server are waited for.
    An error of it is raised there. `is_distributed`: the rows are on several nodes."""

    def __init__(self, raw: Raw, begin: str, *, is_snapshot: bool = False, is_distributed: bool = False) -> None:
        super().__init__(is_snapshot=is_snapshot)
        self._is_distributed = is_distributed
        self._last = citus.COMMITTING if is_distributed and not is_snapshot else ""
        self._needs_two_steps = is_distributed
        self._raw = raw
        self._cursor = raw.cursor()
        self._is_open = False
        self._waiting: list[_Statement] = []
        self.send_later(begin)

    def commit(self) -> None:
        """Commit. Where nothing was asked, nothing is sent."""
        if self._is_open or len(self._waiting) > 1:
            if self._last:
                self.send_later(self._last)
            with self._raw.committing():
                self._ask("COMMIT")

    def roll_back(self) -> None:
        """Roll back. A connection that is lost has done so already, and is not used again."""
        self._waiting.clear()
        if self._is_open:
            with suppress(psycopg.Error):
                self._ask("ROLLBACK")

    def execute(self, sql: str, parameters: Parameters = {}) -> int:
        return self._ask_named(sql, parameters).rowcount

    def execute_many(self, sql: str, rows: Sequence[Parameters]) -> int:
        if not rows:
            return 0
        marked, names = _numbered(sql)
        self._ask("")
        self._cursor.executemany(marked.encode(), [[row[name] for name in names] for row in rows])
        return self._cursor.rowcount

    def fetch(self, sql: str, parameters: Parameters = {}) -> list[Row]:
        return self._ask_named(sql, parameters).fetchall()

    def lookup(self, table: str, value: str, key: tuple[str, ...], keys: Sequence[Row]) -> dict[Row, Any]:
        if not keys:
            return {}
        sources, texts = _unnest([array_of(column) or ("{}", "text[]") for column in zip(*keys, strict=True)])
        names = [f"{table}.{name}" for name in key]
        same = " AND ".join(f"{name} = value_{number}" for number, name in enumerate(names))
        sql = f"SELECT {value}, {', '.join(names)} FROM {table} JOIN {sources} ON {same}"
        return {tuple(found): value for value, *found in self._ask(sql, texts)}

    def stream(self, sql: str, parameters: Parameters = {}) -> Iterator[Row]:
        marked, names = _numbered(sql)
        self._ask("")
        with self._raw.cursor("rows") as cursor:
            cursor.execute(marked.encode(), [parameters[name] for name in names])
            yield from cursor

    def _ask_named(self, sql: str, parameters: Parameters) -> Cursor:
        marked, names = _numbered(sql)
        return self._ask(marked, [parameters[name] for name in names])

    def send_later(self, sql: str, values: Sequence[Any] = (), cursor: Cursor | None = None) -> None:
        """Send a statement with the next one that is asked."""
        self._waiting.append(_Statement(sql, values, cursor or self._raw.cursor()))

    def _ask(self, sql: str, values: Sequence[Any] = ()) -> Cursor:
        """Send a statement, if any, after those that wait; its result is in the cursor."""
        waiting = self._waiting[:]
        self._waiting.clear()
        self._is_open = True
        if sql:
            waiting.append(_Statement(sql, values, self._cursor))
        if len(waiting) > 1:
            _run_pipeline(self._raw, waiting)
        else:
            _execute(waiting)
        return self._cursor

    def insert_new(self, table: str, columns: tuple[str, ...], rows: Sequence[Row], other: str) -> Sequence[Any]:
        if len(rows) > _FEW_ROWS:
            return self.insert_columns(table, dict(zip(columns, zip(*rows, strict=True), strict=True)), {}, other)
        sql = f"{_values(table, columns, len(rows))} ON CONFLICT DO NOTHING RETURNING {columns[0]}"
        # In the order of the keys: see `_ascending`.
        ordered = sorted(rows, key=itemgetter(0))
        return self._insert(
            table, columns[0], sql, [value for row in ordered for value in row], [row[0] for row in ordered], other
        )

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
            sql += f" ON CONFLICT DO NOTHING RETURNING {key}"
            new += self._insert(table, key, sql, values, part[key], other)
        return new

    def _insert(
        self, table: str, key: str, sql: str, values: Sequence[Any], keys: Sequence[Any], other: str
    ) -> Sequence[Any]:
        """Insert rows by a statement that returns their keys; returns those that are new.

        Whether `other` has them is asked after the insert: that waits for a transaction that is moving the key to
        `other`, and only the next statement sees the key there. To look first and delete what was found, nearly never,
        takes no lock on other rows."""
        inserted = self._raw.cursor()
        self.send_later(sql, values, inserted)
        text, kind = array_of(keys) or ("{}", "uuid[]")
        found = f"WHERE {key} = ANY(CAST($1 AS {kind}))"
        moved = {row[0] for row in self._ask(f"SELECT {key} FROM {other} {found}", [text])}
        new = [row[0] for row in inserted.fetchall()]
        moved.intersection_update(new)
        if not moved:
            return new
        text, _ = array_of(list(moved)) or ("{}", kind)
        self.send_later(f"DELETE FROM {table} {found}", [text])
        return [each for each in new if each not in moved]

    def _commit_in_two_steps(self) -> None:
        """To be called before tables of the coordinator change together with rows of workers."""
        if self._needs_two_steps:
            self._needs_two_steps = False
            self.send_later(citus.TWO_STEPS)

    def insert_all(self, into: str, rows: Sequence[Row], otherwise: str, values: str = "") -> None:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            sql, parameters = _insert_all(into, part, values)
            if len(part) <= _FEW_ROWS:
                self.send_later(f"{sql} {otherwise}", parameters)
            else:
                self._ask(f"{sql} {otherwise}", parameters)

    def update_all(self, table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            # A distributed database may refuse an UPDATE from a list of rows.
            if len(part) > _FEW_ROWS and not self._is_distributed:
                self._ask(*_update_all(table, columns, part))
                continue
            sql = _update_one(table, columns)
            for row in part:
                self.send_later(sql, row)

    def lock_rollups(self) -> None:
        self._ask("SELECT pg_advisory_xact_lock($1)", [ROLLUP_LOCK])
        self._commit_in_two_steps()

    def try_lock_rollups(self) -> bool:
        has_lock = bool(self.fetch("SELECT pg_try_advisory_xact_lock(:key)", {"key": ROLLUP_LOCK})[0][0])
        if has_lock:
            self._commit_in_two_steps()
        return has_lock

    def refuse_missing_rows(self) -> None:
        if self._is_distributed:
            citus.refuse_missing_rows(self._raw, self)


def run_together(raw: Raw, statements: Sequence[tuple[str, Parameters]]) -> list[int]:
    """Run statements as one transaction, and wait once; the rows that each changed."""
    marked = [(_numbered(sql), parameters) for sql, parameters in statements]
    with raw.committing():
        return pipeline.run(raw, [(sql, [given[name] for name in names]) for (sql, names), given in marked])


def _run_pipeline(raw: Raw, statements: Iterable[_Statement]) -> None:
    """Send statements and wait for all of them. Raises the first error."""
    first: psycopg.Error | None = None
    try:
        with raw.pipeline():
            try:
                _execute(statements)
            except psycopg.Error as error:
                # Raised here, psycopg would log that those after it were not run.
                first = error
    except psycopg.Error as error:
        raise first or error from None
    if first is not None:
        raise first


def _execute(statements: Iterable[_Statement]) -> None:
    for sql, values, cursor in statements:
        cursor.execute(sql.encode(), values)


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


@lru_cache(maxsize=64)
def _update_one(table: str, columns: tuple[str, ...]) -> str:
    changes = (f"{name} = ${number}" for number, name in enumerate(columns[1:], 2))
    return f"UPDATE {table} SET {', '.join(changes)} WHERE {columns[0]} = $1"


def _update_all(table: str, columns: tuple[str, ...], rows: Sequence[Row]) -> tuple[str, list[Any]]:
    """A statement that changes rows by their keys, and its parameters."""
    arrays = {name: array_of(column) for name, column in zip(columns, zip(*rows, strict=True), strict=True)}
    sources, parameters = _unnest([found for found in arrays.values() if found])
    numbers = iter(range(len(columns)))
    values = {name: f"value_{next(numbers)}" if found else "NULL" for name, found in arrays.items()}
    key, *others = columns
    changes = ", ".join(f"{name} = {values[name]}" for name in others)
    return f"UPDATE {table} SET {changes} FROM {sources} WHERE {table}.{key} = {values[key]}", parameters


def _unnest(arrays: Sequence[tuple[str, str]]) -> tuple[str, list[Any]]:
    """A source of rows with the columns value_0, value_1 ..., and its parameters."""
    casts = [f"CAST(${number} AS {kind})" for number, (_, kind) in enumerate(arrays, 1)]
    names = [f"value_{number}" for number in range(len(arrays))]
    return f"unnest({', '.join(casts)}) AS new ({', '.join(names)})", [text for text, _ in arrays]
