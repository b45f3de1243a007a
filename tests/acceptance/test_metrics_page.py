"""The scheduler's HTTP endpoint on 127.0.0.1: metrics for Prometheus, and the health of its jobs."""

from __future__ import annotations

import json
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from claude_force.clock import DAY_US, HOUR_US, now_us
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.rows.jobs import JobRun
from claude_force.database.workspace import Workspace, workspace_at
from claude_force.database.writes import Store
from claude_force.database.writes import jobs as job_writes
from claude_force.scheduler.http_endpoint import serve_metrics
from claude_force.scheduler.jobs import JOBS
from claude_force.settings.home import find_home
from tests.builders import an_execution
from tests.conftest import Run
from tests.counterparts import HANG, scripted, unused_port
from tests.daemons import PATIENCE_S, eventually, is_up, last, scheduler
from tests.monitoring import fetch, of, samples_of

Page = Callable[..., tuple[int, str, str]]


def configure(home: Path, **section: Any) -> None:
    """Write the settings."""
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))


@contextmanager
def served(location: str, home: Path, **section: Any) -> Iterator[Page]:
    """Starts the endpoint for a workspace. Returns a function that fetches a path."""
    port = unused_port()
    configure(home, metrics_port=port, **section)
    opened: list[Workspace] = []

    def find_workspace() -> Workspace:
        opened.append(workspace_at(find_home(), location)[0])
        return opened[-1]

    with serve_metrics(find_workspace):
        yield lambda path, *arguments, **options: fetch(port, path, *arguments, **options)
    for workspace in opened:
        workspace.database.close()


