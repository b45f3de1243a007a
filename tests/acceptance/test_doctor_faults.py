"""`claude-force doctor` finds real faults, and each remedy works."""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from claude_force.clock import DAY_US, SECOND_US, now_us
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from tests.acceptance.test_bad_databases import PAGE_BYTES, Damage, changed, damaged
from tests.builders import NOON_US, a_line, an_execution
from tests.conftest import EXAMPLES, Run
from tests.postgres import execute_sql

STORED = 2000

_READ = """
import sys
from claude_force.database.open import open_database
with open_database(sys.argv[1]).read() as connection:
    connection.fetch("SELECT COUNT(*) FROM executions")
    print("reading", flush=True)
    sys.stdin.readline()
"""
"""A process that keeps a read transaction open."""


@pytest.fixture
def database_path(home: Path) -> Path:
    """The path of the home's database, with executions."""
    path = home / ".claude" / "metrics" / "metrics.db"
    database = open_database(str(path))
    Store(database).add([an_execution(timestamp_us=NOON_US + step) for step in range(STORED)])
    database.close()
    return path


def examined(run: Run, *arguments: str | Path, code: int) -> dict[str, list[dict[str, Any]]]:
    """The findings of `doctor --json` by id. Also checks the exit code and that stderr is empty."""
    done = run("doctor", "--json", *arguments)
    assert (done.returncode, done.stderr) == (code, ""), done.stdout
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in json.loads(done.stdout)["findings"]:
        found.setdefault(finding["id"], []).append(finding)
    return found


def level(found: dict[str, list[dict[str, Any]]], name: str) -> list[str]:
    """The levels of the findings with this id."""
    return [finding["level"] for finding in found.get(name, [])]


