"""A real Prometheus and a real Pushgateway: they get what is stored, and the dashboard shows it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from claude_force.analytics import reports as analytics
from claude_force.clock import HOUR_US, SECOND_US, now_us
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.plan_limits import add_plan_limits
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.executions.plan_limits import FIVE_HOUR, PlanLimit
from claude_force.executions.record import ExecutionMetrics
from tests.builders import an_execution
from tests.conftest import ROOT, Run
from tests.counterparts import unused_port
from tests.daemons import eventually, scheduler
from tests.dashboards import expressions, filled
from tests.monitoring import Prometheus, fetch, of, program, prometheus, pushgateway, samples_of

pytestmark = pytest.mark.thorough

MODELS = ("claude-3-5-haiku-20241022", "claude-3-5-sonnet-20241022")
ACCEPTED_COMPLAINT = {
    "claude_force_execution_time_ms metric names should not contain abbreviated units",
}
"""The complaint of promtool about a name in the guide that predates the conventions. The histogram is in seconds."""


def executions(count: int) -> list[ExecutionMetrics]:
    """Recent executions."""
    return [
        an_execution(
            timestamp_us=now_us() - SECOND_US,
            agent_name=f"agent-{number % 3}",
            model=MODELS[number % 2],
            success=number % 10 > 0,
            duration_us=number % 20 * SECOND_US,
            cost_nanousd=None if number % 7 == 0 else 3_000_000,
            cache_read_tokens=100,
            cache_write_5m_tokens=10,
            cache_write_1h_tokens=1,
        )
        for number in range(count)
    ]


@pytest.fixture
def stored(home: Path) -> Database:
    """The home's database with some executions."""
    found = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    Store(found).add(executions(100))
    return found


def scraping(port: int, job: str = "pushgateway") -> str:
    """A configuration that scrapes a port as in docs/how-to/prometheus.md."""
    return (
        f"scrape_configs:\n  - job_name: {job}\n    honor_labels: true\n"
        f"    static_configs:\n      - targets: ['127.0.0.1:{port}']\n"
    )


def totals_read(server: Prometheus) -> dict[str, float | None]:
    """Some totals as Prometheus has them."""
    names = {"executions": "executions_total", "cost": "cost_usd_total", "tokens": "tokens_total"}
    names |= {"unpriced": "unpriced_executions_total", "timed": "execution_duration_seconds_count"}
    names |= {"seconds": "execution_duration_seconds_sum"}
    return {name: server.number(f"sum(claude_force_{metric})") for name, metric in names.items()}


def totals_stored(database: Database) -> dict[str, object]:
    """The same totals from the store."""
    found = analytics.summary(database, Filter()).totals
    return {
        "executions": found.executions,
        "cost": pytest.approx(found.cost, rel=1e-9),
        "tokens": found.total_tokens,
        "unpriced": found.unpriced,
        "timed": found.timed,
        "seconds": pytest.approx(found.duration_us / SECOND_US, rel=1e-9),
    }


def test_every_expression_of_the_dashboard_has_data(run: Run, home: Path, stored: Database, tmp_path: Path) -> None:
    """Pushed to a Pushgateway and scraped from it, the counters equal the store's totals, and every panel has data."""
    rules = {"success-rate": {"threshold": 99, "min_samples": 1}}
    with stored.write() as connection:
        add_plan_limits(connection, [PlanLimit("h", FIVE_HOUR, now_us(), 62, now_us() + HOUR_US)])
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": {"alerts": rules}}))
    with pushgateway() as gateway, prometheus(tmp_path, scraping(gateway)) as server:
        assert run("alerts", "check").returncode == 1
        assert run("scheduler", "run", "ingest").returncode == 0
        push = ("push", "prometheus", "--gateway", f"http://127.0.0.1:{gateway}", "--instance", "a host/1")
        assert run(*push).returncode == 0
        eventually(lambda: server.number("sum(claude_force_executions_total)") == 100)
        Store(stored).add(executions(60))
        assert run(*push).returncode == 0
        eventually(lambda: server.number("sum(claude_force_executions_total)") == 160)
        eventually(lambda: totals_read(server) == totals_stored(stored))
        eventually(lambda: server.query('claude_force_build_info{instance="a host/1",job="claude_force"}'))
        # A rate needs two scrapes after the second push.
        eventually(lambda: server.number("sum(increase(claude_force_executions_total[1h]))"))
        for text in expressions().values():
            eventually(partial(has_data, server, filled(text)))
        assert run(*push, "--delete").returncode == 0
        assert "claude_force" not in fetch(gateway, "/metrics")[2]
    stored.close()


