"""Checks of the backups of a SQLite file."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from claude_force.clock import DAY_US, SECOND_US
from claude_force.database.workspace import Workspace
from claude_force.doctor.findings import Finding, note, ok
from claude_force.doctor.text import format_minute
from claude_force.formatting import age, quantity

MAXIMUM_AGE_US = 7 * DAY_US
_BACK_UP = "claude-force db backup"
_NAMES_SHOWN = 3


def check_backups(workspace: Workspace, now_us: int) -> Iterator[Finding]:
    """The age of the newest backup beside the database. Those of a server are not known here."""
    if "://" in workspace.location:
        yield ok("backups", "not checked: the backups of a server are its administrator's")
        return
    folder, files = _folder(workspace), _backup_files(workspace)
    if not files:
        yield note("backups", f"there is no backup in {folder}", _BACK_UP)
        return
    newest_us = files[-1].stat().st_mtime_ns // 1000
    age_us = now_us - newest_us
    newest = f"the newest from {format_minute(newest_us)}, {age(age_us // SECOND_US)}"
    text = f"{quantity(len(files), 'backup')} in {folder}, {newest}"
    if age_us > MAXIMUM_AGE_US:
        remedy = f"{_BACK_UP}, or every day: claude-force scheduler start --detach"
        yield note("backups", text, remedy)
    else:
        yield ok("backups", text)


def newest_backup_us(workspace: Workspace) -> int | None:
    """When the newest backup beside the database was made; None if there is none, or the database is on a server."""
    files = [] if "://" in workspace.location else _backup_files(workspace)
    return files[-1].stat().st_mtime_ns // 1000 if files else None


def restore_command(workspace: Workspace) -> str | None:
    """The command that restores the newest backup; None if there is no backup."""
    files = [] if "://" in workspace.location else _backup_files(workspace)
    return f"claude-force db restore {shlex.quote(str(files[-1]))}" if files else None


def check_left_behind(path: Path) -> Iterator[Finding]:
    """Files that a restore or an upgrade kept beside the database. They take up space until someone removes them."""
    files = sorted(path.parent.glob(f"{path.name}.replaced-*")) + sorted(path.parent.glob(f"{path.name}-*.left-*"))
    if files:
        names = ", ".join(file.name for file in files[:_NAMES_SHOWN])
        more = " ..." if len(files) > _NAMES_SHOWN else ""
        text = f"a restore kept these files beside the database: {names}{more}"
        yield note("left-behind", text, "remove them when nobody needs them")


def _folder(workspace: Workspace) -> Path:
    return workspace.data_folder / "backups"


def _backup_files(workspace: Workspace) -> list[Path]:
    """The backups beside the database, the newest last."""
    return sorted(_folder(workspace).glob("*.db"), key=lambda path: path.stat().st_mtime_ns)