def run_remedy(remedy: str) -> None:
    """Run a remedy exactly as the doctor shows it."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-c", remedy], check=True, capture_output=True, env=environment)


def test_an_empty_home_has_no_problems(run: Run, home: Path) -> None:
    """No problem is found, and nothing is created."""
    done = run("doctor")
    assert done.returncode == 0
    assert done.stdout.endswith("\nno problems found\n")
    assert "there is no database yet" in done.stdout
    assert list((home / ".claude").iterdir()) == []


def test_a_sound_database_has_no_problems(database_path: Path, run: Run) -> None:
    """Every check passes. --full also checks every roll-up. The file is not changed."""
    run("db", "backup")
    before = database_path.read_bytes()
    for arguments in ((), ("--full",)):
        found = examined(run, *arguments, code=0)
        for name in ("schema", "sqlite-version", "integrity", "roll-ups", "permissions", "wal-size", "backups", "jobs"):
            assert level(found, name) == ["ok"], name
        assert found["sqlite-version"][0]["text"].startswith(f"SQLite {sqlite3.sqlite_version}")
    assert "to the last unit" in found["roll-ups"][0]["text"]
    assert database_path.read_bytes() == before


@damaged
def test_an_unusable_database_is_a_finding(
    damage: Damage, complaint: str, database_path: Path, run: Run, home: Path
) -> None:
    """It is the first finding, and its contents are not checked. The file is not changed."""
    content = database_path.read_bytes()
    database_path.unlink()
    damage(database_path, content)
    before = database_path.read_bytes() if database_path.is_file() else None
    done = run("doctor")
    assert (done.returncode, done.stderr) == (1, "")
    shown = " ".join(done.stdout.split())
    assert complaint.strip("`").replace("run `", "") in shown
    assert shown.index(" Problems ") < shown.index(" OK ")
    assert "Traceback" not in shown
    assert "this check failed" not in shown
    assert (database_path.read_bytes() if database_path.is_file() else None) == before
    assert run("doctor", "--bundle", "help.zip").returncode == 0


def test_the_newest_backup_is_the_remedy_of_a_damaged_database(database_path: Path, run: Run) -> None:
    """The remedy is a command that works as shown."""
    run("db", "backup")
    database_path.write_text("no database any more")
    (finding,) = examined(run, code=1)["schema"]
    assert finding["remedy"].startswith("claude-force db restore /")
    run_remedy(f"{finding['remedy']} --yes")
    assert level(examined(run, code=0), "integrity") == ["ok"]


def test_an_overwritten_page_is_found(database_path: Path, run: Run) -> None:
    """The quick check finds it too."""
    content = database_path.read_bytes()
    middle = len(content) // PAGE_BYTES // 2 * PAGE_BYTES
    database_path.write_bytes(content[:middle] + b"\xaa" * PAGE_BYTES + content[middle + PAGE_BYTES :])
    for arguments in ((), ("--full",)):
        found = examined(run, *arguments, code=1)
        assert "problem" in level(found, "integrity") + level(found, "schema")


@pytest.mark.parametrize(("statement", "is_quick"), [
    ("DELETE FROM executions WHERE timestamp_us = (SELECT MIN(timestamp_us) FROM executions)", True),
    ("UPDATE rollups SET cost_nanousd = cost_nanousd + 1 WHERE level = 0", False),
])  # fmt: skip
def test_wrong_roll_ups_are_found(statement: str, is_quick: bool, location: str, run: Run) -> None:
    """The quick check finds a missing execution, and --full finds a difference of one. The remedy repairs both. On both
    engines."""
    database = open_database(location)
    Store(database).add([an_execution(timestamp_us=NOON_US + step) for step in range(50)])
    Store(database).rebuild()
    with database.write() as connection:
        connection.execute(statement)
    database.close()
    quick = examined(run, "--db", location, code=1 if is_quick else 0)
    assert level(quick, "roll-ups") == ["problem" if is_quick else "ok"]
    finding = examined(run, "--full", "--db", location, code=1)["roll-ups"][0]
    assert finding["remedy"] == "claude-force db rebuild"
    assert run("db", "rebuild", "--db", location).returncode == 0
    assert level(examined(run, "--full", "--db", location, code=0), "roll-ups") == ["ok"]


@pytest.mark.parametrize(("mode", "expected"), [(0o644, "note"), (0o640, "note"), (0o666, "problem")])
def test_a_database_that_others_can_open_is_found(mode: int, expected: str, database_path: Path, run: Run) -> None:
    """Read access for others is a note, and write access is a problem. The remedy removes both."""
    database_path.chmod(mode)
    (finding,) = examined(run, code=int(expected == "problem"))["permissions"]
    assert (finding["level"], finding["remedy"]) == (expected, f"chmod 600 {database_path}")
    run_remedy(finding["remedy"])
    assert database_path.stat().st_mode & 0o777 == 0o600
    assert level(examined(run, code=0), "permissions") == ["ok"]


def test_a_folder_that_others_can_write_is_found(database_path: Path, run: Run, home: Path) -> None:
    """Others could replace the database. A project's folder may be readable by others, the home's own folder may
    not."""
    database_path.parent.chmod(0o755)
    assert level(examined(run, code=0), "permissions") == ["note"]
    folder = home / "with space"
    folder.mkdir(mode=0o755)
    copy = folder / "copy.db"
    run("db", "backup", copy)
    assert level(examined(run, "--db", copy, code=0), "permissions") == ["ok"]
    folder.chmod(0o777)
    (finding,) = examined(run, "--db", copy, code=1)["permissions"]
    assert finding["remedy"] == f"chmod go-w {shlex.quote(str(folder))}"
    run_remedy(finding["remedy"])
    assert level(examined(run, "--db", copy, code=0), "permissions") == ["ok"]


@pytest.fixture
def reader(database_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that keeps a read transaction open."""
    with subprocess.Popen(
        [sys.executable, "-c", _READ, str(database_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "reading\n"
        yield process
        process.kill()


def test_a_wal_held_by_a_reader_is_found(reader: subprocess.Popen[str], database_path: Path, run: Run) -> None:
    """The finding names the process. After the process has ended, the remedy shortens the WAL."""
    database = open_database(str(database_path))
    while Path(f"{database_path}-wal").stat().st_size < 16 * 1024 * 1024:
        Store(database).add([an_execution(timestamp_us=NOON_US + step * DAY_US) for step in range(200)])
    database.close()
    (finding,) = examined(run, code=1)["wal-size"]
    assert finding["level"] == "problem"
    if sys.platform == "linux":
        assert f"pid {reader.pid} (" in finding["text"]
    reader.kill()
    reader.wait()
    run_remedy(finding["remedy"].partition("then: ")[2])
    assert level(examined(run, code=0), "wal-size") == ["ok"]


def test_future_executions_are_found(location: str, run: Run) -> None:
    """They mean that a clock was wrong. On both engines."""
    database = open_database(location)
    Store(database).add([an_execution(timestamp_us=now_us() + 2 * DAY_US)])
    database.close()
    assert level(examined(run, "--db", location, code=0), "clock") == ["note"]


def test_an_old_or_missing_backup_is_found(database_path: Path, run: Run) -> None:
    """The cases are no backup, one from today, and one that is a month old."""
    assert level(examined(run, code=0), "backups") == ["note"]
    run_remedy(examined(run, code=0)["backups"][0]["remedy"])
    assert level(examined(run, code=0), "backups") == ["ok"]
    (backup,) = (database_path.parent / "backups").iterdir()
    os.utime(backup, (time.time() - 30 * 86_400, time.time() - 30 * 86_400))
    (finding,) = examined(run, code=0)["backups"]
    assert (finding["level"], "30 days ago" in finding["text"]) == ("note", True)


def test_spooled_executions_are_counted(database_path: Path, run: Run) -> None:
    """After a day they are a problem. The remedy ingests them."""
    spool = Path(f"{database_path}.spool.jsonl")
    run("analytics", "export", "--format", "jsonl", "--output", spool)
    (finding,) = examined(run, code=1)["spool"]
    assert (finding["level"], f"{STORED:,} executions wait" in finding["text"]) == ("problem", True)
    run_remedy(finding["remedy"])
    assert level(examined(run, code=0), "spool") == ["ok"]


@pytest.mark.parametrize("arguments", [(), ("--full",)], ids=["", "full"])
def test_a_server_is_examined(arguments: tuple[str, ...], postgres_url: str, run: Run) -> None:
    """Its version, schema and roll-ups are checked. There are no findings about files."""
    run("import", EXAMPLES / "executions-guide.jsonl", "--db", postgres_url)
    found = examined(run, *arguments, "--db", postgres_url, code=0)
    assert {name: level(found, name) for name in ("postgresql-version", "schema", "roll-ups", "jobs", "backups")} == {
        name: ["ok"] for name in ("postgresql-version", "schema", "roll-ups", "jobs", "backups")
    }
    assert found["postgresql-version"][0]["text"].startswith("PostgreSQL 1")
    assert level(found, "integrity") == ["note"]
    assert not {"wal-size", "file-system", "permissions"} & set(found)


def test_an_unreachable_server_is_a_finding(run: Run) -> None:
    """The finding is one line without the password."""
    done = run("doctor", "--db", "postgresql://me:s3cr3t@127.0.0.1:1/metrics")
    assert (done.returncode, done.stderr) == (1, "")
    assert "cannot reach" in done.stdout
    assert done.stdout.endswith("\n1 problem, 1 note\n")
    assert "s3cr3t" not in done.stdout


def test_a_server_with_an_older_schema_is_a_finding(postgres_url: str, run: Run) -> None:
    """The remedy is the upgrade command."""
    execute_sql(postgres_url, "UPDATE claude_force_version SET version_num = '0004'")
    (finding,) = examined(run, "--db", postgres_url, code=1)["schema"]
    assert finding["remedy"] == "claude-force db upgrade"


def test_a_broken_claude_json_is_a_finding(database_path: Path, run: Run, home: Path) -> None:
    """The finding names the line. The database is not checked, because its location is unknown."""
    (home / ".claude" / "claude.json").write_text('{"performance": {\n"database": }}')
    found = examined(run, code=1)
    assert "line 2 column 13" in found["settings"][0]["text"]
    assert (level(found, "settings"), level(found, "database")) == (["problem"], ["note"])
    assert "integrity" not in found
    assert run("doctor", "--bundle", "help.zip").returncode == 0


@pytest.mark.parametrize(
    "content", ["[]", "\\", '{"performance": []}', '{"performance": {"backups_kept": -1}}', "\xff"]
)
def test_invalid_settings_are_a_finding(content: str, run: Run, home: Path) -> None:
    """Each kind of invalid content is one problem."""
    (home / ".claude" / "claude.json").write_bytes(content.encode("latin-1"))
    assert level(examined(run, code=1), "settings") == ["problem"]


def test_a_database_given_by_option_is_checked_without_settings(database_path: Path, run: Run, home: Path) -> None:
    """Broken settings do not prevent the other checks."""
    (home / ".claude" / "claude.json").write_text("{")
    found = examined(run, "--db", database_path, code=1)
    assert (level(found, "settings"), level(found, "integrity")) == (["problem"], ["ok"])


@pytest.mark.parametrize("location", [":memory:", "mysql://host/name", "postgresql:/host/name", "http://host"])
def test_an_invalid_location_is_a_finding(location: str, run: Run) -> None:
    """The finding has the message of the error."""
    assert level(examined(run, "--db", location, code=1), "database") == ["problem"]


def test_unknown_settings_are_found(database_path: Path, run: Run, home: Path) -> None:
    """These are a misspelt key, an unknown job and an unknown exporter."""
    section = {"backups_keep": 3, "schedule": {"ingestt": "5m"}, "exporters": {"prometheuss": {}}}
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))
    found = examined(run, code=1)
    assert "did you mean performance.backups_kept?" in found["settings"][0]["text"]
    assert [level(found, name) for name in ("settings", "jobs", "exporters")] == [["note"], ["problem"], ["problem"]]
    run_remedy(found["settings"][0]["remedy"])
    assert level(examined(run, code=1), "settings") == ["ok"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"performance": {"database": "postgresql://me:s3cr3t@127.0.0.1:1/metrics"}}, "problem"),
        ({"performance": {"channels": {"a": {"type": "webhook", "url": "https://hooks.example/T00/B00"}}}}, "problem"),
        ({"performance": {"channels": {"a": {"type": "slack", "webhook_url": "${HOOK}"}}}}, "note"),
        ({"env": {"OTHER_API_KEY": "s3cr3t"}}, "problem"),
        ({"env": {"OTHER_API_KEY": "${KEY}"}}, "ok"),
        ({"theme": "dark"}, "ok"),
    ],
)
def test_a_secret_that_others_can_read_is_found(content: dict[str, Any], expected: str, run: Run, home: Path) -> None:
    """This includes secrets of other programs. The secret is not shown, and the remedy removes the access."""
    file = home / ".claude" / "claude.json"
    file.write_text(json.dumps(content))
    file.chmod(0o644)
    done = run("doctor", "--json")
    assert "s3cr3t" not in done.stdout
    (finding,) = [finding for finding in json.loads(done.stdout)["findings"] if finding["id"] == "secrets"]
    assert finding["level"] == expected
    if finding["remedy"]:
        run_remedy(finding["remedy"])
    again = json.loads(run("doctor", "--json").stdout)["findings"]
    assert [finding["level"] for finding in again if finding["id"] == "secrets"] == ["ok"]


