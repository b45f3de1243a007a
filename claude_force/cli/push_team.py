"""`claude-force push team`."""

from __future__ import annotations

import os
from typing import Any

import click

from claude_force.cli.push_once import once_options, push_once


@click.command()
@click.option("--to", metavar="URL", help="The team's database (a path or URL), or its receiver (https://...).")
@once_options
def team(to: str | None, **options: Any) -> None:
    """Push executions to the store of a team.

    Each execution, and each change of one, arrives there once, however often a push is repeated or killed. What is not
    given is read from performance.exporters.team in claude.json, which also says what leaves this machine. The token of
    a receiver is read from CLAUDE_FORCE_TEAM_TOKEN, or from the file in "token_file".

    \b
    Example:
      claude-force push team --to postgresql://metrics.example.com/team
      claude-force push team --to https://metrics.example.com:4319
    """
    # Made absolute: a relative path in claude.json is relative to another folder.
    location = to and (to if "://" in to else os.path.abspath(os.path.expanduser(to)))  # noqa: PTH100, PTH111
    push_once("team", {"to": location}, **options)
