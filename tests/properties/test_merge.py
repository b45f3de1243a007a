"""Laws of merging two stores: each execution counts once, whichever store is merged into the other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.clock import HOUR_US, LATEST_US
from claude_force.database.archive import archive_folder, archive_once
from claude_force.database.contract import Database
from claude_force.database.merge import MergeReport, merge, open_other
from claude_force.database.open import open_database
from claude_force.database.queries import Filter, archived, verify_rollups
from claude_force.database.writes import Store
from claude_force.executions.record import COST_GIVEN, ExecutionMetrics
from claude_force.time_windows import ALL_TIME
from tests.archives import archived_lines, stored_lines
from tests.postgres import DatabasesAtHead
from tests.profiles import scaled
from tests.properties.strategies import on_both_engines, records
from tests.properties.test_archives import figures

NOW_US = LATEST_US - 1


class Contents(NamedTuple):
    """What a store has: its executions, and the instant up to which they are archived."""

    executions: list[ExecutionMetrics]
    archived_until_us: int


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Contents, Contents]:
    """Two stores that share executions. Of a shared one, either store may have another cost, since it was priced again
    there, or another agent and outcome."""
    executions = draw(st.lists(records(), max_size=8, unique_by=lambda record: record.uid))
    stores: tuple[list[ExecutionMetrics], ...] = ([], [])
    for execution in executions:
        in_which = draw(st.sampled_from((0, 1, 2, 2)))
        for index, store in enumerate(stores):
            if in_which in (index, 2):
                store.append(_version(draw, execution) if in_which == 2 else execution)
    instants = [0, *(execution.timestamp_us + HOUR_US for execution in executions)]
    first, second = (Contents(store, draw(st.sampled_from(instants))) for store in stores)
    return first, second


def _version(draw: st.DrawFn, execution: ExecutionMetrics) -> ExecutionMetrics:
    kind = draw(st.sampled_from(("same", "same", "repriced", "renamed")))
    if kind == "repriced" and execution.steps is None:
        return replace(
            execution,
            cost_nanousd=(execution.cost_nanousd or 0) // 2,
            recorded_cost_nanousd=execution.cost_nanousd or 0,
            recorded_basis=COST_GIVEN,
        )
    return replace(execution, agent_name="another", success=not execution.success) if kind == "renamed" else execution


def fill(location: str, folder: Path, contents: Contents) -> None:
    """Make these the only contents of a store."""
    database = open_database(location)
    Store(database).delete(ALL_TIME)
    Store(database).add(contents.executions)
    archive_once(database, folder, contents.archived_until_us, 0)
    database.close()


class Pair(NamedTuple):
    """Where two stores are, each with the folder of its archives."""

    locations: tuple[str, str]
    metrics_folder: Path

    def folder(self, index: int) -> Path:
        """The archives of a store."""
        return archive_folder(self.locations[index], self.metrics_folder)

    def merged(self, target: int, *, is_dry_run: bool = False) -> MergeReport:
        """Merge the other store into one of them."""
        database = open_database(self.locations[target])
        with open_other(self.locations[1 - target], database, self.metrics_folder, self.metrics_folder) as other:
            found = merge(database, self.folder(target), other, NOW_US, is_dry_run=is_dry_run)
        database.close()
        return found


@contextmanager
def stores(engines: tuple[str, str], parent: Path, servers: DatabasesAtHead | None) -> Iterator[Pair]:
    """Two empty stores."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    files = tuple(str(folder / name / "metrics.db") for name in ("first", "second"))
    if servers is None:
        yield Pair((files[0], files[1]), folder)
        return
    with servers.one() as url:
        yield Pair((files[0], url) if engines[1] == "postgresql" else (url, files[1]), folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def servers(request: pytest.FixtureRequest) -> DatabasesAtHead | None:
    """The server of the second store; None where it is a file, too."""
    return request.getfixturevalue("databases_at_head") if request.param == "postgresql" else None


def totals(database: Database) -> list[object]:
    """Every figure of the reports, after a check that the roll-ups equal the executions."""
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
    return figures(database)


@settings(on_both_engines, max_examples=scaled(10))
@given(pair=pairs())
def test_a_merge_does_not_depend_on_its_direction(
    pair: tuple[Contents, Contents], servers: DatabasesAtHead | None, tmp_path: Path
) -> None:
    """All figures are the same. Every execution of either store is there once, and what one of them has archived is
    stored or in an archive of the target. Merging again adds nothing, and a dry run says what a merge does."""
    found = []
    with stores(("sqlite", "postgresql"), tmp_path, servers) as both:
        for target in (0, 1):
            for index in (0, 1):
                fill(both.locations[index], both.folder(index), pair[index])
            expected = both.merged(target, is_dry_run=True)
            done = both.merged(target)
            assert (done.problems, done.executions.added) == ([], expected.executions.added)
            database = open_database(both.locations[target])
            found.append(totals(database))
            uids = {execution.uid for contents in pair for execution in contents.executions}
            kept, moved = stored_lines(database), archived_lines(database, both.folder(target))
            assert len(kept) + len(moved) == len(uids)
            with database.read() as connection:
                assert archived(connection, Filter()).executions == len(moved)
            database.close()
            again = both.merged(target)
            assert (again.executions.added, again.executions.changed) == (0, 0)
            assert (again.archived.added, again.archived.changed) == (0, 0)
            assert not any(again.rows.values())
            for file in both.folder(target).glob("*"):
                file.unlink()
            for file in both.folder(1 - target).glob("*"):
                file.unlink()
    assert found[0] == found[1]
