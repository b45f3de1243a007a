"""`claude-force receive` and the receiver in the scheduler, as programs: what is sent is stored, whatever happens to
the process and the database."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from claude_force.database.open import open_database
from claude_force.database.queries import Filter, iterate
from claude_force.ingest.telemetry.segments import sealed_segments
from tests.conftest import Run
from tests.counterparts import unused_port
from tests.daemons import Program, eventually, listening, scheduler
from tests.receivers import JSON, LOGS, ask, export_of, post

KILLS = 20
CLIENTS = 8


def receive(home: Path, *arguments: str | Path) -> AbstractContextManager[Program]:
    """`claude-force receive` on a free port, killed in the end if it still runs."""
    return listening(home, r"Receiving on https?://[^ ]*:(\d+) for ", "receive", *arguments)


def ended(program: Program, number: signal.Signals) -> tuple[str, str]:
    """What a receiver says after its first line, and on stderr, until a signal has ended it."""
    process = program.process
    process.send_signal(number)
    assert process.stdout is not None
    assert process.stderr is not None
    said = process.stdout.read(), process.stderr.read()
    assert process.wait() == 0
    return said


def stored(database: Path) -> list[int]:
    """The numbers of the requests that are stored, sorted; none without a database."""
    if not database.exists():
        return []
    with closing(open_database(str(database))) as opened:
        return sorted(record.input_tokens or 0 for record in iterate(opened, Filter()))


@pytest.fixture
def database(home: Path) -> Path:
    """The store of the user."""
    return home / ".claude" / "metrics" / "metrics.db"


def test_it_says_where_and_what(home: Path, database: Path) -> None:
    """Where it listens, what to set, and at Ctrl-C what came; what came is stored, and the spool is empty."""
    with receive(home) as program:
        assert post(program.port, export_of(["req_1", "req_2"])).status == 200
        assert post(program.port, b"no json").status == 400
        out, err = ended(program, signal.SIGINT)
    assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:{program.port}\n" in out
    assert out.splitlines()[-1] == "Received 1 export: 2 model requests, 0 outcomes; 1 request refused"
    assert err == ""
    assert len(stored(database)) == 2
    assert list((database.parent / "telemetry").iterdir()) == []


def test_what_is_sent_is_stored_while_it_runs(home: Path, database: Path) -> None:
    """Without an end and without a command; the same body again adds nothing."""
    with receive(home) as program:
        for _ in range(3):
            assert post(program.port, export_of(["req_1"])).status == 200
        eventually(lambda: stored(database))
        assert post(program.port, export_of(["req_1"])).status == 200
        assert post(program.port, export_of(["req_2"])).status == 200
        eventually(lambda: len(stored(database)) > 1)
    assert stored(database) == [1, 2]


def test_a_report_stores_what_a_dead_receiver_left(home: Path, run: Run, database: Path) -> None:
    """The next report reads the segment of a receiver that was killed before it stored anything."""
    with receive(home) as program, locked(database):
        assert post(program.port, export_of(["req_1"])).status == 200
        program.process.kill()
        program.process.wait()
    report = json.loads(run("summary", "--json").stdout)
    assert report["total_executions"] == 1
    assert sealed_segments(database.parent / "telemetry") == []


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process writes to the database for the block."""
    if not database.exists():
        with closing(open_database(str(database))) as made, made.write():
            pass
    with closing(sqlite3.connect(database, isolation_level=None)) as raw:
        raw.execute("BEGIN IMMEDIATE")
        yield
        raw.execute("ROLLBACK")


def test_a_locked_database_delays_and_loses_nothing(home: Path, database: Path) -> None:
    """While another process writes, every request is answered with 200; after it, everything is stored."""
    with receive(home) as program:
        with locked(database):
            for number in range(20):
                assert post(program.port, export_of([f"req_{number}"])).status == 200
            assert stored(database) == []
        eventually(lambda: len(stored(database)) == 20)


def test_a_database_of_its_own_has_a_spool_of_its_own(home: Path, tmp_path: Path, database: Path) -> None:
    """`--db` stores there, and nowhere else."""
    other = tmp_path / "other.db"
    with receive(home, "--db", other) as program:
        assert post(program.port, export_of(["req_1"])).status == 200
        eventually(lambda: stored(other))
    assert stored(database) == []
    assert (tmp_path / "other.db.telemetry").is_dir()


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("--address", "0.0.0.0"), 2, "lets other machines in: give --token-file as well"),
        (("--address", ""), 2, "lets other machines in"),
        (("--tls-key", "key.pem"), 2, "--tls-key is of no use without --tls-cert"),
        (("--token-file", "missing"), 1, "missing: No such file"),
        (("--token-file", "open"), 1, "open is readable by others; chmod 600"),
        (("--tls-cert", "missing"), 1, "missing: No such file"),
        (("--tls-cert", "open"), 1, "no certificate in PEM form"),
        (("--address", "203.0.113.1", "--token-file", "token"), 1, "port 4319 of 203.0.113.1: Cannot assign"),
        (("--port", "70000"), 2, "70000 is not in the range"),
    ],
)
def test_what_cannot_be_served_is_refused(
    home: Path, run: Run, arguments: tuple[str, ...], code: int, problem: str
) -> None:
    """One line that names the remedy."""
    (home / "open").write_text("secret")
    (home / "open").chmod(0o644)
    (home / "token").write_text("secret")
    (home / "token").chmod(0o600)
    done = run("receive", *arguments)
    assert done.returncode == code
    assert problem in done.stderr.splitlines()[-1]
    assert "secret" not in done.stderr


