"""The steps of a database's life that are done while write calls fail.

A step runs in a sandbox that was prepared for it: a disk that fails, and a home that does not. It can be repeated in
the same sandbox after any failure, which tests whether the next run works.
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
"""The number of executions before a step."""

BROUGHT = 12
"""The number of executions that a step adds."""


class Sandbox(NamedTuple):
    """The folders and files of a step."""

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
        """The file of acknowledged executions: a `run_id` per line."""
        return self.home / "acknowledged"

    @property
    def promised(self) -> list[str]:
        """The executions that must not be lost."""
        return self.acknowledged.read_text().split() if self.acknowledged.exists() else []

    def acknowledge(self, *names: str) -> None:
        """Note executions that must not be lost from now on."""
        with self.acknowledged.open("a") as file:
            file.writelines(f"{name}\n" for name in names)


class Step(NamedTuple):
    """One step: how its sandbox is prepared, and what it does. `run` returns the exit code of the process."""

    prepare: Callable[[Sandbox], None]
    run: Callable[[Sandbox], int]
    is_command: bool = True
    """Whether it is a command, which reports an error in one line. Otherwise it is a host that records and goes on."""


def _with_nothing(_: Sandbox) -> None:
    """There is no database yet."""


def _with_executions(sandbox: Sandbox) -> None:
    with closing(open_database(str(sandbox.database))) as database:
        Store(database).add(_executions(0, HELD))
    sandbox.acknowledge(*_names(0, HELD))


def _with_a_wal(sandbox: Sandbox) -> None:
    """The recorder was killed and left everything in the WAL."""
    child = os.fork()
    if child == 0:
        Store(open_database(str(sandbox.database))).add(_executions(0, HELD))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    sandbox.acknowledge(*_names(0, HELD))


def _with_the_first_revision(sandbox: Sandbox) -> None:
    sandbox.acknowledge(*(execution.run_id or "" for execution in a_labelled_history(str(sandbox.database), HELD)))


def _with_a_file_to_import(sandbox: Sandbox) -> None:
    _with_executions(sandbox)
    lines = [encode_line(execution, UTC) for execution in _executions(HELD, HELD + BROUGHT)]
    (sandbox.home / "lines.jsonl").write_bytes(b"".join(lines))


def _executions(start: int, stop: int) -> list[ExecutionMetrics]:
    """Executions of two months, the same in every run."""
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


def _record(sandbox: Sandbox) -> int:
    """Record as a host: every call must return, and what it returned from must be kept."""
    warnings.simplefilter("ignore")
    before = len(sandbox.promised)
    with PerformanceTracker(sandbox.home, database=str(sandbox.database)) as tracker:
        for number in range(before, before + BROUGHT):
            name = f"recorded-{number}"
            tracker.record_execution("host", "a task", input_tokens=1, output_tokens=2, run_id=name)
            sandbox.acknowledge(name)
    return 0


def _import(sandbox: Sandbox) -> int:
    code = command("import", str(sandbox.home / "lines.jsonl"), "--db", str(sandbox.database))
    if code == 0:
        sandbox.acknowledge(*_names(HELD, HELD + BROUGHT))
    return code


def _checkpoint(sandbox: Sandbox) -> int:
    """Checkpoint, as the scheduler does once a day."""
    with closing(open_database(str(sandbox.database))) as database:
        try:
            database.optimize()
        except ClaudeForceError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
    return 0


def _upgrade(sandbox: Sandbox) -> int:
    return command("db", "upgrade", "--db", str(sandbox.database))


def _back_up(sandbox: Sandbox) -> int:
    return command("db", "backup", str(sandbox.disk / f"copy-{os.getpid()}.db"), "--db", str(sandbox.database))


def _archive(sandbox: Sandbox) -> int:
    return command("archive", "--older-than", "1d", "--yes", "--db", str(sandbox.database))


def command(*arguments: str) -> int:
    """Run a claude-force command in this process. Its exit code."""
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
    "checkpoint": Step(_with_a_wal, _checkpoint),
    "upgrade": Step(_with_the_first_revision, _upgrade),
    "back up": Step(_with_executions, _back_up),
    "archive": Step(_with_executions, _archive),
}
"""The steps by name."""
