"""`push datadog` and `push elasticsearch` on the command line: their output, and that a kill loses nothing."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from claude_force.clock import now_us
from claude_force.database.contract import Database
from claude_force.database.writes import Store
from claude_force.exporters.datadog.push import AT_ONCE
from tests.builders import an_execution
from tests.conftest import PROGRAM, ROOT, Run
from tests.counterparts import HANG, unused_port
from tests.daemons import eventually, last, scheduler
from tests.dogstatsd import agent
from tests.elastic import Fault, Status, elastic, refusal
from tests.profiles import thorough

SECRET = "key-4c1f0a9be2"


def record(store: Store, count: int) -> set[str]:
    """Store recent executions, each with another number of input tokens. Returns their uids."""
    at_us = now_us()
    added = [an_execution(timestamp_us=at_us - number, input_tokens=number) for number in range(count)]
    store.add(added)
    return {execution.uid for execution in added}


def configure(home: Path, **exporters: object) -> None:
    """Write the settings."""
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": {"exporters": exporters}}))


def run_until_killed(arguments: list[str], home: Path, pids: list[int]) -> int:
    """Run the program, put its pid into `pids` for `kill`, and return its exit code."""
    command = [str(PROGRAM), *arguments]
    with subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        pids.append(process.pid)
        process.communicate(timeout=60)
        return process.returncode


def kill(pids: list[int]) -> None:
    """Kill the program that was started last, once its pid is known."""
    os.kill(eventually(lambda: pids)[-1], signal.SIGKILL)


def test_the_output_of_datadog(store: Store, location: str, run: Run) -> None:
    """It has the guide's line, the destination, and that the Agent does not confirm. A second push sends nothing."""
    record(store, 3)
    with agent() as listener:
        first, second = (run("push", "datadog", "--port", str(listener.port), "--db", location) for _ in range(2))
    assert (first.returncode, first.stderr) == (0, "")
    expected = f"✅ Exported 3 metrics to DataDog (sent, not confirmed): localhost:{listener.port} (sent 3)\n"
    assert first.stdout == expected
    assert second.stdout.startswith("✅ Exported 0 metrics to DataDog")
    assert len(listener.metrics()) == 12


def test_the_output_of_elasticsearch(store: Store, location: str, run: Run) -> None:
    """It has the guide's line and the destination. A second push sends nothing."""
    added = record(store, 3)
    with elastic() as server:
        first, second = (run("push", "elasticsearch", "--url", server.url, "--db", location) for _ in range(2))
    assert (first.returncode, first.stderr) == (0, "")
    expected = f"✅ Imported 3 metrics to Elasticsearch: {server.url}/claude-force-metrics (created 3)\n"
    assert first.stdout == expected
    assert second.stdout.startswith("✅ Imported 0 metrics to Elasticsearch")
    assert set(server.documents) == added


@pytest.mark.parametrize("kind", ["datadog", "elasticsearch"])
def test_a_dry_run_changes_nothing(kind: str, store: Store, location: str, run: Run) -> None:
    """It prints how many executions are due, even without a receiver, and prints the same again the next time."""
    record(store, 3)
    for _ in range(2):
        done = run("push", kind, "--dry-run", "--db", location)
        assert done.returncode == 0
        assert done.stdout.startswith("3 executions are due to ")
        assert done.stdout.endswith("; nothing was sent\n")
    done = run("push", kind, "--dry-run", "--json", "--db", location)
    assert json.loads(done.stdout)["due"] == 3


def test_json_has_the_counts(store: Store, location: str, run: Run) -> None:
    """It has the destination, counts and notes."""
    record(store, 2)
    with agent() as listener:
        done = run("push", "datadog", "--port", str(listener.port), "--json", "--db", location)
    assert json.loads(done.stdout) == {
        "destination": f"localhost:{listener.port}", "sent": 2, "too_old": 0, "changed": 0, "gone": 0, "remarks": [],
    }  # fmt: skip


