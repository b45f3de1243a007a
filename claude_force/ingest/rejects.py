"""Rejected lines, and `rejected.jsonl`, the file that keeps each with its source, line, offset and reason."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from claude_force.errors import InputError
from claude_force.files import open_append


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that is not an execution: its number and offset in its file, the reason, and its first bytes."""

    line: int
    offset: int
    reason: str
    excerpt: bytes


@dataclass(slots=True)
class RejectLog:
    """The file of rejected lines. It is created with the first of them, readable by its owner only."""

    path: Path

    def write(self, source: str, rejected: Iterable[Rejected]) -> None:
        """Append lines of `source`. Raises InputError if the file cannot be written: no line may get lost unnoticed."""
        lines = [_as_json(source, item) for item in rejected]
        if not lines:
            return
        try:
            with open(open_append(self.path), "a", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
        except OSError as error:
            raise InputError(f"rejected lines cannot be written to {self.path}: {error.strerror}") from error


def _as_json(source: str, item: Rejected) -> str:
    return json.dumps(
        {
            "file": source,
            "line": item.line,
            "offset": item.offset,
            "reason": item.reason,
            "text": item.excerpt.decode("utf-8", "backslashreplace"),
        }
    )
