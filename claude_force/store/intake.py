"""Sightings of responses to executions, together with how far their files were read: one transaction.

Which execution a sighting is of is decided here, where everything that was seen before is known. Whatever stops it
leaves files as unread as rows are absent, so reading again is all that is needed, and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from claude_force import query
from claude_force.clock import DAY_US
from claude_force.cursor import CURSOR_FIELDS, Cursor
from claude_force.database import Connection, Database, Row
from claude_force.query import files
from claude_force.record import FIELDS, PROVISIONAL
from claude_force.sighting import ReportedUsage, Sighting, merged, reported
from claude_force.store.rows import put_rows, revise_rows

REPORT_KEPT_US = 2 * DAY_US
"""For so long a report waits for the response that it is of."""

AMBIGUOUS = bytes(16)
"""The uid of an identity that two executions have, and that therefore tells nothing."""

_CURSOR_KEY = ("host", "path")
_SAVE_CURSORS = f"ON CONFLICT ({', '.join(_CURSOR_KEY)}) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in CURSOR_FIELDS if name not in _CURSOR_KEY
)
_REPORTS = "reported_usages (run_id, basis, until_us, since_us, total_tokens, prompt_tokens, output_tokens)"
_FORGET_REPORT = """
DELETE FROM reported_usages WHERE run_id = :run_id AND basis = :basis AND total_tokens = :total_tokens
"""


class TakenIn(NamedTuple):
    """What became of sightings: new executions, further sightings of known ones, and those of known ones that changed
    them."""

    added: int = 0
    known: int = 0
    changed: int = 0


@dataclass(slots=True)
class _Resolved:
    """Which execution each sighting is of: rows of new ones by their uid, and sightings of stored ones."""

    known: dict[bytes, bytes]
    rows: dict[bytes, Row] = field(default_factory=dict)
    sides: dict[bytes, bool] = field(default_factory=dict)
    seen: list[tuple[bytes, Sighting]] = field(default_factory=list)
    learned: dict[bytes, bytes] = field(default_factory=dict)

    def resolve(self, sighting: Sighting) -> None:
        """Find the execution of the next sighting."""
        uid = next((self.known[key] for key in sighting.identities if key in self.known), None)
        is_replay = False
        if uid is None and sighting.other_side is not None:
            uid = self.known.get(sighting.other_side)
            is_replay = uid is not None and uid != AMBIGUOUS
            uid = uid if is_replay else None
        if uid is None:
            uid = sighting.row[0]
            self.rows[uid], self.sides[uid] = sighting.row, sighting.is_sidechain
        elif uid in self.rows:
            self._meet(uid, sighting, is_replay)
        elif not is_replay:
            self.seen.append((uid, sighting))
        for key in sighting.identities:
            self._learn(key, uid)
        if sighting.side is not None:
            told = self.known.get(sighting.side, uid)
            self._learn(sighting.side, uid if told == uid else AMBIGUOUS)

    def _meet(self, uid: bytes, sighting: Sighting, is_replay: bool) -> None:
        """Another sighting of an execution that is as new. Of a replay, the main conversation tells the truth."""
        if not is_replay:
            self.rows[uid] = merged(self.rows[uid], sighting.row, goes_on=sighting.goes_on)
        elif self.sides[uid] and not sighting.is_sidechain:
            self.rows[uid], self.sides[uid] = (uid, *sighting.row[1:]), False

    def _learn(self, key: bytes, uid: bytes) -> None:
        if self.known.get(key) != uid:
            self.known[key] = self.learned[key] = uid


def take_in(
    connection: Connection,
    database: Database,
    sightings: Sequence[Sighting],
    cursors: Iterable[Cursor],
    reports: Iterable[ReportedUsage],
) -> TakenIn:
    """Store what was seen, and how far files were read. By who has the turn."""
    keys = {key for sighting in sightings for key in (*sighting.identities, sighting.side, sighting.other_side) if key}
    found = _Resolved(files.executions_of(connection, database, keys))
    for sighting in sightings:
        found.resolve(sighting)
    changed = _revise(connection, database, found.seen)
    rows = list(found.rows.values())
    added = put_rows(connection, database, rows) if rows else 0
    encode = database.encode_uid
    connection.insert_all(
        "identities (identity, uid)",
        [(encode(key), encode(uid)) for key, uid in found.learned.items()],
        "ON CONFLICT (identity) DO UPDATE SET uid = excluded.uid",
    )
    save_cursors(connection, cursors)
    connection.insert_all(
        _REPORTS,
        list(
            {
                (report.run_id, report.basis, report.total_tokens): (
                    report.run_id, report.basis, report.until_us, report.since_us, report.total_tokens,
                    report.prompt_tokens, report.output_tokens,
                )
                for report in reports
            }.values()
        ),
        "ON CONFLICT DO NOTHING",
    )  # fmt: skip
    return TakenIn(added, len(sightings) - added, changed)


def save_cursors(connection: Connection, cursors: Iterable[Cursor]) -> None:
    """Keep how far files were read."""
    rows = {(cursor.host, cursor.path): cursor for cursor in cursors}
    connection.insert_all(
        f"source_files ({', '.join(CURSOR_FIELDS)})",
        [tuple(getattr(cursor, name) for name in CURSOR_FIELDS) for cursor in rows.values()],
        _SAVE_CURSORS,
    )


def _revise(connection: Connection, database: Database, seen: Sequence[tuple[bytes, Sighting]]) -> int:
    """Let stored executions be what further sightings make of them; how many changed."""
    uids = list(dict.fromkeys(database.encode_uid(uid) for uid, _ in seen))
    stored = {database.decode_uid(row[0]): row for row in query.rows_of(connection, uids)}
    now = dict(stored)
    for uid, sighting in seen:
        # One that is not there any more was archived or deleted: it stays what it was.
        if uid in now:
            now[uid] = merged(now[uid], sighting.row, goes_on=sighting.goes_on)
    changed = [uid for uid, row in now.items() if row is not stored[uid]]
    revise_rows(connection, [stored[uid] for uid in changed], [now[uid] for uid in changed])
    return len(changed)


def settle(connection: Connection, price: Callable[[Row], Row], now_us: int) -> int:
    """Change executions to what was reported of them, priced, and forget the reports that are done with; how many
    changed. By who has the turn."""
    before: list[Row] = []
    after: dict[Any, Row] = {}
    done: list[ReportedUsage] = []
    # The result of a task says more than a notification of its end.
    for report, run in sorted(files.reported_usages(connection), key=lambda item: item[0].basis, reverse=True):
        settled = reported(report, run)
        if settled is not None and settled[0] not in after:
            before.append(run[-1])
            after[settled[0]] = price(settled)
        if settled is not None or (run and not _is_open(run[-1])) or report.until_us < now_us - REPORT_KEPT_US:
            done.append(report)
    revise_rows(connection, before, list(after.values()))
    connection.execute_many(
        _FORGET_REPORT,
        [{"run_id": report.run_id, "basis": report.basis, "total_tokens": report.total_tokens} for report in done],
    )
    return len(before)


def _is_open(row: Row) -> bool:
    return bool(row[FIELDS.index("usage_basis")] == PROVISIONAL)