def has_data(server: Prometheus, expression: str) -> bool:
    """Whether an expression has a numeric result."""
    values = [float(found["value"][1]) for found in server.query(expression)]
    return any(math.isfinite(value) for value in values)


def test_the_scheduler_endpoint_is_scraped(home: Path, stored: Database, tmp_path: Path) -> None:
    """Without a gateway, a Prometheus on the same machine reads the stored totals from the scheduler."""
    port = unused_port()
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": {"metrics_port": port}}))
    with scheduler(stored.name, home), prometheus(tmp_path, scraping(port, "claude_force")) as server:
        eventually(lambda: server.number("sum(claude_force_executions_total)") == 100)
        eventually(lambda: server.number('up{job="claude_force"}') == 1)
        eventually(lambda: totals_read(server) == totals_stored(stored))
        eventually(lambda: server.number("claude_force_last_ingest_timestamp_seconds"))
    stored.close()


def test_metric_names_follow_the_conventions(run: Run, home: Path, stored: Database) -> None:
    """promtool complains about nothing but one name of the guide."""
    promtool = program("promtool")
    assert run("push", "prometheus", "--textfile", "out.prom").returncode == 0
    text = (home / "out.prom").read_text()
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert set(done.stderr.splitlines()) == ACCEPTED_COMPLAINT
    stored.close()


def test_a_refused_push_gives_the_reason_of_the_gateway(run: Run, stored: Database) -> None:
    """Another program has pushed a metric with the same name and another type. The reason has the name."""
    with pushgateway() as gateway:
        other = fetch_put(
            gateway, "/metrics/job/other", "# TYPE claude_force_cost_usd counter\nclaude_force_cost_usd 1\n"
        )
        assert other == 200
        done = run("push", "prometheus", "--gateway", f"http://127.0.0.1:{gateway}")
    assert done.returncode == 1
    assert "answered 400: " in done.stderr
    assert "claude_force_cost_usd" in done.stderr
    stored.close()


def fetch_put(port: int, path: str, body: str) -> int:
    """PUT a text."""
    from http.client import HTTPConnection

    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("PUT", path, body=body)
    status = connection.getresponse().status
    connection.close()
    return status


def test_the_script_from_the_guide_pushes(home: Path, stored: Database) -> None:
    """scripts/export_prometheus.py prints the guide's line and pushes its four metrics."""
    with pushgateway() as gateway:
        settings = {"exporters": {"prometheus": {"gateway": f"http://127.0.0.1:{gateway}"}}}
        (home / ".claude" / "claude.json").write_text(json.dumps({"performance": settings}))
        command = [sys.executable, str(ROOT / "scripts" / "export_prometheus.py")]
        done = subprocess.run(command, cwd=home, env=os.environ, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("✅ Metrics exported to Prometheus")
        samples = samples_of(fetch(gateway, "/metrics")[2])
    assert ("agent-0", "all") in of(samples, "claude_force_execution_time_ms", "agent_name", "model")
    assert ("agent-0",) in of(samples, "claude_force_success_rate", "agent_name")
    assert ("agent-0", "all") in of(samples, "claude_force_cost_usd", "agent_name", "model")
    assert ("agent-0", "input") in of(samples, "claude_force_token_usage", "agent_name", "token_type")
    stored.close()
