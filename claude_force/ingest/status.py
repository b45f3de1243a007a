"""How far each source of executions was read, for `claude-force doctor`.

Skipped lines are counted by their reason, and every file that could not be read is listed.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from claude_force.database.rows.cursor import Cursor
from claude_force.ingest.find_files import FoundFile
from claude_force.ingest.tail import is_unchanged


@dataclass(slots=True)
class SourceState:
    """One kind of source on one host. `unread` counts files with something new, `gone` files that were read and then
    deleted (their executions are kept), `unfinished` files that end in the middle of a line. `problems` are paths with
    what is wrong with them."""

    source: str
    host: str
    files: int = 0
    lines: int = 0
    executions: int = 0
    rejected: int = 0
    last_read_us: int | None = None
    unread: int = 0
    gone: int = 0
    unfinished: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def add(self, cursor: Cursor) -> None:
        """Count a file that was read."""
        self.files += 1
        self.lines += cursor.lines
        self.executions += cursor.responses
        self.rejected += cursor.rejected
        self.last_read_us = max(self.last_read_us or 0, cursor.last_read_us)
        self.skipped.update(json.loads(cursor.skipped))
        if cursor.problem is not None:
            self.problems.append((cursor.path, cursor.problem))

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `last_read_us` in microseconds since the epoch."""
        return {
            "source": self.source,
            "host": self.host,
            "files": self.files,
            "lines": self.lines,
            "executions": self.executions,
            "rejected": self.rejected,
            "last_read_us": self.last_read_us,
            "unread_files": self.unread,
            "gone_files": self.gone,
            "unfinished_files": self.unfinished,
            "skipped": dict(self.skipped),
            "problems": [{"path": path, "problem": problem} for path, problem in self.problems],
        }


def source_states(
    cursors: Iterable[Cursor], found: Sequence[FoundFile], host: str, problems: Iterable[tuple[str, str]], source: str
) -> list[SourceState]:
    """The state of each source on each host, this host's first. `found` are the files that `source` has on this host
    now, `problems` those met when they were looked for."""
    states: dict[tuple[str, str], SourceState] = {}
    here: dict[str, Cursor] = {}
    for cursor in cursors:
        key = (cursor.source, cursor.host)
        states.setdefault(key, SourceState(*key)).add(cursor)
        if cursor.host == host:
            here[cursor.path] = cursor
    own = states.setdefault((source, host), SourceState(source, host))
    own.problems += [problem for problem in problems if problem not in own.problems]
    for cursor in here.values():
        state = states[cursor.source, host]
        state.gone += not os.path.lexists(cursor.path)
        state.unfinished += cursor.position < cursor.size
    for file in found:
        known = here.get(file.name)
        own.unread += not is_unchanged(known, file)
    return sorted(states.values(), key=lambda state: (state.host != host, state.host, state.source))
