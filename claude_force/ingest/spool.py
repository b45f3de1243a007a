"""Where a record waits when the database cannot take it: a JSONL file beside the database, or in the state folder.

Writer and drainer hold a lock on the file itself, and a writer looks again at which file has the name once it holds the
lock. So a drained file is removed with nobody's record in it. Draining is adding, which is idempotent: killed between
the commit and the removal, it is done again without harm.
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
from claude_force.ingest.loader import ImportReport, RejectLog, Target, load
from claude_force.settings.home import user_folder
from claude_force.settings.location import without_password


def spool_files(location: str, metrics_folder: Path) -> tuple[Path, Path]:
    """Where records for the database at `location` may wait: beside the file (for a server in the metrics folder), else
    in the user's state folder (XDG_STATE_HOME). Each database has files of its own, whatever its password is."""
    shown = without_password(location)
    digest = hashlib.blake2b(shown.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    name = f"spool-{digest}.jsonl"
    is_file = os.path.isabs(location)  # noqa: PTH117  (a location may be no path at all)
    beside = Path(f"{location}.spool.jsonl") if is_file else metrics_folder / name
    state = os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state else user_folder() / ".local" / "state"
    return beside, base / "claude-force" / name


def unsettled_file(metrics_folder: Path) -> Path:
    """Where records wait while `claude.json` cannot be read, so that nobody knows which database they are for."""
    return metrics_folder / "spool-unsettled.jsonl"


def append(record: ExecutionMetrics, files: Iterable[Path]) -> Path:
    """Append a record to the first file that takes it, and say which. Raises OSError, of the last file, if none did."""
    failure = OSError("no spool file")
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
    """Append a line or nothing: on a disk that fills up in the middle, what was written is taken back. After a line
    that a crash cut off, ours begins on a new one."""
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


def drain(files: Iterable[Path], target: Target, rejects: RejectLog, now_us: int) -> ImportReport:
    """Move every waiting record to the target. Raises DatabaseError; then what is not stored still waits."""
    # A tracker looks for what waits, which is nearly always nothing, and does not load what reads it.
    waiting = [path for path in files if path.exists()]
    if not waiting:
        return ImportReport()
    from claude_force.ingest.jsonl_source import JsonlSource

    report = ImportReport()
    for path in waiting:
        try:
            with _locked(path, _open_existing) as descriptor, open(os.dup(descriptor), "rb") as stream:
                source = JsonlSource(UTC)
                report += load(source.read(stream), target, source=str(path), rejects=rejects, now_us=now_us)
                if not source.is_broken_off:
                    path.unlink()
        except FileNotFoundError:
            continue
    return report


def _open_existing(path: Path) -> int:
    return os.open(path, os.O_RDWR)


@contextmanager
def _locked(path: Path, opening: Callable[[Path], int]) -> Iterator[int]:
    """The file of this name, open and locked."""
    while True:
        descriptor = opening(path)
        with exclusive_lock(descriptor):
            if _is_current(descriptor, path):
                yield descriptor
                return


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
