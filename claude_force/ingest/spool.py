"""The spool: JSONL files that keep executions while the database is not available.

`append` and `drain` lock the file itself. Once `append` has the lock, it checks that the file still has its name, so no
record goes into a file that `drain` has deleted. Draining adds records, which is idempotent: if the process is killed
after the commit and before the file is deleted, the next drain adds nothing twice.
"""

from __future__ import annotations

import errno
import hashlib
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
from claude_force.settings.home import user_folder
from claude_force.settings.location import without_password


def spool_files(location: str, metrics_folder: Path) -> tuple[Path, Path]:
    """The spool files of the database at `location`, best first: beside the database file (for a server: in the metrics
    folder), then in the user's state folder (XDG_STATE_HOME). Each database has its own; its password does not matter.
    """
    database = without_password(location)
    digest = hashlib.blake2b(database.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    name = f"spool-{digest}.jsonl"
    is_file = os.path.isabs(location)  # noqa: PTH117  (a location may be no path)
    beside = Path(f"{location}.spool.jsonl") if is_file else metrics_folder / name
    state = os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state else user_folder() / ".local" / "state"
    return beside, base / "claude-force" / name


def unsettled_file(metrics_folder: Path) -> Path:
    """The spool file for records whose database is not known, because `claude.json` cannot be read."""
    return metrics_folder / "spool-unsettled.jsonl"


def append(record: ExecutionMetrics, files: Iterable[Path]) -> Path:
    """Append a record to the first file that can be written, and return that file. Raises the OSError of the last file
    if none can."""
    failure = OSError("there is no spool file")
    line = encode_line(record, UTC)
    for path in files:
        try:
            with _locked(path, open_append) as descriptor:
                _write_whole(descriptor, line)
            return path
        except OSError as error:
            failure = error
        except ValueError:
            failure = OSError(f"there can be no file {str(path)!a}")
    raise failure


def _write_whole(descriptor: int, line: bytes) -> None:
    """Append the whole line or nothing: if the disk is full, the part that was written is removed again. If a crash
    left half a line at the end, the line starts on a new one."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line
    try:
        written = os.write(descriptor, line)
        if written != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def drain(files: Iterable[Path], target: Target, rejects: RejectLog, now_us: int) -> SourceReport:
    """Move all records to the target. Raises DatabaseError or InputError; the records that were not stored stay in
    their file."""
    # Every recorded execution comes here, and there is nearly always nothing to read: do not load the reader for that.
    existing = [path for path in files if path.exists()]
    loader = Loader(target, rejects)
    if not existing:
        return loader.report
    from claude_force.ingest.jsonl_source import JsonlSource

    for path in existing:
        try:
            with _locked(path, _open_existing) as descriptor, open(os.dup(descriptor), "rb") as stream:
                source = JsonlSource(UTC)
                loader.load(str(path), source.read(stream), now_us)
                if not source.is_broken_off:
                    path.unlink()
        except FileNotFoundError:
            continue
    return loader.report


def _open_existing(path: Path) -> int:
    return os.open(path, os.O_RDWR)


@contextmanager
def _locked(path: Path, open_file: Callable[[Path], int]) -> Iterator[int]:
    """Open and lock the file that has this name once the lock is held."""
    while True:
        descriptor = open_file(path)
        with exclusive_lock(descriptor):
            if _is_current(descriptor, path):
                yield descriptor
                return


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
