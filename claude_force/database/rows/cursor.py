"""How far a file was read, kept in the transaction that stores what was read from it.

A file is known by its path and by what it begins with; device and inode alone are not enough, since file systems give
them again at once. It goes on where it was read to as long as its beginning and the bytes before that place are the
same; else it is another one, which is read from its beginning.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """One file of a source on one host. `position` is where the next line begins; `head` and `tail` are hashes of the
    first bytes and of those before the position. `lines`, `responses` and `rejected` count what was read from it since
    it was this file; `skipped` counts by reason, as JSON; `state` is what its reader must remember. `problem` says why
    it could not be read to its end the last time; None where it could."""

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
