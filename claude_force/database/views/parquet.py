"""Executions as Parquet: a folder with a file for each month, `month=2026-11/executions.parquet`, as lakes have them.

DuckDB writes it. A month goes through a CSV file beside it, so memory does not grow with the number of executions.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from claude_force.errors import MissingExtra, OutputError
from claude_force.files import replacing_folder

FILE = "executions.parquet"
_MONTH = "month="

_TYPES = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "instant": "TIMESTAMPTZ",
    "day": "DATE",
}
"""The type of each kind of column: an instant is in UTC."""

_SETTINGS: dict[str, Any] = {"threads": 1, "memory_limit": "400MB", "autoinstall_known_extensions": "false"}
_ROWS_AT_ONCE = 1000


def write_parquet(rows: Iterable[Sequence[Any]], kinds: Mapping[str, str], folder: Path) -> int:
    """Write rows, in the order of their instants, to a folder that appears once it is complete; returns how many.

    `kinds` are the columns and their kinds, among them `day`, by which months are told apart. An export that is there
    is replaced. Raises OutputError, also if the folder has anything else, and MissingExtra without DuckDB.
    """
    months_of(folder)
    count, day = 0, list(kinds).index("day")
    with _explained(folder), replacing_folder(folder) as made, _duckdb(made) as database:
        for month, found in groupby(rows, key=lambda row: str(row[day])[:7]):
            part = made / f"{_MONTH}{month}"
            part.mkdir()
            count += _write_month(database, found, kinds, part)
    return count


def months_of(folder: Path) -> list[str]:
    """The months of the export in a folder; empty if it is not there or has nothing. Raises OutputError if it is no
    folder, or has anything else: that would be lost."""
    if not os.path.lexists(folder):
        return []
    if not folder.is_dir():
        raise OutputError(f"{folder} is no folder, which an export to Parquet is; name another one with --output")
    with _explained(folder):
        parts = sorted(folder.iterdir())
        for part in parts:
            if (
                not part.name.startswith(_MONTH)
                or not part.is_dir()
                or [path.name for path in part.iterdir()] != [FILE]
            ):
                raise OutputError(f"{folder} has what is no export to Parquet ({part.name}); name another --output")
    return [part.name.removeprefix(_MONTH) for part in parts]


def _write_month(database: Any, rows: Iterable[Sequence[Any]], kinds: Mapping[str, str], part: Path) -> int:
    texts, count, remaining = part / "executions.csv", 0, iter(rows)
    # A line ends in \r\n, so that a carriage return in a value is quoted. No text is empty: an empty field is null.
    with texts.open("w", encoding="utf-8", newline="") as file:
        write = csv.writer(file, lineterminator="\r\n").writerows
        while lines := list(islice(remaining, _ROWS_AT_ONCE)):
            write(lines)
            count += len(lines)
    columns = ", ".join(f"{name}: '{_TYPES[kind]}'" for name, kind in kinds.items())
    reading = "auto_detect = false, header = false, delim = ',', quote = '\"', escape = '\"', new_line = '\\r\\n'"
    target = part / FILE
    database.execute(
        f"COPY (SELECT * FROM read_csv({_quoted(texts)}, {reading}, columns = {{{columns}}})) "
        f"TO {_quoted(target)} (FORMAT parquet, COMPRESSION zstd)"
    )
    texts.unlink()
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return count


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


@contextmanager
def _duckdb(folder: Path) -> Iterator[Any]:
    """A database in memory, which uses the folder when its memory is full."""
    try:
        import duckdb
    except ImportError:
        raise MissingExtra("Parquet needs an extra: pip install 'claude-force[parquet]'") from None
    try:
        with duckdb.connect(config=_SETTINGS | {"temp_directory": str(folder / ".rest")}) as database:
            yield database
    except duckdb.Error as error:
        raise OutputError(f"Parquet cannot be written: {str(error).splitlines()[0]}") from None


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not folder.parent.is_dir():
            raise OutputError(
                f"{folder}: the folder {folder.parent} does not exist; mkdir -p {folder.parent}"
            ) from None
        raise OutputError(f"{folder}: {error.strerror}") from None
