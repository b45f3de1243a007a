"""Merging what telemetry said.

Outcomes are sums, so those of two stores cannot be joined row by row. A row of both stores (of one day, session, name
and kind) is exact if both stores still know each of its records by its key, as they do for a week: the records that
only the other store has are added. Of an older row it is not known which records both have: the greater sum stays,
since a row is nearly always of one machine, and a store is often merged twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from claude_force.database.contract import Connection, Row
from claude_force.database.rows.telemetry import CountedOutcome, OutcomeSum
from claude_force.database.writes.telemetry import REPLACE_SUMS, add_counted, remember
from claude_force.formatting import quantity

_KEY = slice(2, 6)
"""The place of a sum's key in a CountedOutcome; it is the beginning of an OutcomeSum."""

SumKey = tuple[int, str, str, str]
Records = Mapping[SumKey, Mapping[str, CountedOutcome]]
"""The known records of each sum, by their keys."""


@dataclass(slots=True)
class OutcomeDecision:
    """What becomes of the outcomes of the other store: sums that ours lacks or that are greater, and records that are
    added to ours. `unsure` counts the sums of which it is not known which records both have."""

    sums: list[OutcomeSum] = field(default_factory=list)
    records: list[CountedOutcome] = field(default_factory=list)
    unsure: int = 0

    @property
    def changed(self) -> int:
        """How many sums change."""
        return len(self.sums) + len({row[_KEY] for row in self.records})

    @property
    def notes(self) -> list[str]:
        """A line about what is not known, if anything is."""
        sums = quantity(self.unsure, "sum")
        return (
            [f"{sums} of outcomes are older than a week in both stores: the greater one counts"] if self.unsure else []
        )


def merge_outcomes(
    connection: Connection, outcomes: Sequence[Row], counted: Sequence[Row], *, is_dry_run: bool
) -> OutcomeDecision:
    """Merge the sums of the other store and the records that it knows, in the caller's transaction."""
    ours = {
        row[:4]: OutcomeSum(*row) for row in connection.fetch(f"SELECT {', '.join(OutcomeSum._fields)} FROM outcomes")
    }
    known = connection.fetch(f"SELECT {', '.join(CountedOutcome._fields)} FROM counted_outcomes")
    theirs, records = [OutcomeSum(*row) for row in outcomes], _by_sum(counted)
    decision = decide(ours, _by_sum(known), theirs, records)
    if not is_dry_run:
        _apply(connection, decision, records)
    return decision


def decide(
    ours: Mapping[SumKey, OutcomeSum], our_records: Records, theirs: Iterable[OutcomeSum], their_records: Records
) -> OutcomeDecision:
    """What becomes of sums of the other store. The sums afterwards do not depend on which of the two is the other."""
    decision = OutcomeDecision()
    for row in theirs:
        key = row[:4]
        here, there = our_records.get(key, {}), their_records.get(key, {})
        mine = ours.get(key)
        if mine is None:
            decision.sums.append(row)
        elif len(here) == mine.records and len(there) == row.records:
            decision.records += [there[name] for name in there.keys() - here.keys()]
        elif mine != row:
            decision.unsure += 1
            if row[4:] > mine[4:]:
                decision.sums.append(row)
    return decision


def _by_sum(counted: Iterable[Row]) -> Records:
    found: dict[SumKey, dict[str, CountedOutcome]] = defaultdict(dict)
    for row in counted:
        found[row[_KEY]][row[0]] = CountedOutcome(*row)
    return found


def _apply(connection: Connection, decision: OutcomeDecision, records: Records) -> None:
    """Store a decision. A key is known only if its record is in our sum: a later merge relies on that."""
    add_counted(connection, sorted(decision.records))
    connection.execute_many(
        f"DELETE FROM counted_outcomes WHERE {' AND '.join(f'{name} = :{name}' for name in OutcomeSum._fields[:4])}",
        [row._asdict() for row in decision.sums],
    )
    connection.insert_all(f"outcomes ({', '.join(OutcomeSum._fields)})", sorted(decision.sums), REPLACE_SUMS)
    remember(connection, sorted(record for row in decision.sums for record in records.get(row[:4], {}).values()))
