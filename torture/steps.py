"""What is done while calls that write fail: one step of a database's life each.

A step finds a folder that was made ready for it once, with a disk that will fail and a home that will not. It can be
done again at the same place, whatever became of it: that is how it is tried whether everything goes on.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import NamedTuple

from claude_force.cli.root import main
from claude_force.clock import DAY_US
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.errors import ClaudeForceError
from claude_force.executions.jsonl.codec import encode_line
from claude_force.executions.record import ExecutionMetrics
from claude_force.performance_tracker.tracker import PerformanceTracker
from tests.builders import NOON_US, an_execution
from tests.histories import a_labelled_history

HELD = 40
"""Executions that are there before a step."""

BROUGHT = 12
"""Executions that a step brings."""


class Place(NamedTuple):
    """Where a step is done."""

    folder: Path

    @property
    def disk(self) -> Path:
        """The folder whose files fail."""
        return self.folder / "disk"

    @property
    def home(self) -> Path:
        """The home folder, on another disk."""
        return self.folder / "home"

    @property
    def database(self) -> Path:
        """The database file, on the disk that fails."""
        return self.disk / "metrics.db"

    @property
    def acknowledged(self) -> Path:
        """Where it is noted what may not be lost: a `run_id` a line."""
        return self.home / "acknowledged"

    @property
    def promised(self) -> list[str]:
        """What may not be lost."""
        return self.acknowledged.read_text().split() if self.acknowledged.exists() else []

    def acknowledge(self, *names: str) -> None:
        """Note what may not be lost from now on."""
        with self.acknowledged.open("a") as file:
            file.writelines(f"{name}\n" for name in names)


class Step(NamedTuple):
    """One step: how its place is made ready, and what is done there. `does` returns what the process exits with."""

    prepare: Callable[[Place], None]
    does: Callable[[Place], int]
    is_command: bool = True
    """Whether it is a command, which says what went wrong in one line; else it is a host that records, and goes on."""


def _with_nothing(_: Place) -> None:
    """There is no database yet."""


def _with_executions(place: Place) -> None:
    with closing(open_database(str(place.database))) as database:
        Store(database).add(_executions(0, HELD))
    place.acknowledge(*_names(0, HELD))


def _with_a_log(place: Place) -> None:
    """Whoever recorded was killed, and left everything in the log."""
    child = os.fork()
    if child == 0:
        Store(open_database(str(place.database))).add(_executions(0, HELD))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    place.acknowledge(*_names(0, HELD))


def _with_the_first_revision(place: Place) -> None:
    place.acknowledge(*(execution.run_id or "" for execution in a_labelled_history(str(place.database), HELD)))


def _with_a_file_to_import(place: Place) -> None:
    _with_executions(place)
    lines = [encode_line(execution, UTC) for execution in _executions(HELD, HELD + BROUGHT)]
    (place.home / "lines.jsonl").write_bytes(b"".join(lines))


def _executions(start: int, stop: int) -> list[ExecutionMetrics]:
    """Executions of two months that are always the same."""
    return [
        an_execution(
            uid=f"019a0000-0000-7000-8000-{number:012x}",
            timestamp_us=NOON_US + number * DAY_US,
            agent_name=f"agent-{number % 3}",
            run_id=name,
        )
        for number, name in enumerate(_names(start, stop), start)
    ]


def _names(start: int, stop: int) -> list[str]:
    return [f"run-{number}" for number in range(start, stop)]


def _record(place: Place) -> int:
    """Be a host: whatever happens, every call returns, and what it returned from is kept."""
    warnings.simplefilter("ignore")
    before = len(place.promised)
    with PerformanceTracker(place.home, database=str(place.database)) as tracker:
        for number in range(before, before + BROUGHT):
            name = f"recorded-{number}"
            tracker.record_execution("host", "a task", input_tokens=1, output_tokens=2, run_id=name)
            place.acknowledge(name)
    return 0


def _import(place: Place) -> int:
    code = command("import", str(place.home / "lines.jsonl"), "--db", str(place.database))
    if code == 0:
        place.acknowledge(*_names(HELD, HELD + BROUGHT))
    return code


def _checkpoint(place: Place) -> int:
    """What the scheduler does once a day."""
    with closing(open_database(str(place.database))) as database:
        try:
            database.optimize()
        except ClaudeForceError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
    return 0


def _upgrade(place: Place) -> int:
    return command("db", "upgrade", "--db", str(place.database))


def _back_up(place: Place) -> int:
    return command("db", "backup", str(place.disk / f"copy-{os.getpid()}.db"), "--db", str(place.database))


def _archive(place: Place) -> int:
    return command("archive", "--older-than", "1d", "--db", str(place.database))


def command(*arguments: str) -> int:
    """Run a command of claude-force in this process; its exit code."""
    sys.argv = ["claude-force", *arguments]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


STEPS = {
    "create": Step(_with_nothing, _record, is_command=False),
    "record": Step(_with_executions, _record, is_command=False),
    "import": Step(_with_a_file_to_import, _import),
    "checkpoint": Step(_with_a_log, _checkpoint),
    "upgrade": Step(_with_the_first_revision, _upgrade),
    "back up": Step(_with_executions, _back_up),
    "archive": Step(_with_executions, _archive),
}
"""Each step by its name."""
