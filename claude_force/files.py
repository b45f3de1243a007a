"""Folders and files that only their owner can read. What exists already keeps the permissions that it has."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Create a folder and those missing above it, each 0700 whatever the umask. Raises OSError."""
    missing = [folder, *folder.parents]
    for path in reversed(missing[: next((place for place, path in enumerate(missing) if path.is_dir()), None)]):
        path.mkdir(mode=0o700, exist_ok=True)


def free_name(path: Path) -> Path:
    """The first of `path`, `path.2`, `path.3` and so on that nothing has."""
    found, number = path, 1
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.name}.{number}")
    return found


@contextmanager
def replacing(target: Path, new_mode: int) -> Iterator[int]:
    """A descriptor to write what `target` is to hold; when the block ends the file takes its name, and never half. A
    file that exists keeps its permissions, a new one gets `new_mode`. Raises OSError, also for a pipe or a device."""
    mode = _mode_of(target, new_mode)
    target = target.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        try:
            os.fchmod(descriptor, mode)
            yield descriptor
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _mode_of(target: Path, new_mode: int) -> int:
    """The permissions of a file, those of a new one where there is none. Links are followed, and may lead nowhere."""
    try:
        found = os.stat(target).st_mode
    except FileNotFoundError:
        return new_mode
    if not stat.S_ISREG(found) and not stat.S_ISDIR(found):
        raise OSError(errno.EINVAL, "it is a pipe or a device, and no file could take its place")
    return found & 0o777


def open_append(path: Path) -> int:
    """A descriptor to append to a file, created 0600 together with its folder. Raises OSError."""
    make_folder(path.parent)
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
