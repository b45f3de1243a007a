"""The doctor's findings about telemetry at given times, on both engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from claude_force.clock import DAY_US, HOUR_US
from claude_force.database.contract import Database
from claude_force.database.workspace import Workspace, workspace_at
from claude_force.database.writes import Store
from claude_force.database.writes.telemetry import add_heard
from claude_force.doctor.findings import Finding
from claude_force.doctor.telemetry import IGNORED_SHOWN_US, check_telemetry
from claude_force.executions.origin import host_name
from claude_force.executions.signals import Heard
from claude_force.receiver.claude_code import NO_REQUEST
from claude_force.settings.home import home_at
from tests.builders import NOON_US, an_execution

EXECUTED_US = NOON_US + 5 * HOUR_US


@pytest.fixture
def workspace(location: str, database: Database, home: Path) -> Workspace:
    """A workspace with an execution of Claude Code on this host, and a newer one on another."""
    for number, host in enumerate((host_name(), "other")):
        at_us = EXECUTED_US + number * DAY_US
        Store(database).add([an_execution(source="claude-code", host=host, timestamp_us=at_us)])
    return workspace_at(home_at(home / ".claude"), location)[0]._replace(database=database)


def hear(workspace: Workspace, at_us: int, **changes: Any) -> None:
    """Two records come to this host."""
    values: dict[str, Any] = {"service": "claude-code", "name": "claude_code.api_request", "records": 2}
    with workspace.database.write() as connection:
        add_heard(connection, host_name() or "", [Heard(at_us=at_us, **values | changes)])


def findings(workspace: Workspace, now_us: int = EXECUTED_US) -> list[Finding]:
    """What the check finds."""
    return list(check_telemetry(workspace, now_us))


def test_without_telemetry_nothing_is_wrong(workspace: Workspace) -> None:
    """Executions alone do not say that there should be telemetry; nor does that of another program."""
    assert [(found.level, found.text) for found in findings(workspace)] == [("ok", "none came to this machine")]
    hear(workspace, NOON_US, service="codex-cli", name="codex.sse_event", version="1.2")
    assert [(found.level, found.text) for found in findings(workspace)] == [
        ("ok", "2 records came, the last from codex-cli 1.2, 5 h ago")
    ]


@pytest.mark.parametrize(("silent_us", "level"), [(HOUR_US, "ok"), (HOUR_US + 1, "note")])
def test_telemetry_that_stopped_is_found(silent_us: int, level: str, workspace: Workspace) -> None:
    """When an execution of this host is more than an hour newer than the last record that was used."""
    hear(workspace, EXECUTED_US - silent_us)
    hear(workspace, EXECUTED_US, name="claude_code.plugin_loaded", ignored=NO_REQUEST)
    first = findings(workspace)[0]
    assert first.level == level
    assert ("stopped sending" in first.text) == (level == "note")


def test_what_is_ignored_is_listed_by_reason(workspace: Workspace) -> None:
    """For a week; a note where the record was needed."""
    hear(workspace, EXECUTED_US)
    hear(workspace, EXECUTED_US, name="claude_code.plugin_loaded", ignored=NO_REQUEST)
    hear(workspace, EXECUTED_US, name="claude_code.hook", ignored=NO_REQUEST)
    hear(workspace, EXECUTED_US, ignored="it has no model")
    hear(workspace, EXECUTED_US - 1, name="old", ignored="long ago")
    found = findings(workspace, EXECUTED_US + IGNORED_SHOWN_US)
    assert [(each.level, each.text) for each in found[1:]] == [
        ("note", "2 records ignored (claude-code: claude_code.api_request): it has no model"),
        ("ok", f"4 records ignored (claude-code: claude_code.hook and 1 other kind): {NO_REQUEST}"),
    ]
