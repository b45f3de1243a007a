"""Archives: old executions move from the database to files, one for each month (UTC). No total of any report changes.

The order of the steps makes this safe:

1. Write the whole month to a temporary file and sync it.
2. Read it again from the disk, and compare it with what was written.
3. Rename the file to its name.
4. Read the file, and delete the executions that are stored exactly as it has them, in bounded transactions.

If it is killed at any point, every execution is in the database, or in the file and listed as archived; the next run
continues. An archive is gzipped JSONL that `claude-force import` reads. The same executions give the same bytes.
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

from claude_force.clock import HOUR_US, instant_formatter, month_of
from claude_force.database import queries
from claude_force.database.contract import Database, Progress
from claude_force.database.queries import Filter, MonthToArchive
from claude_force.database.writes import Store
from claude_force.errors import ArchiveDamaged, ArchiveError, InvalidRecord
from claude_force.executions.jsonl.codec import decode_line, encode_row
from claude_force.executions.jsonl.lines import READ_ERRORS, read_chunks
from claude_force.executions.jsonl.usual_lines import UsualLines
from claude_force.executions.record import ExecutionMetrics, ExecutionRow, column, identity_text, to_row
from claude_force.files import exclusive_lock, make_folder, sync_folder
from claude_force.settings.location import names_of_server
from claude_force.time_windows import Window

AT_ONCE = 5000
"""Executions deleted in one transaction. A recorder waits for one such transaction at most."""

SUFFIX = ".jsonl.gz"
_PACKED = 6
"""gzip's compression level. The highest saves 5 % more, in twice the time."""

_LINES_AT_ONCE = 1000
_BLOCK_BYTES = 1024 * 1024
_ARCHIVE = re.compile(r"\d{4}-\d\d\.jsonl\.gz")
_TEMPORARY = re.compile(r"\.\d{4}-\d\d\.jsonl\.gz\.tmp")
_INSTANT = column("timestamp_us")
_order_of = itemgetter(0, 1)


class MonthArchive(NamedTuple):
    """A month that was archived or, in a preview, would be. `size` is the size of the file in bytes, None if it does
    not exist yet."""

    month: str
    executions: int
    file: Path
    size: int | None

    def to_dict(self) -> dict[str, Any]:
        """The month for JSON."""
        return {"month": self.month, "executions": self.executions, "file": str(self.file), "bytes": self.size}


@dataclass(slots=True)
class ArchiveReport:
    """The result of archiving the executions before an instant, oldest month first. `problems` has a line for each
    month of which nothing was deleted."""

    until_us: int
    months: list[MonthArchive] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def executions(self) -> int:
        """The number of executions of all months."""
        return sum(month.executions for month in self.months)


class _Written(NamedTuple):
    """The content of a file: the size of its lines in bytes, and their digest."""

    size: int
    digest: bytes


Item = tuple[int, bytes, bytes]
"""Instant, uid and line of an execution. Archives are sorted by these."""


def archive_folder(location: str, metrics_folder: Path) -> Path:
    """The folder of the archives of a database: beside a SQLite file, for a server in the metrics folder. Each database
    has its own folder; its password does not matter, nor where that comes from."""
    if os.path.isabs(location):  # noqa: PTH117  (a location may be a URL)
        path = Path(location)
        return path.parent / ("archive" if path.name == "metrics.db" else f"{path.name}.archive")
    digests = [
        hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
        for name in names_of_server(location)
    ]
    folders = [metrics_folder / f"archive-{digest}" for digest in digests]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def archive_files(folder: Path) -> dict[str, Path]:
    """The archives of a folder by month, oldest first. Empty if there is no such folder."""
    files = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
    return {file.name.removesuffix(SUFFIX): file for file in files if _ARCHIVE.fullmatch(file.name)}


def limit_of(now_us: int, older_than_us: int) -> int:
    """The instant before which executions are older than an age, rounded down to an hour, so that no hour is
    divided."""
    return max(now_us - older_than_us, 0) // HOUR_US * HOUR_US


