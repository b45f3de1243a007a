"""Which processes have a file open, as far as this user may see."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_PROCESSES = Path("/proc")


def processes_with_file_open(path: Path) -> list[str]:
    """The other processes that have a file open: "pid 4711 (python3)". Those of other users are not seen; without
    /proc (macOS) the list is empty."""
    try:
        file = path.stat()
    except OSError:
        return []
    return [
        f"pid {process.name} ({_name_of(process)})"
        for process in sorted(_PROCESSES.glob("[0-9]*"), key=lambda folder: int(folder.name))
        if process.name != str(os.getpid()) and _has_open(process, file)
    ]


def _has_open(process: Path, file: os.stat_result) -> bool:
    with suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                if os.path.samestat(descriptor.stat(), file):
                    return True
    return False


def _name_of(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return "ended"
