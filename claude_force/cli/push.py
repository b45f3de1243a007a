"""`claude-force push`: figures to the monitoring that is there already."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from claude_force import clock
from claude_force.cli.lazy import LazyGroup
from claude_force.cli.options import find_workspace
from claude_force.text import for_terminal

if TYPE_CHECKING:
    from claude_force.database.workspace import Workspace
    from claude_force.exporters.base import Pushed, Target

COMMANDS = {
    "prometheus": "claude_force.cli.push_prometheus:prometheus",
    "datadog": "claude_force.cli.push_datadog:datadog",
    "elasticsearch": "claude_force.cli.push_elasticsearch:elasticsearch",
    "otlp": "claude_force.cli.push_otlp:otlp",
}


@click.group(cls=LazyGroup, commands_of=COMMANDS)
def push() -> None:
    """Send figures to the monitoring that is there already.

    What a command is not given stands in performance.exporters of claude.json; the scheduler pushes to the targets that
    stand there, every minute unless performance.schedule says otherwise.

    \b
    Example:
      claude-force push prometheus --gateway http://localhost:9091
    """


def target_at(workspace: Workspace, kind: str, given: dict[str, Any]) -> Target:
    """The target of a kind: what the command was given, else what the settings of the place say."""
    from claude_force.exporters.settings import target_of

    return target_of(kind, workspace.settings.exporters, given, os.environ, workspace.home.folder)


def push_to(location: str | None, kind: str, given: dict[str, Any], *, as_json: bool) -> None:
    """Push to the target of a kind, and say what came of it."""
    workspace = find_workspace(location)
    say_pushed(target_at(workspace, kind, given).push(workspace.database, clock.now_us), as_json=as_json)


def say_pushed(pushed: Pushed, *, as_json: bool) -> None:
    """What a push did: in one line, with what else should be known on stderr."""
    if as_json:
        click.echo(json.dumps(pushed.to_dict(), indent=2))
        return
    counts = ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in pushed.counts.items() if number)
    click.echo(for_terminal(f"✅ {pushed.said}: {pushed.destination}" + (f" ({counts})" if counts else "")))
    for remark in pushed.remarks:
        click.echo(for_terminal(remark), err=True)