def test_forget_starts_over(store: Store, location: str, run: Run) -> None:
    """All executions are sent again. If nothing was pushed before, the command says so."""
    added = record(store, 2)
    nothing = run("push", "elasticsearch", "--forget", "--db", location)
    assert (nothing.returncode, nothing.stdout) == (0, "Nothing was pushed to elasticsearch from this database\n")
    with elastic() as server:
        run("push", "elasticsearch", "--url", server.url, "--db", location)
        server.documents.clear()
        done = run("push", "elasticsearch", "--forget", "--db", location)
        assert done.stdout == "Forgot what was sent to elasticsearch; the next push starts over\n"
        run("push", "elasticsearch", "--url", server.url, "--db", location)
    assert set(server.documents) == added


def test_forget_creates_no_database(run: Run, tmp_path: Path) -> None:
    """Without a database there is nothing to forget; one that is named must exist."""
    done = run("push", "datadog", "--forget", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"forgotten": False})
    path = tmp_path / "none.db"
    assert run("push", "datadog", "--forget", "--json", "--db", path).returncode == 2
    assert list(tmp_path.rglob("*.db")) == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["datadog", "--dry-run", "--forget"], "--dry-run and --forget exclude each other"),
        (["datadog", "--socket", "/a", "--host", "b"], "--socket cannot be combined with --host or --port"),
        (["datadog", "--port", "99999"], "port must be a whole number from 1 to 65535"),
        (["elasticsearch", "--url", f"http://u:{SECRET}@h"], "url must not hold a login"),
        (["elasticsearch", "--index", "A"], "index must consist of a-z"),
    ],
)
def test_a_usage_error_is_one_line(arguments: list[str], reason: str, run: Run) -> None:
    """No database is created."""
    done = run("push", *arguments)
    assert done.returncode in (1, 2)
    assert reason in done.stderr
    assert SECRET not in done.stderr
    assert "Traceback" not in done.stderr


def test_options_override_the_settings(store: Store, location: str, run: Run, home: Path) -> None:
    """A host option replaces a socket in claude.json, and the other way round."""
    record(store, 1)
    configure(home, datadog={"socket": "/nowhere/agent.sock"})
    done = run("push", "datadog", "--db", location)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing can be sent to the DataDog Agent at /nowhere/agent.sock: No such file" in done.stderr
    with agent() as listener:
        done = run("push", "datadog", "--port", str(listener.port), "--db", location)
    assert done.returncode == 0
    with agent(home / "agent.sock") as listener:
        configure(home, datadog={"host": "agent.invalid", "port": 1})
        done = run("push", "datadog", "--socket", "agent.sock", "--db", location)
    assert done.returncode == 0
    assert len(listener.metrics()) == 4


@pytest.mark.parametrize(
    ("script", "begins"),
    [
        ("export_datadog.py", "✅ Exported 1 metrics to DataDog"),
        ("import_to_elasticsearch.py", "✅ Imported 1 metrics"),
    ],
)
def test_the_scripts_of_the_guide_push(script: str, begins: str, store: Store, location: str, home: Path) -> None:
    """They use claude.json and the environment."""
    record(store, 1)
    with agent() as listener, elastic() as server:
        environment = {"CLAUDE_FORCE_DB": location, "DD_DOGSTATSD_PORT": str(listener.port)}
        done = subprocess.run(
            [sys.executable, ROOT / "scripts" / script],
            env=os.environ | environment | {"ELASTICSEARCH_URL": server.url},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(begins)
    assert bool(server.documents) == (script == "import_to_elasticsearch.py")


def test_a_first_push_shows_its_progress(store: Store, location: str, home: Path) -> None:
    """On a terminal, because a first push may take long."""
    record(store, 1200)
    with elastic() as server:
        leader, follower = pty.openpty()
        command = [str(PROGRAM), "push", "elasticsearch", "--url", server.url, "--db", location]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=follower, check=False, timeout=60)
        os.close(follower)
        shown = os.read(leader, 100_000).decode()
        os.close(leader)
    assert done.returncode == 0
    assert "Pushing 1,200 executions" in shown
    assert "100%" in shown


