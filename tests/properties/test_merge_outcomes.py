"""Laws of merging outcomes: every record counts once, whichever store it came to, and again after a second merge."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.clock import DAY_US
from claude_force.database.contract import Database
from claude_force.database.merge.tables import merge_tables, read_tables
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.queries.telemetry import outcomes
from claude_force.database.rows.telemetry import OutcomeSum
from claude_force.database.writes.telemetry import KEYS_KEPT_US, add_outcomes, forget_counted
from claude_force.executions.signals import Outcome
from tests.builders import NOON_US
from tests.profiles import scaled

RECORDS = [
    Outcome(key=f"{number:032x}", at_us=NOON_US + number % 2 * DAY_US, name="commit", value=number, session_id=session)
    for number, session in enumerate(["", "s", "t"] * 4)
]
SOME = st.lists(st.sampled_from(RECORDS), max_size=12)


@contextmanager
def stores(*contents: Iterable[Outcome]) -> Iterator[list[Database]]:
    """A store for each of some contents."""
    with tempfile.TemporaryDirectory() as folder:
        found = [open_database(str(Path(folder) / f"{number}.db")) for number in range(len(contents))]
        for database, content in zip(found, contents, strict=True):
            add(database, content)
        yield found
        for database in found:
            database.close()


def add(database: Database, records: Iterable[Outcome]) -> None:
    """Store records."""
    with database.write() as connection:
        add_outcomes(connection, records, NOON_US)


def forget(database: Database) -> None:
    """Forget the keys, as after a week."""
    with database.write() as connection:
        forget_counted(connection, NOON_US + KEYS_KEPT_US + 1)


def merge(target: Database, other: Database) -> list[str]:
    """Merge the tables of another store; returns the notes. A dry run before it counts what it then does."""
    theirs = read_tables(other)
    expected = merge_tables(target, theirs, is_dry_run=True)
    done = merge_tables(target, theirs, is_dry_run=False)
    assert done == expected
    return done.notes


def sums(database: Database) -> list[OutcomeSum]:
    """All sums of a store."""
    with database.read() as connection:
        return outcomes(connection, Filter())


def of(records: Sequence[Outcome]) -> list[OutcomeSum]:
    """The sums of the different records."""
    with stores(records) as (database,):
        return sums(database)


@settings(max_examples=scaled(20))
@given(ours=SOME, theirs=SOME, later=SOME)
def test_each_record_counts_once(ours: list[Outcome], theirs: list[Outcome], later: list[Outcome]) -> None:
    """For any records in two stores, in both directions, merged again, and sent again after the merge."""
    with stores(ours, theirs, theirs, ours) as (target, other, second, first):
        assert merge(target, other) == []
        merge(second, first)
        assert sums(target) == sums(second) == of([*ours, *theirs])
        merge(target, other)
        assert sums(target) == of([*ours, *theirs])
        add(target, later)
        assert sums(target) == of([*ours, *theirs, *later])


@settings(max_examples=scaled(20))
@given(ours=SOME, theirs=SOME, forgets=st.tuples(st.booleans(), st.booleans()))
def test_after_a_week_the_greater_sum_stays(
    ours: list[Outcome], theirs: list[Outcome], forgets: tuple[bool, bool]
) -> None:
    """Nothing counts twice: no sum is greater than that of all records, none less than that of either store. The same
    in both directions, and a second merge changes nothing."""
    with stores(ours, theirs, theirs, ours) as (target, other, second, first):
        for database, is_old in zip((target, first, other, second), [forgets[0]] * 2 + [forgets[1]] * 2, strict=True):
            if is_old:
                forget(database)
        both = {row[:4] for row in of(ours)} & {row[:4] for row in of(theirs)}
        differ = any(row[:4] in both for row in set(of(theirs)) - set(of(ours)))
        assert bool(merge(target, other)) == (any(forgets) and differ)
        merge(second, first)
        once = sums(target)
        assert once == sums(second)
        merge(target, other)
        assert sums(target) == once
        least, most = Counter({r[:4]: r.records for r in of(ours)}), {r[:4]: r.records for r in of([*ours, *theirs])}
        least |= Counter({r[:4]: r.records for r in of(theirs)})
        assert all(least[row[:4]] <= row.records <= most[row[:4]] for row in once)
        assert {row[:4] for row in once} == set(most)
