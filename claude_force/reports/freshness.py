"""How a report says how old it is and what it does not contain yet."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import tzinfo
from typing import Any, TextIO

from claude_force import clock
from claude_force.formatting import NONE, age, quantity, size
from claude_force.ingest.find_files import found_file
from claude_force.ingest.freshness import Freshness
from claude_force.ingest.sources import Unread
from claude_force.output import write_lines

_PROBLEMS_SHOWN = 3
_ZEROS = ("0", "$0.00")
_NO_RIGHTS = tuple(f": {os.strerror(number)}" for number in (errno.EACCES, errno.EPERM))


def freshness_lines(freshness: Freshness) -> list[str]:
    """The lines at the foot of a report. None for a database that this machine never read its transcripts into."""
    return ([] if freshness.age_s is None else [f"Read {age(freshness.age_s)}."]) + unread_lines(freshness)


def write_foot(freshness: Freshness, file: TextIO) -> None:
    """Write the lines after an empty line, if there are any."""
    lines = freshness_lines(freshness)
    write_lines(["", *lines] if lines else [], file)


def unread_lines(freshness: Freshness) -> list[str]:
    """What is not read yet, and why something could not be read; none if everything is read."""
    lines = [unread_line(freshness)] if freshness.unread_files else []
    refused = _refused(freshness)
    if refused.files:
        lines.append(f"{quantity(refused.files, 'file')} ({size(refused.bytes)}) cannot be read: no rights")
    shown = freshness.problems[:_PROBLEMS_SHOWN]
    lines += [f"Not everything is read: {problem}" for problem in shown]
    if more := len(freshness.problems) - len(shown):
        lines.append(f"and {more:,} more problems: claude-force doctor")
    return lines


def unread_line(freshness: Freshness) -> str:
    """That files are not read yet, and the command that reads them: "1,203 files (1.4 GB) are not read yet: ..."."""
    files = freshness.unread_files or 0
    verb = "is" if files == 1 else "are"
    return f"{quantity(files, 'file')} ({size(freshness.unread_bytes or 0)}) {verb} not read yet: claude-force ingest"


def _refused(freshness: Freshness) -> Unread:
    """The files among the problems that this user has no rights to read. They are not among the unread ones, since each
    report would try to read these again at once."""
    files = size_bytes = 0
    for problem in freshness.problems:
        if problem.endswith(_NO_RIGHTS):
            with suppress(OSError):
                size_bytes += found_file(problem.rpartition(": ")[0]).size
                files += 1
    return Unread(files, size_bytes)


def freshness_dict(freshness: Freshness, zone: tzinfo) -> dict[str, Any]:
    """The key `data` of every report as JSON. Null is unknown: nobody looked, or never from this machine. A file that
    cannot be read counts as unread."""
    read_us, refused = freshness.read_us, _refused(freshness)
    is_known = freshness.unread_files is not None
    return {
        "as_of": clock.format_instant(freshness.as_of_us, zone),
        "last_ingest": None if read_us is None else clock.format_instant(read_us, zone),
        "age_seconds": freshness.age_s,
        "unread_files": (freshness.unread_files or 0) + refused.files if is_known else None,
        "unread_bytes": (freshness.unread_bytes or 0) + refused.bytes if is_known else None,
        "problems": list(freshness.problems),
    }


def unknown_figures(figures: Any, *, is_empty: bool = False) -> Any:
    """Figures of a report, for JSON and CSV, while something is unread: None in place of each 0 where nothing was
    executed. That is in all of them if the report `is_empty`, else in the groups and intervals that have no execution.
    """
    if isinstance(figures, dict):
        is_empty = is_empty or figures.get("executions") == 0
        return {name: unknown_figures(value, is_empty=is_empty) for name, value in figures.items()}
    if isinstance(figures, list):
        return [unknown_figures(value, is_empty=is_empty) for value in figures]
    is_zero = isinstance(figures, (int, float)) and not isinstance(figures, bool) and not figures
    return None if is_empty and is_zero else figures


def unknown_row(row: Sequence[str]) -> list[str]:
    """A row of a table while something is unread: dashes in place of the zeros of a row that has nothing else."""
    first, *cells = row
    if any(cell not in (*_ZEROS, NONE, "") for cell in cells):
        return list(row)
    return [first, *(NONE if cell in _ZEROS else cell for cell in cells)]
