"""Files in folders of any depth. Links are followed, nothing is found twice, what cannot be looked into is said."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from claude_force.ingest.tail import FoundFile, found_file

Say = Callable[[Path, str], None]
"""Told, with the path, why something could not be looked into."""

Identity = tuple[int, int]
"""Device and inode."""


def find_files(folders: Iterable[Path], is_wanted: Callable[[str], bool], say: Say) -> list[FoundFile]:
    """The files with a name that is wanted, in some folders; a file that is named itself is wanted."""
    seen: set[Identity] = set()
    found: list[FoundFile] = []
    waiting: list[tuple[Path, tuple[Identity, ...]]] = [(folder, ()) for folder in reversed(list(folders))]
    while waiting:
        path, above = waiting.pop()
        try:
            waiting += reversed(_look_into(path, above, is_wanted, seen, found, say))
        except OSError as error:
            say(path, error.strerror or str(error))
    return found


def _look_into(
    path: Path,
    above: tuple[Identity, ...],
    is_wanted: Callable[[str], bool],
    seen: set[Identity],
    found: list[FoundFile],
    say: Say,
) -> list[tuple[Path, tuple[Identity, ...]]]:
    """Take a file, or say what there is to look into in a folder; `above` are the folders that it was found in."""
    status = path.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        say(path, "a link to a folder that it is in (a loop); not followed")
    if identity in seen:
        return []
    seen.add(identity)
    if not stat.S_ISDIR(status.st_mode):
        found.append(found_file(path, status))
        return []
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in entries if _is_folder(entry) or is_wanted(entry.name))
    return [(path / name, (*above, identity)) for name in names]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # Whoever looks into it says what is wrong.
        return True
