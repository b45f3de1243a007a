"""What the identities of two stores say about their executions, and joining them.

A response has one strong identity, of which its uid is made, and others that further responses may have (see
`ingest.transcripts.identity`). Two stores can have a response under two uids if they saw it first in different copies
of a transcript; the strong identity then tells that it is one execution.

| one store | the other | then |
|---|---|---|
| a uid | nothing | that uid |
| a uid | another uid; the identity is strong | one execution, unless it is but a request id (see `sightings`) |
| a uid | another uid; the identity is not strong | ambiguous |
| a uid, or ambiguous | a replay | a replay; an execution that was made of it does not count |
| a uid | ambiguous | ambiguous |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from claude_force.database.contract import Connection, Database
from claude_force.database.queries import known_uids
from claude_force.database.queries.ingestion import executions_of
from claude_force.executions.content_uids import content_identity
from claude_force.executions.deduplication import AMBIGUOUS, REPLAY
from claude_force.executions.record import ExecutionRow

_PAGE = 5000
_NEXT = "SELECT identity, uid FROM identities WHERE identity > :after ORDER BY identity LIMIT :size"
_FIRST = "SELECT identity, uid FROM identities ORDER BY identity LIMIT :size"
SAVE = "ON CONFLICT (identity) DO UPDATE SET uid = excluded.uid"

Page = dict[bytes, bytes]
"""Uids by identity."""


@dataclass(slots=True)
class Matches:
    """Executions of the other store that are the same as ours under another uid (`same`), those that are replays of
    ours, and ours that are replays of the other's. Those `apart` share no more than a request id with ours."""

    same: dict[bytes, bytes] = field(default_factory=dict)
    replays: set[bytes] = field(default_factory=set)
    own_replays: set[bytes] = field(default_factory=set)
    apart: set[bytes] = field(default_factory=set)
    _taken: set[bytes] = field(default_factory=set)

    def add(self, identity: bytes, ours: bytes, theirs: bytes) -> None:
        """Add what an identity says that both stores have."""
        if ours == theirs or AMBIGUOUS in (ours, theirs):
            return
        if theirs == REPLAY:
            self.own_replays |= {ours} if _is_strong(identity, ours) else set()
        elif ours == REPLAY:
            self.replays |= {theirs} if _is_strong(identity, theirs) else set()
        elif _joins(identity, ours, theirs) and ours not in self._taken:
            self.same[theirs] = ours
            self._taken.add(ours)

    def keep_apart(self, theirs: bytes) -> None:
        """Take back that an execution of the other store is the same as one of ours."""
        del self.same[theirs]
        self.apart.add(theirs)

    def translated(self, rows: Sequence[ExecutionRow]) -> list[ExecutionRow]:
        """Rows of the other store under our uids, without replays of ours."""
        return [(self.same.get(row[0], row[0]), *row[1:]) for row in rows if row[0] not in self.replays]

    def joined(self, identity: bytes, ours: bytes | None, theirs: bytes) -> bytes:
        """What an identity stands for in both stores together."""
        theirs = self.same.get(theirs, theirs)
        if ours is None or ours == theirs:
            return theirs
        if REPLAY in (ours, theirs):
            return REPLAY
        is_open = AMBIGUOUS in (ours, theirs) or theirs in self.apart
        return ours if not is_open and _joins(identity, ours, theirs) else AMBIGUOUS


def _joins(identity: bytes, ours: bytes, theirs: bytes) -> bool:
    return _is_strong(identity, ours) or _is_strong(identity, theirs)


def _is_strong(identity: bytes, uid: bytes) -> bool:
    """Whether a uid was made of an identity."""
    return content_identity(int.from_bytes(uid[:6]) * 1000, identity, 0) == uid


def find_matches(target: Database, other: Database) -> Matches:
    """What the identities that both stores have say about their executions."""
    matches = Matches()
    for page in _pages(other):
        with target.read() as connection:
            known = executions_of(connection, page)
        for identity, ours in known.items():
            matches.add(identity, ours, page[identity])
    # An identity may stand for an execution that was deleted; that one is not the same as any.
    known_here = known_uids(target, list(matches.same.values()))
    matches.same = {theirs: ours for theirs, ours in matches.same.items() if ours in known_here}
    return matches


def merge_identities(target: Database, other: Database, matches: Matches) -> int:
    """Store the other store's identities; returns how many are new or stand for something else now."""
    changed = 0
    for page in _pages(other):
        with target.read() as connection:
            is_known = not changed_identities(connection, page, matches)
        if is_known:
            continue
        with target.write() as connection:
            connection.lock_rollups()
            rows = changed_identities(connection, page, matches)
            connection.insert_all("identities (identity, uid)", rows, SAVE)
        changed += len(rows)
    return changed


def changed_identities(
    connection: Connection, page: Mapping[bytes, bytes], matches: Matches
) -> list[tuple[object, object]]:
    """The rows to store for a page, in the order of their keys."""
    known = executions_of(connection, page)
    kept = [identity for identity, uid in page.items() if uid not in matches.replays]
    joined = {identity: matches.joined(identity, known.get(identity), page[identity]) for identity in kept}
    return [(identity, uid) for identity, uid in joined.items() if known.get(identity) != uid]


def _pages(other: Database) -> Iterator[Page]:
    """All identities of a store, in order, in constant memory."""
    after: object | None = None
    while True:
        with other.read() as connection:
            rows = connection.fetch(_FIRST if after is None else _NEXT, {"after": after, "size": _PAGE})
        if not rows:
            return
        after = rows[-1][0]
        yield dict(rows)