def test_the_report_fits_a_terminal(database_path: Path, run: Run, home: Path) -> None:
    """Lines have at most 80 columns, except for long paths and commands. Hostile names add no line and no escape
    sequence."""
    section = {"alerts": {"evil\x1b]0;x\n": {}, "no-data": {"threshold": 1}}, "channels": {"a b": {"type": "telegram"}}}
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))
    run("import", "-", input=a_line().decode() + "garbage\n")
    done = run("doctor")
    long = [line for line in done.stdout.splitlines() if len(line) > 80]
    assert [line for line in long if not (line.lstrip().startswith("->") or str(home) in line)] == []
    assert "\x1b" not in done.stdout
    headings = [line for line in done.stdout.splitlines() if line in ("Problems", "Notes", "OK")]
    assert headings == ["Problems", "Notes", "OK"]


def test_free_space_is_reported(database_path: Path, run: Run) -> None:
    """The finding names the free space of the disk."""
    assert "are free" in examined(run, code=0)["free-space"][0]["text"]


def test_a_missing_index_is_found(database_path: Path, run: Run) -> None:
    """The finding names the index that was dropped."""
    content = database_path.read_bytes()
    changed(database_path, content, "DROP INDEX ix_job_runs_job_started_us")
    (finding,) = examined(run, code=1)["integrity"]
    assert "ix_job_runs_job_started_us is missing" in finding["text"]


def test_a_failed_check_is_a_finding(database_path: Path, run: Run, home: Path) -> None:
    """An unreadable spool file is reported, and the other checks run."""
    Path(f"{database_path}.spool.jsonl").mkdir()
    found = examined(run, code=1)
    assert (level(found, "spool"), level(found, "roll-ups")) == (["problem"], ["ok"])


def test_a_small_clock_difference_is_tolerated(location: str, run: Run) -> None:
    """The clocks of two machines may differ by a minute."""
    database = open_database(location)
    Store(database).add([an_execution(timestamp_us=now_us() + 60 * SECOND_US)])
    database.close()
    assert level(examined(run, "--db", location, code=0), "clock") == ["ok"]
