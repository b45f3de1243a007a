"""The support bundle contains no private name and no secret."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from claude_force.database import schema
from claude_force.database.open import open_database
from claude_force.database.queries.table_sizes import TABLES
from claude_force.database.rows.alerts import FAILED as UNDELIVERED
from claude_force.database.rows.alerts import Delivery, Silence
from claude_force.database.rows.jobs import JobRun
from claude_force.database.writes import Store, alerts, export_queue, jobs
from claude_force.database.writes.jobs import FAILED
from tests.builders import NOON_US, a_line, an_execution
from tests.conftest import Run
from tests.postgres import execute_sql

MARK = "zqx"
"""Part of every name, path and secret in these tests. No word of the program contains it."""

PROGRAM_WORDS = ("baseline archive", "nightly-import", "rejected", "Database Scheduler")
"""Agent names that are words of the program. They must be hidden too."""


def marked(what: str) -> str:
    """A private name."""
    return f"{MARK}-{what}"


def fill(location: str) -> None:
    """Fill a database with marked names wherever a name is stored."""
    database = open_database(location)
    agents = [marked("agent"), f"{marked('agent')} two\n{MARK}", *PROGRAM_WORDS]
    Store(database).add(
        an_execution(
            agent_name=agent,
            timestamp_us=NOON_US + step,
            project=f"/srv/{marked('project')}",
            workflow_id=marked("workflow"),
            model=marked("model") if step % 2 else "claude-opus-4-6",
            success=False,
            error_type=marked("Error"),
            task_hash=marked("task"),
            host=marked("host"),
            run_id=marked("run"),
        )
        for step, agent in enumerate(agents)
    )
    problem = (
        f"/srv/{marked('file')}.jsonl: https://{marked('host')}/T00/{marked('token')}: agent {PROGRAM_WORDS[0]} {MARK}"
    )
    with database.write() as connection:
        run = JobRun(
            marked("id"), "ingest", marked("host"), 4711, NOON_US, NOON_US, FAILED, f'{{"{MARK}": 1}}', problem
        )
        jobs.begin(connection, run)
        notification = json.dumps({"rule": marked("rule")})
        delivery = (
            marked("id"),
            marked("batch"),
            marked("channel"),
            "e",
            "trigger",
            notification,
            UNDELIVERED,
            3,
            NOON_US,
            0,
        )
        alerts.add_deliveries(connection, [Delivery(*delivery, None, marked("receipt"), problem)])
        alerts.silence(connection, Silence(marked("rule"), NOON_US, NOON_US, problem))
        export_queue.register(connection, "prometheus", marked("destination"), NOON_US, None)
    database.close()


def configure(home: Path, database: str | None) -> None:
    """Write a claude.json with marked names and secrets."""
    section: dict[str, Any] = {
        marked("key"): 1,
        "database": database,
        "reference_model": marked("model"),
        "prices": {marked("model"): {"input": 1, "output": 2}},
        "alerts": {
            marked("rule"): {"metric": marked("metric"), "agents": [marked("agent")]},
            "no-data": {"threshold": 1},
        },
        "channels": {
            marked("channel"): {"type": "slack", "webhook_url": f"https://hooks.{MARK}.example/T00/{MARK}"},
            "mail": {"type": "email", "host": f"mail.{MARK}.example", "to": f"ops@{MARK}.example", MARK: MARK},
            "program": {"type": "command", "command": [f"/opt/{MARK}", MARK]},
            "variable": {"type": "slack", "webhook_url": f"${{{MARK.upper()}_HOOK}}"},
        },
        "exporters": {"prometheus": {"url": f"https://{MARK}:{MARK}@push.{MARK}.example"}, marked("kind"): {}},
        "schedule": {marked("job"): "5m"},
    }
    content = {"performance": section, "apiKey": MARK, MARK: {MARK: MARK}}
    (home / ".claude" / "claude.json").write_text(json.dumps(content))


def contents(file: Path) -> dict[str, str]:
    """The files of a bundle by name, and the zip's own listing under "names"."""
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()} | {"names": str(archive.infolist())}


def assert_nothing_private(found: dict[str, str], home: Path) -> None:
    """No file contains a mark, a secret, a path of this machine or an agent's name."""
    for name, text in found.items():
        for secret in (MARK, MARK.upper(), "s3cr3t", str(home), home.parent.name, PROGRAM_WORDS[0], PROGRAM_WORDS[3]):
            assert secret not in text, f"{name}: {secret}"


