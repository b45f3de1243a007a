"""`claude-force export --format parquet`: a folder with a file for each month, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.builders import a_line
from tests.conftest import PROGRAM, Run
from tests.daemons import eventually
from tests.terminals import terminal

_KILLED = """
import os, pathlib, signal
from claude_force.database.views.parquet import write_parquet
def rows():
    yield "2026-10-01", 1
    yield "2026-11-01", 2
    os.kill(os.getpid(), signal.SIGKILL)
write_parquet(rows(), {"day": "day", "cost_nanousd": "integer"}, pathlib.Path("lake"))
"""

_INTERRUPTED = """
import pathlib, sys
from claude_force.database.views.parquet import write_parquet
renamed = []
def hear(event, arguments):
    if event == "os.rename":
        renamed.append(arguments)
        if len(renamed) == 2:
            raise KeyboardInterrupt
sys.addaudithook(hear)
write_parquet([("2026-10-01", 1)], {"day": "day", "cost_nanousd": "integer"}, pathlib.Path("lake"))
"""
"""The interrupt comes when the old folder is moved away, and before the new one has its name."""


@pytest.fixture
def history(run: Run, home: Path) -> None:
    """Three executions of two months."""
    lines = [
        a_line(timestamp="2025-10-31T23:59:59Z", agent_name="a", estimated_cost=0.1),
        a_line(timestamp="2025-11-01T00:00:00Z", agent_name="a", estimated_cost=0.2),
        a_line(timestamp="2025-11-02T10:00:00Z", agent_name="b", estimated_cost=None, model="own"),
    ]
    (home / "history.jsonl").write_bytes(b"".join(lines))
    assert run("import", "history.jsonl").returncode == 0


def months(home: Path) -> dict[str, int]:
    """How many executions an export has in each month."""
    with duckdb.connect() as reader:
        rows = reader.execute(f"SELECT month, count(*) FROM '{home}/lake/*/*.parquet' GROUP BY ALL").fetchall()
    return dict(rows)


@pytest.mark.usefixtures("history")
def test_an_export_has_a_file_for_each_month(run: Run, home: Path) -> None:
    """Months are those of UTC, whatever zone the report is in; filters are those of other formats."""
    done = run("export", "--format", "parquet", "--output", "lake", "--timezone", "Asia/Tokyo")
    assert (done.returncode, done.stderr) == (0, "3 executions written to lake\n")
    assert months(home) == {"2025-10": 1, "2025-11": 2}
    done = run("export", "--output", "lake", "--format", "parquet", "--agent", "a", "--start", "2025-11-01", "--yes")
    assert (done.returncode, done.stderr) == (0, "1 execution written to lake\n")
    assert months(home) == {"2025-11": 1}
    assert sorted(path.name for path in home.iterdir() if "lake" in path.name) == ["lake"]


@pytest.mark.usefixtures("history")
def test_money_is_exact(run: Run, home: Path) -> None:
    """As dollars it is a double; as nano-dollars it adds up. What is not known is null."""
    run("export", "--output", "lake.parquet")
    with duckdb.connect() as reader:
        sql = f"SELECT cost, cost_nanousd, typeof(timestamp) FROM '{home}/lake.parquet/*/*.parquet' ORDER BY timestamp"
        rows = reader.execute(sql).fetchall()
    assert [row[:2] for row in rows] == [(0.1, 100_000_000), (0.2, 200_000_000), (None, None)]
    assert {row[2] for row in rows} == {"TIMESTAMP WITH TIME ZONE"}


@pytest.mark.usefixtures("history")
def test_an_export_is_replaced_only_after_a_question(run: Run, home: Path) -> None:
    """Without a terminal by --yes alone."""
    run("export", "--format", "parquet", "--output", "lake", "--agent", "b")
    done = run("export", "--format", "parquet", "--output", "lake")
    assert done.returncode == 2
    assert "lake has an export of 1 month, 2025-11 to 2025-11, which would be replaced" in done.stderr
    assert months(home) == {"2025-11": 1}


@pytest.mark.usefixtures("history")
def test_a_no_keeps_the_export(run: Run, home: Path) -> None:
    """The question is asked on the terminal."""
    run("export", "--format", "parquet", "--output", "lake", "--agent", "b")
    with terminal([PROGRAM, "export", "--format", "parquet", "--output", "lake"], home) as shown:
        eventually(lambda: "Replace it?" in shown.text)
        shown.press("n\n")
        assert shown.wait() == 1
    assert months(home) == {"2025-11": 1}


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--format", "parquet"], "name it with --output"),
        (["--format", "parquet", "--output", "history.jsonl"], "history.jsonl is no folder"),
        (["--format", "parquet", "--output", "notes", "--yes"], "what is no export to Parquet (todo.txt)"),
        (["--format", "parquet", "--output", "none/lake"], "the folder none does not exist; mkdir -p none"),
        (["--format", "csv", "--output", "notes"], "notes is a folder"),
    ],
)
def test_nothing_else_is_replaced(run: Run, home: Path, options: list[str], complaint: str) -> None:
    """One line says why."""
    (home / "notes").mkdir()
    (home / "notes" / "todo.txt").write_text("keep")
    done = run("export", *options)
    assert done.returncode != 0
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (home / "notes" / "todo.txt").read_text() == "keep"


@pytest.mark.usefixtures("history")
def test_a_killed_export_leaves_the_one_before(run: Run, run_code: Run, home: Path) -> None:
    """And no part of its own under the name of the export."""
    run("export", "--format", "parquet", "--output", "lake")
    assert run_code(_KILLED).returncode == -9
    assert months(home) == {"2025-10": 1, "2025-11": 2}


@pytest.mark.usefixtures("history")
def test_an_interrupt_while_the_folders_change_places_leaves_the_one_before(
    run: Run, run_code: Run, home: Path
) -> None:
    """The new one is gone, and nothing is left beside it."""
    run("export", "--format", "parquet", "--output", "lake")
    assert "KeyboardInterrupt" in run_code(_INTERRUPTED).stderr
    assert months(home) == {"2025-10": 1, "2025-11": 2}
    assert [path.name for path in home.iterdir() if "lake" in path.name] == ["lake"]


@pytest.mark.usefixtures("history")
def test_without_duckdb_the_install_line_is_said(run_code: Run, home: Path) -> None:
    """Nothing is made."""
    done = run_code(
        "import sys; sys.modules['duckdb'] = None\n"
        "sys.argv = ['claude-force', 'export', '--format', 'parquet', '--output', 'lake']\n"
        "from claude_force.__main__ import main; sys.exit(main())"
    )
    assert (done.returncode, done.stderr) == (
        1, "error: Parquet needs an extra: pip install 'claude-force[parquet]'\n",
    )  # fmt: skip
    assert not (home / "lake").exists()
