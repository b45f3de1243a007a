"""Rejected lines of every kind: those of the sources that are followed, and those that only `rejected.jsonl` knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from claude_force.database.rows.cursor import Cursor
from claude_force.doctor.findings import Finding, note
from claude_force.doctor.text import TITLES
from claude_force.executions.record import CLAUDE_CODE
from claude_force.formatting import quantity

OTHER = "import"
"""The source of lines that were imported, waited in the spool, or were read into another database."""

_OF_TRANSCRIPTS = "nothing to do if they are cut off; else report them"
_OF_PROGRAMS = "fix the program that writes them, then import the lines again"
"""What to do about rejected lines: nobody can change the program that writes transcripts."""

_OTHER_TITLE = "imports, the spool or other databases"
_FILES_SHOWN = 3


class RejectedLines(NamedTuple):
    """How many lines of a file were rejected. `source` is the kind of source that the file is, or `OTHER`."""

    source: str
    file: str
    lines: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return self._asdict()


class _Logged(msgspec.Struct, gc=False):
    file: str
    line: int
    offset: int


def rejected_lines(cursors: Iterable[Cursor], log: Path) -> list[RejectedLines]:
    """The files with rejected lines, by the cursors of a database and the log of rejected lines. Raises OSError."""
    known = list(cursors)
    found = [RejectedLines(cursor.source, cursor.path, cursor.rejected) for cursor in known if cursor.rejected]
    others = _logged(log, {cursor.path for cursor in known})
    return [*found, *(RejectedLines(OTHER, file, lines) for file, lines in sorted(others.items()))]


def _logged(log: Path, known: Collection[str]) -> Counter[str]:
    """The lines in the log, each counted once, by file; without those of known files."""
    if not log.is_file():
        return Counter()
    decode = msgspec.json.Decoder(_Logged).decode
    seen: set[tuple[str, int, int]] = set()
    with log.open("rb") as lines:
        for line in lines:
            try:
                item = decode(line)
            except msgspec.MsgspecError:
                # A line that a crash cut off.
                continue
            if item.file not in known:
                seen.add((item.file, item.line, item.offset))
    return Counter(file for file, _, _ in seen)


def check_rejected(rejected: Iterable[RejectedLines], log: Path) -> Iterator[Finding]:
    """Lines that are not valid executions: how many of each kind of source, and where."""
    by_kind: dict[str, list[RejectedLines]] = {}
    for one in rejected:
        by_kind.setdefault(one.source, []).append(one)
    if not by_kind:
        return
    total = sum(one.lines for files in by_kind.values() for one in files)
    kinds = "; ".join(_describe(source, files) for source, files in by_kind.items())
    text = f"{quantity(total, 'line')} could not be imported: {kinds}. {log} has the reason for each"
    yield note("rejected-lines", text, _OF_TRANSCRIPTS if set(by_kind) == {CLAUDE_CODE} else _OF_PROGRAMS)


def _describe(source: str, files: Iterable[RejectedLines]) -> str:
    """A kind of source and its files, those with the most lines first: `12 of Executions file (a.jsonl, b.jsonl)`."""
    ordered = sorted(files, key=lambda one: (-one.lines, one.file))
    names = ", ".join(one.file for one in ordered[:_FILES_SHOWN]) + (" ..." if len(ordered) > _FILES_SHOWN else "")
    title = _OTHER_TITLE if source == OTHER else TITLES.get(source, source)
    return f"{sum(one.lines for one in ordered):,} of {title} ({names})"
