"""The spool of signals: a folder of JSONL segments, which keeps what the receiver acknowledged until it is stored.

| a file named | is | its lock is held by |
|---|---|---|
| `….open`, locked | the segment that a writer appends to | the writer |
| `….open`, not locked | what a writer that died had acknowledged | nobody: the next reader seals it |
| `….jsonl` | a sealed segment: no byte is added to it | whoever stores it now |

A writer returns when its signals are on the disk; threads that write at the same time share one write and one fsync. A
segment is deleted after its signals are committed. Storing is idempotent, so a process that is killed between the two
leaves a segment that adds nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from claude_force.clock import SECOND_US, Now, now_us
from claude_force.executions.signals import Signal, decode, encode
from claude_force.files import make_folder, sync_folder
from claude_force.ingest.telemetry.segments import OPEN, is_current, locked_if_free, seal_file, sealed_segments

MAX_SEGMENT_BYTES = 4 * 1024 * 1024
"""A segment that has this size is sealed, so that it is stored in a few transactions."""

MAX_SEGMENT_US = SECOND_US
"""A segment that is older than this is sealed by the next write, so that it is stored soon."""

__all__ = ["Segment", "TelemetrySpool", "claimed", "sealed_segments"]

_sync = getattr(os, "fdatasync", os.fsync)


class TelemetrySpool:
    """The writer of a spool: one for a process, for all its threads."""

    def __init__(self, folder: Path, clock: Now = now_us) -> None:
        self.folder = folder
        self._clock = clock
        self._choosing = threading.Lock()
        self._writing = threading.Lock()
        self._batch = _Batch()
        self._segment: _OpenSegment | None = None

    def append(self, signals: Sequence[Signal]) -> None:
        """Keep signals: they are on the disk when this returns. Raises OSError if they are not; a part of them may be
        kept even so."""
        if not signals:
            return
        lines = encode(signals)
        with self._choosing:
            batch = self._batch
            batch.lines.append(lines)
        with self._writing:
            # Whoever comes first writes for all who wait; the others find their batch written.
            if not batch.is_done:
                with self._choosing:
                    self._batch = _Batch()
                self._write(batch)
        if batch.failure is not None:
            raise batch.failure

    def seal(self) -> None:
        """Give the open segment, if there is one, to whoever stores it."""
        with self._writing:
            self._seal()

    def _write(self, batch: _Batch) -> None:
        try:
            self._current_segment().append(b"".join(batch.lines))
            batch.failure = None
        except OSError as error:
            batch.failure = error
            self._abandon()
        finally:
            batch.is_done = True

    def _current_segment(self) -> _OpenSegment:
        now = self._clock()
        segment = self._segment
        if segment is not None and segment.is_full(now):
            self._seal()
        elif segment is not None and not is_current(segment.descriptor, segment.path):
            self._abandon()
        if self._segment is None:
            self._segment = _OpenSegment(self.folder, now)
        return self._segment

    def _seal(self) -> None:
        if self._segment is not None:
            # A segment that cannot be renamed is as good as that of a writer that died.
            with suppress(OSError):
                seal_file(self._segment.path)
            self._abandon()

    def _abandon(self) -> None:
        """Write no more to the open segment. What was acknowledged stays in it."""
        if self._segment is not None:
            os.close(self._segment.descriptor)
            self._segment = None


class _Batch:
    """Lines of several threads that are written at once. `failure` is why they were not."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.is_done = False
        self.failure: OSError | None = OSError(errno.EIO, "not written")


class _OpenSegment:
    """A new file in the folder, locked by this process. Raises OSError."""

    def __init__(self, folder: Path, now_us: int) -> None:
        make_folder(folder)
        self.began_us = now_us
        self.size = 0
        while True:
            self.path = folder / f"{now_us:016}-{os.urandom(4).hex()}{OPEN}"
            self.descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX)
                # A reader may have taken it for that of a writer that died, before it was locked.
                if is_current(self.descriptor, self.path):
                    sync_folder(folder)
                    return
            except BaseException:
                os.close(self.descriptor)
                raise
            os.close(self.descriptor)

    def is_full(self, now_us: int) -> bool:
        """Whether it is time for a new segment; also if the clock was set back."""
        return self.size >= MAX_SEGMENT_BYTES or not 0 <= now_us - self.began_us < MAX_SEGMENT_US

    def append(self, data: bytes) -> None:
        """Append whole lines, and wait until they are on the disk. Raises OSError; the lines of earlier calls stay."""
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self.descriptor, rest) :]
            _sync(self.descriptor)
        except OSError:
            # Gives room back when the disk is full. If that fails, the reader skips the line that is cut.
            with suppress(OSError):
                os.ftruncate(self.descriptor, self.size)
            raise
        self.size += len(data)


class Segment:
    """A sealed segment that this process alone reads.

    After `signals` was read, `cut` counts lines without an end, which were never acknowledged, and `damaged` counts
    lines that are no signals.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path: Final = path
        self.size: Final = os.fstat(descriptor).st_size
        self.cut = self.damaged = 0
        self._descriptor = descriptor

    def signals(self) -> Iterator[Signal]:
        """The signals of all whole lines, from the start. Raises OSError."""
        self.cut = self.damaged = 0
        with open(self._descriptor, "rb", closefd=False) as file:
            file.seek(0)
            for line in file:
                if not line.endswith(b"\n"):
                    self.cut += 1
                    continue
                try:
                    signal = decode(line)
                except ValueError:  # msgspec's DecodeError is one, and text that is no UTF-8
                    self.damaged += 1
                    continue
                yield signal

    def delete(self) -> None:
        """Remove the file: everything in it is stored."""
        self.path.unlink(missing_ok=True)


@contextmanager
def claimed(path: Path) -> Iterator[Segment | None]:
    """A sealed segment for this process alone; None if another process reads it, or has stored it. Raises OSError."""
    with locked_if_free(path) as descriptor:
        yield None if descriptor is None else Segment(path, descriptor)
