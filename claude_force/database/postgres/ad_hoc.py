"""Queries that somebody writes, on a server.

They run in a transaction that only reads, which is rolled back. As a cursor is declared for the query, it is one
statement that begins with SELECT, WITH, VALUES or TABLE. The server itself ends what takes too long, and values are cut
before they are sent. A superuser may do everything, even in such a transaction: to read files, for example. So the
query of one runs with the rights of `pg_read_all_data`. Functions that would give others, act beyond the transaction
or run text as SQL are refused by their names, and so are the tables with passwords and with samples of these.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import psycopg

from claude_force.database.ad_hoc import (
    NAMES_SHOWN,
    VALUE_LIMIT,
    VALUE_TOO_LARGE,
    Answer,
    QueryLimits,
    gather,
    took_too_long,
)
from claude_force.database.postgres import citus
from claude_force.database.postgres.connection import ServerConnection
from claude_force.database.postgres.values import Raw
from claude_force.errors import DatabaseError, QueryRefused

_REFUSED = re.compile(
    r"""\b(?:
        set_config | \w+_to_xml\w* | ts_stat | ts_rewrite | crosstab\w* | connectby | xpath_table | dblink\w*
        | run_command_on_\w+ | master_run_on_worker | lo_\w+ | loread | lowrite
        | pg_authid | pg_shadow | pg_stats\w* | pg_statistic\w* | pg_user_mappings? | pg_subscription | pg_largeobject
        | pg_(?: \w*advisory\w* | terminate_backend | cancel_backend | notify | read_\w*file | ls_\w+ | stat_file
            | stat_reset\w* | reload_conf | rotate_logfile | switch_wal | promote | create_\w+ | drop_\w+ | copy_\w+
            | logical_\w+ | replication_\w+ | wal_replay_\w+ | backup_\w+ | log_\w+ | file_\w+ )
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
_ESCAPED_NAME = re.compile(r'\bU&"', re.IGNORECASE)
"""A name whose letters are written as numbers."""

_BLANK = re.compile(r"""(?:\s|--[^\n'"$]*(?:\n|\Z)|/\*[^*/'"$]*\*/)*""")
"""Spaces and comments. A comment with a quote could be a part of a text."""

_NO_SUPERUSER = (
    "a superuser's query is refused on a Citus cluster, which cannot run it with fewer rights; "
    "ask as a role that is a member of pg_read_all_data"
)

_SEARCH_PATH = """
SELECT set_config('search_path', string_agg(quote_ident(name), ', '), true) FROM unnest(current_schemas(false)) AS name
"""
"""The schemas as they are: that of the user's name would be another for another role."""

_NUMERIC, _UUID = 1700, 2950
_CHUNK = 4_000_000
"""About how many bytes are fetched at once."""

_MOST_AT_ONCE = 10_000

_CANCELLED, _NO_VALUE = "57014", "08P01"
_NO_NAME = ("42P01", "42703", "42883")
_CLASSES = ("0A", "0L", "21", "22", "25", "26", "34", "42", "44", "53", "54", "57014", "P0", "XX")
"""SQLSTATE, or how it begins, of errors that are the query's and not the server's."""


_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


def ask(raw: Raw, sql: str, limits: QueryLimits, *, is_distributed: bool) -> Answer:
    """The answer to a query on a connection that is for this query alone. Raises QueryRefused, and psycopg.Error where
    the server fails."""
    if refused := _REFUSED.search(sql):
        raise QueryRefused(f"a query only reads: {refused[0]} is refused, also within a text")
    if _ESCAPED_NAME.search(sql):
        raise QueryRefused('a query has no names of the form U&"..."')
    try:
        is_superuser = _is_superuser(raw)
        if is_distributed and is_superuser:
            # The workers would be asked by the role that the query runs as, which cannot log in.
            raise QueryRefused(_NO_SUPERUSER)
        if is_distributed:
            citus.fix_snapshot(raw, ServerConnection(raw, _BEGIN))
        else:
            raw.execute(_BEGIN.encode())
        _limit(raw, limits, is_superuser=is_superuser)
        return _answer(raw, sql, limits)
    except psycopg.Error as error:
        raise _translated(error, limits) or error from error
    except UnicodeError as error:
        raise QueryRefused(f"the database cannot hold what is asked: {error}") from error


def _is_superuser(raw: Raw) -> bool:
    (found,) = raw.execute(b"SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() or (True,)
    return bool(found)


def _limit(raw: Raw, limits: QueryLimits, *, is_superuser: bool) -> None:
    """Take the time and the rights that the query needs."""
    raw.execute(f"SET LOCAL statement_timeout = '{limits.seconds}s'".encode())
    raw.execute(b"SET LOCAL timezone = 'UTC'")
    if is_superuser:
        raw.execute(_SEARCH_PATH.encode())
        raw.execute(b"SET LOCAL ROLE pg_read_all_data")


def _answer(raw: Raw, sql: str, limits: QueryLimits) -> Answer:
    with raw.cursor("shape") as shape:
        shape.execute(sql.encode())
        columns = shape.description or []
    if not columns:
        raise QueryRefused("the query gives no columns")
    names = [f"value_{number}" for number in range(len(columns))]
    short = ", ".join(map(_short, columns, names))
    with raw.cursor("answer") as cursor:
        cursor.execute(f"SELECT {short} FROM (\n{_without_end(sql)}\n) AS asked ({', '.join(names)})".encode())
        return gather((column.name for column in columns), _fetched(cursor, limits), limits)


def _without_end(sql: str) -> str:
    """The statement without a semicolon, and without what follows it."""
    while True:
        statement, end, rest = sql.rpartition(";")
        if not end or not _BLANK.fullmatch(rest):
            return sql
        sql = statement.rstrip(";\n ")


def _short(column: psycopg.Column, name: str) -> str:
    """SQL for a value of any type that is short enough, or a little too long."""
    if column.type_code == _NUMERIC or (column.internal_size is not None and column.type_code != _UUID):
        return name
    value = f"CAST({name} AS text)"
    return f"CASE WHEN octet_length({value}) > {VALUE_LIMIT} THEN repeat(' ', {VALUE_LIMIT + 1}) ELSE {value} END"


def _fetched(cursor: psycopg.ServerCursor[tuple[Any, ...]], limits: QueryLimits) -> Iterator[tuple[Any, ...]]:
    """The rows, fetched in parts of about the same size."""
    until_s = time.monotonic() + limits.seconds
    fetched = size = 0
    at_once = 1
    while rows := cursor.fetchmany(min(at_once, limits.rows + 1 - fetched)):
        for row in rows:
            lengths = [len(value) for value in row if isinstance(value, str)]
            if max(lengths, default=0) > VALUE_LIMIT:
                raise QueryRefused(VALUE_TOO_LARGE)
            size += sum(lengths) + len(row)
            yield row
        fetched += len(rows)
        if fetched > limits.rows:
            return
        if time.monotonic() > until_s:
            raise took_too_long(limits)
        at_once = max(1, min(_MOST_AT_ONCE, 2 * at_once, _CHUNK * fetched // size))


def _translated(error: psycopg.Error, limits: QueryLimits) -> DatabaseError | None:
    """The refusal for an error of the query; None for one of the server."""
    state, said = error.sqlstate, " ".join((error.diag.message_primary or str(error)).split())
    if state == _CANCELLED:
        return took_too_long(limits)
    if state is None:
        # What psycopg cannot represent, such as a date before the year 1.
        return QueryRefused(said) if isinstance(error, psycopg.DataError) else None
    if state == _NO_VALUE and "parameters" in said:
        return QueryRefused("the query has a parameter, such as $1, and no value for it")
    if not state.startswith(_CLASSES):
        return None
    if "multiple commands" in said:
        return QueryRefused("the query is more than one statement")
    return QueryRefused(f"{said}{NAMES_SHOWN if state in _NO_NAME else ''}")