@pytest.fixture
def marked_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose folders, files, variables and user name are marked."""
    working = home / marked("folder") / f"My {MARK}"
    working.mkdir(parents=True)
    projects = home / ".claude" / "projects" / marked("project")
    projects.mkdir(parents=True)
    (projects / f"{MARK}.jsonl").write_text(f"{MARK} is no JSON\n")
    monkeypatch.chdir(working)
    monkeypatch.setenv("LOGNAME", MARK)
    return home


def test_a_bundle_contains_nothing_private(location: str, marked_home: Path, run: Run, tmp_path: Path) -> None:
    """Marked names, paths, secrets, addresses and texts do not reach the bundle. On both engines."""
    is_file = "://" not in location
    if is_file:
        location = str(marked_home / f"{MARK} data" / f"{MARK}.db")
    else:
        location = location.replace("postgres@", "postgres:s3cr3t@").replace("postgres:@", "postgres:s3cr3t@")
    fill(location)
    configure(marked_home, location)
    log = (Path(location).parent if is_file else marked_home / ".claude" / "metrics") / "scheduler.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text(
        f"2026-11-24 10:00:00,123 ERROR ingest: {marked('agent')} on {marked('host')}: {PROGRAM_WORDS[0]} failed\n"
        f'  File "/home/{MARK}/x.py", line 3, in {MARK}_function\n{MARK}Error: 10.1.2.3 sent 4929 1234 {MARK}\n'
    )
    line = a_line(agent_name=marked("agent")).decode()
    run("import", "-", input=f"{line}{{'{MARK}': 1}}\n{json.dumps({'agent_name': MARK, 'timestamp': MARK})}\n")
    run("ingest")
    (log.parent / f"{MARK}.db.spool.jsonl").write_text(line)
    done = run("doctor", "--bundle", tmp_path / "help.zip", "--full")
    assert done.returncode == 0, done.stderr
    found = contents(tmp_path / "help.zip")
    assert_nothing_private(found, marked_home)
    assert "10.1.2.3" not in found["scheduler.log"]
    assert (tmp_path / "help.zip").stat().st_mode & 0o777 == 0o600
    series = json.loads(found["series.json"])
    assert {row["model"] for row in series} == {"claude-opus-4-6", "model-1", "claude-3-5-haiku-20241022"}
    assert {row["agent"][:6] for row in series} == {"agent-"}
    assert "ERROR ingest: agent-" in found["scheduler.log"]
    assert "failed" in found["scheduler.log"]
    assert json.loads(found["tables.json"])["rows"]["executions"] == len(series) == 7


def test_foreign_tables_and_columns_are_hidden(location: str, marked_home: Path, run: Run, tmp_path: Path) -> None:
    """schema.sql shows a table or column that is not ours as <hidden>."""
    fill(location)
    for sql in (f"CREATE TABLE {MARK} (a INTEGER)", f"ALTER TABLE silences ADD COLUMN {MARK} TEXT DEFAULT '{MARK}'"):
        if "://" in location:
            execute_sql(location, sql)
        else:
            database = open_database(location)
            with database.write() as connection:
                connection.execute(sql)
            database.close()
    assert run("doctor", "--bundle", tmp_path / "help.zip", "--db", location).returncode == 0
    found = contents(tmp_path / "help.zip")
    assert_nothing_private(found, marked_home)
    assert "alert_states" in found["schema.sql"]
    assert "<hidden>" in found["schema.sql"]


def test_settings_are_shown_without_names(run: Run, home: Path, tmp_path: Path) -> None:
    """Types, numbers and switches are kept, because they help to find an error."""
    channel = {"type": "slack", "webhook_url": f"https://hooks.example/{MARK}"}
    rules = {marked("rule"): {}, "no-data": {"threshold": 5}}
    section = {"channels": {marked("channel"): channel}, "alerts": rules, "backups_kept": 3}
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))
    assert run("doctor", "--bundle", tmp_path / "help.zip").returncode == 0
    found = contents(tmp_path / "help.zip")
    assert_nothing_private(found, home)
    shown = json.loads(found["settings.json"])["settings"]
    assert shown["channels"] == {"channel-1": {"type": "slack", "webhook_url": "***"}}
    assert shown["alerts"] == {"rule-1": {}, "no-data": {"threshold": 5}}
    assert shown["backups_kept"] == 3


def test_a_bundle_lists_its_files(run: Run, home: Path) -> None:
    """The output and README.txt list the files. The name of the bundle contains the date."""
    run("import", "-", input=a_line().decode())
    done = run("doctor", "--bundle")
    assert done.returncode == 0
    (file,) = home.glob("claude-force-support-20*.zip")
    found = contents(file)
    assert done.stdout.startswith(f"written: {file.name}\n")
    assert "look at them before you send it" in done.stdout
    for name in set(found) - {"names", "README.txt"}:
        assert name in found["README.txt"]
        assert name in done.stdout
    assert json.loads(found["versions.json"])["claude-force"]
    ids = {finding["id"] for finding in json.loads(found["findings.json"])}
    assert {"schema", "integrity", "sqlite-version"} <= ids


def test_no_file_is_overwritten(run: Run, home: Path) -> None:
    """The command fails, and the existing file is not changed."""
    (home / "existing.zip").write_text("mine")
    done = run("doctor", "--bundle", "existing.zip")
    assert (done.returncode, "exists already" in done.stderr) == (1, True)
    assert (home / "existing.zip").read_text() == "mine"


def test_every_table_is_counted() -> None:
    """The list of tables matches the schema."""
    assert set(TABLES) == set(schema.metadata.tables)
