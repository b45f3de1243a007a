"""The last ingestion pass of each host over its usual sources, and what tells whether a file changed since.

Beside the package `writes`, which takes longer to load than a report may take that finds nothing new.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from claude_force.database.contract import Connection


class IngestPass(NamedTuple):
    """The last pass of a host over its usual sources: when it began, how many files and bytes it left unread because it
    was stopped, and why files could not be read (a line each). What was written before `began_us` and is not unread is
    in the store."""

    began_us: int
    unread_files: int = 0
    unread_bytes: int = 0
    problems: tuple[str, ...] = ()


class FileStamp(NamedTuple):
    """A file as it was when it was last read, by `rows.cursor.Cursor`. `is_whole` says whether it was read to its
    end."""

    size: int
    mtime_ns: int
    inode: int
    device: int
    is_whole: bool
    source: str


_LAST = "SELECT began_us, unread_files, unread_bytes, problems FROM ingest_passes WHERE host = :host"
_STAMPS = "SELECT path, size, mtime_ns, inode, device, problem IS NULL, source FROM source_files WHERE host = :host"
_WITH_RESPONSES = "SELECT path FROM source_files WHERE host = :host AND source = :source AND responses > 0"
_UNFINISHED = (
    "SELECT 1 FROM reported_usages LIMIT 1",
    "SELECT 1 FROM series WHERE project <> '' AND project NOT IN (SELECT folder FROM projects) LIMIT 1",
)
_SAVE = """
ON CONFLICT (host) DO UPDATE SET began_us = excluded.began_us, unread_files = excluded.unread_files,
unread_bytes = excluded.unread_bytes, problems = excluded.problems
"""


def last_pass(connection: Connection, host: str) -> IngestPass | None:
    """The last pass of a host; None if it never read its usual sources into this database."""
    rows = connection.fetch(_LAST, {"host": host})
    if not rows:
        return None
    began_us, files, size, problems = rows[0]
    return IngestPass(began_us, files, size, tuple(json.loads(problems)))


def save_pass(connection: Connection, host: str, done: IngestPass) -> None:
    """Store a pass in place of the one before it of its host, also of one that began later: the clock was set back, and
    what that pass left unread is no longer true."""
    row = (host, *done[:3], json.dumps(done.problems))
    connection.insert_all(f"ingest_passes (host, {', '.join(IngestPass._fields)})", [row], _SAVE)


def has_unfinished(connection: Connection) -> bool:
    """Whether something is left to do from an earlier pass, which may have been killed: usages that were reported and
    are not applied, or folders whose repositories were not looked for."""
    return any(connection.fetch(query) for query in _UNFINISHED)


def with_responses(connection: Connection, host: str, source: str) -> set[str]:
    """The paths of the files of a host in which a source found responses."""
    return {row[0] for row in connection.fetch(_WITH_RESPONSES, {"host": host, "source": source})}


def file_stamps(connection: Connection, host: str) -> dict[str, FileStamp]:
    """The files of a host that were read, by path."""
    rows = connection.fetch(_STAMPS, {"host": host})
    return {
        path: FileStamp(size, mtime_ns, inode, device, bool(whole), source)
        for path, size, mtime_ns, inode, device, whole, source in rows
    }
