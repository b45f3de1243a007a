"""Refuse to import what is no file of executions, before any of it is read into the database or into rejected.jsonl."""

from __future__ import annotations

import io
import re
import shlex
from collections.abc import Sequence
from datetime import UTC
from typing import Any, NamedTuple

from claude_force.errors import InputError
from claude_force.executions.jsonl.codec import KNOWN_NAMES
from claude_force.ingest.input import STDIN_NAME, Input
from claude_force.ingest.jsonl_source import JsonlSource, object_in
from claude_force.ingest.results.events import is_event
from claude_force.ingest.results.source import first_in_document

FIRST_LINES = 100
"""So many lines without one execution are no file of executions."""

_TRANSCRIPT_KEYS = frozenset(("sessionId", "parentUuid", "leafUuid", "isSidechain"))
_LEAST_NAMES = 2
"""A line with so many names of ours is a record, although it may be a wrong one."""

_NAME_IN_LINE = re.compile(rb'"(agent_name|task_hash|execution_time_ms)"')
_EXPORT = "import what `claude-force analytics export --format jsonl` writes"
_UNPACK = "unpack it first"


class _Format(NamedTuple):
    """How files of a format begin, what they are called, and what reads them. {} stands for the name of the file."""

    pattern: re.Pattern[bytes]
    kind: str
    remedy: str


_FORMATS = (
    _Format(
        re.compile(rb"SQLite format 3\0"),
        "a SQLite database",
        "claude-force db merge {0} adds the executions of a store, claude-force db restore {0} puts a backup back",
    ),
    _Format(re.compile(rb"timestamp,agent_name,"), "a CSV file", _EXPORT),
    _Format(re.compile(rb"PK\x03\x04"), "a zip file", _UNPACK),
    _Format(re.compile(rb"\x28\xb5\x2f\xfd"), "a file that zstd packed", _UNPACK),
    _Format(re.compile(rb"\xfd7zXZ\x00"), "a file that xz packed", _UNPACK),
    _Format(re.compile(rb"BZh[1-9]"), "a file that bzip2 packed", _UNPACK),
    _Format(re.compile(rb".{257}ustar", re.DOTALL), "a tar archive", _UNPACK),
)


def refuse_foreign(file: Input) -> None:
    """Raise InputError, with what would read the file instead, if none of its first lines is an execution. A file of
    fewer lines is only refused if none of them is like one: then each of its lines gets its reason."""
    head = file.first_lines(FIRST_LINES)
    start = b"".join(head[:10])
    for form in _FORMATS:
        if form.pattern.match(start):
            raise InputError(f"{file.name} is {form.kind}; {form.remedy.format(shlex.quote(file.name))}")
    first = next((found for line in head if (found := object_in(line)) is not None), None) or first_in_document(start)
    ingested = _kind_of_ingested(first)
    if ingested is not None:
        raise InputError(f"{file.name} is {ingested}; {_ingest_command(file)}")
    if start.lstrip().startswith(b"["):
        raise InputError(f"{file.name} is a JSON array; {_EXPORT}")
    reason = _why_none_is_an_execution(head)
    if reason is not None:
        raise InputError(f"{file.name} holds no executions ({reason}); nothing was imported, and nothing was rejected")


def _kind_of_ingested(first: dict[str, Any] | None) -> str | None:
    """What a file is called that `claude-force ingest` reads; None for another."""
    if first is None or "agent_name" in first:
        return None
    if _TRANSCRIPT_KEYS & first.keys():
        return "a transcript of Claude Code"
    return "output of claude -p" if is_event(first) else None


def _ingest_command(file: Input) -> str:
    if file.name == STDIN_NAME:
        return "read it with: claude-force ingest FILE"
    return f"{'gunzip it, then ' if file.is_packed else ''}read it with: claude-force ingest {shlex.quote(file.name)}"


def _why_none_is_an_execution(head: Sequence[bytes]) -> str | None:
    """Why the first line is none, if the others are none either; None if one is an execution, or few lines are like
    one."""
    rejected = []
    for batch in JsonlSource(UTC).read(io.BytesIO(b"".join(head))):
        if batch.rows:
            return None
        rejected += batch.rejected
    if not rejected or (len(head) < FIRST_LINES and any(map(_is_like_a_record, head))):
        return None
    lines = f"none of the first {len(head)} lines is one; " if len(head) > 1 else ""
    return f"{lines}line {rejected[0].line}: {rejected[0].reason}"


def _is_like_a_record(line: bytes) -> bool:
    found = object_in(line)
    if found is None:
        return _NAME_IN_LINE.search(line) is not None
    return "agent_name" in found or len(KNOWN_NAMES & found.keys()) >= _LEAST_NAMES
