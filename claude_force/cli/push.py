"""`claude-force push`: metrics and executions to other monitoring systems, and to the store of a team."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from claude_force import clock
from claude_force.cli.chosen_database import group_database_option
from claude_force.cli.chosen_workspace import find_workspace
from claude_force.cli.lazy import LazyGroup
from claude_force.cli.say import say

if TYPE_CHECKING:
    from claude_force.database.workspace import Workspace
    from claude_force.exporters.base import Exporter, PushResult

COMMANDS = {
    "prometheus": "claude_force.cli.push_prometheus:prometheus",
    "datadog": "claude_force.cli.push_datadog:datadog",
    "elasticsearch": "claude_force.cli.push_elasticsearch:elasticsearch",
    "otlp": "claude_force.cli.push_otlp:otlp",
    "team": "claude_force.cli.push_team:team",
}


@click.group(cls=LazyGroup, commands_of=COMMANDS)
@group_database_option
def push() -> None:
    """Push to a monitoring system, or to a team.

    Options left out are read from performance.exporters in claude.json. The scheduler runs the exporters that are
    configured there, every minute unless performance.schedule says otherwise.

    \b
    Example:
      claude-force push prometheus --gateway http://localhost:9091
    """


def find_exporter(workspace: Workspace, kind: str, given: dict[str, Any]) -> Exporter:
    """The exporter of a kind: the options of the command (None: left out), and the settings for the rest."""
    from claude_force.exporters.settings import load_exporter

    return load_exporter(kind, workspace.settings.exporters, given, os.environ, workspace.home.folder)


def run_push(location: str | None, kind: str, given: dict[str, Any], *, as_json: bool) -> None:
    """Push with the exporter of a kind, and print the result."""
    workspace = find_workspace(location)
    print_result(find_exporter(workspace, kind, given).push(workspace.database, clock.now_us), as_json=as_json)


def print_result(result: PushResult, *, as_json: bool) -> None:
    """Print a result: one line, and its remarks on stderr; or JSON."""
    if as_json:
        click.echo(json.dumps(result.to_dict(), indent=2))
        return
    counts = ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in result.counts.items() if number)
    say(f"✅ {result.message}: {result.destination}" + (f" ({counts})" if counts else ""))
    for remark in result.remarks:
        say(remark, err=True)
