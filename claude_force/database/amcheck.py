"""What a PostgreSQL server can say about its own pages: the checks of the extension amcheck, within a time.

amcheck is a part of PostgreSQL that an administrator turns on in a database (CREATE EXTENSION amcheck).
`bt_index_check` raises an error for a damaged index, `verify_heapam` (since version 14) returns a row for each damage:
https://www.postgresql.org/docs/current/amcheck.html. Neither blocks who reads or writes.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any, NamedTuple

import psycopg

from claude_force.database.contract import Integrity

_Raw = psycopg.Connection[tuple[Any, ...]]

QUICK_S, FULL_S = 10, 300
"""How long a check takes at most."""

NOT_INSTALLED = "amcheck is not installed in this database (its administrator: CREATE EXTENSION amcheck)"
_NOT_ALLOWED = "this user may not use amcheck (its administrator: GRANT EXECUTE)"

_CORRUPTED = ("XX001", "XX002")
_DENIED, _CANCELED, _UNKNOWN_FUNCTION = "42501", "57014", "42883"
"""SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html."""

_SHOWN = 20
"""How many defects of one table are named."""

_SCHEMA = (
    "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
    "WHERE e.extname = 'amcheck'"
)
_RELATIONS = """
SELECT c.oid, c.relname, c.relkind = 'i' FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
LEFT JOIN pg_class t ON t.oid = i.indrelid LEFT JOIN pg_am a ON a.oid = c.relam
WHERE c.relnamespace = current_schema()::regnamespace AND c.relpersistence <> 't'
AND ((c.relkind = 'r' AND c.relname = ANY($1))
OR (c.relkind = 'i' AND a.amname = 'btree' AND i.indisvalid AND t.relname = ANY($1)))
ORDER BY pg_relation_size(c.oid), c.relname
"""


class _Relation(NamedTuple):
    """A table or an index."""

    oid: int
    name: str
    is_index: bool


def check(connection: _Raw, tables: Collection[str], *, is_quick: bool) -> Integrity:
    """Check tables and their indexes, the smallest first, on a connection that commits each statement. A full check
    also looks for each row in every index."""
    installed = connection.execute(_SCHEMA.encode()).fetchone()
    if installed is None:
        return Integrity([], "", NOT_INSTALLED)
    (schema,) = installed
    relations = [_Relation(*row) for row in connection.execute(_RELATIONS.encode(), [list(tables)])]
    allowed_s = QUICK_S if is_quick else FULL_S
    end = time.monotonic() + allowed_s
    defects: list[str] = []
    checked = 0
    unchecked = ""
    for relation in relations:
        left_ms = int((end - time.monotonic()) * 1000)
        state = _CANCELED if left_ms <= 0 else _check(connection, schema, relation, left_ms, defects, is_quick=is_quick)
        if state is None:
            checked += 1
        elif state == _DENIED:
            unchecked = _NOT_ALLOWED
            break
        elif state == _CANCELED:
            unchecked = f"the other {len(relations) - checked}, because {allowed_s} s were over"
            break
        else:
            unchecked = f"some relations (SQLSTATE {state})"
    return Integrity(defects, f"{checked} tables and indexes (amcheck)" if checked else "", unchecked)


def _check(
    connection: _Raw, schema: str, relation: _Relation, left_ms: int, defects: list[str], *, is_quick: bool
) -> str | None:
    """Check one relation, and add what is wrong with it to `defects`. Returns the SQLSTATE for which it could not be
    checked; None if it was, or this server has no check for it."""
    try:
        # The limit is one of the transaction: behind a pooler, others get the session.
        with connection.transaction():
            connection.execute(f"SET LOCAL statement_timeout = {left_ms}".encode())
            if relation.is_index:
                check_index = f"SELECT {schema}.bt_index_check(CAST($1 AS oid), $2)"
                connection.execute(check_index.encode(), [relation.oid, not is_quick])
            else:
                check_table = f"SELECT blkno, msg FROM {schema}.verify_heapam(CAST($1 AS oid)) LIMIT {_SHOWN}"
                for block, message in connection.execute(check_table.encode(), [relation.oid]):
                    defects.append(f"the table {relation.name} is damaged in block {block}: {message}")
    except psycopg.Error as error:
        state = error.sqlstate or "unknown"
        if state in _CORRUPTED:
            defects.append(f"the index {relation.name} is damaged: {_first_line(error)}")
            return None
        return None if state == _UNKNOWN_FUNCTION and not relation.is_index else state
    return None


def _first_line(error: psycopg.Error) -> str:
    return str(error).strip().split("\n", 1)[0][:300]
