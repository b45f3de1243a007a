"""`config` with channels and exporters: secrets are neither stored nor printed, and what is wrong is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from claude_force.executions.record import NAME_LIMIT
from tests.conftest import Run

CHANNELS = {
    "team": {"type": "slack", "webhook_url": "https://hooks.slack.com/services/T/B/literal-secret"},
    "mail": {"type": "email", "host": "smtp.example.com", "password": "literal-secret", "username": "${SMTP_USER}"},
}
SHOWN = {
    "team": {"type": "slack", "webhook_url": "***"},
    "mail": {"type": "email", "host": "smtp.example.com", "password": "***", "username": "${SMTP_USER}"},
}


@pytest.mark.parametrize("command", ["config list", "config list --json", "config get performance.channels"])
def test_a_secret_in_the_file_is_not_printed(command: str, home: Path, run: Run) -> None:
    """It is hidden in text and in JSON. Everything else is printed."""
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": {"channels": CHANNELS}}))
    done = run(*command.split(), env={"SMTP_USER": "smtp-account"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "literal-secret" not in done.stdout
    assert "smtp-account" not in done.stdout
    if "--json" in command:
        assert json.loads(done.stdout)["performance.channels"] == SHOWN
    else:
        assert json.dumps(SHOWN) in done.stdout


SECRETS = {
    "channels": (CHANNELS, "SLACK_WEBHOOK_URL"),
    "channels with a login": (
        {"hook": {"type": "webhook", "url": "https://me:literal-secret@example.com"}},
        "HOOK_LOGIN",
    ),
    "exporters": ({"otlp": {"headers": "authorization=literal-secret"}}, "OTEL_EXPORTER_OTLP_HEADERS"),
    "exporters with a login": ({"elasticsearch": {"url": "https://me:literal-secret@example.com"}}, "username"),
}


@pytest.mark.parametrize("case", SECRETS)
def test_a_secret_is_refused(case: str, home: Path, run: Run) -> None:
    """The error comes before anything is written, with the remedy and without the secret. A variable that overrides the
    setting makes no difference."""
    value, remedy = SECRETS[case]
    done = run(
        "config",
        "set",
        f"performance.{case.partition(' ')[0]}",
        json.dumps(value),
        env={"OTEL_EXPORTER_OTLP_HEADERS": "a=b"},
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: ")
    assert remedy in done.stderr
    assert "literal-secret" not in done.stderr
    assert list((home / ".claude").iterdir()) == []


WRONG: dict[str, tuple[object, list[str]]] = {
    "channels": (
        {
            "team": {"type": "slak"},
            "mail": {
                "type": "email", "host": "${HOST}", "port": "${PORT}", "from": "${FROM}", "to": "${TO}", "sucject": "x",
            },
        },
        ['team: type "slak" does not exist; did you mean slack?', "mail: there is no field sucject"],
    ),
    "exporters": (
        {"datdog": {}, "elasticsearch": {"username": "me", "index": "A B", "url": "${URL}"}, "prometheus": 5},
        [
            "performance.exporters: there is no datdog; did you mean datadog?",
            "performance.exporters: prometheus: must be an object, not a number",
            "performance.exporters: elasticsearch: index must consist of a-z",
        ],
    ),
    "alerts": (
        {"succes-rate": True, "p95-latency": {"threshold": "high"}, "no-data": True},
        [
            "performance.alerts: succes-rate: is not a default rule; did you mean success-rate?",
            "performance.alerts: p95-latency: threshold must be a number",
        ],
    ),
    "schedule": (
        {"ingset": "5m", "alerts": 5, "archive": "off", "\x1b[31m": "1h"},
        [
            "performance.schedule: there is no job ingset",
            "performance.schedule: alerts must be a length of time",
            r"performance.schedule: there is no job \x1b[31m",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("part", WRONG)
def test_what_is_wrong_is_refused(part: str, home: Path, run: Run) -> None:
    """One line has every problem, and nothing is written. An unset variable is no problem, because it may be set where
    the scheduler runs."""
    value, expected = WRONG[part]
    done = run("config", "set", f"performance.{part}", json.dumps(value))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: ")
    assert [problem for problem in expected if problem not in done.stderr] == []
    assert "${" not in done.stderr
    assert list((home / ".claude").iterdir()) == []


GOOD = {
    "channels": {"team": {"type": "slack", "webhook_url": "${HOOK}"}},
    "exporters": {"otlp": {"headers": "${HEADERS}"}, "prometheus": {"gateway": "${GATEWAY}"}, "datadog": {}},
    "alerts": {"success-rate": True},
    "schedule": {"ingest": "5m"},
}


@pytest.mark.parametrize("part", GOOD)
def test_a_correct_value_prints_no_warning(part: str, run: Run) -> None:
    """This includes values with variables that are not set here."""
    done = run("config", "set", f"performance.{part}", json.dumps(GOOD[part]))
    assert (done.returncode, done.stderr) == (0, "")


def test_without_channels_the_default_is_shown(run: Run) -> None:
    """As for every other setting."""
    listed = run("config", "list").stdout.splitlines()
    assert "performance.channels = {}  (default)" in listed
    assert "performance.user  (not set)" in listed


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("user", " ada"),
        ("user", "a\tb"),
        ("user", "a" * (NAME_LIMIT + 1)),
        ("otlp_user", "prompt"),
        ("otlp_user", "email"),
    ],
)
def test_a_user_that_no_execution_can_have_is_refused(key: str, value: str, home: Path, run: Run) -> None:
    """So is an attribute that does not say who a user is: it could hold a prompt."""
    done = run("config", "set", f"performance.{key}", value)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"performance.{key} must be " in done.stderr
    assert list((home / ".claude").iterdir()) == []


def test_a_user_is_stored_with_new_executions(run: Run, tmp_path: Path) -> None:
    """Imported ones keep theirs, or none: a file may be of anybody."""
    lines = [{"agent_name": name, "user": user} for name, user in (("a", "grace"), ("b", None))]
    usual = {"timestamp": "2025-11-14T10:30:45Z", "success": True, "execution_time_ms": 1, "model": "m"}
    tokens = {"input_tokens": 1, "output_tokens": 1}
    (tmp_path / "old.jsonl").write_text("".join(json.dumps(usual | tokens | line) + "\n" for line in lines))
    assert run("config", "set", "performance.user", "ada").returncode == 0
    assert run("import", str(tmp_path / "old.jsonl")).returncode == 0
    rows = run("analytics", "export", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(row)["user"] for row in rows] == ["grace", None]
