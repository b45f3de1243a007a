"""Campaigns notice lost, duplicated and damaged executions, and bad messages."""

from __future__ import annotations

import errno
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.builders import an_execution
from tests.histories import a_labelled_history
from torture.campaign import Effort, Figure
from torture.evidence import Difference, damage, difference, stored, waiting
from torture.fault_walk import End, Fault, is_defined
from torture.run import BEGIN, END, Outcome, with_figures
from torture.steps import STEPS


def test_lost_doubled_and_strange_executions_are_counted() -> None:
    """Each kind is counted separately; a duplicate counts each time."""
    assert difference(Counter(a=1, b=3, c=1), ["a", "b", "d"]) == Difference(lost=1, doubled=2, strange=1)
    assert difference(Counter(a=1), ["a"]) == Difference()


def test_stored_executions_are_counted_by_their_runs(tmp_path: Path) -> None:
    """Two executions with the same run count as two, although their uids differ."""
    location = str(tmp_path / "metrics.db")
    with closing(open_database(location)) as database:
        Store(database).add([an_execution(run_id="a"), an_execution(run_id="a"), an_execution(run_id="b")])
    assert stored(location) == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    "harm",
    [
        "DELETE FROM executions WHERE run_id = 'a'",
        "UPDATE rollups SET executions = executions + 1 WHERE level = 0",
        "DROP INDEX ix_executions_timestamp_us_uid_series_id_duration_us",
    ],
)
def test_damage_is_found(harm: str, tmp_path: Path) -> None:
    """A missing row, a wrong sum and a missing index are damage."""
    location = str(tmp_path / "metrics.db")
    with closing(open_database(location)) as database:
        store = Store(database)
        store.add([an_execution(run_id="a"), an_execution(run_id="b")])
        store.rebuild()
        assert damage(location) == []
        with database.write() as connection:
            connection.execute(harm)
    assert damage(location)


def test_a_file_that_is_no_database_is_damage(tmp_path: Path) -> None:
    """Even if it cannot be opened."""
    path = tmp_path / "metrics.db"
    path.write_bytes(b"dear diary " * 1000)
    assert damage(str(path))
    assert stored(str(path)) == {}
    path.write_bytes(b"")
    assert damage(str(path))


def test_an_older_database_is_no_damage(tmp_path: Path) -> None:
    """Its pages are checked, but not its sums, because it has none."""
    location = str(tmp_path / "metrics.db")
    a_labelled_history(location, 3)
    assert damage(location) == []


def test_spooled_executions_are_counted(tmp_path: Path) -> None:
    """Each line in each spool file of a folder counts."""
    (tmp_path / "metrics.db.spool.jsonl").write_text("{}\n{}\n")
    (tmp_path / "spool-1.jsonl").write_text("{}\n")
    assert waiting(tmp_path) == 3


@pytest.mark.parametrize(
    ("step", "code", "stderr", "expected"),
    [
        ("import", 0, "", True),
        ("import", 1, "error: the disk is full\n", True),
        ("import", 1, "", False),
        ("import", 1, "error: unexpected: OSError\n", False),
        ("import", 1, "the disk is full\n", False),
        ("import", -9, "error: the disk is full\n", False),
        ("import", 0, "Traceback (most recent call last):\n", False),
        ("record", 0, "warning", True),
        ("record", 1, "error: the disk is full\n", False),
    ],
)
def test_an_end_is_defined_or_not(step: str, code: int, stderr: str, expected: bool) -> None:
    """A command ends with 0 or with a one-line error; a recording host ends with 0."""
    assert is_defined(STEPS[step], End(code, stderr, 1)) is expected


def test_a_fault_is_named() -> None:
    """Its name has the error, the call, and whether it is permanent."""
    assert str(Fault(3, errno.ENOSPC, is_permanent=True)) == "ENOSPC at call 3 and after"


def test_a_part_of_a_campaign_need_not_do_as_much() -> None:
    """Minimums hold for the whole campaign, maximums for every part."""
    many, none = Figure("kills", 10, at_least=1000), Figure("lost", 1, at_most=0)
    assert many.problem(Effort(share=0.1)) is None
    assert many.problem(Effort()) == "kills: 10, at least 1,000 required"
    assert none.problem(Effort(share=0.1)) == "lost: 1, at most 0 allowed"


def test_figures_stand_between_the_marks() -> None:
    """New figures of a campaign replace its old ones; the rest of the page stays. A campaign that could not run is
    marked."""
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    faults = Outcome("faults", [], 0.1, "no compiler")
    recorders = Outcome("recorders", [Figure("kills", 1000, at_least=1000), Figure("ms", 1.234)], 12.3)
    written = with_figures(with_figures(page, faults, Effort()), recorders, Effort())
    assert with_figures(written, recorders, Effort()) == written
    assert written.startswith(f"before\n{BEGIN}\n")
    assert written.endswith(f"{END}\nafter\n")
    assert "| recorders | kills | 1,000 | at least 1,000 |" in written
    assert "| recorders | ms | 1.23 |  |" in written
    assert written.index("| recorders |") < written.index("| faults | not run: no compiler | | |")
    assert "old" not in written