@pytest.mark.parametrize("number", [20, *thorough(1, 60)])
def test_datadog_killed_at_a_datagram(number: int, store: Store, location: str, home: Path) -> None:
    """Every execution arrives, and at most one batch is sent twice."""
    record(store, 1000)
    pids: list[int] = []
    with agent(home / "agent.sock", lambda count: kill(pids) if count == number else None) as listener:
        arguments = ["push", "datadog", "--socket", listener.path, "--db", location]
        assert run_until_killed(arguments, home, pids) == -signal.SIGKILL
        assert run_until_killed(arguments, home, pids) == 0
        assert run_until_killed(arguments, home, pids) == 0
    found = Counter(metric.value for metric in listener.metrics() if metric.name == "claude_force.tokens.input")
    assert set(found) == set(map(float, range(1000)))
    assert max(found.values()) <= 2
    assert sum(found.values()) - 1000 <= AT_ONCE


@pytest.mark.parametrize("number", [2, *thorough(1, 3)])
def test_elasticsearch_killed_before_the_acknowledgement(
    number: int, store: Store, location: str, home: Path, run: Run
) -> None:
    """The batch is sent again. Elasticsearch recognizes its documents and stores none twice."""
    added = record(store, 2400)
    pids: list[int] = []
    with elastic() as server:
        server.on_bulk = lambda count: kill(pids) if count == number else None
        arguments = ["push", "elasticsearch", "--url", server.url, "--db", location]
        assert run_until_killed(arguments, home, pids) == -signal.SIGKILL
        done = run(*arguments, "--json")
    counts = json.loads(done.stdout)
    assert counts["known"] == (400 if number == 3 else 1000)
    assert counts["created"] == 2400 - min(1000 * number, 2400)
    assert set(server.documents) == added


@pytest.mark.parametrize("login", [{"api_key": "${KEY}"}, {"username": "elastic", "password": "${KEY}"}], ids=str)
def test_a_secret_is_never_shown_or_stored(login: dict[str, str], run: Run, home: Path) -> None:
    """It is not printed on success or failure or by `config list`, and is in no file."""
    environment = {"KEY": SECRET}
    error = {"error": {"type": "boom", "reason": f"no {SECRET}"}}
    run("import", ROOT / "examples" / "executions-guide.jsonl")
    output = ""
    faults: list[Fault | None] = [refusal(401, reason=f"no {SECRET}"), refusal(403), Status(500, error), None]
    with elastic() as server:
        down = f"http://127.0.0.1:{unused_port()}"
        for url, fault in [*((server.url, fault) for fault in faults), (down, None)]:
            configure(home, elasticsearch={"url": url, **login})
            server.faults = [] if fault is None else [fault, fault]
            run("push", "elasticsearch", "--forget", env=environment)
            done = run("push", "elasticsearch", env=environment)
            assert done.returncode == (0 if fault is None and url == server.url else 1), done.stderr
            assert len(done.stderr.splitlines()) == done.returncode
            output += done.stdout + done.stderr + run("config", "list", env=environment).stdout
            done = run("scheduler", "run", "push-elasticsearch", env=environment)
            output += done.stdout + done.stderr
        assert server.documents
    written = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"claude-force-metrics" in written
    assert SECRET not in output
    assert SECRET.encode() not in written


def test_a_hanging_receiver_delays_nothing_else(database: Database, location: str, home: Path, store: Store) -> None:
    """While a push hangs, executions are recorded and the scheduler's other jobs run."""
    record(store, 3)
    others = ("ingest", "alerts", "baseline", "archive", "maintenance", "reconcile")
    with elastic() as server:
        server.faults = [HANG] * 100
        configure(home, elasticsearch={"url": server.url})
        with scheduler(location, home):
            eventually(lambda: server.bulks)
            assert last(database, "push-elasticsearch") is None
            added = record(store, 100)
            eventually(lambda: all(last(database, job) for job in others))
            assert last(database, "push-elasticsearch") is None
            assert [last(database, job).outcome for job in others] == ["ok"] * len(others)  # type: ignore[union-attr]
    assert len(added) == 100
