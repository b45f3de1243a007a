"""The password of a PostgreSQL server: from a variable or a private file, in every command and the tracker, and never
shown."""

from __future__ import annotations

import fcntl
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest

from tests import citus
from tests.conftest import Run
from tests.daemons import eventually
from tests.postgres import execute_sql

SECRET = "s3/cr@t:w#rd%41"
COMMANDS = (
    "db path", "db current", "summary --json", "config list", "config list --json", "config path", "doctor --json",
    "config get performance.database", "scheduler run alerts", "alerts list", "dashboard --once",
)  # fmt: skip
RECORD = """
from claude_force.performance_tracker import PerformanceTracker
with PerformanceTracker() as tracker:
    tracker.record_execution("recorded", "task", True, 5)
"""


class Server(NamedTuple):
    """A database with a role that needs the password: the role, and the URL without and with the password."""

    role: str
    url: str
    full: str


def edit_rules(admin: str, change: Callable[[str], str]) -> None:
    """Change who may log in to the server of the run. Other tests may do so at the same time."""
    with psycopg.connect(admin) as connection:
        row = connection.execute("SHOW hba_file").fetchone()
    assert row is not None
    file = Path(row[0])
    with file.open("r+") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        changed = change(opened.read())
        opened.seek(0)
        opened.truncate()
        opened.write(changed)
        opened.flush()
        execute_sql(admin, "SELECT pg_reload_conf()")


def is_refused(url: str) -> bool:
    """Whether the server lets nobody in without a password; it reads its rules anew a moment after it was told."""
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return True
    return False


@pytest.fixture
def server(postgres_url: str) -> Iterator[Server]:
    """A database that lets the role in only with its password."""
    if citus.COORDINATOR:
        pytest.skip("the nodes of a cluster would need the password, too, to connect to each other")
    admin, role = postgres_url.replace("postgresql+psycopg:", "postgresql:"), f"role_{uuid4().hex}"
    execute_sql(admin, f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{SECRET}'")
    rules = f"local all {role} scram-sha-256\nhost all {role} all scram-sha-256\n"
    edit_rules(admin, lambda text: rules + text)
    scheme, _, rest = admin.partition("://")
    place = rest.partition("@")[2] or rest
    url = f"{scheme}://{role}@{place}"
    eventually(lambda: is_refused(url) or None)
    yield Server(role, url, f"{scheme}://{role}:{quote(SECRET, safe='')}@{place}")
    edit_rules(admin, lambda text: text.replace(rules, ""))
    execute_sql(admin, f"DROP ROLE {role}")


def ways(server: Server) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """The settings and the environment of each way."""
    return {
        "a variable with the URL": ({"database": "${PGURL}"}, {"PGURL": server.full}),
        "a variable with the password": (
            {"database": server.url.replace(server.role, server.role + ":${PW}", 1)}, {"PW": SECRET},
        ),
        "a file": ({"database": server.url, "database_password_file": "pw"}, {}),
        "a variable and a file": ({"database": "${PGURL}", "database_password_file": "pw"}, {"PGURL": server.url}),
    }  # fmt: skip


def configure(home: Path, settings: dict[str, str], password: str = SECRET) -> None:
    """Write claude.json, and the password into a private file."""
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": settings}))
    file = home / ".claude" / "pw"
    file.write_text(f"{password}\n")
    file.chmod(0o600)


def test_the_password_is_found_and_never_shown(server: Server, home: Path, run: Run, run_code: Run) -> None:
    """Each way works in every command and in the tracker, also for a project that uses the user's database. What they
    print, and the bundle of the doctor, has no password."""
    project = home / "project"
    (project / ".claude").mkdir(parents=True)
    (project / ".claude" / "claude.json").write_text('{"performance": {"detailed_logging": false}}')
    for number, (settings, environment) in enumerate(ways(server).values(), start=1):
        configure(home, settings)
        recorded = run_code(RECORD, env=environment)
        assert (recorded.returncode, recorded.stderr) == (0, "")
        for command in COMMANDS if number == 1 else COMMANDS[:4]:
            done = run(*command.split(), env=environment)
            assert done.returncode == 0, (command, done.stdout)
            assert SECRET not in done.stdout + done.stderr
            assert quote(SECRET, safe="") not in done.stdout + done.stderr
        shown = json.loads(run("summary", "--json", env=environment, cwd=project).stdout)
        assert shown["total_executions"] == number
        assert run("doctor", "--bundle", f"{number}.zip", env=environment).returncode == 0
        with zipfile.ZipFile(home / f"{number}.zip") as bundle:
            texts = [bundle.read(name).decode() for name in bundle.namelist()]
        assert [text for text in texts if SECRET in text or quote(SECRET, safe="") in text] == []


def test_a_wrong_password_is_one_line(server: Server, home: Path, run: Run, run_code: Run) -> None:
    """Without the password. An execution waits, and comes in when the password is right."""
    settings = {"database": server.url, "database_password_file": "pw"}
    configure(home, settings, password="wr0ng-secret")
    done = run("summary", "--json")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: cannot reach ")
    assert "wr0ng-secret" not in done.stderr
    assert run_code(RECORD).returncode == 0
    configure(home, settings)
    assert run("import").returncode == 0
    assert json.loads(run("summary", "--json").stdout)["total_executions"] == 1


def test_a_password_that_cannot_be_had_is_one_line(home: Path, run: Run, run_code: Run) -> None:
    """A variable that is not set: commands name it, `config path` names the file, and an execution waits for the
    database that is not known yet."""
    configure(home, {"database": "${PGURL}"})
    needs = "performance.database needs the variable PGURL, which is not set; export PGURL=..."
    for command in ("summary", "db path", "alerts list"):
        done = run(*command.split())
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"error: {home / '.claude' / 'claude.json'}: {needs}\n"
    assert needs in run("doctor").stdout.replace("\n  ", " ") + run("doctor", "--json").stdout
    assert str(home / ".claude" / "claude.json") in run("config", "path").stdout
    assert run_code(RECORD).returncode == 0
    late = {"PGURL": str(home / "late.db")}
    assert run("ingest", env=late).returncode == 0
    assert json.loads(run("summary", "--json", env=late).stdout)["total_executions"] == 1


def test_a_password_in_claude_json_keeps_working_with_a_warning(server: Server, home: Path, run: Run) -> None:
    """An earlier version wrote it. Every command names the remedy, the doctor has a finding, and another setting can be
    changed."""
    configure(home, {"database": server.full})
    (home / ".claude" / "claude.json").chmod(0o600)
    done = run("summary", "--json")
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        f"warning: {home / '.claude' / 'claude.json'}: performance.database holds a password; "
    )
    assert "database_password_file" in done.stderr
    assert SECRET not in done.stderr
    (finding,) = [
        found for found in json.loads(run("doctor", "--json").stdout)["findings"]
        if found["id"] == "settings" and "performance.database" in found["text"]
    ]  # fmt: skip
    assert (finding["level"], "database_password_file" in finding["remedy"]) == ("note", True)
    assert run("config", "set", "performance.backups_kept", "3").returncode == 0
