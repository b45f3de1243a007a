"""The backups of the scheduler: one a day, verified, the newest few of them kept.

A copy is checked before it takes its name, so a damaged database never takes the place of a good backup. Only backups
of the scheduler's own naming are ever removed, and only after a newer one was made.
"""

from __future__ import annotations

import re
from datetime import tzinfo
from pathlib import Path

from claude_force.clock import moment_of
from claude_force.database.workspace import Place

_DAILY = re.compile(r"-daily-\d{4}-\d{2}-\d{2}\.db")


def rotate(place: Place, now_us: int, zone: tzinfo) -> tuple[int, int]:
    """Make the backup of the day unless it is there, and remove those beyond what the settings keep; how many were made
    and removed. A server is backed up by those who run it. Raises DatabaseError; nothing is removed then."""
    kept = place.settings.backups_kept
    if "://" in place.location or not kept or not place.database.exists():
        return 0, 0
    source = Path(place.location)
    target = place.data_folder / "backups" / f"{source.stem}-daily-{moment_of(now_us, zone):%Y-%m-%d}.db"
    if target.exists():
        return 0, 0
    place.database.backup(target)
    daily = sorted(path for path in target.parent.glob(f"{source.stem}-daily-*.db") if _is_daily(path, source.stem))
    for path in daily[:-kept]:
        path.unlink()
    return 1, len(daily[:-kept])


def _is_daily(path: Path, stem: str) -> bool:
    return path.name.startswith(stem) and _DAILY.fullmatch(path.name[len(stem) :]) is not None