def test_another_address_needs_a_token_and_says_that_it_is_not_encrypted(home: Path) -> None:
    """It serves those who have the token, with any Host."""
    (home / "token").write_text("secret\n")
    (home / "token").chmod(0o600)
    with receive(home, "--address", "0.0.0.0", "--token-file", "token") as program:
        headers = {"Content-Type": JSON, "Host": "team.example"}
        assert ask(program.port, "POST", LOGS, export_of(["req_1"]), headers).status == 401
        headers["Authorization"] = "Bearer secret"
        assert ask(program.port, "POST", LOGS, export_of(["req_1"]), headers).status == 200
        out, err = ended(program, signal.SIGTERM)
    assert err.startswith("warning: the token is sent in the clear: give --tls-cert")
    assert '"Authorization=Bearer $(cat token)"' in out
    assert "secret" not in out + err


def answers(port: int) -> bool:
    """Whether somebody listens."""
    try:
        return ask(port, "GET", "/healthz").status == 200
    except OSError:
        return False


def status_of(run: Run, database: Path) -> dict[str, Any]:
    """What `scheduler status` says once the scheduler has recorded its start: it listens before that."""

    def started() -> dict[str, Any] | None:
        done = run("scheduler", "status", "--json", "--db", database)
        found: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
        return found if found.get("pid") else None

    return eventually(started)


def test_the_scheduler_receives(home: Path, database: Path, run: Run) -> None:
    """With `otlp_port`: it stores within seconds and asks for the token. `scheduler status` has the address, also after
    the settings name another one."""
    port = unused_port()
    (home / ".claude" / "claude.json").write_text(
        json.dumps({"performance": {"otlp_port": port, "otlp_token": "${TOKEN}", "schedule": {"ingest": "off"}}})
    )
    with scheduler(database, home, TOKEN="right") as process:
        eventually(lambda: answers(port))
        assert post(port, export_of(["req_1"])).status == 401
        assert post(port, export_of(["req_1"]), Authorization="Bearer right").status == 200
        eventually(lambda: stored(database))
        assert status_of(run, database)["telemetry"] == f"http://127.0.0.1:{port}"
        assert run("config", "set", "performance.otlp_port", "4444").returncode == 0
        lines = run("scheduler", "status", "--db", database).stdout.splitlines()
        assert f"Telemetry on http://127.0.0.1:{port}" in lines
        assert "The settings name port 4444 for telemetry. To apply that:" in lines
        process.terminate()
        assert process.wait(60) == 0


def test_a_port_that_is_taken_stops_no_scheduler(home: Path, database: Path, run: Run) -> None:
    """`scheduler status` and `doctor` say why nothing is received."""
    with receive(home) as program:
        settings = {"otlp_port": program.port, "schedule": {"ingest": "off"}}
        (home / ".claude" / "claude.json").write_text(json.dumps({"performance": settings}))
        with scheduler(database, home):
            told = status_of(run, database)
            examined = json.loads(run("doctor", "--json", "--db", database).stdout)
    assert told["telemetry"] is None
    assert told["problem"] == f"no telemetry: port {program.port} of 127.0.0.1: Address already in use"
    (finding,) = [finding for finding in examined["findings"] if finding["id"] == "receiver"]
    assert finding["remedy"].startswith("claude-force config set performance.otlp_port")


def test_what_cannot_work_is_refused_at_the_start(home: Path, run: Run) -> None:
    """A port that is taken, and a database whose records cannot be kept: one line with the remedy."""
    with receive(home) as program:
        taken = run("receive", "--port", str(program.port))
    (home / "file").write_text("")
    unkept = run("receive", "--port", "0", "--db", home / "file" / "m.db")
    assert (taken.returncode, unkept.returncode) == (1, 1)
    assert taken.stderr.startswith(f"error: port {program.port} of 127.0.0.1: Address already in use; choose another")
    assert unkept.stderr.startswith("error: nothing can be kept in ")
    assert unkept.stderr.count("\n") == 1


@pytest.mark.parametrize("kills", [3, pytest.param(KILLS, marks=pytest.mark.thorough)])
def test_a_killed_receiver_loses_nothing_that_it_acknowledged(home: Path, run: Run, database: Path, kills: int) -> None:
    """Eight clients send while receivers are killed with -9: everything that was answered with 200 is stored, and each
    request once, however often it was sent."""
    acknowledged: set[int] = set()
    for life in range(kills):
        with receive(home) as program:
            starts = [(life * CLIENTS + client) * 100_000 for client in range(CLIENTS)]
            clients = [threading.Thread(target=send_until_dead, args=(program.port, n, acknowledged)) for n in starts]
            for client in clients:
                client.start()
            enough = len(acknowledged) + 1 + 20 * (life % 5)
            eventually(lambda enough=enough: len(acknowledged) >= enough)  # type: ignore[misc]
            program.process.kill()
            for client in clients:
                client.join()
    assert run("ingest").returncode == 0
    found = stored(database)
    assert acknowledged - set(found) == set()
    assert len(found) == len(set(found))
    assert sealed_segments(database.parent / "telemetry") == []


def send_until_dead(port: int, first: int, acknowledged: set[int]) -> None:
    """Send request after request, each twice, until nobody answers."""
    number = first
    while True:
        try:
            for _ in range(2):
                if post(port, export_of([f"req_{number}"])).status == 200:
                    acknowledged.add(number)
        except (OSError, HTTPException):
            return
        number += 1
