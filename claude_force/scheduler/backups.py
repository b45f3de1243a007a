"""Daily backups: one a day, verified, and only the newest are kept.

A backup is verified before it gets its name, so a damaged database never replaces a good backup. Only backups with the
scheduler's naming are removed, and only after a newer one was made.
"""

from __future__ import annotations

import re
from datetime import tzinfo
from pathlib import Path

from claude_force.clock import to_datetime
from claude_force.database.workspace import Workspace

_DAILY = re.compile(r"-daily-\d{4}-\d{2}-\d{2}\.db")


def rotate(workspace: Workspace, now_us: int, zone: tzinfo) -> tuple[int, int]:
    """Make the backup of the day if there is none, and remove the oldest beyond `backups_kept`. Returns how many were
    made and removed. A server is not backed up: that is for those who run it. Raises DatabaseError; then nothing was
    removed."""
    kept = workspace.settings.backups_kept
    if "://" in workspace.location or not kept or not workspace.database.exists():
        return 0, 0
    source = Path(workspace.location)
    target = workspace.data_folder / "backups" / f"{source.stem}-daily-{to_datetime(now_us, zone):%Y-%m-%d}.db"
    if target.exists():
        return 0, 0
    workspace.database.backup(target)
    daily = sorted(path for path in target.parent.glob(f"{source.stem}-daily-*.db") if _is_daily(path, source.stem))
    for path in daily[:-kept]:
        path.unlink()
    return 1, len(daily[:-kept])


def _is_daily(path: Path, stem: str) -> bool:
    return path.name.startswith(stem) and _DAILY.fullmatch(path.name[len(stem) :]) is not None
