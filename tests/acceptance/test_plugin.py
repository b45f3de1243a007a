"""The plugin for Claude Code: its hooks read what was just written, its parts name what there is."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from claude_force import __version__
from claude_force.cli.mcp.tools import TOOLS
from claude_force.cli.root import cli
from claude_force.database import queries
from claude_force.database.open import open_database
from tests.commands import walk
from tests.conftest import EXAMPLES, ROOT, Run
from tests.daemons import eventually

PLUGIN = ROOT / "plugin"
SETTINGS = Path(".claude/settings.json")
LINE = {"type": "command", "command": "claude-force statusline"}


def _executions(home: Path) -> int:
    with open_database(str(home / ".claude" / "metrics" / "metrics.db")).read() as connection:
        return queries.stored(connection)


def test_a_hook_reads_the_transcript_that_it_names(home: Path, run: Run) -> None:
    """Claude Code ends its hooks with itself, so a process that outlives the hook reads. Nothing is printed."""
    transcript = next((EXAMPLES / "claude-code" / "projects").glob("*/*.jsonl"))
    project = home / ".claude" / "projects" / "shop"
    project.mkdir(parents=True)
    shutil.copy(transcript, project)
    told = {"hook_event_name": "Stop", "transcript_path": str(project / transcript.name)}
    result = run("ingest", "--hook", input=json.dumps(told))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    eventually(lambda: _executions(home) or None)


@pytest.mark.parametrize(
    "told",
    ["", "no JSON", "[]", "{}", '{"transcript_path": 5}', '{"transcript_path": "/nowhere/at-all.jsonl"}'],
    ids=str,
)
def test_a_hook_never_fails(told: str, run: Run) -> None:
    """Whatever it is given, the session goes on; the reason is on standard error."""
    result = run("ingest", "--hook", input=told)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.startswith("claude-force ingest: ")


def test_the_status_line_is_installed_and_the_rest_stays(home: Path, run: Run) -> None:
    """The change is shown first; without a terminal it needs --yes. A second time there is nothing to change."""
    (home / SETTINGS).write_text('{"model": "opus"}')
    refused = run("statusline", "--install")
    assert refused.returncode == 2
    assert f"+ statusLine={json.dumps(LINE)}" in refused.stdout
    # It names only what the command has.
    assert "; give --yes (see" in refused.stderr
    assert json.loads((home / SETTINGS).read_text()) == {"model": "opus"}
    assert run("statusline", "--install", "--yes").returncode == 0
    assert json.loads((home / SETTINGS).read_text()) == {"model": "opus", "statusLine": LINE}
    assert "nothing to change" in run("statusline", "--install").stdout


def test_a_status_line_of_another_program_is_shown_before_it_is_replaced(home: Path, run: Run) -> None:
    """So that the user can bring it back."""
    (home / SETTINGS).write_text('{"statusLine": {"type": "command", "command": "other"}}')
    shown = run("statusline", "--install", "--yes").stdout
    assert '- statusLine={"type": "command", "command": "other"}' in shown
    assert json.loads((home / SETTINGS).read_text()) == {"statusLine": LINE}


def test_the_parts_name_what_there_is() -> None:
    """The version of the package, commands of the program, tools of the server."""
    assert json.loads((PLUGIN / ".claude-plugin" / "plugin.json").read_text())["version"] == __version__
    texts = [path.read_text() for path in (PLUGIN / "hooks" / "hooks.json", *PLUGIN.rglob("*.md"))]
    named = {words for text in texts for words in re.findall(r"claude-force ([a-z][a-z-]*)", text)}
    assert named <= {path[0] for path, _ in walk(cli) if path}
    skill = (PLUGIN / "skills" / "report" / "SKILL.md").read_text()
    asked = {name for name in re.findall(r"`([a-z_]+)`", skill) if "_" in name}
    assert asked <= {tool.name for tool in TOOLS} | {"unread_files"}