def test_metrics_show_the_current_store(location: str, home: Path, database: Database) -> None:
    """In the Prometheus text format. Each request reads the store again."""
    write = Store(database)
    write.add([an_execution(timestamp_us=now_us() - HOUR_US // 2)])
    with served(location, home) as page:
        status, content_type, text = page("/metrics")
        assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
        write.add([an_execution(success=False)])
        again = page("/metrics?x=1")[2]
        head = page("/metrics", "HEAD")
    assert of(samples_of(text), "claude_force_executions_total", "status") == {("success",): 1, ("failure",): 0}
    assert of(samples_of(again), "claude_force_executions_total", "status") == {("success",): 1, ("failure",): 1}
    assert of(samples_of(again), "claude_force_success_rate", "agent_name") == {("python-expert",): 100}
    assert head == (200, content_type, "")


@pytest.mark.parametrize("host", ["localhost", "localhost:9464", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_requests_with_a_local_host_name_are_answered(home: Path, tmp_path: Path, host: str) -> None:
    """With every name that only this machine can have."""
    with served(str(tmp_path / "m.db"), home) as page:
        assert page("/healthz", headers={"Host": host})[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "[::1", "10.0.0.1"])
def test_another_host_name_is_refused(home: Path, tmp_path: Path, host: str) -> None:
    """A web page cannot read the endpoint through its own name that resolves to 127.0.0.1."""
    with served(str(tmp_path / "m.db"), home) as page:
        status, _, text = page("/metrics", headers={"Host": host})
    assert (status, text) == (403, "only for this machine: use localhost\n")


def test_only_reading_is_allowed(home: Path, tmp_path: Path) -> None:
    """Other methods and other paths are refused."""
    with served(str(tmp_path / "m.db"), home) as page:
        assert {page("/metrics", method)[0] for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS")} == {405}
        assert page("/")[0] == 404
        assert page("/../etc/passwd")[0] == 404
        assert page("http://[/metrics", headers={"Host": "localhost"})[0] == 404


def test_an_unreadable_database_is_one_line(home: Path, tmp_path: Path) -> None:
    """The status is 503, and the server keeps running."""
    broken = tmp_path / "m.db"
    broken.write_bytes(b"no database" * 1000)
    with served(str(broken), home) as page:
        for path in ("/metrics", "/healthz"):
            status, _, text = page(path)
            assert (status, text.count("\n")) == (503, 1)
            assert "m.db" in text


def test_without_the_library_the_answer_is_the_install_command(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is 501. /healthz does not need the library."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with served(str(tmp_path / "m.db"), home) as page:
        status, _, text = page("/metrics")
        assert page("/healthz")[0] == 200
    assert (status, text) == (501, "prometheus_client is not installed: pip install 'claude-force[prometheus]'\n")


def test_a_slow_client_delays_no_other_request(home: Path, tmp_path: Path) -> None:
    """Connections that send nothing delay neither another answer nor the shutdown."""
    port = unused_port()
    configure(home, metrics_port=port)
    workspace = workspace_at(find_home(), str(tmp_path / "m.db"))[0]
    silent: list[socket.socket] = []
    with serve_metrics(lambda: workspace):
        silent += [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        assert fetch(port, "/metrics")[0] == 200
    for connection in silent:
        connection.close()


def test_a_port_in_use_is_logged(home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The block then runs without the server."""
    with socket.create_server(("127.0.0.1", 0)) as other, caplog.at_level(logging.ERROR):
        port = other.getsockname()[1]
        configure(home, metrics_port=port)
        workspace = workspace_at(find_home(), str(tmp_path / "m.db"))[0]
        with serve_metrics(lambda: workspace) as served:
            assert f"no /metrics: port {port} of 127.0.0.1: Address already in use" in caplog.text
            assert (served.counts, served.problem) == ({}, caplog.messages[0])


def test_a_scheduler_without_its_port_reports_it(database: Database, location: str, home: Path, run: Run) -> None:
    """Its status and the doctor report it while it runs. Its jobs run anyway."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        configure(home, metrics_port=port)
        with scheduler(location, home) as process:
            eventually(lambda: is_up(database, process) and last(database, "ingest"))
            status = run("scheduler", "status", "--db", location)
            found = json.loads(run("scheduler", "status", "--json", "--db", location).stdout)
            examined = json.loads(run("doctor", "--json", "--db", location).stdout)
    problem = f"no /metrics: port {port} of 127.0.0.1: Address already in use"
    assert f"Problems:\n  scheduler: {problem}\n" in status.stdout
    assert "Metrics on" not in status.stdout
    assert (found["problem"], found["metrics"]) == (problem, None)
    (finding,) = [finding for finding in examined["findings"] if finding["id"] == "metrics-page"]
    assert (finding["level"], finding["text"]) == ("problem", problem)


def a_run(job: str, ago_us: int, outcome: str, problem: str | None = None, *, is_finished: bool = True) -> JobRun:
    """A run of a job that started this long ago."""
    started_us = now_us() - ago_us
    finished_us = started_us + 1 if is_finished else None
    return JobRun(f"{job}-{started_us}", job, "here", 1, started_us, finished_us, outcome, "{}", problem)


HEALTH: dict[str, tuple[Callable[[], list[JobRun]], list[str]]] = {
    "never ran": (list, []),
    "healthy": (lambda: [a_run("ingest", 9, "failed", "x"), a_run("ingest", 0, "ok")], []),
    "failed": (lambda: [a_run("ingest", 9, "ok"), a_run("ingest", 0, "failed", "x")], ["ingest failed: x"]),
    "failing repeatedly": (
        lambda: [a_run("ingest", 9, "failed", "x"), a_run("ingest", 0, "running", is_finished=False)],
        ["ingest failed: x"],
    ),
    "late": (lambda: [a_run("ingest", HOUR_US, "ok")], ["ingest is late"]),
    "running for long": (lambda: [a_run("ingest", HOUR_US, "running", is_finished=False)], []),
    "off": (lambda: [a_run("archive", 2 * DAY_US, "failed", "x")], []),
}
"""The runs, created when the test starts, and the expected problems."""


@pytest.mark.parametrize(("runs", "problems"), HEALTH.values(), ids=HEALTH)
def test_health_depends_on_the_jobs(
    home: Path, tmp_path: Path, runs: Callable[[], list[JobRun]], problems: list[str]
) -> None:
    """200 if all jobs are healthy; 503 if the last run of a job failed or a job is late."""
    database = open_database(str(tmp_path / "m.db"))
    with database.write() as connection:
        for run in runs():
            job_writes.begin(connection, run)
    with served(database.name, home, schedule={"archive": "off"}) as page:
        status, content_type, text = page("/healthz")
    database.close()
    found = json.loads(text)
    assert (status, content_type) == (503 if problems else 200, "application/json")
    assert (found["healthy"], found["problems"]) == (not problems, problems)
    own = {name for name, job in JOBS.items() if job.exporter is None}
    assert set(found["jobs"]) == own - {"archive"}


def test_the_scheduler_serves_until_it_stops(database: Database, location: str, home: Path, run: Run) -> None:
    """It stops without waiting for clients. The status shows the address."""
    port = unused_port()
    configure(home, metrics_port=port)
    with scheduler(location, home) as process:
        eventually(lambda: is_up(database, process) and answers(port, "/healthz"))
        eventually(lambda: last(database, "ingest"))
        assert "claude_force_last_ingest_timestamp_seconds" in fetch(port, "/metrics")[2]
        assert f"\nMetrics on http://127.0.0.1:{port}/metrics\n" in run("scheduler", "status", "--db", location).stdout
        silent = socket.create_connection(("127.0.0.1", port))
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE_S)
        silent.close()
        assert process.returncode == 0
    assert f"metrics on http://127.0.0.1:{port}/metrics" in log
    assert "Traceback" not in log
    assert not answers(port, "/healthz")


def answers(port: int, path: str) -> bool:
    """Whether a server answers there."""
    try:
        return bool(fetch(port, path)[0])
    except OSError:
        return False


def test_a_hanging_gateway_delays_neither_recording_nor_jobs(home: Path) -> None:
    """While a push hangs, executions are recorded and other jobs run. The failed push is recorded."""
    path = str(home / ".claude" / "metrics" / "metrics.db")
    database = open_database(path)
    with scripted([HANG]) as gateway:
        configure(home, exporters={"prometheus": {"gateway": gateway.url}}, schedule={"alerts": "1s"})
        with scheduler(path, home) as process:
            eventually(lambda: gateway.requests)
            before = now_us()
            Store(database).add([an_execution()])
            eventually(lambda: (run := last(database, "alerts")) and run.started_us > before)
            assert last(database, "push-prometheus") is None
            failed = eventually(lambda: last(database, "push-prometheus"))
            process.terminate()
            _, log = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0
    database.close()
    assert failed.outcome == "failed"
    assert "the Pushgateway did not take it" in (failed.problem or "")
    assert "Traceback" not in log
