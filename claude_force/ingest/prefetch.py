"""Read in a second process, while this process stores what was read before.

Reading and storing take about the same time, and a Python process uses one processor. Batches come through a pipe that
holds about one, so at most three are in memory. The second process ends with this one, and its errors are raised here.
What is short is read in this process.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from claude_force.errors import InputError
from claude_force.ingest.input import Input
from claude_force.ingest.jsonl_source import Batch, JsonlSource
from claude_force.ingest.loader import without_gc

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

SHORT_BYTES = 4 * 1024 * 1024
"""A smaller file is read before a second process could start."""

T = TypeVar("T")

_LAST_WORDS_S = 1.0
"""How long a process that has sent everything may take to end."""

_PIPE_BYTES = 1024 * 1024
"""About one batch, and the most that a pipe may hold without privileges."""


def read_batches(file: Input, source: JsonlSource) -> Iterator[Batch]:
    """The batches of a file. Raises InputError."""
    batches = source.read(file.stream, file.position)
    if file.size is None or file.size < SHORT_BYTES or not can_fork():
        return batches
    return from_second_process(batches, file.name)


def can_fork() -> bool:
    """Whether a second process is of use, and safe: not in a process that has loaded macOS frameworks, or that has
    several threads, one of which may hold a lock."""
    return (os.cpu_count() or 1) > 1 and sys.platform != "darwin" and threading.active_count() == 1


def from_second_process(batches: Iterator[T], name: str) -> Generator[T]:
    """What an iterator gives, which runs in a second process. `name` says in messages what is read. Raises InputError
    if that process was killed, and what the iterator raises."""
    # Imported here: mostly there is little to read, and this takes longer to load than finding that out.
    import multiprocessing

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


def _received(receiver: Connection, process: BaseProcess, name: str) -> Iterator[Any]:
    while True:
        try:
            item = receiver.recv()
        except (EOFError, OSError):
            process.join()
            raise InputError(
                f"{name}: the process that reads it ended unexpectedly ({process.exitcode}); "
                "what was read is stored, and reading it again is safe"
            ) from None
        if item is None:
            process.join(_LAST_WORDS_S)
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


def _send_batches(batches: Iterator[Any], receiver: Connection, sender: Connection) -> None:
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
