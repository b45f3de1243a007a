"""psycopg's errors translated to ours, each with its remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import psycopg

from claude_force.errors import (
    DatabaseBusy,
    DatabaseError,
    DatabaseFull,
    DatabaseMissing,
    DatabaseReadOnly,
    DatabaseUnavailable,
)

_ALWAYS_THERE, _ASKING_TIMEOUT_S = "postgres", 2
"""The database that a server has unless somebody dropped it, and how long to wait for it to learn of the others."""

_DISK_FULL, _LOCK_TIMEOUT, _READ_ONLY, _REPLAYED = "53100", "55P03", "25006", "40001"
_CONNECTION_STATES = ("08", "57P")
"""SQLSTATE: connection exceptions, and a server that is shutting down or starting."""

_ATTEMPTS, _ATTEMPT = "All failures were:", r"\s*- host: .*?: connection failed: "
"""How psycopg lists what several servers answered. The text of libpq that follows names each, too."""


def translate(error: Exception, name: str, options: Mapping[str, Any]) -> DatabaseError:
    """The DatabaseError for an error of psycopg at the database `name`, which is reached by `options`."""
    if isinstance(error, UnicodeError):
        # A host name that cannot be encoded for a name server.
        return DatabaseUnavailable(f"cannot reach {name}: {error}")
    reason, state = _reason(error), getattr(error, "sqlstate", None)
    if state == _DISK_FULL:
        return DatabaseFull(f"the disk of {name} is full: {reason}")
    if state == _LOCK_TIMEOUT:
        return DatabaseBusy(f"{name} was locked by another process; nothing was written, try again")
    if state == _READ_ONLY:
        return DatabaseReadOnly(
            f"{name} only reads: it is a standby, or the server or the user is set so; to write, name the primary, or "
            "all servers: postgresql://user@one:5432,two:5432/name?target_session_attrs=read-write"
        )
    if state == _REPLAYED:
        return DatabaseBusy(
            f"{name} is a standby and ended the query, since it read what the primary has removed; try again, or set "
            "hot_standby_feedback = on there"
        )
    is_lost = state is None or state.startswith(_CONNECTION_STATES)
    if not isinstance(error, psycopg.OperationalError) or not is_lost:
        return DatabaseError(f"{name}: {reason}")
    return _missing(reason, name, options) or DatabaseUnavailable(f"cannot reach {name}: {reason}")


def _missing(reason: str, name: str, options: Mapping[str, Any]) -> DatabaseMissing | None:
    """DatabaseMissing if that is why it cannot be reached. The reason is in the language of the server, so the server
    is asked for its databases; only if the reason has the name, because others mean more waiting."""
    database = options.get("dbname")
    if not database or database not in reason:
        return None
    others = _databases(options)
    if not others or database in others:
        return None
    near = get_close_matches(database, others, 1)
    remedy = f"did you mean {near[0]}?" if near else f"createdb {database} makes it, then: claude-force db upgrade"
    return DatabaseMissing(f"no database {database} on the server of {name}; {remedy}")


def _databases(options: Mapping[str, Any]) -> list[str]:
    """The databases of a server that this user may connect to; empty if that cannot be found out."""
    others = {**options, "dbname": _ALWAYS_THERE, "connect_timeout": str(_ASKING_TIMEOUT_S)}
    names = "SELECT datname FROM pg_database WHERE datallowconn AND has_database_privilege(datname, 'CONNECT')"
    try:
        with psycopg.connect(**others, autocommit=True) as raw:
            return [row[0] for row in raw.execute(names)]
    except psycopg.Error:
        return []


def _reason(error: Exception) -> str:
    first, _, attempts = str(error).partition(_ATTEMPTS)
    text = re.sub(_ATTEMPT, "; ", attempts).lstrip("; ") if attempts else first
    return " ".join(text.split())[:300]
