"""A view: its columns, each with its meaning, and where its rows come from.

What the engines write differently is a method of `Dialect`, so a view is one text for both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

Engine = Literal["sqlite", "postgresql"]

Kind = Literal["text", "integer", "number", "boolean", "instant", "day", "json"]
"""What a column holds. Money is a number of US dollars."""

KINDS: dict[Kind, tuple[str, str]] = {
    "text": ("TEXT", "text"),
    "integer": ("INTEGER", "bigint"),
    "number": ("REAL", "double precision"),
    "boolean": ("INTEGER, 0 or 1", "boolean"),
    "instant": ("TEXT, 2026-01-31T23:59:59.999999+00:00", "timestamptz"),
    "day": ("TEXT, 2026-01-31", "date"),
    "json": ("TEXT", "jsonb"),
}
"""The type of each kind on SQLite and on PostgreSQL."""

Expression = Callable[["Dialect"], str]


class Dialect(NamedTuple):
    """What is written differently on the engines, as SQL for an SQL expression."""

    engine: Engine

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite's."""
        return self.engine == "sqlite"

    def number(self, expression: str) -> str:
        """An integer as a floating-point number."""
        return f"CAST({expression} AS {'REAL' if self.is_sqlite else 'DOUBLE PRECISION'})"

    def seconds(self, duration_us: str) -> str:
        """Microseconds as seconds."""
        return f"{self.number(duration_us)} / 1000000"

    def dollars(self, nanousd: str) -> str:
        """Nano-dollars as US dollars."""
        return f"{self.number(nanousd)} / 1000000000"

    def integer(self, expression: str) -> str:
        """A sum of integers, which PostgreSQL makes NUMERIC, as an integer."""
        return expression if self.is_sqlite else f"CAST({expression} AS BIGINT)"

    def instant(self, instant_us: str) -> str:
        """Microseconds since the epoch as text in UTC, or as a timestamp."""
        if self.is_sqlite:
            seconds = f"strftime('%Y-%m-%dT%H:%M:%S', {instant_us} / 1000000, 'unixepoch')"
            return f"{seconds} || printf('.%06d+00:00', {instant_us} % 1000000)"
        return f"to_timestamp({self.number(instant_us)} / 1000000)"

    def day(self, instant_us: str) -> str:
        """The day in UTC of microseconds since the epoch."""
        if self.is_sqlite:
            return f"date({instant_us} / 1000000, 'unixepoch')"
        return f"DATE '1970-01-01' + CAST({instant_us} / 86400000000 AS INTEGER)"

    def uid(self, uid: str) -> str:
        """A uid as text."""
        if not self.is_sqlite:
            return f"CAST({uid} AS TEXT)"
        parts = ", ".join(f"substr(lower(hex({uid})), {first}, {length})" for first, length in _UID_PARTS)
        return f"printf('%s-%s-%s-%s-%s', {parts})"

    def position(self, part: str, text: str) -> str:
        """Where a part of a text begins, from 1; 0 if it is not in it."""
        return f"instr({text}, {part})" if self.is_sqlite else f"strpos({text}, {part})"


_UID_PARTS = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))


class Column(NamedTuple):
    """A column, the SQL that it is, and what it means."""

    name: str
    kind: Kind
    sql: Expression
    meaning: str


class View(NamedTuple):
    """A view. Its columns stay as they are, in their order; a new one is added at the end, and anything else is a view
    with another number. `rows` is the SQL that follows the columns."""

    name: str
    about: str
    columns: tuple[Column, ...]
    rows: Expression

    def sql(self, engine: Engine) -> str:
        """The statement that makes it, or on PostgreSQL replaces it."""
        dialect = Dialect(engine)
        columns = ",\n    ".join(f"{column.sql(dialect)} AS {column.name}" for column in self.columns)
        create = "CREATE VIEW" if engine == "sqlite" else "CREATE OR REPLACE VIEW"
        return f"{create} {self.name} AS\nSELECT {columns}\n{self.rows(dialect)}"


def same(sql: str) -> Expression:
    """SQL that is the same on both engines."""
    return lambda _: sql


def text(name: str, meaning: str, sql: str = "") -> Column:
    """A column of text."""
    return Column(name, "text", same(sql or name), meaning)


def integer(name: str, meaning: str, sql: str = "") -> Column:
    """A column of integers."""
    return Column(name, "integer", lambda dialect: dialect.integer(sql or name), meaning)


def boolean(name: str, meaning: str, sql: str) -> Column:
    """A column that says whether a condition holds."""
    return Column(name, "boolean", same(sql), meaning)


def money(name: str, meaning: str, sql: str) -> Column:
    """A column of US dollars; `sql` is in nano-dollars."""
    return Column(name, "number", lambda dialect: dialect.dollars(sql), meaning)


def seconds(name: str, meaning: str, sql: str) -> Column:
    """A column of durations in seconds; `sql` is in microseconds."""
    return Column(name, "number", lambda dialect: dialect.seconds(sql), meaning)


def instant(name: str, meaning: str, sql: str) -> Column:
    """A column of instants; `sql` is in microseconds."""
    return Column(name, "instant", lambda dialect: dialect.instant(sql), meaning)


def day(name: str, meaning: str, sql: str) -> Column:
    """A column of days in UTC; `sql` is in microseconds."""
    return Column(name, "day", lambda dialect: dialect.day(sql), meaning)
