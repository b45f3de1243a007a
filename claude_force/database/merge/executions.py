"""Merging executions: each is stored or archived once afterwards, with the better of its two versions.

Which version that is does not depend on the direction of the merge (`deduplication.preferred`), so the totals do not
either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from claude_force.clock import HOUR_US, month_of
from claude_force.database import queries
from claude_force.database.archive import SUFFIX, read_archive
from claude_force.database.contract import Connection, Database
from claude_force.database.merge.identities import Matches
from claude_force.database.merge.sightings import SightingMerge, union
from claude_force.database.queries.ingestion import results_among, transcribed
from claude_force.database.queries.sightings import Found, sightings_of
from claude_force.database.writes import Store
from claude_force.database.writes.archives import adopt_rows, tombstone
from claude_force.database.writes.executions import delete_rows, insert_rows, revise_rows
from claude_force.database.writes.sightings import save_sightings
from claude_force.executions.nearby import session_of
from claude_force.executions.record import CLAUDE_CODE, RESULT, TELEMETRY, ExecutionRow, columns
from claude_force.executions.rollups import DIGEST_BITS
from claude_force.executions.sightings import BySource

AT_ONCE = 5000
"""Executions of one transaction."""

_SOURCE, _WORKFLOW = columns("source", "workflow_id")


class Change(NamedTuple):
    """A stored execution, and the better version of it."""

    before: ExecutionRow
    after: ExecutionRow


@dataclass(slots=True)
class Decision:
    """What becomes of executions of the other store: `new` ones, better versions of stored ones, other versions of
    archived ones (each with the digest of the archived one), and those that are archived exactly so. `replaced` are
    stored results of runs of which the other store has the transcript. `sightings` are
    what all sources saw of executions that telemetry saw, each with its uid and as it is merged."""

    new: list[ExecutionRow] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    archived: list[tuple[ExecutionRow, int]] = field(default_factory=list)
    archived_alike: list[ExecutionRow] = field(default_factory=list)
    replaced: list[ExecutionRow] = field(default_factory=list)
    sightings: list[tuple[bytes, ExecutionRow, BySource]] = field(default_factory=list)

    @property
    def is_nothing(self) -> bool:
        """Whether nothing has to be stored."""
        return not (self.new or self.changed or self.replaced or self.sightings)


@dataclass(slots=True)
class Counts:
    """What a merge did with executions; `known` had nothing new."""

    added: int = 0
    changed: int = 0
    known: int = 0

    def add(self, decision: Decision, given: int) -> None:
        """Count what was decided of so many executions."""
        self.added += len(decision.new)
        self.changed += len(decision.changed)
        self.known += given - len(decision.new) - len(decision.changed)


@dataclass(slots=True)
class ExecutionMerge:
    """Merges executions of `other` into `target`, whose archives are in `folder`. A dry run only counts."""

    target: Database
    other: Database
    folder: Path
    matches: Matches
    sightings: SightingMerge
    now_us: int
    is_dry_run: bool

    def merge(self, rows: Sequence[ExecutionRow], counts: Counts, *, is_archived: bool = False) -> None:
        """Merge some executions of the other store, in one transaction. Archived ones are in our archive already."""
        same = self.matches.same
        seen = {same.get(uid, uid): found for uid, found in self._seen_there(rows).items()}
        rows = self.matches.translated(rows)
        with self.target.read() as connection:
            decision = decide(connection, self.sightings, rows, seen, is_archived=is_archived)
        if not self.is_dry_run:
            is_changed = self._restore_worse(decision.archived, seen)
            if is_changed or not decision.is_nothing:
                with self.target.write() as connection:
                    connection.lock_rollups()
                    # Asked again under the lock: others may have stored some of them.
                    decision = decide(connection, self.sightings, rows, seen, is_archived=is_archived)
                    apply(connection, decision, archived_us=self.now_us if is_archived else None)
        counts.add(decision, len(rows))

    def _seen_there(self, rows: Sequence[ExecutionRow]) -> Found:
        """What the other store has of sightings of some of its executions, by its uids."""
        if not self.sightings.is_needed:
            return {}
        with self.other.read() as connection:
            return sightings_of(connection, {row[0]: row for row in rows})

    def _restore_worse(self, found: Sequence[tuple[ExecutionRow, int]], seen: Mapping[bytes, BySource]) -> bool:
        """Store those archived executions again of which the other store has a better version; returns whether there
        are any. Those whose archive is not there stay as they are."""
        wanted = {row[0]: (row, digest) for row, digest in found}
        months = {month_of((digest >> DIGEST_BITS) * HOUR_US)[0] for _, digest in found}
        pairs = [
            (ours, wanted[ours[0]][0])
            for month in sorted(months)
            if (file := self.folder / f"{month}{SUFFIX}").exists()
            for ours in read_archive(file)
            if ours[0] in wanted and tombstone(ours) == wanted[ours[0]][1]
        ]
        with self.target.read() as connection:
            known = self.sightings.ours(connection, {ours[0]: ours for ours, _ in pairs})
        worse = [
            ours
            for ours, theirs in pairs
            if self.sightings.better(ours, theirs, known.get(ours[0]), seen.get(ours[0]))[0] != ours
        ]
        return bool(worse and Store(self.target).restore(worse))


def decide(
    connection: Connection,
    sightings: SightingMerge,
    rows: Sequence[ExecutionRow],
    seen: Mapping[bytes, BySource],
    *,
    is_archived: bool,
) -> Decision:
    """What becomes of some executions, of which the other store's sources saw so much."""
    decision = Decision()
    stored = _stored(connection, [row[0] for row in rows])
    archived = queries.tombstones(connection, [row[0] for row in rows])
    alike = {row[0]: row for row in rows if row[0] in archived and tombstone(row) == archived[row[0]]}
    known = sightings.ours(connection, stored | alike)
    for row in rows:
        uid, better = row[0], row
        joined = union(known.get(uid, {}), seen.get(uid, {}))
        if uid in stored:
            ours = stored[uid]
            better, joined = sightings.better(ours, row, known.get(uid), seen.get(uid))
            if better != ours:
                decision.changed.append(Change(ours, better))
        elif uid in alike:
            decision.archived_alike.append(row)
        elif uid in archived:
            decision.archived.append((row, archived[uid]))
            continue
        else:
            decision.new.append(row)
        if joined != known.get(uid, {}):
            decision.sightings.append((uid, better, joined))
    if not is_archived:
        _give_way(connection, decision)
    return decision


