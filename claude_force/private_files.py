"""Folders and files that only their owner can read. What exists already keeps the permissions that it has."""

from __future__ import annotations

import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Create a folder and those missing above it, each 0700 whatever the umask. Raises OSError."""
    missing = [folder, *folder.parents]
    for path in reversed(missing[: next((place for place, path in enumerate(missing) if path.is_dir()), None)]):
        path.mkdir(mode=0o700, exist_ok=True)


def open_append(path: Path) -> int:
    """A descriptor to append to a file, created 0600 together with its folder. Raises OSError."""
    make_folder(path.parent)
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
