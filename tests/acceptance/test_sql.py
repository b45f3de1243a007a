"""`claude-force db sql`: a query from words or from the standard input, as a table, JSON, CSV or Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from claude_force.database.open import open_database
from claude_force.database.views import VIEWS
from claude_force.database.writes import Store
from tests.acceptance.test_interrupts import WITHIN_ONE_FUNCTION
from tests.builders import NOON_US, an_execution
from tests.conftest import PROGRAM, Run
from tests.terminals import terminal

QUERY = "SELECT agent, success, cost FROM executions_v1 ORDER BY timestamp"


@pytest.fixture
def filled(home: Path) -> Path:
    """The usual database, with three executions of two agents, one without a price."""
    path = home / ".claude" / "metrics" / "metrics.db"
    costs = (1_500_000_000, 250_000_000, None)
    records = [
        an_execution(agent_name=f"agent-{number % 2}", timestamp_us=NOON_US + number, cost_nanousd=cost)
        for number, cost in enumerate(costs)
    ]
    Store(open_database(str(path))).add(records)
    return path


def test_a_query_is_shown_in_every_format(filled: Path, run: Run, tmp_path: Path) -> None:
    """With the names of its columns, also where there are no rows."""
    assert run("db", "sql", QUERY).stdout.splitlines()[3:] == [
        "agent    success  cost",
        "──────────────────────",
        "agent-0        1   1.5",
        "agent-1        1  0.25",
        "agent-0        1     –",
    ]
    found = json.loads(run("db", "sql", QUERY, "--json").stdout)
    assert found["columns"] == ["agent", "success", "cost"]
    assert found["rows"][0] == {"agent": "agent-0", "success": 1, "cost": 1.5}
    assert (found["rows_shown"], found["rows_at_least"], found["cut_at"]) == (3, 3, None)
    csv = "agent,success,cost\nagent-0,1,1.5\nagent-1,1,0.25\nagent-0,1,\n"
    assert run("db", "sql", QUERY, "--format", "csv").stdout == csv
    assert "| agent-1 | 1 | 0.25 |" in run("db", "sql", QUERY, "--format", "markdown").stdout
    assert run("db", "sql", f"{QUERY} LIMIT 0", "--format", "csv").stdout == "agent,success,cost\n"
    assert run("db", "sql", QUERY, "--output", tmp_path / "rows.csv").stderr.endswith("rows.csv\n")
    assert (tmp_path / "rows.csv").read_text() == csv


def test_a_name_is_as_harmless_as_a_value(filled: Path, run: Run) -> None:
    """A column has any name that a query gives it: none controls a terminal, ends a cell or is a formula."""
    query = "SELECT 'a\x1b[2J|b' AS 'a\x1b[2J|b', '=1\u202e' AS '=1\u202e'"
    table = run("db", "sql", query).stdout.splitlines()[-3:]
    assert table[0] == table[2] == "a\\x1b[2J|b  =1\\u202e"
    markdown = run("db", "sql", query, "--format", "markdown").stdout.splitlines()[-3:]
    assert markdown[0] == markdown[2] == r"| a\\x1b\[2J\|b | =1\\u202e |"
    assert "'=1" in run("db", "sql", query, "--format", "csv").stdout.splitlines()[0]
    assert "\x1b" not in run("db", "sql", query, "--json").stdout


def test_a_number_is_itself_in_every_format(filled: Path, run: Run) -> None:
    """However small or large; a table has its first twelve digits."""
    query = "SELECT 1.5e-13 AS small, 9007199254740993 AS whole, -9223372036854775807 - 1 AS least"
    numbers = ["0.00000000000015,9007199254740993,-9223372036854775808"]
    assert run("db", "sql", query, "--format", "csv").stdout.splitlines()[1:] == numbers
    found = json.loads(run("db", "sql", query, "--json").stdout)["rows"]
    assert found == [{"small": 1.5e-13, "whole": 9007199254740993, "least": -(2**63)}]


def test_a_query_is_read_from_the_standard_input(filled: Path, run: Run) -> None:
    """With -, and where there is no query; bytes that are no text are refused."""
    for words in ([], ["-"]):
        assert run("db", "sql", *words, "--format", "csv", input=QUERY).stdout.count("\n") == 4
    assert run("db", "sql", input="").stderr == "error: the query is empty; claude-force db sql --help has an example\n"
    done: Any = run("db", "sql", input=b"SELECT '\xff'", text=False)
    assert (done.returncode, done.stderr) == (1, b"error: the query is not valid UTF-8\n")


def test_a_cut_answer_says_so(filled: Path, run: Run) -> None:
    """In the table and in JSON; beside CSV, which has rows alone."""
    line = "cut: 2 rows of at least 3; --limit shows more"
    assert run("db", "sql", QUERY, "--limit", "2").stdout.splitlines()[-1] == line
    found = json.loads(run("db", "sql", QUERY, "--limit", "2", "--json").stdout)
    assert (found["rows_shown"], found["rows_at_least"], found["cut_at"]) == (2, 3, "rows")
    done = run("db", "sql", QUERY, "--limit", "2", "--format", "csv")
    assert (done.stdout.count("\n"), done.stderr) == (3, f"warning: {line}\n")
    assert "cut" not in run("db", "sql", QUERY, "--limit", "3").stdout


def test_what_is_refused_is_one_line(filled: Path, run: Run) -> None:
    """And the store is as it was."""
    done = run("db", "sql", "DELETE FROM executions")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: a query only reads: DELETE is refused\n")
    done = run("db", "sql", "SELECT * FROM execution")
    assert done.stderr.endswith("no such table: execution; claude-force db sql shows the views and their columns\n")
    assert run("db", "sql", QUERY, "--output", filled).returncode == 2
    assert json.loads(run("db", "sql", "SELECT COUNT(*) AS n FROM executions", "--json").stdout)["rows"] == [{"n": 3}]


def test_a_terminal_without_a_query_is_shown_what_can_be_asked(home: Path) -> None:
    """Every view and every column."""
    with terminal([PROGRAM, "db", "sql"], home) as found:
        assert found.wait() == 0
        shown = found.text
    for view in VIEWS:
        assert view.name in shown
        assert all(column.name in shown for column in view.columns)


@pytest.mark.thorough
def test_a_query_that_does_not_stop_is_ended(filled: Path, run: Run) -> None:
    """One function of SQLite that takes minutes cannot be told to stop."""
    done = run("db", "sql", WITHIN_ONE_FUNCTION, "--timeout", "1")
    assert done.returncode == 1
    assert done.stderr == "error: the query took more than 1 s and did not stop; ask for less\n"
