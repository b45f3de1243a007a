"""Write executions as JSONL, CSV or JSON, in constant memory.

JSONL is lossless: importing it gives the same executions, and exporting these gives the same bytes. CSV has the twelve
columns of the guide, or all columns.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from datetime import tzinfo
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from claude_force.clock import instant_formatter
from claude_force.executions.jsonl.codec import ALL_COLUMNS, GUIDE_COLUMNS, columns_of, encode_row
from claude_force.executions.record import ExecutionRow
from claude_force.output import is_unicode, open_output
from claude_force.text import for_csv

Rows = Iterable[ExecutionRow]
"""Executions as rows of the database."""

_LINES_PER_WRITE = 1000


def write_jsonl(rows: Rows, path: Path | None, zone: tzinfo) -> int:
    """Write one line per execution to a file (None: standard output). Returns how many. Raises OutputError."""
    count, format_time, rest = 0, instant_formatter(zone), iter(rows)
    with open_output(path) as file:
        unicode = is_unicode(file)
        while lines := [encode_row(row, format_time) for row in islice(rest, _LINES_PER_WRITE)]:
            text = (
                b"".join(lines).decode() if unicode else "".join(json.dumps(json.loads(line)) + "\n" for line in lines)
            )
            file.write(text)
            count += len(lines)
    return count


def write_csv(rows: Rows, path: Path | None, zone: tzinfo, *, all_columns: bool) -> int:
    """Write a header and one row per execution. Returns how many rows. Text that a spreadsheet would run as a formula
    gets a leading apostrophe. Raises OutputError."""
    columns = ALL_COLUMNS if all_columns else GUIDE_COLUMNS
    count, format_time = 0, instant_formatter(zone)
    with open_output(path) as file:
        file.write(csv_line(columns))
        for row in rows:
            values = columns_of(row, format_time)
            file.write(csv_line(values[name] for name in columns))
            count += 1
    return count


def csv_line(values: Iterable[object]) -> str:
    """One row of CSV, ending in a newline."""
    # The csv module quotes a carriage return in a value only if its own line end contains one.
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow([_csv_cell(value) for value in values])
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def _csv_cell(value: object) -> object:
    """A CSV cell: booleans and lists as in JSON, nothing for None, and no exponent for small numbers."""
    if isinstance(value, list):
        return json.dumps(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _without_exponent(value) if abs(value) < 1e-4 else value
    return for_csv(value) if isinstance(value, str) else value


def _without_exponent(value: float) -> str:
    # Imported here because it takes some milliseconds, and few values are this small.
    from decimal import Decimal

    return f"{Decimal(repr(value)):f}".rstrip("0").rstrip(".")


def write_json(rows: Rows, path: Path | None, zone: tzinfo, *, pretty: bool) -> int:
    """Write one JSON array of all executions. Returns how many. Raises OutputError."""
    with open_output(path) as file:
        count = write_array(rows, file, zone, indent=2 if pretty else None)
        file.write("\n")
    return count


def write_document(rows: Rows, path: Path, zone: tzinfo, head: Mapping[str, Any]) -> None:
    """Write one JSON object: the keys of `head`, then the executions under `executions`. Raises OutputError."""
    with open_output(path) as file:
        text = json.dumps(head, indent=2, ensure_ascii=False)
        file.write(text.removesuffix("\n}") + ',\n  "executions": ')
        write_array(rows, file, zone)
        file.write("\n}\n")


def write_array(rows: Rows, file: TextIO, zone: tzinfo, indent: int | None = None) -> int:
    """Write one JSON array of all executions, without a line end. Returns how many."""
    count, format_time = 0, instant_formatter(zone)
    file.write("[")
    for row in rows:
        file.write(",\n" if count else "\n")
        text = json.dumps(columns_of(row, format_time), indent=indent, ensure_ascii=not is_unicode(file))
        file.write(text if indent is None else "\n".join(f"  {line}" for line in text.splitlines()))
        count += 1
    file.write("\n]" if count else "]")
    return count
