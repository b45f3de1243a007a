"""Databases of older revisions, and connections as migrations have them."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager, closing
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, inspect, text

from claude_force.database import migrate
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.postgres.database import ServerDatabase
from claude_force.database.revisions import VERSION_TABLE
from claude_force.database.sqlite.database import SqliteDatabase
from claude_force.database.sqlite.files import APPLICATION_ID
from claude_force.database.writes import DIRECT_ROLLUP_ROWS, Store
from claude_force.executions.billed_steps import Step
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


def runs_of_two_days() -> list[ExecutionMetrics]:
    """Executions of runs that one name, sessions, workflows, models and days share, with steps of other models,
    refusals, and costs and durations that are not known."""
    steps = (Step("message", "claude-opus-4-1", 3, 5, cost_nanousd=70), Step("message", "claude-haiku-4-5", 1, 2))
    with_steps = {"cost_nanousd": None, "input_tokens": 4, "output_tokens": 7, "steps": steps}
    return [
        an_execution(
            timestamp_us=NOON_US + number * 1_013_000_000,
            run_id=(None, "r1", "r2")[number % 3],
            session_id=(None, "s1", "s2", "s1")[number % 4],
            workflow_id=(None, None, None, "w1", "s1")[number % 5],
            success=number % 7 > 1,
            error_type=(None, "refusal", "unfinished")[number % 3] if number % 7 < 2 else None,
            duration_us=None if number % 4 == 1 else number * 1_000_000,
            **(with_steps if number % 6 == 1 else {}),
        )
        for number in range(DIRECT_ROLLUP_ROWS + 30)
    ]


def a_store_at(revision: str, location: str, executions: list[ExecutionMetrics], newest: Path) -> None:
    """Make a database of an older revision, with what a new file (`newest`) that has these executions has of its
    tables. The last ones are not counted yet."""
    with closing(open_database(str(newest))) as database:
        Store(database).add(executions[:-7])
        Store(database).add(executions[-7:])
    database = open_database(location)
    is_file = isinstance(database, SqliteDatabase)
    if isinstance(database, SqliteDatabase):
        database.path.touch()
    with connected(database) as connection, closing(sqlite3.connect(newest)) as raw:
        migrate.upgrade_connection(connection, revision)
        tables = inspect(connection)
        for table in set(tables.get_table_names()) - {VERSION_TABLE}:
            known = {row[1] for row in raw.execute(f"PRAGMA table_info({table})")}
            names = [column["name"] for column in tables.get_columns(table) if column["name"] in known]
            if table == "rollup_spans" and len(names) < len(known):
                # The spans of older revisions have fewer names; an upgrade makes them anew.
                continue
            into = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
            rows = [
                {
                    name: UUID(bytes=each) if isinstance(each, bytes) and not is_file else each
                    for name, each in zip(names, row, strict=True)
                }
                for row in raw.execute(f"SELECT {', '.join(names)} FROM {table}")
            ]
            if rows:
                connection.execute(text(into), rows)
        connection.commit()
    database.close()


def an_old_file(path: Path) -> Path:
    """A SQLite database of ours from before the first revision, which holds something."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(
            f"PRAGMA application_id = {APPLICATION_ID}; CREATE TABLE keepsake (word TEXT); "
            "INSERT INTO keepsake VALUES ('remember');"
        )
    return path
