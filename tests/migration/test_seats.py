"""The sums of hosts and users that an upgrade makes from the executions of an older store."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from claude_force.database import migrate
from claude_force.database.check import check
from claude_force.database.open import open_database
from claude_force.database.revisions import HEAD
from claude_force.executions.record import ExecutionMetrics
from tests.conftest import ROOT
from tests.histories import a_store_at, runs_of_two_days
from tests.profiles import thorough
from tests.properties.test_rollups import kept

OLD = "0015"
TABLES = ("rollup_seats", "rollup_seat_durations")


def a_team() -> list[ExecutionMetrics]:
    """The runs of two days, of several hosts and users, or of none, some of them years apart."""
    return [
        replace(
            found,
            host=(None, "laptop", "ci-1")[number % 3],
            user_name=("ada", None, "ü", "grace")[number % 4],
            timestamp_us=found.timestamp_us - number % 2 * 90_000_000_000_000,
        )
        for number, found in enumerate(runs_of_two_days())
    ]


@pytest.fixture(params=["sqlite", "postgresql"])
def old_location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store of the old revision is, on both engines. A new one with the same is `newest.db`."""
    location: str = str(tmp_path / "old.db") if request.param == "sqlite" else request.getfixturevalue("bare_url")
    a_store_at(OLD, location, a_team(), tmp_path / "newest.db")
    return location


def assert_as_new(location: str, newest: Path) -> None:
    """The sums are those that the newest program wrote of the same executions, and proven."""
    with closing(open_database(location)) as upgraded, closing(open_database(str(newest))) as new:
        for table in TABLES:
            wanted = kept(new)[table]
            assert len(wanted) > 50
            assert kept(upgraded)[table] == wanted
        assert check(upgraded)[0] == []


def test_an_upgrade_makes_the_sums_of_hosts_and_users(old_location: str, tmp_path: Path) -> None:
    """With steps of other models, unknown costs and durations; executions that wait are not in them."""
    with closing(open_database(old_location)) as database:
        assert migrate.upgrade(database).after == HEAD
    assert_as_new(old_location, tmp_path / "newest.db")


@pytest.mark.thorough
@pytest.mark.parametrize("old_location", ["sqlite", *thorough("postgresql")], indirect=True)
def test_making_the_sums_of_hosts_and_users_can_be_killed(old_location: str, tmp_path: Path) -> None:
    """Killed after any of its statements the upgrade changed nothing, and then it succeeds."""
    command = [sys.executable, "-m", "torture.interrupt", old_location, str(ROOT / "migrations"), "kill", "head"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    before, *killed, after = json.loads(done.stdout)
    assert (before["revision"], before["damage"], after["revision"]) == (OLD, [], HEAD)
    assert len(killed) >= 10
    assert killed == [before] * len(killed)
    assert_as_new(old_location, tmp_path / "newest.db")
