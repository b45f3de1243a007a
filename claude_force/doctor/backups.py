"""The backups of a SQLite file."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from claude_force.clock import DAY_US, local_zone, to_datetime
from claude_force.database.workspace import Workspace
from claude_force.doctor.findings import Finding, note, ok
from claude_force.formatting import quantity

OLD_US = 7 * DAY_US
_BACK_UP = "claude-force db backup"


def backups(workspace: Workspace, now_us: int) -> Iterator[Finding]:
    """How old the newest backup is, of those that have their place beside the database."""
    found = _backups(workspace)
    folder = _folder(workspace)
    if not found:
        yield note("backups", f"there is no backup in {folder}", _BACK_UP)
        return
    newest_us = found[-1].stat().st_mtime_ns // 1000
    days = (now_us - newest_us) // DAY_US
    text = f"{quantity(len(found), 'backup')} in {folder}, the newest of {_minute(newest_us)}"
    if now_us - newest_us > OLD_US:
        yield note(
            "backups", f"{text}, {days} days ago", f"{_BACK_UP}, or each day: claude-force scheduler start --detach"
        )
    else:
        yield ok("backups", text)


def restore_command(workspace: Workspace) -> str | None:
    """The command that restores the newest backup; None where there is none."""
    found = [] if "://" in workspace.location else _backups(workspace)
    return f"claude-force db restore {shlex.quote(str(found[-1]))}" if found else None


def _folder(workspace: Workspace) -> Path:
    return workspace.data_folder / "backups"


def _backups(workspace: Workspace) -> list[Path]:
    """The backups beside the database, the newest last."""
    return sorted(_folder(workspace).glob("*.db"), key=lambda path: path.stat().st_mtime_ns)


def left_behind(path: Path) -> Iterator[Finding]:
    """What a restore or an upgrade kept beside the database: it takes room for as long as somebody may want it."""
    found = sorted(path.parent.glob(f"{path.name}.replaced-*")) + sorted(path.parent.glob(f"{path.name}-*.left-*"))
    if found:
        names = ", ".join(file.name for file in found[:3]) + (" ..." if len(found) > 3 else "")
        yield note(
            "left-behind", f"kept from a restore beside the database: {names}", "remove it when nobody misses it"
        )


def _minute(instant_us: int) -> str:
    return f"{to_datetime(instant_us, local_zone()):%Y-%m-%d %H:%M}"
