"""`claude-force push otlp` and the scheduler's job for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from claude_force.database.contract import Database
from claude_force.database.writes import Store
from tests.builders import an_execution
from tests.conftest import Run
from tests.counterparts import Reply, scripted, unused_port
from tests.daemons import eventually, last, scheduler


@pytest.fixture
def stored(store: Store) -> Store:
    """A store with one execution."""
    store.add([an_execution()])
    return store


@pytest.mark.usefixtures("stored")
def test_the_output_is_one_line(location: str, run: Run) -> None:
    """Or JSON."""
    with scripted() as server:
        done = run("push", "otlp", "--endpoint", server.url, "--db", location)
        as_json = run("push", "otlp", "--endpoint", server.url, "--db", location, "--json")
    shown = server.url.rstrip("/")
    expected = f"✅ Metrics exported to OpenTelemetry: {shown} (executions 1, points 8)\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")
    assert json.loads(as_json.stdout) == {"destination": shown, "executions": 1, "points": 8, "remarks": []}


@pytest.mark.usefixtures("stored")
def test_a_refused_push_is_one_line(location: str, run: Run) -> None:
    """On stderr with exit code 1, without output of the libraries."""
    with scripted([Reply(403, b"")]) as server:
        done = run("push", "otlp", "--db", location, env={"OTEL_EXPORTER_OTLP_ENDPOINT": server.url})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: OpenTelemetry: 127.0.0.1 answered 403\n"


def test_the_scheduler_runs_the_configured_exporter(
    database: Database, stored: Store, location: str, home: Path
) -> None:
    """The job push-otlp runs, and its run has the counts."""
    with scripted() as server:
        section = {"exporters": {"otlp": {"endpoint": server.url}}}
        (home / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))
        with scheduler(location, home):
            found = eventually(lambda: last(database, "push-otlp"))
        assert (found.outcome, found.problem) == ("ok", None)
        assert json.loads(found.counts) == {"executions": 1, "points": 8}
        sent = ExportMetricsServiceRequest.FromString(server.requests[0].body)
    assert sent.resource_metrics[0].scope_metrics[0].metrics


def test_a_job_whose_receiver_is_down_fails_with_the_reason(
    database: Database, stored: Store, location: str, home: Path
) -> None:
    """The scheduler keeps running."""
    section = {"exporters": {"otlp": {"endpoint": f"http://127.0.0.1:{unused_port()}"}}}
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": section}))
    with scheduler(location, home) as process:
        found = eventually(lambda: last(database, "push-otlp"))
        assert process.poll() is None
    assert found.outcome == "failed"
    assert "OpenTelemetry: the connection to 127.0.0.1 failed" in str(found.problem)
