"""`push team` on the command line: its output, a kill in the middle, both ways, and that no secret is shown."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from contextlib import closing, suppress
from pathlib import Path

from claude_force.clock import now_us
from claude_force.database.writes import Store
from claude_force.exporters.team.push import AT_ONCE
from tests.builders import an_execution
from tests.conftest import PROGRAM, Run
from tests.counterparts import unused_port
from tests.daemons import eventually
from tests.teams import TOKEN, receiver_of

SECRET = "geheim-4c1f0a9be2"


def record(store: Store, count: int) -> set[bytes]:
    """Store recent executions. Returns their uids."""
    at_us = now_us()
    added = [an_execution(timestamp_us=at_us - number) for number in range(count)]
    store.add(added)
    return {bytes.fromhex(execution.uid.replace("-", "")) for execution in added}


def uids_in(path: Path) -> set[bytes]:
    """The executions of a store; none while it cannot be read."""
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as raw:
        return {row[0] for row in raw.execute("SELECT uid FROM executions")}
    return set()


def test_a_team_gets_what_is_new(store: Store, location: str, home: Path, run: Run) -> None:
    """The first push sends everything, the next one nothing, and a dry run only counts. A store of a team that does
    not exist is not made by a push."""
    added = record(store, 3)
    missing = run("push", "team", "--to", "team.db", "--db", location)
    remedy = f"claude-force db upgrade --db {home}/team.db"
    assert (missing.returncode, missing.stderr.splitlines()) == (
        1, [f"error: the team's store: no database at {home}/team.db; to make a new one: {remedy}"],
    )  # fmt: skip
    assert not (home / "team.db").exists()
    run(*remedy.split()[1:])
    due = run("push", "team", "--to", "team.db", "--dry-run", "--db", location)
    assert due.stdout == f"3 executions are due to {home}/team.db; nothing was sent\n"
    first, second = (run("push", "team", "--to", "team.db", "--db", location) for _ in range(2))
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == f"✅ Sent 3 executions to the team: {home}/team.db (added 3)\n"
    assert second.stdout == f"✅ Sent 0 executions to the team: {home}/team.db\n"
    assert uids_in(home / "team.db") == added
    assert run("push", "team", "--forget", "--db", location).returncode == 0
    again = run("push", "team", "--to", "team.db", "--json", "--db", location)
    assert (json.loads(again.stdout)["added"], json.loads(again.stdout)["known"]) == (0, 3)


def test_a_push_that_is_killed_goes_on(store: Store, location: str, home: Path, run: Run) -> None:
    """Between two batches or within one: the next push sends the rest, and nothing is there twice."""
    added = record(store, AT_ONCE * 3 // 2)
    run("db", "upgrade", "--db", "team.db")
    command = [str(PROGRAM), "push", "team", "--to", "team.db", "--db", location]
    with subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        eventually(lambda: uids_in(home / "team.db"))
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    done = run("push", "team", "--to", "team.db", "--json", "--db", location)
    assert (done.returncode, done.stderr) == (0, "")
    counts = json.loads(done.stdout)
    assert counts["added"] + counts["known"] <= len(added)
    assert uids_in(home / "team.db") == added
    assert run("db", "check", "--db", "team.db").returncode == 0


def test_the_scheduler_pushes_to_a_receiver(store: Store, location: str, home: Path, run: Run, tmp_path: Path) -> None:
    """With the settings of claude.json; its token is read from a file and never printed, stored or logged."""
    record(store, 2)
    run("db", "upgrade", "--db", "team.db")
    token_file = home / ".claude" / "team-token"
    token_file.touch(0o600)
    token_file.write_text(TOKEN.reveal())
    output = ""
    with receiver_of(str(home / "team.db"), tmp_path / "spool") as receiver:
        for to in (receiver.url, f"http://127.0.0.1:{unused_port()}"):
            settings = {"user": "ada", "exporters": {"team": {"to": to, "token_file": "team-token"}}}
            (home / ".claude" / "claude.json").write_text(json.dumps({"performance": settings}))
            done = run("scheduler", "run", "push-team", "--db", location)
            assert done.returncode == (0 if to == receiver.url else 1), done.stderr
            output += done.stdout + done.stderr + run("config", "list").stdout + run("doctor", "--db", location).stdout
    assert len(uids_in(home / "team.db")) == 2
    with closing(sqlite3.connect(home / "team.db")) as raw:
        assert raw.execute("SELECT DISTINCT user_name, host IS NULL FROM executions").fetchall() == [("ada", 0)]
    token_file.unlink()
    written = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert TOKEN.reveal() not in output
    assert TOKEN.reveal().encode() not in written


def test_a_password_is_never_shown(store: Store, location: str, home: Path, run: Run) -> None:
    """Neither that of an option, which is refused, nor that of a variable; a wrong token is one line."""
    record(store, 1)
    url = f"postgresql://me:{SECRET}@127.0.0.1:{unused_port()}/team"
    output = ""
    for arguments, env in (
        (["--to", url], {}),
        ([], {"CLAUDE_FORCE_TEAM_URL": url}),
        (["--dry-run"], {"CLAUDE_FORCE_TEAM_URL": url}),
        (["--to", "https://me:" + SECRET + "@team.example"], {}),
        (["--to", f"http://127.0.0.1:{unused_port()}"], {"CLAUDE_FORCE_TEAM_TOKEN": SECRET}),
    ):
        done = run("push", "team", *arguments, "--db", location, env=env)
        assert len(done.stderr.splitlines()) == (0 if arguments == ["--dry-run"] else 1), done.stderr
        output += done.stdout + done.stderr
    assert SECRET not in output
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
