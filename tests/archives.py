"""What is stored and what is archived, as lines that can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from pathlib import Path

from claude_force.clock import instant_formatter
from claude_force.database import queries
from claude_force.database.archive import read_archive
from claude_force.database.contract import Database, Row
from claude_force.database.queries import Filter
from claude_force.executions.jsonl.codec import encode_row


def stored_lines(database: Database) -> list[bytes]:
    """The executions that are stored."""
    return _lines_of(queries.iterate_rows(database, Filter()))


def archived_lines(database: Database, folder: Path) -> list[bytes]:
    """Those in the files of a folder that are known to be archived."""
    with database.read() as connection:
        gone = {row[0] for row in connection.fetch("SELECT uid FROM archived")}
    files = sorted(folder.glob("*.jsonl.gz"))
    return _lines_of(row for file in files for row in read_archive(file) if row[0] in gone)


def _lines_of(rows: Iterable[Row]) -> list[bytes]:
    write = instant_formatter(UTC)
    return [encode_row(row, write) for row in rows]
