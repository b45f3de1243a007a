"""Find files in folders of any depth.

Symlinks are followed, no file is found twice, and a folder that cannot be read is reported.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

OnProblem = Callable[[Path, str], None]
"""Called with a path and the reason why it could not be read."""

IsWanted = Callable[[Path, str], bool]
"""Called with a folder and the name of something in it."""

INODE_MASK = (1 << 63) - 1
"""Both databases store signed 64-bit integers; inodes and devices are unsigned."""

_Identity = tuple[int, int]
"""Device and inode."""


class FoundFile(NamedTuple):
    """A file as it was when it was found. `location` is its path as the operating system has it, `name` its path as
    text (see `path_text`)."""

    location: str
    name: str
    device: int
    inode: int
    size: int
    mtime_ns: int

    @property
    def path(self) -> Path:
        """Where it is. Made when it is asked for: most files that are found have nothing new, and are not opened."""
        return Path(self.location)


def found_file(path: Path | str, status: os.stat_result | None = None) -> FoundFile:
    """The file at a path. Raises OSError, also for anything but a regular file: reading a pipe would never end."""
    status = status or os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    return FoundFile(
        os.fspath(path),
        path_text(path),
        status.st_dev & INODE_MASK,
        status.st_ino & INODE_MASK,
        status.st_size,
        status.st_mtime_ns,
    )


def path_text(path: Path | str) -> str:
    """A path as text that both databases can store. Bytes that are not UTF-8 are escaped: `/caf\\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _everywhere(_folder: Path, _name: str) -> bool:
    return True


def find_files(
    folders: Iterable[Path], is_wanted: IsWanted, on_problem: OnProblem, is_entered: IsWanted = _everywhere
) -> list[FoundFile]:
    """The files below `folders` that are wanted, in the folders that are entered. A path in `folders` may also be a
    file; it is always taken."""
    seen: set[_Identity] = set()
    found: list[FoundFile] = []
    pending: list[tuple[Path, tuple[_Identity, ...]]] = [(folder, ()) for folder in reversed(list(folders))]
    while pending:
        path, parents = pending.pop()
        try:
            pending += reversed(_visit(path, parents, (is_wanted, is_entered), seen, found, on_problem))
        except OSError as error:
            on_problem(path, error.strerror or str(error))
    return found


def _visit(
    path: Path,
    parents: tuple[_Identity, ...],
    choices: tuple[IsWanted, IsWanted],
    seen: set[_Identity],
    found: list[FoundFile],
    on_problem: OnProblem,
) -> list[tuple[Path, tuple[_Identity, ...]]]:
    """Add a file to `found`, or the files in a folder and return its folders. `choices` say which files and which
    folders in it are visited, `parents` are the folders above it."""
    status = path.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in parents:
        on_problem(path, "a link to a folder that contains it (a loop); not followed")
    if identity in seen:
        return []
    seen.add(identity)
    if not stat.S_ISDIR(status.st_mode):
        found.append(found_file(path, status))
        return []
    with os.scandir(path) as entries:
        wanted = [entry for entry in entries if choices[_is_folder(entry)](path, entry.name)]
    wanted.sort(key=attrgetter("name"))
    folders: list[tuple[Path, tuple[_Identity, ...]]] = []
    for entry in wanted:
        # Status from the entry, not by a visit of its own: a report looks at thousands of files before it starts.
        known = _file_status(entry)
        if known is None:
            folders.append((path / entry.name, (*parents, identity)))
        elif (file := (known.st_dev, known.st_ino)) not in seen:
            seen.add(file)
            found.append(found_file(entry.path, known))
    return folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # Visiting it reports the problem.
        return True


def _file_status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """The status of a regular file; None for what is to be visited: a folder, and what cannot be read as a file."""
    try:
        status = entry.stat()
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None
