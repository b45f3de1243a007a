"""Interrupts an upgrade after its first statement, after its second, and so on: `python -m torture.interrupt`.

For each given revision the upgrade is repeated on one database, each time in a fork that is killed or fails one
statement later, until one ends. The states of the database before and after each are a line of JSON per revision.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import alembic.command
from sqlalchemy import Connection, event, inspect, text

from claude_force.database import migrate
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.errors import ClaudeForceError
from tests.histories import connected

_STOPPED, _FAILED = 1, 2
"""The exit codes of a process that was stopped, and of one that failed by itself."""


def interrupt(location: str, scripts: str, revision: str, stop: Callable[[], None]) -> list[dict[str, Any]]:
    """Upgrade until an upgrade ends or fails by itself. The states before, after each interrupted upgrade, and after
    the last one."""
    states, end = [state(location)], _STOPPED
    for statements in itertools.count(1):
        if end not in (_STOPPED, -signal.SIGKILL):
            break
        child = os.fork()
        if child == 0:
            os._exit(_upgrade(location, scripts, revision, statements, stop))
        end = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        states.append(state(location))
    return states


def _upgrade(location: str, scripts: str, revision: str, statements: int, stop: Callable[[], None]) -> int:
    config, left = migrate.configuration(), itertools.count(statements - 1, -1)
    config.set_main_option("script_location", scripts)

    def count(*_: object) -> None:
        if next(left) == 0:
            stop()

    try:
        with connected(open_database(location)) as connection:
            event.listen(connection, "after_cursor_execute", count)
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, revision)
    except Stopped:
        return _STOPPED
    except Exception as error:
        print(repr(error), file=sys.stderr, flush=True)
        return _FAILED
    return 0


class Stopped(Exception):
    """Raised inside a revision that has to fail."""


def fail() -> None:
    """Raise an error in the middle of an upgrade."""
    raise Stopped


def kill() -> None:
    """Kill this process in the middle of an upgrade."""
    os.kill(os.getpid(), signal.SIGKILL)


ENDINGS = {"fail": fail, "kill": kill}


def state(location: str) -> dict[str, Any]:
    """The state of a database: its revision, tables, number of executions, damage, and a digest of every column, index
    and row."""
    database = open_database(location)
    with connected(database) as connection:
        found = _content(connection)
        executions = len(found["executions"]["rows"]) if "executions" in found else None
    digest = hashlib.sha256(repr(found).encode()).hexdigest()
    seen = {"tables": sorted(found), "executions": executions, "digest": digest}
    seen |= {"revision": database.revision(), "damage": _damage(database)}
    database.close()
    return seen


def _content(connection: Connection) -> dict[str, dict[str, Any]]:
    seen = inspect(connection)
    return {
        name: {
            "columns": [column["name"] for column in seen.get_columns(name)],
            "indexes": sorted(index["name"] or "" for index in seen.get_indexes(name)),
            "rows": sorted(repr(tuple(row)) for row in connection.execute(text(f"SELECT * FROM {name}"))),
        }
        for name in sorted(seen.get_table_names())
    }


def _damage(database: Database) -> list[str]:
    try:
        return database.check_integrity().defects
    except ClaudeForceError as error:
        return [str(error)]


def _main() -> None:
    location, scripts, ending, *revisions = sys.argv[1:]
    for revision in revisions:
        print(json.dumps(interrupt(location, scripts, revision, ENDINGS[ending])), flush=True)


if __name__ == "__main__":
    _main()
