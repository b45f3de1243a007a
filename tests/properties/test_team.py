"""Laws of replication: whatever is added, changed, lost and repeated, the team has what its laptops have, once."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.clock import SECOND_US
from claude_force.database.contract import Database
from claude_force.database.writes import DIRECT_ROLLUP_ROWS
from claude_force.executions.record import PROVISIONAL, ExecutionRow, column, to_row
from claude_force.exporters.queue import forget
from claude_force.exporters.team.recipients import TeamStore
from tests.builders import NOON_US, an_execution
from tests.profiles import scaled
from tests.properties.strategies import on_both_engines, refill
from tests.teams import COST, OUTPUT, Laptop, cost_of, receiver_of, team_rows

BASIS = column("usage_basis")
LAPTOPS = 3


@dataclass(frozen=True)
class Add:
    """A laptop records so many executions; its clock is so many hours off."""

    laptop: int
    count: int
    hours: int


@dataclass(frozen=True)
class Share:
    """An execution of a laptop is on another one, too, as far as it is known now."""

    laptop: int
    other: int
    share: float


@dataclass(frozen=True)
class Finish:
    """A provisional usage of a laptop becomes final."""

    laptop: int
    share: float


@dataclass(frozen=True)
class Reprice:
    """An execution that one laptop alone has gets another cost, higher or lower."""

    laptop: int
    share: float


@dataclass(frozen=True)
class Push:
    """A laptop pushes; its deliveries have these fates."""

    laptop: int
    fates: tuple[str, ...]


laptops, shares = st.integers(0, LAPTOPS - 1), st.floats(0, 1, exclude_max=True)
fates = st.lists(st.sampled_from(("", "", "lost", "unanswered", "doubled")), max_size=4).map(tuple)
steps = st.one_of(
    st.builds(Add, laptops, st.sampled_from([1, 3, 7, DIRECT_ROLLUP_ROWS]), st.integers(-5, 5)),
    st.builds(Share, laptops, laptops, shares),
    st.builds(Finish, laptops, shares),
    st.builds(Reprice, laptops, shares),
    st.builds(Push, laptops, fates),
)
stories = st.lists(steps, min_size=4, max_size=14)


class Team:
    """Some laptops, and who has which execution."""

    def __init__(self, folder: Path, recipient: object) -> None:
        self.laptops = [Laptop(folder, f"laptop-{place}", recipient) for place in range(LAPTOPS)]  # type: ignore[arg-type]
        self.holders: dict[bytes, set[int]] = defaultdict(set)

    def chosen(self, laptop: int, share: float) -> ExecutionRow | None:
        """An execution of a laptop."""
        rows = self.laptops[laptop].rows()
        return rows[int(len(rows) * share)] if rows else None

    def do(self, step: object, number: int) -> None:
        """One step of a story."""
        if isinstance(step, Add):
            at_us = NOON_US + step.hours * 3600 * SECOND_US + number
            self._store(step.laptop, [_provisional(at_us + place * SECOND_US, place) for place in range(step.count)])
        elif isinstance(step, Push):
            self.laptops[step.laptop].tries(*step.fates)
        elif (row := self.chosen(step.laptop, step.share)) is not None:  # type: ignore[attr-defined]
            if isinstance(step, Share):
                self._store(step.other, [row])
            elif isinstance(step, Finish):
                self._finish(step.laptop, row)
            elif self.holders[row[0]] == {step.laptop}:  # type: ignore[attr-defined]
                self.laptops[step.laptop].store.reprice([(*row[:COST], number, *row[COST + 1 :])])  # type: ignore[attr-defined]

    def _store(self, laptop: int, rows: list[ExecutionRow]) -> None:
        known = {row[0] for row in self.laptops[laptop].rows()}
        self.laptops[laptop].store.add_rows([row for row in rows if row[0] not in known])
        for row in rows:
            self.holders[row[0]].add(laptop)

    def _finish(self, laptop: int, row: ExecutionRow) -> None:
        if row[BASIS] != PROVISIONAL:
            return
        final = list(row)
        final[BASIS], final[OUTPUT], final[COST] = None, row[OUTPUT] + 100, row[OUTPUT] * 1000
        revise(self.laptops[laptop].database, row, tuple(final))

    def expected(self) -> dict[bytes, ExecutionRow]:
        """What the team must have: of an execution that several laptops have, a final usage counts."""
        found: dict[bytes, ExecutionRow] = {}
        for laptop in self.laptops:
            for row in laptop.rows():
                known = found.get(row[0])
                if known is None or (row[BASIS] is None and known[BASIS] is not None):
                    found[row[0]] = row
        return found


def _provisional(at_us: int, place: int) -> ExecutionRow:
    return to_row(an_execution(timestamp_us=at_us, usage_basis=PROVISIONAL if place % 2 else None))


def revise(database: Database, before: ExecutionRow, after: ExecutionRow) -> None:
    """Change a stored row, as ingestion does."""
    from claude_force.database.writes.executions import revise_rows

    with database.write() as connection:
        connection.lock_rollups()
        revise_rows(connection, [before], [after])


def told(rows: dict[bytes, ExecutionRow]) -> dict[bytes, tuple[object, ...]]:
    """What must be equal: usage and cost."""
    return {uid: (row[OUTPUT], row[COST], row[BASIS]) for uid, row in rows.items()}


def tell(team: Team, database: Database, story: list[object]) -> None:
    """Go through a story, push until nothing is due, and compare."""
    for number, step in enumerate(story, 1):
        team.do(step, number)
    for laptop in team.laptops:
        laptop.push()
        assert laptop.push().counts["added"] == 0
    found, expected = team_rows(database), team.expected()
    assert told(found) == told(expected)
    assert cost_of(list(found.values())) == cost_of(list(expected.values()))
    for laptop in team.laptops:
        # From the beginning, to a store that knows everything.
        forget(laptop.database, "team")
        counts = laptop.push().counts
        assert (counts["added"], counts["rejected"]) == (0, 0)
    assert told(team_rows(database)) == told(expected)


@settings(on_both_engines, max_examples=scaled(8))
@given(story=stories)
def test_the_team_has_what_its_laptops_have(database: Database, story: list[object]) -> None:
    """Every execution of any laptop once, with its current usage and cost, to the nano-dollar."""
    refill(database, [])
    with tempfile.TemporaryDirectory() as folder:
        team = Team(Path(folder), TeamStore(database))
        tell(team, database, story)
        for laptop in team.laptops:
            laptop.database.close()


@settings(on_both_engines, max_examples=scaled(4))
@given(story=stories)
def test_so_it_is_over_http(database: Database, location: str, tmp_path: Path, story: list[object]) -> None:
    """The same through the receiver."""
    refill(database, [])
    with receiver_of(location, tmp_path) as receiver, tempfile.TemporaryDirectory() as folder:
        team = Team(Path(folder), receiver)
        tell(team, database, story)
        for laptop in team.laptops:
            laptop.database.close()
