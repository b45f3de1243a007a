"""Keeps the lines of calls until they are stored: in the spool of signals, and in memory while that cannot be written.

A line is written at once, without waiting for the disk: it is there whatever becomes of the program, and costs a few
system calls. A writer never waits for another process. Segments are not locked between lines, so that a report or the
scheduler can take them at any moment; see `claude_force.ingest.telemetry.spool` for the names of their files.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from claude_force.files import make_folder
from claude_force.ingest.telemetry.segments import OPEN

logger = logging.getLogger("claude_force")

MARK = "-call"
"""What the names of our segments contain."""

MAX_SEGMENT_BYTES = 4 * 1024 * 1024
WAITING_LIMIT = 10_000
"""Lines kept in memory; more are dropped, the oldest first, and counted."""

_TRIES = 5


class CallSegments:
    """The writer of one process. Not for several threads at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path: str | None = None

    def append(self, lines: bytes) -> None:
        """Append whole lines. Raises OSError if they could not be written; then none of them is there."""
        for _ in range(_TRIES):
            descriptor = self._opened()
            try:
                size = _size_if_ours(descriptor, self._path)
                if size is not None:
                    _write_whole(descriptor, lines, size)
                    if size + len(lines) >= MAX_SEGMENT_BYTES:
                        self._path = None
                    return
            finally:
                os.close(descriptor)
            # A reader has it now: the next lines go to a new one.
            self._path = None
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    def _opened(self) -> int:
        if self._path is not None:
            with suppress(FileNotFoundError):
                return os.open(self._path, os.O_WRONLY | os.O_APPEND)
        make_folder(self.folder)
        self._path = f"{self.folder}{os.sep}{time.time_ns() // 1000:016}{MARK}{os.urandom(4).hex()}{OPEN}"
        # Never under a name that was used: a reader renames a segment, and would lose the one before.
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)


def _size_if_ours(descriptor: int, path: str | None) -> int | None:
    """Lock a segment; returns its size, or None if a reader has it or has renamed it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        own, named = os.fstat(descriptor), os.stat(path or "")
    except (BlockingIOError, FileNotFoundError):
        return None
    return own.st_size if os.path.samestat(own, named) else None


def _write_whole(descriptor: int, lines: bytes, size: int) -> None:
    written = os.write(descriptor, lines)
    if written != len(lines):
        os.ftruncate(descriptor, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Keeper:
    """Keeps lines, for all threads of a process and after a fork."""

    def __init__(self, folder: Path) -> None:
        self._segments = CallSegments(folder)
        self._waiting: deque[bytes] = deque()
        self._has_warned = False
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        # For threads, and for a signal or a dropped stream that ends another call in the middle of one. A new one after
        # a fork, where another thread may have held it.
        self._lock = threading.RLock()

    def keep(self, line: bytes) -> None:
        """Keep a line. Raises nothing."""
        with self._lock:
            lines = [*self._take(), line]
            try:
                self._segments.append(b"".join(lines))
            except OSError as error:
                self._waiting.extend(lines)
                self._limit(error)

    def finish(self) -> None:
        """Write what waits, since the program ends; what cannot be written even now is lost, and counted."""
        with self._lock:
            lines = self._take()
            try:
                if lines:
                    self._segments.append(b"".join(lines))
            except OSError:
                _say_lost(len(lines))

    @property
    def folder(self) -> Path:
        """The spool."""
        return self._segments.folder

    @contextmanager
    def waiting(self) -> Iterator[list[bytes]]:
        """The lines that could not be written yet, for the block to store; they wait on if it raises."""
        with self._lock:
            lines = self._take()
        try:
            yield lines
        except BaseException:
            self._waiting.extendleft(reversed(lines))
            raise

    def _take(self) -> list[bytes]:
        lines = list(self._waiting)
        self._waiting.clear()
        return lines

    def _limit(self, error: OSError) -> None:
        dropped = len(self._waiting) - WAITING_LIMIT
        for _ in range(dropped):
            self._waiting.popleft()
        if dropped > 0:
            _say_lost(dropped)
        if not self._has_warned:
            self._has_warned = True
            logger.warning("%s cannot be written (%s): calls are kept in memory", self.folder, error)


def _say_lost(calls: int) -> None:
    logger.error("%d calls of the Anthropic SDK could not be kept anywhere", calls)
