"""`claude-force push datadog`."""

from __future__ import annotations

import os
from typing import Any

import click

from claude_force.cli.push_once import once_options, push_once


@click.command()
@click.option("--host", metavar="HOST", help="Where the Agent listens.  [default: DD_AGENT_HOST or localhost]")
@click.option("--port", type=int, metavar="N", help="On which port.  [default: DD_DOGSTATSD_PORT or 8125]")
@click.option("--socket", metavar="PATH", help="Its Unix socket instead.")
@once_options
def datadog(host: str | None, port: int | None, socket: str | None, **options: Any) -> None:
    """Push executions to a DataDog Agent.

    Each execution is sent once, as histograms, and each failure as an event. The first push begins with the last five
    minutes; what is older than a day is not sent, since DogStatsD counts what it gets as of now. Nothing confirms what
    was sent.

    \b
    Example:
      claude-force push datadog --host localhost
    """
    if socket and (host or port):
        raise click.UsageError("--socket and --host or --port are two places: give one of them")
    # In claude.json a relative path begins elsewhere.
    path = socket and os.path.abspath(socket.removeprefix("unix://"))  # noqa: PTH100
    given = {"host": host, "port": port, "socket": path}
    # What is given takes the place of whichever of the two claude.json names.
    given |= {"socket": ""} if host or port else {"host": "", "port": ""} if socket else {}
    push_once("datadog", given, **options)
