"""How far a file was read, stored in the transaction that stores what was read from it.

A file is identified by its path and its first bytes; device and inode alone are not enough, since file systems reuse
them at once. Reading continues at the stored position if the first bytes and the bytes before the position are
unchanged. Otherwise it is another file, which is read from its start.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """One file of a source on one host.

    `position` is the offset of the next line; `head` and `tail` are hashes of the first bytes and of those before the
    position. `lines`, `responses` and `rejected` count what was read since it is this file; `skipped` counts by reason,
    as JSON; `state` belongs to its reader. `problem` says why it could not be read to its end; None if it was."""

    host: str
    path: str
    source: str
    device: int
    inode: int
    size: int
    mtime_ns: int
    position: int
    head: str
    tail: str
    lines: int = 0
    responses: int = 0
    rejected: int = 0
    skipped: str = "{}"
    state: str = ""
    last_read_us: int = 0
    problem: str | None = None


CURSOR_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Cursor))
"""The columns of `source_files`."""
