"""Merging what several sources saw of executions.

An execution of both stores is merged from what the sources of both say, so the direction of the merge makes no
difference. Where neither store has telemetry, nothing here is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from claude_force.database import queries
from claude_force.database.contract import Connection, Database
from claude_force.database.merge.identities import Matches
from claude_force.database.queries.sightings import Found, has_sightings, sightings_of
from claude_force.executions.deduplication import preferred
from claude_force.executions.joining import implied_sightings
from claude_force.executions.nearby import fits
from claude_force.executions.record import ExecutionRow
from claude_force.executions.sightings import (
    TRANSCRIPT,
    BySource,
    Price,
    Sighting,
    merge_again,
    merge_source,
)

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class SightingMerge:
    """Merges executions that several sources saw. `is_needed` says that one of the stores has telemetry; `choose` gives
    the better of two versions of an execution, ours and theirs."""

    is_needed: bool
    price: Price | None = None
    choose: Callable[[ExecutionRow, ExecutionRow], ExecutionRow] = preferred

    def ours(self, connection: Connection, rows: Mapping[bytes, ExecutionRow]) -> Found:
        """What is known here of some executions of ours, which are given by uid."""
        return sightings_of(connection, rows) if self.is_needed else {}

    def better(
        self, ours: ExecutionRow, theirs: ExecutionRow, seen: BySource | None, seen_there: BySource | None
    ) -> tuple[ExecutionRow, dict[str, Sighting]]:
        """The better of two versions of an execution, and what all sources saw of it if telemetry is among them."""
        best = self.choose(ours, theirs)
        if not seen and not seen_there:
            return best, {}
        joined = union(seen or implied_sightings(ours), seen_there or implied_sightings(theirs))
        return merge_again(best, joined.values(), self.price), joined


def sighting_merge(target: Database, other: Database, price: Price | None) -> SightingMerge:
    """What merges the sightings of two stores."""
    is_needed = False
    for database in (target, other):
        with database.read() as connection:
            is_needed = is_needed or has_sightings(connection)
    return SightingMerge(is_needed, price)


def union(one: BySource, other: BySource) -> dict[str, Sighting]:
    """What the sources of both say, the same in whichever order."""
    found = dict(one)
    for source, seen in other.items():
        known = found.get(source)
        if known is None:
            found[source] = seen
        elif source == TRANSCRIPT:
            found[source] = known._replace(row=preferred(known.row, seen.row))
        else:
            found[source] = merge_source(known, seen)
    return found


def keep_apart(target: Database, other: Database, matches: Matches) -> None:
    """Take back that executions of both stores are the same where only their request id is, which gateways repeat."""
    pairs = iter(list(matches.same.items()))
    while part := dict(islice(pairs, _AT_ONCE)):
        with other.read() as connection:
            theirs = seen_of(connection, list(part))
        with target.read() as connection:
            ours = seen_of(connection, list(part.values()))
        keep_unlike_apart(matches, part, ours, theirs)


def keep_unlike_apart(
    matches: Matches, part: Mapping[bytes, bytes], ours: Mapping[bytes, BySource], theirs: Mapping[bytes, BySource]
) -> None:
    """`keep_apart` for some matches, given what sources saw of both sides."""
    for uid, same in part.items():
        if uid in theirs and same in ours and not _is_one(ours[same], theirs[uid]):
            matches.keep_apart(uid)


def seen_of(connection: Connection, uids: Sequence[bytes]) -> dict[bytes, BySource]:
    """What sources saw of stored executions; of those that telemetry did not see, what their own source says."""
    rows = queries.rows_of(connection, uids)
    found = sightings_of(connection, {row[0]: row for row in rows})
    return {row[0]: found.get(row[0]) or implied_sightings(row) for row in rows}


def _is_one(ours: BySource, theirs: BySource) -> bool:
    """Whether two executions can be one. Those of one transcript are: more than a request id says so."""
    both_transcripts = TRANSCRIPT in ours and TRANSCRIPT in theirs
    return both_transcripts or all(fits(seen, theirs.values()) for seen in ours.values())
