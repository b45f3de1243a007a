"""Read a long file in a second process, while this process stores what was read before.

Reading and storing take about the same time, and a Python process uses one processor. Batches come through a pipe that
holds about one, so at most three are in memory. The second process ends with this one, and its errors are raised here.
A short file is read in this process.
"""

from __future__ import annotations

import fcntl
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
from claude_force.ingest.loader import without_gc

SHORT_BYTES = 4 * 1024 * 1024
"""A smaller file is read before a second process could start."""

_PIPE_BYTES = 1024 * 1024
"""About one batch, and the most that a pipe may hold without privileges."""


def read_batches(file: Input, source: JsonlSource) -> Iterator[Batch]:
    """The batches of a file. Raises InputError."""
    batches = source.read(file.stream, file.position)
    # Forking a process that has loaded macOS frameworks is not safe.
    cannot_fork = (os.cpu_count() or 1) < 2 or sys.platform == "darwin"
    if file.size is None or file.size < SHORT_BYTES or cannot_fork:
        return batches
    return _from_second_process(batches, file.name)


def _from_second_process(batches: Iterator[Batch], name: str) -> Iterator[Batch]:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    # If the pipe cannot grow, the reader waits more often.
    with suppress(OSError, AttributeError):
        fcntl.fcntl(sender.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    process = context.Process(target=_send_batches, args=(batches, receiver, sender), daemon=True)
    try:
        with without_gc():
            with _interrupts_blocked():
                process.start()
            sender.close()
            yield from _received(receiver, process, name)
    finally:
        if process.pid is not None:
            process.kill()
            process.join()
        receiver.close()


def _received(receiver: Connection, process: multiprocessing.process.BaseProcess, name: str) -> Iterator[Batch]:
    while True:
        try:
            item = receiver.recv()
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


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Delay Ctrl-C until the block ends: within a fork it would leave locks held."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _send_batches(batches: Iterator[Batch], receiver: Connection, sender: Connection) -> None:
    """The main function of the second process. It sends each batch, then None; or an exception."""
    receiver.close()
    # Ctrl-C reaches both processes; the first one ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for batch in batches:
            sender.send(batch)
        sender.send(None)
    except BrokenPipeError:
        # The first process is gone.
        sys.exit(1)
    except Exception as error:
        sender.send(error)
