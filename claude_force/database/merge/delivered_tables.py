"""The rows of other tables that go with executions: what reports of a team need beside the executions.

| table | what it answers in the store of the team |
|---|---|
| `run_parents` | which run started which: the trees of `runs` |
| `run_labels` | the runs of a label, to compare them |
| `session_ledgers`, `headless_runs` | what Claude Code itself counted, for `reconcile` |
| `copied_sessions` | which session the responses of a copy count for |
| `outcomes` | what agents did: lines, commits, pull requests |
| `projects` | the repository of each folder |

Everything else describes the machine, its files or its own alerts, and stays there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from claude_force.database.contract import Connection, Database, Row
from claude_force.database.merge.tables import TABLES, merge_rows
from claude_force.database.rows.telemetry import HeadlessRun, OutcomeSum
from claude_force.executions.ledgers import LedgerEntry
from claude_force.executions.run_labels import RunLabel
from claude_force.executions.run_parents import RunParent

ROW_TYPES: Mapping[str, Any] = {
    "run_parents": RunParent,
    "run_labels": RunLabel,
    "session_ledgers": LedgerEntry,
    "headless_runs": HeadlessRun,
    "copied_sessions": tuple[str, str],
    "outcomes": OutcomeSum,
    "projects": tuple[str, str],
}
"""The tables that are delivered, and the types of their rows."""

_KEPT_TOGETHER = {"session_ledgers": 1}
"""The tables whose rows with an equal beginning of so many columns are delivered together."""

_CHOSEN = {"run_parents": "WHERE parent_id IS NOT NULL", "projects": "WHERE project <> ''"}
"""Rows without a parent follow from executions, and a folder that was not there says nothing."""


class Part(NamedTuple):
    """Rows of a table that are delivered together, and a digest of what they say."""

    table: str
    rows: Sequence[Row]
    digest: bytes


def read_parts(database: Database) -> Iterator[Part]:
    """All rows that are delivered, in order."""
    with database.read() as connection:
        found = {name: _rows_of(connection, name) for name in ROW_TYPES}
    for name, rows in found.items():
        groups: dict[Row, list[Row]] = defaultdict(list)
        for row in rows:
            groups[row[: _KEPT_TOGETHER.get(name, len(row))]].append(row)
        for group in groups.values():
            yield part_of(name, group)


def part_of(table: str, rows: Sequence[Row]) -> Part:
    """Rows as a part."""
    return Part(table, rows, blake2b(repr((table, rows)).encode("utf-8", "backslashreplace"), digest_size=16).digest())


def _rows_of(connection: Connection, name: str) -> list[Row]:
    return sorted(
        connection.fetch(f"SELECT {', '.join(TABLES[name].columns)} FROM {name} {_CHOSEN.get(name, '')}"), key=repr
    )


def store_tables(connection: Connection, tables: Mapping[str, Sequence[Row]]) -> None:
    """Store the rows that are new or better than ours. Of a sum of outcomes, the greater one counts."""
    for name, rows in tables.items():
        merge_rows(connection, name, rows)
