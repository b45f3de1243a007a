"""Reading ahead: a second process turns lines into rows while this one stores those before.

Reading and storing take about as long as each other, and a Python process uses one processor. The second process hands
over batch by batch through a pipe that holds about one, so that there are never more than three in memory. It ends with
this process, and what goes wrong in it is raised here. A short file is read in this process.
"""

from __future__ import annotations

import fcntl
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection

from claude_force.errors import InputError
from claude_force.ingest.input import Input
from claude_force.ingest.jsonl_source import Batch, JsonlSource

SHORT_BYTES = 4 * 1024 * 1024
"""A file of less is read before a second process would have begun."""

_PIPE_BYTES = 1024 * 1024
"""About a batch; what a pipe may hold without privileges."""


def read(source: Input, reader: JsonlSource) -> Iterator[Batch]:
    """The batches of a file. Raises InputError."""
    found = reader.read(source.stream, source.position)
    # A fork of a process with frameworks of macOS in it is not safe.
    alone = (os.cpu_count() or 1) < 2 or sys.platform == "darwin"
    if source.size is None or source.size < SHORT_BYTES or alone:
        return found
    return _from_another_process(found, source.name)


def _from_another_process(found: Iterator[Batch], name: str) -> Iterator[Batch]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    # Where it may not grow, the reader waits more often.
    with suppress(OSError, AttributeError):
        fcntl.fcntl(theirs.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    process = context.Process(target=_hand_over, args=(found, ours, theirs), daemon=True)
    # Rows hold no cycles, and looking for some takes a twentieth of the time, here and there.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with _uninterrupted():
            process.start()
        theirs.close()
        while True:
            try:
                item = ours.recv()
            except (EOFError, OSError):
                process.join()
                raise InputError(
                    f"{name}: the process that reads it ended unexpectedly ({process.exitcode}); "
                    "what was read is stored, and importing it again is safe"
                ) from None
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        if was_enabled:
            gc.enable()
        if process.pid is not None:
            process.kill()
            process.join()
        ours.close()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let an interrupt from the keyboard wait until the block ends: within a fork it would leave locks held."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hand_over(found: Iterator[Batch], ours: Connection, theirs: Connection) -> None:
    """What the second process does."""
    ours.close()
    # An interrupt from the keyboard reaches both; the first process ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for batch in found:
            theirs.send(batch)
        theirs.send(None)
    except BrokenPipeError:
        # The first process is gone.
        sys.exit(1)
    except Exception as error:
        theirs.send(error)
