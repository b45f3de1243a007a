"""Folders and files that only their owner can read, atomic replacement, and locks. Existing permissions are kept."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, each 0700 whatever the umask. Raises OSError.

    If a metrics folder (`.claude/metrics`) is among them, git ignores all that is in it."""
    missing = [folder, *folder.parents]
    for path in reversed(missing[: next((index for index, path in enumerate(missing) if path.is_dir()), None)]):
        path.mkdir(mode=0o700, exist_ok=True)
    for path in missing:
        if path.name == "metrics" and path.parent.name == ".claude":
            hide_from_git(path)


def hide_from_git(folder: Path) -> None:
    """Make git ignore a folder with all that is in it. An own `.gitignore` of it stays, and a folder that cannot be
    written stays as it is."""
    with (
        suppress(OSError),
        open(os.open(folder / ".gitignore", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file,
    ):
        file.write("*\n")


def free_name(path: Path) -> Path:
    """The first of `path`, `path.2`, `path.3` and so on that does not exist."""
    found, number = path, 1
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.name}.{number}")
    return found


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(target: Path, new_mode: int) -> Iterator[int]:
    """A descriptor for the new content of `target`, which is replaced in one step when the block ends, or not at all.

    An existing file keeps its permissions; a new one gets `new_mode`. Symlinks are followed. Raises OSError, also for a
    pipe or a device.
    """
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


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """A new folder for the content of `target`, whose place it takes when the block ends, or never.

    What was there is removed after that. Symlinks are followed. Raises OSError.
    """
    # Imported here: most commands replace no folder.
    import shutil

    target = target.resolve()
    name = f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}"
    made, old = target.with_name(f"{name}.tmp"), target.with_name(f"{name}.old")
    made.mkdir()
    try:
        yield made
        if target.is_dir():
            target.rename(old)
        made.rename(target)
        sync_folder(target.parent)
    finally:
        # Whatever came between the two names, a full disk or an interrupt: one of the folders has the name.
        if old.is_dir() and not target.exists():
            old.rename(target)
        for rest in (made, old):
            shutil.rmtree(rest, ignore_errors=True)


def _mode_of(target: Path, new_mode: int) -> int:
    """The permissions of a file, or `new_mode` if it does not exist."""
    try:
        found = os.stat(target).st_mode
    except FileNotFoundError:
        return new_mode
    if not stat.S_ISREG(found) and not stat.S_ISDIR(found):
        raise OSError(errno.EINVAL, "it is a pipe or a device, which a file cannot replace")
    return found & 0o777


def open_append(path: Path) -> int:
    """A descriptor to append to a file. A missing file is created 0600, with its folder. Raises OSError."""
    make_folder(path.parent)
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)


@contextmanager
def exclusive_lock(descriptor: int, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of an open file or folder for the block, and close the descriptor at its end.

    Yields whether the lock is held: False if `wait` is False and another process holds it. The system releases the lock
    if the process ends. Raises OSError.
    """
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_held = True
        except BlockingIOError:
            is_held = False
        yield is_held
    finally:
        os.close(descriptor)
