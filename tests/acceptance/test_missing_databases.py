"""A database that was named and does not exist: a reader refuses it, and a command that creates it says so."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from claude_force.database.open import open_database
from claude_force.database.workspace import workspace_at
from claude_force.database.writes import Store
from claude_force.reports.layouts.first_steps import first_steps
from claude_force.settings.home import find_home
from tests.builders import a_line, an_execution
from tests.conftest import Run

READERS = (
    ("analytics", "summary"),
    ("analytics", "by-agent", "--json"),
    ("analytics", "export"),
    ("dashboard", "--once"),
    ("report", "--output", "page.html"),
    ("archive", "--older-than", "90d", "--dry-run"),
    ("db", "current"),
    ("db", "check"),
    ("db", "rebuild"),
    ("db", "reprice", "--dry-run"),
    ("db", "backup"),
    ("baseline", "create"),
    ("baseline", "list"),
    ("baseline", "check"),
    ("alerts", "list"),
    ("alerts", "check"),
    ("alerts", "history"),
    ("push", "prometheus", "--gateway", "http://127.0.0.1:1"),
    ("scheduler", "status"),
    ("scheduler", "run", "ingest"),
    ("doctor",),
)


@pytest.fixture
def metrics_db(home: Path) -> Path:
    """A database `metrics.db` in the working folder, beside files that are no databases of ours."""
    database = open_database(str(home / "metrics.db"))
    Store(database).add([an_execution()])
    database.close()
    (home / "metrcs.txt").write_text("no database")
    with sqlite3.connect(home / "metrcs.sqlite") as foreign:
        foreign.execute("CREATE TABLE executions (id)")
    return home / "metrics.db"


@pytest.mark.parametrize("reader", READERS, ids=" ".join)
def test_a_misspelt_database_is_refused_with_the_nearest_name(
    reader: tuple[str, ...], metrics_db: Path, home: Path, run: Run
) -> None:
    """Exit code 2 and one line, for every command that reads; nothing is created."""
    before = sorted(home.rglob("*"))
    done = run(*reader, "--db", "./metrcs.db")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no database at ./metrcs.db; did you mean ./metrics.db?\n"
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize(
    ("named", "nearest"),
    [
        ("metrcs.db", "metrics.db"),
        ("Metrics.DB", "metrics.db"),
        ("sqlite:///metrcs.db", "sqlite:///metrics.db"),
        ("~/metric.db", "~/metrics.db"),
    ],
)
def test_the_nearest_name_is_written_as_the_user_wrote_the_other(
    named: str, nearest: str, metrics_db: Path, run: Run
) -> None:
    """Ready to be copied, from --db as from CLAUDE_FORCE_DB."""
    assert f"no database at {named}; did you mean {nearest}?" in run("analytics", "summary", "--db", named).stderr
    done = run("analytics", "summary", env={"CLAUDE_FORCE_DB": named})
    assert (done.returncode, done.stdout) == (2, "")
    assert f"no database at {named} (CLAUDE_FORCE_DB); did you mean {nearest}?" in done.stderr


@pytest.mark.parametrize("named", ["somewhere.db", "nope.db", "x.db"])
def test_a_name_that_is_not_near_is_not_suggested(named: str, metrics_db: Path, run: Run) -> None:
    """Another database that happens to be in the folder, as in /tmp, is none that the user can have meant."""
    done = run("analytics", "summary", "--db", named)
    assert done.stderr == f"error: no database at {named}; to make a new one: claude-force ingest --db {named}\n"


def test_without_a_name_that_is_near_the_remedy_is_to_make_one(home: Path, run: Run) -> None:
    """The line says which command makes a database there, and that a folder is missing."""
    done = run("analytics", "summary", "--db", "new.db")
    assert done.stderr == "error: no database at new.db; to make a new one: claude-force ingest --db new.db\n"
    done = run("analytics", "summary", "--db", "nowhere/new.db")
    assert done.returncode == 2
    assert f"there is no folder {home / 'nowhere'}" in done.stderr


CREATORS = {
    "ingest": ("ingest", "history.jsonl"),
    "import": ("import", "history.jsonl"),
    "db upgrade": ("db", "upgrade"),
    "db restore": ("db", "restore", "backup.db", "--yes"),
    "db merge": ("db", "merge", "backup.db", "--yes"),
}


@pytest.mark.parametrize("creator", CREATORS.values(), ids=CREATORS)
@pytest.mark.parametrize("by_variable", [False, True], ids=["--db", "CLAUDE_FORCE_DB"])
def test_a_command_that_creates_a_named_database_says_so(
    creator: tuple[str, ...], by_variable: bool, home: Path, run: Run
) -> None:
    """One line on stderr, the first time only."""
    (home / "history.jsonl").write_bytes(a_line())
    assert run("import", "history.jsonl").returncode == 0
    assert run("db", "backup", "backup.db").returncode == 0
    new = home / "new.db"
    named = {"env": {"CLAUDE_FORCE_DB": str(new)}} if by_variable else {}
    arguments = creator if by_variable else (*creator, "--db", str(new))
    done = run(*arguments, **named)
    assert (done.returncode, done.stderr) == (0, f"new database {new}\n")
    assert new.exists()
    assert "new database" not in run(*arguments, **named).stderr


@pytest.mark.parametrize("creator", [("ingest", "history.jsonl"), ("import", "history.jsonl")], ids=" ".join)
def test_a_dry_run_creates_nothing_and_does_not_say_so(creator: tuple[str, ...], home: Path, run: Run) -> None:
    """A database that does not exist counts as empty."""
    (home / "history.jsonl").write_bytes(a_line())
    done = run(*creator, "--dry-run", "--json", "--db", "new.db")
    assert (done.returncode, done.stderr, json.loads(done.stdout)["added"]) == (0, "", 1)
    assert not (home / "new.db").exists()


def steps(location: str | None = None) -> str:
    """What a report without executions says."""
    return first_steps(workspace_at(find_home(), location)[0])


def test_the_users_own_database_may_be_absent(home: Path, run: Run) -> None:
    """It is empty, and what was found to read is counted without opening it."""
    sessions = home / ".claude" / "projects" / "-work"
    (sessions / "two" / "subagents").mkdir(parents=True)
    for name in ("one.jsonl", "two.jsonl", "two/subagents/agent-a.jsonl"):
        (sessions / name).write_bytes(bytes(1024))
    assert run("db", "current").returncode == 0
    assert "\n  ~/.claude/projects: 2 sessions (3.1 KB); claude-force ingest\n" in steps()
    assert "claude-force ingest --db /x/y.db\n" in steps("/x/y.db")


def test_a_database_of_claude_json_may_be_absent_if_its_folder_is_there(home: Path, run: Run) -> None:
    """As the user's own; a database with a name that is near is named. Without its folder it is refused."""
    settings = home / ".claude" / "claude.json"
    settings.write_text('{"performance": {"database": "data/metrics.db"}}')
    done = run("db", "current")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"there is no folder {home / 'data'}" in done.stderr
    (home / "data").mkdir()
    done = run("db", "current")
    assert (done.returncode, "no database yet" in done.stdout) == (0, True)
    assert run("db", "upgrade").returncode == 0
    settings.write_text('{"performance": {"database": "data/metrcs.db"}}')
    assert f"did you mean {home / 'data' / 'metrics.db'}?" in steps()


def test_a_misspelt_database_of_a_server_is_refused_with_the_nearest_name(postgres_url: str, run: Run) -> None:
    """The server is asked for its databases."""
    name = urlsplit(postgres_url).path.removeprefix("/")
    done = run("analytics", "summary", "--db", postgres_url.replace(f"/{name}?", f"/{name}x?"))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"no database {name}x on the server" in done.stderr
    assert f"did you mean {name}?" in done.stderr


def test_a_server_without_our_tables_is_refused(bare_url: str, run: Run) -> None:
    """The line names the command that makes them; reading makes none."""
    done = run("analytics", "summary", "--db", bare_url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "has no tables of claude-force: run `claude-force db upgrade`" in done.stderr
    assert run("db", "upgrade", "--db", bare_url).returncode == 0
    assert run("analytics", "summary", "--db", bare_url).returncode == 0