def preview(database: Database, folder: Path, now_us: int, older_than_us: int) -> ArchiveReport:
    """What `archive_once` would archive. Changes nothing."""
    report = ArchiveReport(limit_of(now_us, older_than_us))
    for month in _months(database, report.until_us):
        file = folder / f"{month.name}{SUFFIX}"
        report.months.append(MonthArchive(month.name, month.executions, file, _size_of(file)))
    return report


def _months(database: Database, until_us: int) -> list[MonthToArchive]:
    with database.read() as connection:
        return list(queries.months_before(connection, until_us))


def archive_once(
    database: Database, folder: Path, now_us: int, older_than_us: int, progress: Progress | None = None
) -> ArchiveReport:
    """Archive the executions that are older than an age.

    A month whose archive is damaged stays as it is and becomes a problem in the report. Raises ArchiveError if another
    run is archiving into the folder or a file cannot be written, and DatabaseError. Repeating it is safe.
    """
    report = ArchiveReport(limit_of(now_us, older_than_us))
    if not _months(database, report.until_us):
        return report
    with _alone_in(folder):
        for leftover in folder.iterdir():
            if _TEMPORARY.fullmatch(leftover.name):
                leftover.unlink()
        # Asked again under the lock: another run may have archived them.
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
    """Delete the executions of a window that are stored exactly as the file has them; returns how many."""
    store, deleted = Store(database), 0
    for rows in _batches(read_archive(file), AT_ONCE):
        # Most of a large archive may be from an earlier run: a read finds that out without locking others out.
        with database.read() as connection:
            stored = queries.stored_uids(connection, [row[0] for row in rows], window)
        count = store.archive([row for row in rows if row[0] in stored], now_us)
        deleted += count
        if progress is not None:
            progress(count)
    return deleted


def _size_of(file: Path) -> int | None:
    return file.stat().st_size if file.exists() else None


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Create the folder if necessary, and hold its lock. Raises ArchiveError if another process holds it."""
    try:
        make_folder(folder)
        sync_folder(folder.parent)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ArchiveError(f"{folder} cannot be created or opened: {error.strerror}; nothing was archived") from error
    with exclusive_lock(descriptor, wait=False) as is_held:
        if not is_held:
            raise ArchiveError(f"another run is archiving into {folder}; nothing was done: wait until it has ended")
        yield


def add_to_archive(database: Database, folder: Path, at_us: int, rows: Iterable[ExecutionRow]) -> None:
    """Add executions, sorted by time and uid, of the month of an instant to the archive of that month. The caller lists
    them as archived afterwards. Raises ArchiveError, ArchiveDamaged for a file that cannot be read."""
    month, start_us, end_us = month_of(at_us)
    file = folder / f"{month}{SUFFIX}"
    with _alone_in(folder):
        items = merge(_encoded(rows), _archived(database, file, Window(start_us, end_us)), key=_order_of)
        _replace(file, items)


def _encoded(rows: Iterable[ExecutionRow]) -> Iterator[Item]:
    format_time = instant_formatter(UTC)
    return ((row[_INSTANT], row[0], encode_row(row, format_time)) for row in rows)


def _write_month(database: Database, file: Path, window: Window, progress: Progress | None) -> bool:
    """Write the stored executions of a window and the present content of the file to the file, and verify it. Returns
    False, and writes no file, if there are none: another process may have deleted them."""
    items = merge(_stored(database, window, progress), _archived(database, file, window), key=_order_of)
    return _replace(file, items)


def _replace(file: Path, items: Iterable[Item]) -> bool:
    """Write a file in one step, and verify it. Returns False, and writes no file, if there are no items."""
    temporary = file.with_name(f".{file.name}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        written = _write(temporary, items)
        if not written.size:
            return False
        _verify(temporary, written)
        os.replace(temporary, file)
        sync_folder(file.parent)
        return True
    except OSError as error:
        raise ArchiveError(f"{file} cannot be written: {error.strerror}; nothing of it was deleted") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _stored(database: Database, window: Window, progress: Progress | None) -> Iterator[Item]:
    format_time = instant_formatter(UTC)
    for rows in _batches(queries.iterate_rows(database, Filter(window)), queries.PAGE):
        for row in rows:
            yield row[_INSTANT], row[0], encode_row(row, format_time)
        if progress is not None:
            progress(len(rows))


def _archived(database: Database, file: Path, window: Window) -> Iterator[Item]:
    """The executions of the file that are not stored; a stored one is newer."""
    if not file.exists():
        return
    format_time = instant_formatter(UTC)
    for rows in _batches(read_archive(file), queries.PAGE):
        with database.read() as connection:
            stored = queries.stored_uids(connection, [row[0] for row in rows], window)
        for row in rows:
            if row[0] not in stored:
                yield row[_INSTANT], row[0], encode_row(row, format_time)


def _write(path: Path, items: Iterable[Item]) -> _Written:
    """Write the lines, one for each instant and uid, and sync the file. gzip's header gets no name and no time, so that
    the same lines give the same file."""
    digest, size = hashlib.blake2b(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        open(descriptor, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_PACKED, fileobj=raw, mtime=0) as packed,
    ):
        # An execution that was restored while the archive was read is in both; the stored one comes first.
        rest = (next(same)[2] for _, same in groupby(items, _order_of))
        while lines := b"".join(islice(rest, _LINES_AT_ONCE)):
            digest.update(lines)
            size += packed.write(lines)
        packed.close()
        raw.flush()
        os.fsync(descriptor)
        _drop_from_memory(descriptor)
    return _Written(size, digest.digest())


def _drop_from_memory(descriptor: int) -> None:
    """Drop the file from the page cache, if the system can, so that it is read again from the disk."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _verify(path: Path, written: _Written) -> None:
    """Raise ArchiveError unless the file contains what was written."""
    digest, size = hashlib.blake2b(), 0
    try:
        with gzip.open(path) as packed:
            while block := packed.read(_BLOCK_BYTES):
                digest.update(block)
                size += len(block)
    except (EOFError, ZlibError, gzip.BadGzipFile) as error:
        raise ArchiveError(f"{path} cannot be read again ({error}); nothing of it was deleted") from error
    if written != _Written(size, digest.digest()):
        raise ArchiveError(f"{path} does not contain what was written; nothing of it was deleted: check the disk")


