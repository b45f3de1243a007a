"""Archives: old executions leave the database for files, month by month of UTC, and no total of any report changes.

The order is what keeps them: everything of a month is written to a temporary file, synced, read again from the disk
and compared with what was written; then the file takes its name; then those executions are deleted, in bounded
transactions, that the file was found to hold exactly as they are stored. Killed at any point, every execution is in the
database, or in the file and known to be archived; the next run goes on.

An archive is a file of the JSONL bridge, packed: `claude-force import` brings it back. The same executions give the
same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple
from zlib import error as ZlibError  # noqa: N812  (the name of a class)

from claude_force.clock import HOUR_US, instant_formatter
from claude_force.database import queries as query
from claude_force.database.contract import Database, Progress
from claude_force.database.queries import Filter, MonthToArchive
from claude_force.database.writes import Store
from claude_force.errors import ArchiveDamaged, ArchiveError, InvalidRecord
from claude_force.executions.jsonl.codec import decode_line, encode_row
from claude_force.executions.jsonl.fast_decoder import FastDecoder
from claude_force.executions.jsonl.lines import READ_ERRORS, read_chunks
from claude_force.executions.record import ExecutionMetrics, ExecutionRow, column, identity_text, to_row
from claude_force.files import exclusive_lock, make_folder
from claude_force.settings.location import without_password
from claude_force.windows import Window

AT_ONCE = 5000
"""Executions that are deleted in one transaction: who records meanwhile waits for no more than these."""

SUFFIX = ".jsonl.gz"
_PACKED = 6
"""How hard gzip tries. The hardest saves 5 % more, in twice the time."""

_LINES_AT_ONCE = 1000
_BLOCK_BYTES = 1024 * 1024
_TEMPORARY = re.compile(r"\.\d{4}-\d\d\.jsonl\.gz\.tmp")
_INSTANT = column("timestamp_us")
_place_of = itemgetter(0, 1)


class MonthArchive(NamedTuple):
    """What is to be archived, or was, of a month: its name, how many executions, and the file. `size` is that of the
    file in bytes, None where there is none yet."""

    month: str
    executions: int
    file: Path
    size: int | None

    def to_dict(self) -> dict[str, Any]:
        """The month for JSON."""
        return {"month": self.month, "executions": self.executions, "file": str(self.file), "bytes": self.size}


@dataclass(slots=True)
class ArchiveReport:
    """What became of the executions before an instant, the oldest month first. `problems` say, a line each, of which
    months nothing was deleted, and why."""

    until_us: int
    months: list[MonthArchive] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def executions(self) -> int:
        """How many of all months."""
        return sum(month.executions for month in self.months)


class _Written(NamedTuple):
    """What a file is to hold: how many bytes of lines, and their digest."""

    size: int
    digest: bytes


Item = tuple[int, bytes, bytes]
"""Instant, uid and line of an execution; archives are in the order of these."""


def archive_folder(location: str, metrics_folder: Path) -> Path:
    """Where the archives of the database at `location` are: beside the file, for a server in the metrics folder. Each
    database has a folder of its own, whatever its password is, so that they never mix."""
    if os.path.isabs(location):  # noqa: PTH117  (a location may be no path at all)
        path = Path(location)
        return path.parent / ("archive" if path.name == "metrics.db" else f"{path.name}.archive")
    shown = without_password(location)
    digest = hashlib.blake2b(shown.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return metrics_folder / f"archive-{digest}"


def limit_of(now_us: int, older_than_us: int) -> int:
    """The instant before which executions are older than an age: a full hour, so that no hour is divided."""
    return max(now_us - older_than_us, 0) // HOUR_US * HOUR_US


def preview(database: Database, folder: Path, now_us: int, older_than_us: int) -> ArchiveReport:
    """What archiving would move. Changes nothing."""
    report = ArchiveReport(limit_of(now_us, older_than_us))
    for month in _months(database, report.until_us):
        file = folder / f"{month.name}{SUFFIX}"
        report.months.append(MonthArchive(month.name, month.executions, file, _size_of(file)))
    return report


def _months(database: Database, until_us: int) -> list[MonthToArchive]:
    with database.read() as connection:
        return list(query.months_before(connection, until_us))


def archive_once(
    database: Database, folder: Path, now_us: int, older_than_us: int, progress: Progress | None = None
) -> ArchiveReport:
    """Archive the executions that are older than an age; what was archived.

    A month whose archive is damaged is left as it is, and told in the report. Raises ArchiveError where another run is
    at work in the folder or a file cannot be written, and DatabaseError; doing it again is safe.
    """
    report = ArchiveReport(limit_of(now_us, older_than_us))
    if not _months(database, report.until_us):
        return report
    with _alone_in(folder):
        for leftover in folder.iterdir():
            if _TEMPORARY.fullmatch(leftover.name):
                leftover.unlink()
        # Looked at again: another run may have been faster.
        for month in _months(database, report.until_us):
            file = folder / f"{month.name}{SUFFIX}"
            try:
                if _write_month(database, file, month.window, progress):
                    moved = _delete_month(database, file, month.window, now_us, progress)
                    report.months.append(MonthArchive(month.name, moved, file, _size_of(file)))
            except ArchiveDamaged as error:
                report.problems.append(str(error))
    return report


def _delete_month(database: Database, file: Path, window: Window, now_us: int, progress: Progress | None) -> int:
    """Delete what is stored of a window exactly as the file has it; how many executions."""
    store, deleted = Store(database), 0
    for rows in _batches(read_archive(file), AT_ONCE):
        # Most of a large archive may be from an earlier run, and nobody need wait while that is found out.
        with database.read() as connection:
            stored = query.stored_uids(connection, database, [row[0] for row in rows], window)
        found = store.archive([row for row in rows if row[0] in stored], now_us)
        deleted += found
        if progress is not None:
            progress(found)
    return deleted


def _size_of(file: Path) -> int | None:
    return file.stat().st_size if file.exists() else None


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """A lock on the folder, which is made where it is missing. Raises ArchiveError where another has it."""
    try:
        make_folder(folder)
        _sync_folder(folder.parent)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ArchiveError(f"{folder} cannot be made or opened: {error.strerror}; nothing was archived") from error
    with exclusive_lock(descriptor, wait=False) as is_held:
        if not is_held:
            raise ArchiveError(f"another run is archiving into {folder}; nothing was done, wait for it to end")
        yield


def _write_month(database: Database, file: Path, window: Window, progress: Progress | None) -> bool:
    """Let the file hold what it held and everything that is stored of a window, and make sure of it. False where that
    is nothing, since others have deleted it; then there is no file."""
    temporary = file.with_name(f".{file.name}.tmp")
    items = merge(_stored(database, window, progress), _kept(database, file, window), key=_place_of)
    try:
        written = _write(temporary, items)
        if not written.size:
            return False
        _verify(temporary, written)
        os.replace(temporary, file)
        _sync_folder(file.parent)
        return True
    except OSError as error:
        raise ArchiveError(f"{file} cannot be written: {error.strerror}; nothing of it was deleted") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _stored(database: Database, window: Window, progress: Progress | None) -> Iterator[Item]:
    format_time = instant_formatter(UTC)
    for rows in _batches(query.iterate_rows(database, Filter(window)), query.PAGE):
        for row in rows:
            yield row[_INSTANT], row[0], encode_row(row, format_time)
        if progress is not None:
            progress(len(rows))


def _kept(database: Database, file: Path, window: Window) -> Iterator[Item]:
    """What the file holds already, but for what is stored: that is newer."""
    if not file.exists():
        return
    format_time = instant_formatter(UTC)
    for rows in _batches(read_archive(file), query.PAGE):
        with database.read() as connection:
            stored = query.stored_uids(connection, database, [row[0] for row in rows], window)
        for row in rows:
            if row[0] not in stored:
                yield row[_INSTANT], row[0], encode_row(row, format_time)


def _write(path: Path, items: Iterable[Item]) -> _Written:
    """Write lines, each place once, and sync them. Without a name or a time in it, so that the same lines are the same
    file."""
    digest, size = hashlib.blake2b(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        open(descriptor, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_PACKED, fileobj=raw, mtime=0) as packed,
    ):
        # One that was brought back while the archive was read is in both; what is stored comes first.
        rest = (next(same)[2] for _, same in groupby(items, _place_of))
        while lines := b"".join(islice(rest, _LINES_AT_ONCE)):
            digest.update(lines)
            size += packed.write(lines)
        packed.close()
        raw.flush()
        os.fsync(descriptor)
        _drop_from_memory(descriptor)
    return _Written(size, digest.digest())


def _drop_from_memory(descriptor: int) -> None:
    """So that what is read again comes from the disk, where the system can be told so."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _verify(path: Path, written: _Written) -> None:
    """Raise ArchiveError unless the file gives back what was written."""
    digest, size = hashlib.blake2b(), 0
    try:
        with gzip.open(path) as packed:
            while block := packed.read(_BLOCK_BYTES):
                digest.update(block)
                size += len(block)
    except (EOFError, ZlibError, gzip.BadGzipFile) as error:
        raise ArchiveError(f"{path} cannot be read again ({error}); nothing of it was deleted") from error
    if written != _Written(size, digest.digest()):
        raise ArchiveError(f"{path} does not give back what was written; check the disk, nothing of it was deleted")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_archive(file: Path) -> Iterator[ExecutionRow]:
    """The executions of an archive in their order, in constant memory. Raises ArchiveDamaged for anything that no
    archive holds: a file that is not whole, a line that is no execution with a uid, another order."""
    quickly = FastDecoder(UTC, None, lambda _: 0, reprice=False).read
    number, before = 0, (-1, b"")
    try:
        with gzip.open(file) as packed:
            for chunk in read_chunks(packed, query.PAGE):
                for data in chunk.raw:
                    number += 1
                    row = quickly(data) or _slowly(data)
                    if (row[_INSTANT], row[0]) <= before or identity_text(row[0]).encode() not in data:
                        raise InvalidRecord("", "not an execution of its own, or not in order")
                    before = row[_INSTANT], row[0]
                    yield row
        if not number:
            raise InvalidRecord("", "empty")
    except InvalidRecord as error:
        raise _damaged(file, f"line {number:,}: {error}" if number else str(error)) from error
    except READ_ERRORS as error:
        raise _damaged(file, str(error)) from error


def _slowly(data: bytes) -> ExecutionRow:
    """The row of a line that is not usual. Raises InvalidRecord, also where it holds more than an execution has."""
    draft = decode_line(data, UTC)
    if draft.extras or "uid" not in draft.fields:
        raise InvalidRecord("", "not as claude-force writes it")
    return to_row(ExecutionMetrics(**draft.fields))


def _damaged(file: Path, reason: str) -> ArchiveDamaged:
    return ArchiveDamaged(
        f"{file} is not an archive that can be added to ({reason}); nothing of its month was deleted: move it away, "
        "or put back a copy"
    )


def _batches(rows: Iterable[ExecutionRow], size: int) -> Iterator[list[ExecutionRow]]:
    rest = iter(rows)
    while found := list(islice(rest, size)):
        yield found
