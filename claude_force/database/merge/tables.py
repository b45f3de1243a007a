"""Merging the other tables. What describes a process of the other store is not merged: see NOT_MERGED."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from claude_force.database.contract import Connection, Database, Row
from claude_force.database.merge.telemetry import merge_outcomes
from claude_force.database.rows.alerts import EVENT_FIELDS, SILENCE_FIELDS
from claude_force.database.rows.cursor import CURSOR_FIELDS
from claude_force.database.rows.telemetry import CountedOutcome, HeadlessRun, OutcomeSum, TelemetryKind
from claude_force.database.writes.run_labels import WIDEN
from claude_force.executions.deduplication import REPORTED_FIELDS
from claude_force.executions.ledgers import LedgerEntry
from claude_force.executions.plan_limits import PlanLimit
from claude_force.executions.run_labels import RunLabel
from claude_force.executions.run_parents import RunParent, is_better
from claude_force.executions.statistics import DailyTokens

MERGED_ELSEWHERE = ("executions", "series", "identities", "sightings", "archived", "archives")
"""The tables that are merged execution by execution."""

DERIVED = (
    "rollups", "rollup_durations", "rollup_errors", "rollup_runs", "rollup_seats", "rollup_seat_durations",
    "rollup_spans", "seats", "step_usage", "uncounted",
)  # fmt: skip
"""The tables that follow from the executions."""

NOT_MERGED = {
    "alert_states": "the states of alerts: the next check finds them again",
    "deliveries": "notifications that wait or were sent",
    "ingest_passes": "when it was last brought up to date",
    "job_runs": "the runs of its scheduler",
    "exporters": "what its exporters have sent: those here send the new executions",
    "export_queue": "what its exporters still have to send",
}
"""The tables that are not merged, and what is in them."""

_REPORT = (
    "run_id",
    "basis",
    "until_us",
    *(name for name in REPORTED_FIELDS if name not in ("run_id", "basis", "until_us")),
)
_BASELINE = (
    "name", "agent_name", "model", "is_automatic", "created_us", "start_us", "end_us", "executions", "snapshot",
)  # fmt: skip


def _is_further(theirs: Row, ours: Row) -> bool:
    position, read_us = CURSOR_FIELDS.index("position"), CURSOR_FIELDS.index("last_read_us")
    return bool((theirs[position], theirs[read_us]) > (ours[position], ours[read_us]))


def _is_repository(theirs: Row, ours: Row) -> bool:
    """Whether a folder that was gone, or in no repository, was found in one."""
    return ours[1] in ("", ours[0]) and theirs[1] not in ("", ours[1])


def _has_more_tokens(theirs: Row, ours: Row) -> bool:
    return bool(theirs[3] > ours[3])


def _was_heard_later(theirs: Row, ours: Row) -> bool:
    return bool(theirs[5:] > ours[5:])


def _is_later(theirs: Row, ours: Row) -> bool:
    return bool(theirs[1] > ours[1])


def _is_longer(theirs: Row, ours: Row) -> bool:
    return bool(theirs[3] < ours[3] or theirs[4] > ours[4])


def _is_first(theirs: Row, ours: Row) -> bool:
    return bool(theirs[1] < ours[1])


def _was_seen_first(theirs: Row, ours: Row) -> bool:
    return is_better(RunParent(*theirs), RunParent(*ours))


def _is_greater(theirs: Row, ours: Row) -> bool:
    return bool(theirs[4:] > ours[4:])


def _never(_theirs: Row, _ours: Row) -> bool:
    return False


class MergedTable(NamedTuple):
    """A table that is merged row by row: its columns, of which the first `keys` are the key, and whether a row of the
    other store takes the place of ours with the same key; `otherwise` is what then happens instead."""

    columns: Sequence[str]
    keys: int
    is_better: Callable[[Row, Row], bool]
    otherwise: str = ""

    @property
    def on_conflict(self) -> str:
        """SQL for a key that is there."""
        key, changed = self.columns[: self.keys], self.columns[self.keys :]
        values = ", ".join(f"{column} = excluded.{column}" for column in changed)
        return self.otherwise or f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {values}"


TABLES = {
    "reported_usages": MergedTable(_REPORT, 3, _never),
    "session_ledgers": MergedTable(LedgerEntry._fields, 2, _never),
    "copied_sessions": MergedTable(("session_id", "original_id"), 1, _is_first),
    "run_parents": MergedTable(RunParent._fields, 2, _was_seen_first),
    "daily_statistics": MergedTable(DailyTokens._fields, 3, _has_more_tokens),
    "plan_limits": MergedTable(PlanLimit._fields, 3, _never),
    "projects": MergedTable(("folder", "project"), 1, _is_repository),
    "baselines": MergedTable(_BASELINE, 3, _never),
    "alert_events": MergedTable(EVENT_FIELDS, 1, _never),
    "silences": MergedTable(SILENCE_FIELDS, 1, _is_later),
    "outcomes": MergedTable(OutcomeSum._fields, 4, _is_greater),
    "counted_outcomes": MergedTable(CountedOutcome._fields, 1, _never),
    "telemetry_kinds": MergedTable(TelemetryKind._fields, 4, _was_heard_later),
    "headless_runs": MergedTable(HeadlessRun._fields, 1, _never),
    "run_labels": MergedTable(RunLabel._fields, 3, _is_longer, WIDEN),
    "source_files": MergedTable(CURSOR_FIELDS, 2, _is_further),
}
"""In the order in which they are merged: how far files were read comes after all that was read from them."""

SUMMED = ("outcomes", "counted_outcomes")
"""The tables that are merged together: see `merge.telemetry`."""

_ROWS_AT_ONCE = 200

Tables = Mapping[str, list[Row]]
"""The rows of each table."""


def read_tables(other: Database) -> Tables:
    """The rows of another store, as of one moment. Read before its executions, so that no file counts as read further
    than its executions are merged."""
    with other.read() as connection:
        return {
            name: connection.fetch(f"SELECT {', '.join(table.columns)} FROM {name}") for name, table in TABLES.items()
        }


class MergedRows(NamedTuple):
    """How many rows are new or better, by table, and lines about what is not known."""

    counts: dict[str, int]
    notes: list[str]


def merge_tables(target: Database, theirs: Tables, *, is_dry_run: bool) -> MergedRows:
    """Store the rows that are new or better, in one transaction; a dry run only counts them."""
    by_row = {name: rows for name, rows in theirs.items() if name not in SUMMED}
    with target.read() if is_dry_run else target.write() as connection:
        counts = {name: merge_rows(connection, name, rows, is_dry_run=is_dry_run) for name, rows in by_row.items()}
        found = merge_outcomes(connection, theirs["outcomes"], theirs["counted_outcomes"], is_dry_run=is_dry_run)
    return MergedRows(counts | {"outcomes": found.changed}, found.notes)


def merge_rows(connection: Connection, name: str, theirs: Sequence[Row], *, is_dry_run: bool = False) -> int:
    """Store the rows of a table that are new or better; returns how many."""
    news = _news(connection, name, theirs)
    if not is_dry_run:
        if name == "session_ledgers":
            forgotten = [{"session_id": session_id} for session_id in {row[0] for row in news}]
            connection.execute_many("DELETE FROM session_ledgers WHERE session_id = :session_id", forgotten)
        table = TABLES[name]
        connection.insert_all(f"{name} ({', '.join(table.columns)})", news, table.on_conflict)
    return len(news)


def _news(connection: Connection, name: str, theirs: Sequence[Row]) -> list[Row]:
    """The rows of a table that are new or better than ours."""
    if name == "session_ledgers":
        return _later_ledgers(connection, theirs)
    table = TABLES[name]
    found: list[Row] = []
    for start in range(0, len(theirs), _ROWS_AT_ONCE):
        part = theirs[start : start + _ROWS_AT_ONCE]
        ours = _rows_with_keys(connection, name, table, part)
        for row in part:
            known = ours.get(row[: table.keys])
            if known is None or table.is_better(row, known):
                found.append(row)
    return found


def _rows_with_keys(connection: Connection, name: str, table: MergedTable, rows: Sequence[Row]) -> dict[Row, Row]:
    """Our rows with the keys of some rows, by key."""
    names = table.columns[: table.keys]
    values: dict[str, Any] = {
        f"{column}_{index}": value for index, row in enumerate(rows) for column, value in zip(names, row, strict=False)
    }
    same = " OR ".join(
        f"({' AND '.join(f'{column} = :{column}_{index}' for column in names)})" for index in range(len(rows))
    )
    found = connection.fetch(f"SELECT {', '.join(table.columns)} FROM {name} WHERE {same}", values)
    return {row[: table.keys]: row for row in found}


def _later_ledgers(connection: Connection, theirs: Sequence[Row]) -> list[Row]:
    """The ledgers of sessions, whole, that were written later than ours."""
    columns = ", ".join(LedgerEntry._fields)
    ours = _by_session(connection.fetch(f"SELECT {columns} FROM session_ledgers"))
    return [
        row
        for session_id, ledger in _by_session(theirs).items()
        if _age_of(ledger) > _age_of(ours.get(session_id, []))
        for row in ledger
    ]


def _by_session(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in sorted(rows):
        found.setdefault(row[0], []).append(row)
    return found


def _age_of(ledger: list[Row]) -> tuple[int, list[Row]]:
    """What says which of two ledgers of a session is the later one; the same for either order of them."""
    return (ledger[0][2], ledger) if ledger else (-1, [])