def read_archive(file: Path) -> Iterator[ExecutionRow]:
    """The executions of an archive in their order, in constant memory. Raises ArchiveDamaged for a file that is not
    complete, a line that is no execution with a uid, or lines out of order."""
    usual = UsualLines(UTC, None, lambda identities: [0] * len(identities), reprice=False)
    number, before = 0, (-1, b"")
    try:
        with gzip.open(file) as packed:
            for chunk in read_chunks(packed, queries.PAGE):
                for data, found in zip(chunk.raw, usual.read(chunk.raw).by_line(len(chunk.raw)), strict=True):
                    number += 1
                    row = found or _decode(data)
                    if (row[_INSTANT], row[0]) <= before or identity_text(row[0]).encode() not in data:
                        raise InvalidRecord("", "an execution without its own uid, or out of order")
                    before = row[_INSTANT], row[0]
                    yield row
        if not number:
            raise InvalidRecord("", "empty")
    except InvalidRecord as error:
        raise _damaged(file, f"line {number:,}: {error}" if number else str(error)) from error
    except READ_ERRORS as error:
        raise _damaged(file, str(error)) from error


def _decode(data: bytes) -> ExecutionRow:
    """The row of an unusual line. Raises InvalidRecord, also for a line with further fields."""
    draft = decode_line(data, UTC)
    if draft.extras or "uid" not in draft.fields:
        raise InvalidRecord("", "not as claude-force writes it")
    return to_row(ExecutionMetrics(**draft.fields))


def _damaged(file: Path, reason: str) -> ArchiveDamaged:
    return ArchiveDamaged(
        f"{file} cannot be used as an archive ({reason}); nothing of its month was deleted: move it away, "
        "or put back a copy"
    )


def _batches(rows: Iterable[ExecutionRow], size: int) -> Iterator[list[ExecutionRow]]:
    rest = iter(rows)
    while batch := list(islice(rest, size)):
        yield batch
