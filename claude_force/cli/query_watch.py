"""Ends a query that does not stop.

A query is told to stop by its engine's own means, when its time is over and at Ctrl-C. Within one function of an engine
nothing hears that, and Python calls no handler before the function is over. So a thread waits beside it, and the
interpreter itself tells it of each signal. To end the process loses nothing: a query only reads.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

_GRACE_S = 2
"""How long a query may still take that has been told to stop when its time is over."""

_INTERRUPT_GRACE_S = 1
"""The same at Ctrl-C. A second one waits for nothing."""

_INTERRUPT = bytes([signal.SIGINT])


@contextmanager
def watched(timeout_s: int) -> Iterator[None]:
    """End the process within the block, with one line, when a query took much longer than `timeout_s`, or was
    interrupted and goes on. For the main thread."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    Thread(target=_watch, args=(reader, timeout_s), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)


def _watch(reader: int, timeout_s: int) -> None:
    """Return when the block has ended."""
    said = _next(reader, 2 * timeout_s + _GRACE_S)
    while said not in (b"", None, _INTERRUPT):
        said = _next(reader, 2 * timeout_s + _GRACE_S)
    if said is None:
        _end(f"error: the query took more than {timeout_s} s and did not stop; ask for less", 1)
    if said == _INTERRUPT and _next(reader, _INTERRUPT_GRACE_S) != b"":
        _end("interrupted", 130)
    os.close(reader)


def _next(reader: int, seconds: float) -> bytes | None:
    """The number of the next signal; nothing when the block has ended; None if neither came in time."""
    ready, _, _ = select.select([reader], [], [], seconds)
    return os.read(reader, 1) if ready else None


def _end(line: str, code: int) -> None:
    os.write(2, f"{line}\n".encode())
    os._exit(code)
