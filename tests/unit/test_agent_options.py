"""Options for the Claude Agent SDK: variables for its Claude Code, and hooks that fail nobody."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from claude_force import agent_options
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.queries.executions import iterate
from claude_force.headless.agent_options import read_session
from tests.transcripts import SESSION, Talk


def test_the_variables_send_telemetry_to_this_machine() -> None:
    """In the protocol that needs no extra, with the names as attributes."""
    found = agent_options(agent="reviewer", project="my shop")["env"]
    assert found["CLAUDE_CODE_ENABLE_TELEMETRY"] == "1"
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4319"
    assert found["OTEL_EXPORTER_OTLP_PROTOCOL"] == "http/json"
    assert found["OTEL_RESOURCE_ATTRIBUTES"] == "project=my%20shop,agent=reviewer"


def test_another_receiver_and_other_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attributes of this process stay, but for those of the same name; without names there are none of ours."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=a,agent=b")
    found = agent_options(agent="c", endpoint="https://metrics.example.com:4319")["env"]
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://metrics.example.com:4319"
    assert found["OTEL_RESOURCE_ATTRIBUTES"] == "team=a,agent=c"
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES")
    assert "OTEL_RESOURCE_ATTRIBUTES" not in agent_options()["env"]


def test_without_the_sdk_there_are_no_hooks() -> None:
    """The package needs it as little as its import does."""
    code = "import claude_force, sys; found = claude_force.agent_options; assert not found()['hooks']; "
    code += "assert 'claude_force.database' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_with_the_sdk_a_hook_reads_the_session_when_a_turn_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the type that the SDK has for it."""
    sdk = ModuleType("claude_agent_sdk")
    sdk.__dict__["HookMatcher"] = SimpleNamespace
    monkeypatch.setitem(sys.modules, "claude_agent_sdk", sdk)
    (matcher,) = agent_options()["hooks"]["Stop"]
    assert matcher.hooks == [read_session]


def test_the_hook_stores_the_executions_of_its_session(home: Path) -> None:
    """Those of the transcript that it is given."""
    transcript = home / "projects" / "x" / f"{SESSION}.jsonl"
    transcript.parent.mkdir(parents=True)
    talk = Talk()
    talk.prompt()
    talk.respond("msg_1")
    transcript.write_bytes(talk.data())
    assert asyncio.run(read_session({"transcript_path": str(transcript)}, None, None)) == {}
    database = open_database(str(home / ".claude" / "metrics" / "metrics.db"))
    assert [record.workflow_id for record in iterate(database, Filter())] == [SESSION]
    database.close()


@pytest.mark.parametrize("given", [{}, {"transcript_path": None}, {"transcript_path": "/no/such/file"}, None])
def test_the_hook_fails_nobody(home: Path, given: object, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it is given, and whatever the settings are, the agent goes on."""
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": 1}))
    with caplog.at_level(logging.WARNING, "claude_force"):
        assert asyncio.run(read_session(given, None, None)) == {}
    assert "executions of an agent were not stored" in caplog.text
