"""The spool: JSONL files that keep executions while the database is not available.

`append` and `drain` lock the file itself. Once `append` has the lock, it checks that the file still has its name, so no
record goes into a file that `drain` has deleted. Draining adds records, which is idempotent: if the process is killed
after the commit and before the file is deleted, the next drain adds nothing twice.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path

from claude_force.executions.jsonl.codec import encode_line
from claude_force.executions.record import ExecutionMetrics
from claude_force.files import exclusive_lock, open_append
from claude_force.ingest.loader import Loader
from claude_force.ingest.rejects import RejectLog
from claude_force.ingest.report import SourceReport
from claude_force.ingest.target import Target


def append(records: Iterable[ExecutionMetrics], files: Iterable[Path]) -> Path:
    """Append records to the first file that can be written, and return that file. Raises the OSError of the last file
    if none can; then none has any of them."""
    failure = OSError("there is no spool file")
    lines = b"".join(encode_line(record, UTC) for record in records)
    for path in files:
        try:
            with _locked(path, open_append) as descriptor:
                _write_whole(descriptor, lines)
            return path
        except OSError as error:
            failure = error
        except ValueError:
            failure = OSError(f"there can be no file {str(path)!a}")
    raise failure


def _write_whole(descriptor: int, lines: bytes) -> None:
    """Append all lines or nothing: if the disk is full, the part that was written is removed again. If a crash left
    half a line at the end, they start on a new one."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        lines = b"\n" + lines
    try:
        written = os.write(descriptor, lines)
        if written != len(lines):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def drain(
    files: Iterable[Path], target: Target, rejects: RejectLog, now_us: int, *, waits: bool = True
) -> SourceReport:
    """Move all records to the target. Unless it `waits`, a file that another process reads or writes is left to it, and
    is a problem of the report. Raises DatabaseError or InputError; the records that were not stored stay in their
    file."""
    # Every recorded execution comes here, and there is nearly always nothing to read: do not load the reader for that.
    existing = [path for path in files if path.exists()]
    loader = Loader(target, rejects)
    if not existing:
        return loader.report
    from claude_force.ingest.jsonl_source import JsonlSource

    for path in existing:
        try:
            with _locked(path, _open_existing, waits=waits) as descriptor, open(os.dup(descriptor), "rb") as stream:
                source = JsonlSource(UTC)
                loader.load(str(path), source.read(stream), now_us)
                if not source.is_broken_off:
                    path.unlink()
        except FileNotFoundError:
            continue
        except BlockingIOError:
            loader.report.add_problem(path, "another process uses it")
    return loader.report


def _open_existing(path: Path) -> int:
    return os.open(path, os.O_RDWR)


@contextmanager
def _locked(path: Path, open_file: Callable[[Path], int], *, waits: bool = True) -> Iterator[int]:
    """Open and lock the file that has this name once the lock is held. Raises BlockingIOError if another process holds
    it, unless this one `waits`."""
    while True:
        descriptor = open_file(path)
        with exclusive_lock(descriptor, wait=waits) as is_held:
            if not is_held:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            if _is_current(descriptor, path):
                yield descriptor
                return


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
