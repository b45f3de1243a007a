"""The guide's alert scripts, run as cron runs them: without claude.json, configured by the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from claude_force.performance_tracker.tracker import PerformanceTracker
from tests.conftest import ROOT
from tests.counterparts import Reply, mail_server, scripted


def script(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in the home folder."""
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / name],
        env=os.environ | {"TZ": "UTC"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def bad_hour(home: Path) -> None:
    """Forty recent executions: half of them failed, and all were slow and expensive."""
    with PerformanceTracker() as tracker:
        for number in range(40):
            tracker.record_execution("a", "t", number % 2 == 0, 12_000, "claude-haiku-4-5", 9, 9, estimated_cost=0.1)


@pytest.mark.usefixtures("bad_hour")
def test_slack_is_notified_once() -> None:
    """The guide's three alerts are in one message, with its title, texts and colors. The next run sends nothing."""
    with scripted() as server:
        first, second = (script("alert_slack.py", SLACK_WEBHOOK_URL=server.url) for _ in range(2))
        assert (first.returncode, second.returncode, first.stderr) == (1, 1, "")
        assert len(server.requests) == 1
        message = server.requests[0].json()
    assert message["text"].endswith("Claude Force Performance Alert")
    assert {item["title"] for item in message["attachments"]} == {"Low Success Rate", "High Latency", "Cost Spike"}
    assert {item["footer"] for item in message["attachments"]} == {"Last 1 hour"}
    texts = " ".join(item["text"] for item in message["attachments"])
    assert "dropped to 50.0%" in texts
    assert "$4.00" in texts


@pytest.mark.usefixtures("bad_hour")
def test_email_and_slack_are_notified_separately() -> None:
    """An alert that one script has sent is sent by the other script too, and never twice by the same one."""
    with mail_server() as mail, scripted() as server:
        environment = {
            "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(mail.port), "SMTP_SECURITY": "none",
            "ALERT_FROM": "alerts@example.com", "ALERT_TO": "ops@example.com,dev@example.com",
        }  # fmt: skip
        assert script("alert_slack.py", SLACK_WEBHOOK_URL=server.url).returncode == 1
        for _ in range(2):
            assert script("alert_email.py", **environment).returncode == 1
        ((message, recipients),) = mail.messages
    assert recipients == ["ops@example.com", "dev@example.com"]
    assert str(message["Subject"]).startswith("Claude Force Performance Alert")
    body = message.get_body(("plain",))
    assert body is not None
    assert "dropped to 50.0%" in body.get_content()


@pytest.mark.usefixtures("bad_hour")
def test_pagerduty_gets_critical_alerts() -> None:
    """An event by routing key, for a success rate below 90 % over 15 minutes."""
    with scripted([202]) as server:
        (Path.cwd() / ".claude" / "claude.json").write_text(
            '{"performance": {"channels": {"pagerduty": {"type": "pagerduty", "routing_key": "${KEY}", '
            f'"url": "{server.url}"}}}}}}}}'
        )
        assert script("alert_pagerduty.py", KEY="k" * 32).returncode == 1
        message = server.requests[0].json()
    assert (message["event_action"], message["payload"]["severity"]) == ("trigger", "critical")
    assert "50.0%" in message["payload"]["summary"]


@pytest.mark.usefixtures("bad_hour")
def test_an_incident_is_created_as_in_the_guide() -> None:
    """With an API key and a service id, the incident has the guide's title, urgency and details."""
    with scripted([Reply(201, b'{"incident": {"id": "P1"}}')]) as server:
        (Path.cwd() / ".claude" / "claude.json").write_text(
            '{"performance": {"channels": {"pagerduty": {"type": "pagerduty", "api_key": "${KEY}", '
            f'"service_id": "PSERVICE", "from": "me@example.com", "url": "{server.url}incidents"}}}}}}}}'
        )
        assert script("alert_pagerduty.py", KEY="secret").returncode == 1
        (request,) = server.requests
    incident = request.json()["incident"]
    assert incident["title"].startswith("Claude Force: ")
    assert (incident["urgency"], incident["service"]["id"]) == ("high", "PSERVICE")
    assert '"total_executions": 40' in incident["body"]["details"]
    assert request.headers["authorization"] == "Token token=secret"


def test_a_good_hour_sends_nothing(home: Path) -> None:
    """The exit code is 0."""
    with PerformanceTracker() as tracker:
        for _ in range(20):
            tracker.record_execution("a", "t", True, 1000, "claude-haiku-4-5", 9, 9, estimated_cost=0.001)
    with scripted() as server:
        done = script("alert_slack.py", SLACK_WEBHOOK_URL=server.url)
        assert (done.returncode, done.stderr, server.requests) == (0, "", [])


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("alert_slack.py", "SLACK_WEBHOOK_URL"),
        ("alert_email.py", "SMTP_HOST"),
        ("alert_pagerduty.py", "PAGERDUTY_ROUTING_KEY"),
    ],
)
def test_a_missing_address_names_what_to_set(home: Path, name: str, variable: str) -> None:
    """One line names the variable and the setting. Nothing is evaluated."""
    done = script(name)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("error: no channel ")
    assert variable in done.stderr
    assert not (home / ".claude" / "metrics").exists()


DEVELOPERS_SCRIPTS = {"draw_dashboard.py", "draw_slack.py", "generate.py"}
"""Scripts for developers: they write files of the repository."""


@pytest.mark.parametrize("name", sorted({path.name for path in (ROOT / "scripts").glob("*.py")} - DEVELOPERS_SCRIPTS))
def test_every_script_has_help(home: Path, name: str) -> None:
    """Each script for users prints its options and an example with --help."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / name, "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0
    assert "Example:" in done.stdout
