"""Databases of older revisions, and connections as migrations have them."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager, closing
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, text

from claude_force.database import migrate
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.postgres.database import ServerDatabase
from claude_force.database.sqlite.database import SqliteDatabase
from claude_force.database.sqlite.files import APPLICATION_ID
from claude_force.executions.record import FIELDS, ExecutionMetrics, as_mapping, identity_bytes
from tests.builders import NOON_US, an_execution


def connected(database: Database) -> AbstractContextManager[Connection]:
    """A connection as migrations have it."""
    if isinstance(database, SqliteDatabase):
        return migrate.sqlite_connection(database.path)
    assert isinstance(database, ServerDatabase)
    return migrate.server_connection(database)


def a_labelled_history(location: str, count: int) -> list[ExecutionMetrics]:
    """Make a database of the first revision, whose executions still carry their labels, and say what it holds."""
    executions = [
        an_execution(
            timestamp_us=NOON_US + number * 7_654_321_000,
            agent_name=("a", "b", "ü")[number % 3],
            project=(None, "/srv/app")[number % 2],
            success=number % 5 != 0,
            error_type=(None, "TimeoutError")[number % 2] if number % 5 == 0 else None,
            duration_us=None if number % 7 == 0 else number * 1000,
            input_tokens=None if number % 6 == 0 else number,
            output_tokens=None if number % 6 == 0 else 2,
            cost_nanousd=None if number % 4 == 0 else number,
            run_id=f"run-{number}",
        )
        for number in range(count)
    ]
    database = open_database(location)
    if isinstance(database, SqliteDatabase):
        database.path.touch()
    with connected(database) as connection:
        migrate.upgrade_connection(connection, "0001")
        for execution in executions:
            uid = identity_bytes(execution.uid) if isinstance(database, SqliteDatabase) else UUID(execution.uid)
            row = as_mapping(execution) | {"uid": uid, "success": int(execution.success)}
            row = {name: row[name] for name in FIELDS[: FIELDS.index("run_id") + 1]}
            connection.execute(
                text(f"INSERT INTO executions ({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})"), row
            )
        connection.commit()
    database.close()
    return executions


def an_old_file(path: Path) -> Path:
    """A SQLite database of ours from before the first revision, which holds something."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; CREATE TABLE keepsake (word TEXT); "
            "INSERT INTO keepsake VALUES ('remember');"
        )
    return path
