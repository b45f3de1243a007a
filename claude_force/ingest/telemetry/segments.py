"""The files of a spool of signals, as a reader finds them. See `spool` for what their names and locks mean.

Loads nothing that reads signals: a report asks here before each answer, and mostly finds nothing.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OPEN, SEALED = ".open", ".jsonl"


def sealed_segments(folder: Path) -> list[Path]:
    """The segments that can be read now, oldest first; those that writers left when they died are sealed for it.
    Nothing if there is no such folder. Raises OSError if it cannot be read."""
    sealed = []
    for path in _files(folder):
        if path.suffix == SEALED:
            sealed.append(path)
        elif path.suffix == OPEN and (left := _sealed_if_left(path)) is not None:
            sealed.append(left)
    return sealed


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _sealed_if_left(path: Path) -> Path | None:
    """The new name of an open segment whose writer is dead; None if the writer lives or another process was faster."""
    with locked_if_free(path) as descriptor:
        return None if descriptor is None else seal_file(path)


def seal_file(path: Path) -> Path:
    """Seal an open segment that this process holds; returns its new name. Raises OSError."""
    return path.rename(path.with_suffix(SEALED))


@contextmanager
def locked_if_free(path: Path) -> Iterator[int | None]:
    """The descriptor of a file that is locked for the block; None if another process holds it, or the name is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_mine = is_current(descriptor, path)
        except BlockingIOError:
            is_mine = False
        yield descriptor if is_mine else None
    finally:
        os.close(descriptor)


def is_current(descriptor: int, path: Path) -> bool:
    """Whether the open file has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
