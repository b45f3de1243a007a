"""`claude-force telemetry setup`, `status` and `remove`: what they change in the files of a user, and what they say."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from claude_force.database.open import open_database
from claude_force.ingest.spool_files import telemetry_folders
from claude_force.ingest.telemetry.spool import TelemetrySpool
from claude_force.network.redaction import Secret
from claude_force.receiver.decode import Kind, decode_export
from claude_force.receiver.server import Endpoint, ReceiverServer
from claude_force.settings.telemetry_variables import telemetry_variables
from tests.conftest import Run

SETTINGS = '{\n    "model": "opus",\n    "env": {"FOO": "bar"},\n    "hooks": {}\n}\n'
OTHER = "http://collector.example.com:4318"


@pytest.fixture
def settings(home: Path) -> Path:
    """The user's settings.json, which has other things in it."""
    path = home / ".claude" / "settings.json"
    path.write_text(SETTINGS)
    return path


def variables(path: Path) -> dict[str, Any]:
    """The `env` block of a settings.json."""
    found = json.loads(path.read_text()).get("env", {})
    assert isinstance(found, dict)
    return found


@contextmanager
def a_receiver(home: Path, token: str | None = None) -> Iterator[ReceiverServer]:
    """A receiver that keeps what comes in the spool of the user's store."""
    metrics = home / ".claude" / "metrics"
    spool = TelemetrySpool(telemetry_folders(str(metrics / "metrics.db"), metrics)[0])

    def take(kind: Kind, content_type: str, body: bytes) -> None:
        spool.append(decode_export(kind, content_type, body))

    server = ReceiverServer(Endpoint(token=Secret(token) if token else None), take)
    server.start()
    try:
        yield server
    finally:
        server.close()
        spool.seal()


