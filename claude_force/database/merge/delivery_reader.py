"""Reading deliveries from the store that sends them.

Identities have no index by uid, so finding those of some executions reads the whole table. The uid of a response begins
with its time, and a first push goes by time: what is read for one delivery is kept for those that come next.
"""

from __future__ import annotations

from collections.abc import Sequence

from claude_force.database.contract import Connection, Database
from claude_force.database.merge.delivery import Delivery
from claude_force.database.queries.ingestion import has_identities, identities_between, identities_of
from claude_force.database.queries.sightings import has_sightings, sightings_of
from claude_force.executions.record import ExecutionRow

_AHEAD = 7
"""For so many deliveries after the one that asks, if all of them span as many uids."""

KEPT_LIMIT = 150_000
"""The most executions whose identities are kept: about 30 MB."""

_BYTES = 16
"""Of a uid, and of an identity."""

_LAST_UID = bytes([255]) * _BYTES


class DeliveryReader:
    """Reads stored executions with what belongs to them, for one push."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[bytes, bytes] = {}
        self._first, self._last = _LAST_UID, bytes(_BYTES)

    def read(self, rows: Sequence[ExecutionRow], *, is_queued: bool) -> Delivery:
        """A delivery of some executions. `is_queued` tells that the queue is to forget some of them: then it has all of
        their identities that are stored now, and otherwise those that were stored when the queue began."""
        with self._database.read() as connection:
            sightings = sightings_of(connection, {row[0]: row for row in rows}) if has_sightings(connection) else {}
            return Delivery(rows, self._identities(connection, [row[0] for row in rows], is_queued), sightings)

    def _identities(self, connection: Connection, uids: Sequence[bytes], is_queued: bool) -> dict[bytes, bytes]:
        if not uids or not has_identities(connection):
            return {}
        if is_queued:
            # What changed may be years apart: nothing further is kept of all that lies between.
            return identities_of(connection, uids)
        if min(uids) < self._first or max(uids) > self._last:
            self._search(connection, uids)
        return {
            joined[at : at + _BYTES]: uid
            for uid in uids
            if (joined := self._kept.get(uid, b""))
            for at in range(0, len(joined), _BYTES)
        }

    def _search(self, connection: Connection, uids: Sequence[bytes]) -> None:
        wanted = set(uids)
        self._first, self._last = min(wanted), _further(min(wanted), max(wanted))
        kept: dict[bytes, bytes] = {}
        is_whole = True
        for identity, uid in identities_between(connection, self._first, self._last):
            if uid in kept or uid in wanted or len(kept) < KEPT_LIMIT:
                kept[uid] = kept.get(uid, b"") + identity
            else:
                is_whole = False
        self._kept = kept
        if not is_whole:
            # Of further executions it is not known whether all of their identities are kept.
            self._last = self._first


def _further(first: bytes, last: bytes) -> bytes:
    """The uid as far after the last one as several times the distance between both."""
    start, end = int.from_bytes(first), int.from_bytes(last)
    return min(end + _AHEAD * (end - start), int.from_bytes(_LAST_UID)).to_bytes(_BYTES)
