"""`claude-force` without arguments: the first answer, in whatever home."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run
from tests.transcripts import Talk, main_file, put

AT = "2026-03-02T12:00:00"
"""Three hours after the conversations began."""


@pytest.fixture
def projects(home: Path) -> Path:
    """Where Claude Code keeps the transcripts of the user."""
    return home / ".claude" / "projects"


def talk(projects: Path, responses: int = 2) -> None:
    """The transcript of a session."""
    found = Talk()
    found.prompt()
    for number in range(responses):
        found.respond(f"msg_{number}")
    put(main_file(projects, found.session), found.lines, age=100)


def test_one_command_reads_and_shows_the_first_figure(run: Run, projects: Path) -> None:
    """In an empty home: what was found to read, and its figures. The next command does not repeat what was found."""
    talk(projects)
    first, second = run(at=AT), run(at=AT)
    for done in (first, second):
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert next(line for line in lines if line.startswith("Today")).split()[2] == "2"
        assert len(lines) <= 15
        assert max(map(len, lines)) <= 80
    assert "Found ~/.claude/projects: 1 session (" in first.stdout
    assert "Found" not in second.stdout


def test_json_has_the_same(run: Run, projects: Path) -> None:
    """With `--json` or `-j`: the periods, the block, what was found, and how old the answer is."""
    talk(projects)
    found = json.loads(run("--json", at=AT).stdout)
    assert (found["today"]["executions"], found["week"]["executions"], found["month"]["executions"]) == (2, 2, 2)
    assert (found["found"][0]["sessions"], found["data"]["unread_files"]) == (1, 0)
    assert found["active_block"]["entries"] == 2
    again = json.loads(run("-j", at=AT).stdout)
    assert (again["found"], again["today"]) == ([], found["today"])


def test_the_reference_has_every_key(run: Run, projects: Path) -> None:
    """docs/reference/overview.md names the keys of the JSON, and no others."""
    talk(projects)
    table = (ROOT / "docs" / "reference" / "overview.md").read_text(encoding="utf-8").split("## JSON")[1]
    named = {
        name
        for line in table.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert named == set(json.loads(run("-j", at=AT).stdout))


def test_nothing_to_read_is_explained(run: Run) -> None:
    """What claude-force is, and three ways to begin; JSON has no figures that look like an answer."""
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert "~/.claude/projects has no session of Claude Code" in done.stdout
    assert "Three ways to begin:" in done.stdout
    assert "$0.00" not in done.stdout
    found = json.loads(run("-j").stdout)
    assert (found["found"], found["last_execution"]) == ([], None)


def test_without_ingestion_it_says_what_could_be_read(run: Run, projects: Path) -> None:
    """`--no-ingest` reads nothing, makes no database, and names the command that does."""
    talk(projects)
    done = run("--no-ingest", at=AT)
    assert "Found to read:\n  ~/.claude/projects: 1 session (" in done.stdout
    assert "; claude-force ingest\n" in done.stdout
    assert "$" not in done.stdout
    assert not (projects.parent / "metrics" / "metrics.db").exists()


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_is_help(option: str, run: Run, home: Path) -> None:
    """It reads nothing."""
    done = run(option)
    assert (done.returncode, done.stdout[:6]) == (0, "Usage:")
    assert not (home / ".claude" / "metrics").exists()


@pytest.mark.parametrize("option", ["--json", "-j", "--no-ingest"])
def test_its_options_belong_behind_another_command(option: str, run: Run) -> None:
    """Before one they would mean nothing, so they are refused with the right line."""
    done = run(option, "summary")
    assert (done.returncode, done.stdout) == (2, "")
    name = "--no-ingest" if option == "--no-ingest" else "--json"
    assert f"{name} belongs behind the command: claude-force summary {name}" in done.stderr


def test_a_database_can_be_named(run: Run, projects: Path) -> None:
    """`--db` alone, as before every command."""
    talk(projects)
    run("ingest", "--db", "other.db")
    assert json.loads(run("--db", "other.db", "-j", at=AT).stdout)["today"]["executions"] == 2


def test_errors_are_one_line(run: Run, projects: Path) -> None:
    """An older schema, and settings that are no JSON, as with every report."""
    talk(projects)
    run()
    file = projects.parent / "metrics" / "metrics.db"
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE claude_force_version SET version_num = '0005'")
    done = run()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert "claude-force db upgrade" in done.stderr
    (projects.parent / "claude.json").write_text("{", encoding="utf-8")
    done = run()
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1


def test_rejected_lines_are_said_once(run: Run, projects: Path) -> None:
    """The first answer counts them; a report names them, and JSON has them."""
    talk(projects)
    with next(projects.rglob("*.jsonl")).open("a") as file:
        file.write("no JSON\nno JSON either\n")
    for _ in range(2):
        text = run().stdout
        assert text.count("could not be read: claude-force doctor") == 1
        assert "Not everything is read" not in text
    assert "Not everything is read" in run("daily").stdout
    assert len(json.loads(run("--json").stdout)["data"]["problems"]) == 2