@pytest.fixture
def port() -> str:
    """A port on which nobody listens, also where the default port is in use."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def test_setup_and_remove_leave_a_file_as_it_was(settings: Path, home: Path, run: Run, port: str) -> None:
    """Every other character stays; what setup has written is taken out again, and nothing else."""
    done = run("telemetry", "setup", "--port", port, "--yes")
    assert done.returncode == 0
    found = variables(settings)
    assert found["FOO"] == "bar"
    assert found["CLAUDE_CODE_ENABLE_TELEMETRY"] == "1"
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://127.0.0.1:{port}"
    assert f"+ OTEL_EXPORTER_OTLP_ENDPOINT={found['OTEL_EXPORTER_OTLP_ENDPOINT']}\n" in done.stdout
    assert json.loads((home / ".claude" / "claude.json").read_text()) == {"performance": {"otlp_port": int(port)}}
    assert "claude-force scheduler start --detach" in done.stdout
    assert run("telemetry", "remove", "--yes").returncode == 0
    assert settings.read_text() == SETTINGS
    assert json.loads((home / ".claude" / "claude.json").read_text()) == {"performance": {}}
    assert run("telemetry", "remove").stdout == "telemetry setup has changed nothing here\n"


def test_without_a_file_there_is_none_afterwards_but_an_empty_object(home: Path, run: Run) -> None:
    """The block is removed with its last variable."""
    assert run("telemetry", "setup", "--yes").returncode == 0
    assert run("telemetry", "remove", "--yes").returncode == 0
    assert json.loads((home / ".claude" / "settings.json").read_text()) == {}


def test_nothing_is_changed_without_a_yes(settings: Path, home: Path, run: Run) -> None:
    """Where nobody can be asked, and with --dry-run, the changes are shown only."""
    refused, dry = run("telemetry", "setup"), run("telemetry", "setup", "--dry-run")
    assert (refused.returncode, dry.returncode) == (2, 0)
    for done in (refused, dry):
        assert "+ OTEL_LOGS_EXPORTER=otlp\n" in done.stdout
        assert "+ OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4319\n" in done.stdout
    assert settings.read_text() == SETTINGS
    assert not (home / ".claude" / "claude.json").exists()


def test_another_endpoint_is_replaced_only_when_asked(settings: Path, run: Run) -> None:
    """And comes back with remove. Variables that would go before ours are taken out, and come back as well."""
    before = {"OTEL_EXPORTER_OTLP_ENDPOINT": OTHER, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{OTHER}/v1/logs"}
    settings.write_text(json.dumps({"env": before}))
    done = run("telemetry", "setup", "--yes")
    assert done.returncode == 2
    assert OTHER in done.stderr
    assert variables(settings) == before
    done = run("telemetry", "setup", "--yes", "--replace")
    assert done.returncode == 0
    assert f"(was {OTHER})" in done.stdout
    assert variables(settings).get("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT") is None
    run("telemetry", "remove", "--yes")
    assert variables(settings) == before


def test_an_endpoint_of_setup_itself_is_changed_without_replace(settings: Path, run: Run) -> None:
    """It is nobody else's. remove brings back what was there before the first setup."""
    assert run("telemetry", "setup", "--port", "4377", "--yes").returncode == 0
    assert run("telemetry", "setup", "--port", "4378", "--yes").returncode == 0
    assert variables(settings)["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4378"
    assert run("telemetry", "remove", "--yes").returncode == 0
    assert settings.read_text() == SETTINGS


def test_what_the_user_changes_afterwards_is_theirs(settings: Path, run: Run) -> None:
    """Remove leaves it, and says so."""
    run("telemetry", "setup", "--yes")
    found = json.loads(settings.read_text())
    found["env"]["OTEL_LOGS_EXPORT_INTERVAL"] = "500"
    settings.write_text(json.dumps(found))
    done = run("telemetry", "remove", "--yes")
    assert "OTEL_LOGS_EXPORT_INTERVAL was changed since then, and stays\n" in done.stdout
    assert variables(settings) == {"FOO": "bar", "OTEL_LOGS_EXPORT_INTERVAL": "500"}


def test_a_second_setup_remembers_what_was_there_before_the_first(settings: Path, run: Run) -> None:
    """So remove brings back that."""
    run("telemetry", "setup", "--yes")
    assert run("telemetry", "setup", "--yes").stdout.startswith(f"{settings}: nothing to change\n")
    run("telemetry", "setup", "--yes", "--port", "4444", "--replace")
    assert variables(settings)["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4444"
    run("telemetry", "remove", "--yes")
    assert settings.read_text() == SETTINGS


def test_a_test_record_proves_that_a_receiver_of_a_team_is_there(settings: Path, home: Path, run: Run) -> None:
    """With its token, which is shown nowhere; claude.json stays."""
    (home / "token").write_text("s3cret-token\n")
    (home / "token").chmod(0o600)
    with a_receiver(home, "s3cret-token") as server:
        done = run("telemetry", "setup", "--endpoint", server.url, "--token-file", "token", "--yes")
        assert f"A test record arrived at {server.url}." in done.stdout
        assert "s3cret" not in done.stdout + done.stderr
        assert variables(settings)["OTEL_EXPORTER_OTLP_HEADERS"] == "Authorization=Bearer s3cret-token"
        assert variables(settings)["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/json"
        (home / "token").write_text("another\n")
        refused = run("telemetry", "setup", "--endpoint", server.url, "--token-file", "token", "--yes")
        assert "401" in refused.stdout
    assert not (home / ".claude" / "claude.json").exists()


def test_status_says_what_came_and_why_it_was_not_used(settings: Path, home: Path, run: Run) -> None:
    """As a table and as JSON: the test record of setup is one that is not used."""
    assert "Nothing has come yet." in run("telemetry", "status").stdout
    with a_receiver(home) as server:
        run("telemetry", "setup", "--endpoint", server.url, "--yes")
        assert f"Claude Code sends to {server.url}" in run("telemetry", "status").stdout
    assert "Start it: claude-force scheduler start --detach" in run("telemetry", "status").stdout
    found = json.loads(run("telemetry", "status", "--json").stdout)
    assert (found["enabled"], found["endpoint"], found["receives"]) == (True, server.url, False)
    assert [(kind["name"], kind["records"], kind["ignored"]) for kind in found["kinds"]] == [
        ("telemetry_test", 1, "sent by claude-force itself")
    ]
    assert "telemetry_test" in run("telemetry", "status").stdout
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    database.close()


def test_config_folder_of_claude_code_is_honoured(home: Path, run: Run) -> None:
    """The settings of Claude Code are where CLAUDE_CONFIG_DIR says."""
    folder = home / "config"
    folder.mkdir()
    environment = {"CLAUDE_CONFIG_DIR": str(folder)}
    run("telemetry", "setup", "--yes", env=environment)
    assert variables(folder / "settings.json")["CLAUDE_CODE_ENABLE_TELEMETRY"] == "1"
    run("telemetry", "remove", "--yes")
    assert json.loads((folder / "settings.json").read_text()) == {}


@pytest.mark.parametrize(
    ("body", "stranger"),
    [('{"healthy": true, "uid": -1}', "the receiver of another user"), ("hello", "another program")],
)
def test_a_port_of_somebody_else_is_refused(
    settings: Path, run: Run, httpserver: HTTPServer, body: str, stranger: str
) -> None:
    """Who would get what Claude Code sends. Status says so too, where that is the endpoint already."""
    httpserver.expect_request("/healthz").respond_with_data(body)
    done = run("telemetry", "setup", "--port", str(httpserver.port), "--yes")
    assert done.returncode == 2
    assert f"port {httpserver.port} is taken by {stranger}; " in done.stderr
    assert settings.read_text() == SETTINGS
    settings.write_text(json.dumps({"env": telemetry_variables(f"http://127.0.0.1:{httpserver.port}", "http/json")}))
    assert f"It does not receive: it is {stranger}" in run("telemetry", "status").stdout


def hang_up(listener: socket.socket) -> None:
    """End the first connection without a word."""
    listener.accept()[0].close()


def test_a_program_that_speaks_no_http_is_a_stranger(settings: Path, run: Run) -> None:
    """As one whose answer is none."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        threading.Thread(target=hang_up, args=(listener,), daemon=True).start()
        done = run("telemetry", "setup", "--port", str(taken), "--yes")
    assert f"port {taken} is taken by another program; " in done.stderr


@pytest.mark.parametrize("endpoint", ["collector:4318", "ftp://a", "http://", "http://a b", "http://a:99999999"])
def test_an_address_that_is_none_is_refused(settings: Path, run: Run, endpoint: str) -> None:
    """In one line; nothing is changed."""
    done = run("telemetry", "setup", "--endpoint", endpoint, "--yes")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert settings.read_text() == SETTINGS


@pytest.mark.parametrize("content", ["{", '{"env": 1}', "[]"])
def test_broken_settings_are_not_touched(settings: Path, run: Run, content: str) -> None:
    """One line names the file."""
    settings.write_text(content)
    done = run("telemetry", "setup", "--yes")
    assert done.returncode == 1
    assert str(settings) in done.stderr
    assert settings.read_text() == content
