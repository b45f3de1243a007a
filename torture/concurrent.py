"""Six processes upgrade one database at the same moment: `python -m torture.concurrent LOCATION...`.

The processes are forks that wait for one signal, so that they run at once. For each location a line of JSON has the
number of processes that failed, and of those that migrated: changed the revision.
"""

from __future__ import annotations

import json
import os
import sys

from sqlalchemy import Engine, event

from claude_force.database import migrate
from claude_force.database.open import open_database
from claude_force.database.revisions import VERSION_TABLE

PROCESSES = 6

_FOUND_IT_DONE, _FAILED, _MIGRATED = range(3)
"""The exit codes of a process."""


def upgrade_at_once(location: str) -> dict[str, int]:
    """Start them together. The numbers of processes that failed and that migrated."""
    start, go = os.pipe()
    children = [_fork(location, start, go) for _ in range(PROCESSES)]
    os.close(start)
    os.close(go)
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    migrated, idle = ends.count(_MIGRATED), ends.count(_FOUND_IT_DONE)
    return {"failed": PROCESSES - migrated - idle, "migrated": migrated}


def _fork(location: str, start: int, go: int) -> int:
    child = os.fork()
    if child == 0:
        os.close(go)
        # Blocks until every process has closed the other end: then all are ready.
        os.read(start, 1)
        os._exit(_upgrade(location))
    return child


def _upgrade(location: str) -> int:
    changes = 0

    def watch(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal changes
        changes += statement.startswith((f"INSERT INTO {VERSION_TABLE}", f"UPDATE {VERSION_TABLE}"))

    event.listen(Engine, "after_cursor_execute", watch)
    try:
        migrate.upgrade(open_database(location))
    except Exception as error:
        print(repr(error), file=sys.stderr, flush=True)
        return _FAILED
    return _MIGRATED if changes else _FOUND_IT_DONE


def _main() -> None:
    for location in sys.argv[1:]:
        print(json.dumps(upgrade_at_once(location)), flush=True)


if __name__ == "__main__":
    _main()
