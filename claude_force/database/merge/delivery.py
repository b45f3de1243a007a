"""Deliveries: what one store sends to another as it comes, where `run` merges two whole stores.

A delivery has some executions with all of their identities and sightings, so that the other store can tell which of its
executions they are, whatever came before. It is stored in one transaction, and storing it again changes nothing. So a
sender that does not know whether it was stored sends it again.

| an execution of the delivery                               | then                                                    |
|------------------------------------------------------------|---------------------------------------------------------|
| is not known                                               | it is stored                                            |
| is stored, or one that is the same by an identity          | the better version stays: `deduplication.succeeding`    |
| is stored, and so is another that is the same              | one of the two stays, with the better version           |
| is archived                                                | it stays as it is                                       |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from claude_force.database import queries
from claude_force.database.contract import Connection, Database, Row
from claude_force.database.merge.delivered_tables import store_tables
from claude_force.database.merge.executions import Counts, apply, decide
from claude_force.database.merge.identities import SAVE, Matches, changed_identities
from claude_force.database.merge.sightings import SightingMerge, keep_unlike_apart, seen_of, union
from claude_force.database.queries.executions import known_among
from claude_force.database.queries.ingestion import executions_of
from claude_force.database.queries.sightings import has_sightings
from claude_force.database.writes.executions import delete_rows
from claude_force.database.writes.sightings import forget_sightings
from claude_force.executions.deduplication import succeeding
from claude_force.executions.joining import implied_sightings
from claude_force.executions.record import ExecutionRow
from claude_force.executions.sightings import BySource, Price

_REPOINT = "UPDATE identities SET uid = :ours WHERE uid = :theirs"


class Delivery(NamedTuple):
    """Executions; the uid of each of their identities; what sources saw of those that telemetry saw, by uid; and rows
    of other tables, by table."""

    rows: Sequence[ExecutionRow] = ()
    identities: Mapping[bytes, bytes] = {}
    sightings: Mapping[bytes, BySource] = {}
    tables: Mapping[str, Sequence[Row]] = {}


class Rejected(NamedTuple):
    """What a store will never take of a delivery: an execution (its uid), or rows of a table; and why."""

    what: str
    reason: str


def store_delivery(database: Database, delivery: Delivery, price: Price | None = None) -> Counts:
    """Store a delivery, in one transaction. `price` prices what several sources saw. Raises DatabaseError: then nothing
    of it is stored, or all of it."""
    counts = Counts()
    with database.write() as connection:
        connection.lock_rollups()
        if delivery.rows:
            _store_executions(connection, delivery, price, counts)
        store_tables(connection, delivery.tables)
    return counts


def _store_executions(connection: Connection, delivery: Delivery, price: Price | None, counts: Counts) -> None:
    is_needed = bool(delivery.sightings) or has_sightings(connection)
    merging = SightingMerge(is_needed, price, succeeding)
    matches = _find_matches(connection, delivery, is_needed=is_needed)
    delivery = _with_own_doubles(connection, delivery, matches, merging)
    seen = {matches.same.get(uid, uid): found for uid, found in delivery.sightings.items()}
    decision = decide(connection, merging, matches.translated(delivery.rows), seen, is_archived=False)
    apply(connection, decision)
    changed = changed_identities(connection, delivery.identities, matches)
    connection.insert_all("identities (identity, uid)", sorted(changed), SAVE)
    counts.add(decision, len(delivery.rows))


def _find_matches(connection: Connection, delivery: Delivery, *, is_needed: bool) -> Matches:
    """What the identities that both have say about their executions."""
    matches = Matches()
    for identity, ours in executions_of(connection, delivery.identities).items():
        matches.add(identity, ours, delivery.identities[identity])
    # An identity may stand for an execution that was deleted; that one is not the same as any.
    here = known_among(connection, list(matches.same.values()))
    matches.same = {theirs: ours for theirs, ours in matches.same.items() if ours in here}
    if is_needed and matches.same:
        theirs = {
            row[0]: delivery.sightings.get(row[0]) or implied_sightings(row)
            for row in delivery.rows
            if row[0] in matches.same
        }
        ours_seen = seen_of(connection, list(matches.same.values()))
        keep_unlike_apart(matches, dict(matches.same), ours_seen, theirs)
    return matches


def _with_own_doubles(connection: Connection, delivery: Delivery, matches: Matches, merging: SightingMerge) -> Delivery:
    """Delete the stored executions that turn out to be the same as others of ours, and add what they knew to the
    delivery. Their identities stand for the others from now on."""
    doubles = {row[0]: row for row in queries.rows_of(connection, list(matches.same))}
    if not doubles:
        return delivery
    known = merging.ours(connection, doubles)
    rows = [
        merging.better(doubles[row[0]], row, known.get(row[0]), delivery.sightings.get(row[0]))[0]
        if row[0] in doubles
        else row
        for row in delivery.rows
    ]
    joined = {uid: union(known.get(uid, {}), delivery.sightings.get(uid, {})) for uid in doubles}
    forget_sightings(connection, list(doubles.values()))
    delete_rows(connection, list(doubles.values()))
    connection.execute_many(_REPOINT, [{"theirs": uid, "ours": matches.same[uid]} for uid in doubles])
    return delivery._replace(rows=rows, sightings={**delivery.sightings, **joined})
