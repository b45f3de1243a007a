"""`config` and the channels: a secret that stands in claude.json, where it should not, is not printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
    """Neither as text nor as JSON; what is no secret is."""
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": {"channels": CHANNELS}}))
    done = run(*command.split(), env={"SMTP_USER": "somebody"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "literal-secret" not in done.stdout
    assert "somebody" not in done.stdout
    if "--json" in command:
        assert json.loads(done.stdout)["performance.channels"] == SHOWN
    else:
        assert json.dumps(SHOWN) in done.stdout


def test_a_secret_that_is_set_is_not_printed_back(home: Path, run: Run) -> None:
    """The file holds what was given; the screen does not."""
    done = run("config", "set", "performance.channels", json.dumps(CHANNELS))
    assert done.returncode == 0
    assert "literal-secret" not in done.stdout + done.stderr
    written = json.loads((home / ".claude" / "claude.json").read_text())
    assert written["performance"]["channels"] == CHANNELS


def test_no_channels_are_shown_as_none(run: Run) -> None:
    """As every other default."""
    assert "performance.channels = {}  (default)" in run("config", "list").stdout.splitlines()
