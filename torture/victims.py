"""What is killed: processes that ingest, archive, restore or tell alerts as the scheduler does.

They are forked from a process that has imported everything, so that a kill meets the work and not the start of Python.
Each says when it begins. Of the package only the sizes of batches are changed, so that there are many moments between
two transactions.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from torture.processes import fork_context

KILLED = -9
PROGRAM = Path(sys.executable).with_name("claude-force")

LINES_AT_ONCE, EXECUTIONS_AT_ONCE = 10, 800
"""Lines that are ingested, and executions that are archived or restored, in one transaction of a victim."""


@contextmanager
def victim(work: Callable[..., None], *arguments: Any) -> Iterator[BaseProcess]:
    """A process that does some work and has begun with it; killed in the end if it still runs."""
    context = fork_context()
    heard, says = context.Pipe(duplex=False)
    process = context.Process(target=_begin, args=(says, work, arguments), daemon=True)
    process.start()
    says.close()
    heard.recv_bytes()
    heard.close()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _begin(says: Connection, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    says.send_bytes(b"!")
    says.close()
    work(*arguments)


def live_in(home: Path) -> None:
    """Make a folder the home of this process, with nothing of the settings of this machine."""
    for name in [name for name in os.environ if name.startswith(("CLAUDE_", "XDG_"))]:
        del os.environ[name]
    os.environ |= {"HOME": str(home), "TZ": "UTC"}
    os.chdir(home)


def ingest(home: Path, location: str) -> None:
    """One pass over everything, as the job of the scheduler does it, again and again until nothing is new."""
    from claude_force.clock import now_us
    from claude_force.database.workspace import workspace_at
    from claude_force.ingest import jsonl_source as jsonl
    from claude_force.ingest.transcripts import source as claude_code
    from claude_force.ingest.transcripts import transcript_pass
    from claude_force.scheduler.jobs import JOBS
    from claude_force.scheduler.runs import run_job
    from claude_force.settings.home import find_home

    live_in(home)
    jsonl.BATCH = claude_code.CHUNK_LINES = LINES_AT_ONCE
    transcript_pass.OBSERVATIONS_PER_TRANSACTION = transcript_pass.BATCHES_PER_TRANSACTION = LINES_AT_ONCE
    place, _ = workspace_at(find_home(), location)
    run = run_job(JOBS["ingest"], place.database, lambda: place, now_us)
    place.database.close()
    if run.outcome != "ok":
        raise SystemExit(f"the pass failed: {run.problem}")


def schedule(home: Path, location: str) -> None:
    """The whole scheduler, which ingests every second."""
    from claude_force.database.workspace import workspace_at
    from claude_force.ingest import jsonl_source as jsonl
    from claude_force.ingest.transcripts import source as claude_code
    from claude_force.scheduler.service import serve
    from claude_force.settings.home import find_home

    live_in(home)
    jsonl.BATCH = claude_code.CHUNK_LINES = LINES_AT_ONCE
    place, _ = workspace_at(find_home(), location)
    serve(place, lambda: place)


def program(home: Path, location: str) -> None:
    """One pass by the installed program."""
    live_in(home)
    os.execv(PROGRAM, [str(PROGRAM), "ingest", "--quiet", "--db", location])  # noqa: S606 - a shell would be killed instead


def archive(location: str, folder: Path, now_us: int) -> None:
    """Archive everything."""
    from claude_force.database import archive as package
    from claude_force.database.open import open_database

    package.AT_ONCE = EXECUTIONS_AT_ONCE
    with_database = open_database(location)
    report = package.archive_once(with_database, folder, now_us, 0)
    if report.problems:
        raise SystemExit("; ".join(report.problems))


def restore(location: str, files: list[Path], now_us: int) -> None:
    """Import archives, as `claude-force import` does."""
    import gzip
    from datetime import UTC

    from claude_force.database.open import open_database
    from claude_force.database.writes import Store
    from claude_force.ingest import jsonl_source as jsonl
    from claude_force.ingest.loader import Loader

    jsonl.BATCH = EXECUTIONS_AT_ONCE
    store = Store(open_database(location))
    for file in files:
        with gzip.open(file) as stream:
            source = jsonl.JsonlSource(UTC)
            found = Loader(store, None, restore=True).load(str(file), source.read(stream), now_us)
        if found.rejected:
            raise SystemExit(f"{file}: {found.rejected} lines were rejected")
