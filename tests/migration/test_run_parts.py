"""The parts of runs that an upgrade makes from the executions of an older store."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from claude_force.database import migrate
from claude_force.database.check import check
from claude_force.database.open import open_database
from claude_force.database.revisions import HEAD
from tests.conftest import ROOT
from tests.histories import a_store_at, runs_of_two_days
from tests.migration.test_migrations import states_of_killed
from tests.profiles import thorough
from tests.properties.test_rollups import kept

OLD = "0011"
"""It has steps, sessions and parents of runs, and no table of their parts."""


@pytest.fixture(params=["sqlite", "postgresql"])
def old_location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store of the old revision with runs is, on both engines. A new one with the same is `newest.db`."""
    location: str = str(tmp_path / "old.db") if request.param == "sqlite" else request.getfixturevalue("bare_url")
    a_store_at(OLD, location, runs_of_two_days(), tmp_path / "newest.db")
    return location


def assert_as_new(location: str, newest: Path) -> None:
    """The parts of runs are those that the newest program wrote of the same executions, and proven."""
    with closing(open_database(location)) as upgraded, closing(open_database(str(newest))) as new:
        wanted = kept(new)["rollup_runs"]
        assert len(wanted) > 20
        assert sum(row[4] for row in wanted) > 2 * len(wanted)
        assert kept(upgraded)["rollup_runs"] == wanted
        assert check(upgraded)[0] == []


def test_an_upgrade_makes_the_parts_of_runs(old_location: str, tmp_path: Path) -> None:
    """Of runs of several executions, days, workflows and models; those that wait are not in them."""
    with closing(open_database(old_location)) as database:
        assert migrate.upgrade(database).after == HEAD
    assert_as_new(old_location, tmp_path / "newest.db")


@pytest.mark.thorough
@pytest.mark.parametrize("old_location", ["sqlite", *thorough("postgresql")], indirect=True)
def test_making_the_parts_of_runs_can_be_killed(old_location: str, tmp_path: Path) -> None:
    """Killed after any of its statements the upgrade of a store with runs changed nothing, and then it succeeds."""
    before, *killed, after = states_of_killed(old_location, ROOT / "migrations")
    assert (before["revision"], after["revision"]) == (OLD, HEAD)
    assert len(killed) >= 10
    assert killed == [before] * len(killed)
    assert_as_new(old_location, tmp_path / "newest.db")