def apply(connection: Connection, decision: Decision, archived_us: int | None = None) -> None:
    """Store a decision. With `archived_us`, its new executions are listed as archived at that instant."""
    delete_rows(connection, decision.replaced)
    revise_rows(
        connection, [change.before for change in decision.changed], [change.after for change in decision.changed]
    )
    save_sightings(connection, decision.sightings)
    if archived_us is not None:
        adopt_rows(connection, decision.new, list(map(tombstone, decision.new)), archived_us)
    elif decision.new:
        insert_rows(connection, decision.new)


def _stored(connection: Connection, uids: Sequence[bytes]) -> dict[bytes, ExecutionRow]:
    """The stored executions among some uids, by uid."""
    return {row[0]: row for row in queries.rows_of(connection, uids)}


def _give_way(connection: Connection, decision: Decision) -> None:
    """Results of runs give way to the transcript of their session, whichever store has it."""
    results = [row for row in decision.new if row[_SOURCE] == RESULT]
    if results:
        sessions = transcribed(connection, sorted({row[_WORKFLOW] for row in results if row[_WORKFLOW]}))
        decision.new = [row for row in decision.new if row[_SOURCE] != RESULT or row[_WORKFLOW] not in sessions]
    found = {session_of(row) for row in decision.new if row[_SOURCE] in (CLAUDE_CODE, TELEMETRY)}
    decision.replaced = results_among(connection, sorted(session for session in found if session))


def batches(rows: Iterable[ExecutionRow]) -> Iterator[list[ExecutionRow]]:
    """Rows in batches, one for each transaction."""
    rest = iter(rows)
    while batch := list(islice(rest, AT_ONCE)):
        yield batch


def delete_replays(target: Database, uids: Iterable[bytes]) -> int:
    """Delete executions that turned out to be replays; returns how many were stored."""
    wanted = list(uids)
    with target.read() as connection:
        if not queries.rows_of(connection, wanted):
            return 0
    with target.write() as connection:
        connection.lock_rollups()
        rows = queries.rows_of(connection, wanted)
        delete_rows(connection, rows)
    return len(rows)
