"""`claude-force mcp`: the command. It loads the library of the protocol, which takes a second or two."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import click

from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import find_workspace
from claude_force.errors import MissingExtra


@click.command()
@database_option
def mcp(location: str | None) -> None:
    """Let Claude ask for its own metrics (an MCP server).

    It speaks the Model Context Protocol on its standard input and output. Every tool is a report, with the figures of
    its command, and changes nothing; new transcripts are read first. Claude Code starts the server by itself after
    `claude mcp add --scope user metrics -- claude-force mcp`.

    \b
    Example:
      claude-force mcp --db metrics.db
    """
    # A mistyped --db is refused now, and not at each call.
    find_workspace(location)
    if sys.stdin is None:
        raise click.UsageError("the standard input is closed, and the client asks on it")
    # Asked before: whichever of its modules is imported first may be that of another package.
    if find_spec("mcp") is None:
        raise MissingExtra("the MCP server needs an extra: pip install 'claude-force[mcp]'")
    from claude_force.cli.mcp.server import serve

    serve(location)
