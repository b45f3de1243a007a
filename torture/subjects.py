"""The processes that campaigns kill: they ingest, archive, restore or notify as the scheduler does.

They are forked from a process that has imported everything, so that a kill hits the work and not the start of Python.
Each signals when its work starts. Only the batch sizes of the package are changed, to have many moments between two
transactions.
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
"""Batch sizes: lines per ingest transaction, and executions per archive or restore transaction."""


@contextmanager
def subject(work: Callable[..., None], *arguments: Any) -> Iterator[BaseProcess]:
    """A process that has started `work`. It is killed at the end of the block if it still runs."""
    context = fork_context()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_begin, args=(sender, work, arguments), daemon=True)
    process.start()
    sender.close()
    receiver.recv_bytes()
    receiver.close()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _begin(sender: Connection, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    sender.send_bytes(b"!")
    sender.close()
    work(*arguments)


def live_in(home: Path) -> None:
    """Make a folder the home of this process, without the settings of this machine."""
    for name in [name for name in os.environ if name.startswith(("CLAUDE_", "XDG_"))]:
        del os.environ[name]
    os.environ |= {"HOME": str(home), "TZ": "UTC"}
    os.chdir(home)


def ingest(home: Path, location: str) -> None:
    """Ingest everything, as the scheduler's job does."""
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
    workspace, _ = workspace_at(find_home(), location)
    run = run_job(JOBS["ingest"], workspace.database, lambda: workspace, now_us)
    workspace.database.close()
    if run.outcome != "ok":
        raise SystemExit(f"the ingest failed: {run.problem}")


def schedule(home: Path, location: str) -> None:
    """Run the whole scheduler, which ingests every second."""
    from claude_force.database.workspace import workspace_at
    from claude_force.ingest import jsonl_source as jsonl
    from claude_force.ingest.transcripts import source as claude_code
    from claude_force.scheduler.service import serve
    from claude_force.settings.home import find_home

    live_in(home)
    jsonl.BATCH = claude_code.CHUNK_LINES = LINES_AT_ONCE
    workspace, _ = workspace_at(find_home(), location)
    serve(workspace, lambda: workspace)


def receive(home: Path, location: str, port: int) -> None:
    """Receive telemetry until the end, and store it as it comes."""
    from claude_force.database.workspace import workspace_at
    from claude_force.ingest.spool_files import telemetry_folders
    from claude_force.receiver import receiving
    from claude_force.receiver.server import Endpoint
    from claude_force.receiver.storing import storing
    from claude_force.settings.home import find_home

    live_in(home)
    receiving.STORE_EVERY_S = 0.1
    workspace, _ = workspace_at(find_home(), location)
    folders = telemetry_folders(workspace.location, workspace.home.metrics_folder)
    receiving.Receiver(Endpoint(port=port), folders, storing(lambda: workspace, folders)).start()


def store_telemetry(home: Path, location: str) -> None:
    """Store what receivers left, as a pass does."""
    from claude_force.database.workspace import workspace_at
    from claude_force.ingest.spool_files import telemetry_folders
    from claude_force.receiver.storing import storing
    from claude_force.settings.home import find_home

    live_in(home)
    workspace, _ = workspace_at(find_home(), location)
    folders = telemetry_folders(workspace.location, workspace.home.metrics_folder)
    storing(lambda: workspace, folders)()
    workspace.database.close()


def program(home: Path, location: str) -> None:
    """Ingest with the installed program."""
    live_in(home)
    os.execv(PROGRAM, [str(PROGRAM), "ingest", "--quiet", "--db", location])  # noqa: S606 - a shell would be killed in its place


def archive(location: str, folder: Path, now_us: int) -> None:
    """Archive everything."""
    from claude_force.database import archive as package
    from claude_force.database.open import open_database

    package.AT_ONCE = EXECUTIONS_AT_ONCE
    report = package.archive_once(open_database(location), folder, now_us, 0)
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
