"""What campaigns compare with can be wrong: whatever is lost, doubled, damaged or said badly is noticed."""

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


def test_what_is_lost_doubled_or_strange_is_counted() -> None:
    """Each is counted for itself, each time that it is there too often."""
    assert difference(Counter(a=1, b=3, c=1), ["a", "b", "d"]) == Difference(lost=1, doubled=2, strange=1)
    assert difference(Counter(a=1), ["a"]) == Difference()


def test_stored_executions_are_known_by_their_runs(tmp_path: Path) -> None:
    """Two with the same run are found twice, whatever their uids are."""
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
def test_damage_is_seen(harm: str, tmp_path: Path) -> None:
    """A row that is gone, a sum that is wrong, an index that is not there."""
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
    """Also where it cannot even be opened."""
    path = tmp_path / "metrics.db"
    path.write_bytes(b"dear diary " * 1000)
    assert damage(str(path))
    assert stored(str(path)) == {}
    path.write_bytes(b"")
    assert damage(str(path))


def test_an_older_database_is_no_damage(tmp_path: Path) -> None:
    """Its pages are checked, not the sums that it does not have."""
    location = str(tmp_path / "metrics.db")
    a_labelled_history(location, 3)
    assert damage(location) == []


def test_what_waits_is_counted(tmp_path: Path) -> None:
    """A line each, in every spool file of a folder."""
    (tmp_path / "metrics.db.spool.jsonl").write_text("{}\n{}\n")
    (tmp_path / "spool-1.jsonl").write_text("{}\n")
    assert waiting(tmp_path) == 3


@pytest.mark.parametrize(
    ("step", "code", "said", "expected"),
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
def test_an_end_is_defined_or_not(step: str, code: int, said: str, expected: bool) -> None:
    """A command ends well or says in a line of ours why not; a host that records ends well."""
    assert is_defined(STEPS[step], End(code, said, 1)) is expected


def test_a_fault_is_named() -> None:
    """By its error, its call, and whether it stays."""
    assert str(Fault(3, errno.ENOSPC, is_permanent=True)) == "ENOSPC at call 3 and after"


def test_a_part_of_a_campaign_need_not_do_as_much() -> None:
    """What has to be many is asked of the whole; what must not be, of every part."""
    many, none = Figure("kills", 10, at_least=1000), Figure("lost", 1, at_most=0)
    assert many.problem(Effort(share=0.1)) is None
    assert many.problem(Effort()) == "kills: 10, at least 1,000 required"
    assert none.problem(Effort(share=0.1)) == "lost: 1, at most 0 allowed"


def test_figures_stand_between_the_marks() -> None:
    """Those of one campaign take the place of what was there of it; the rest of the page stays. What could not be
    run is said to be so."""
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
