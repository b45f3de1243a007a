"""`claude-force push datadog`."""

from __future__ import annotations

import os
from typing import Any

import click

from claude_force.cli.push_once import once_options, push_once


@click.command()
@click.option("--host", metavar="HOST", help="The Agent's host.  [default: DD_AGENT_HOST or localhost]")
@click.option("--port", type=int, metavar="N", help="The Agent's UDP port.  [default: DD_DOGSTATSD_PORT or 8125]")
@click.option("--socket", metavar="PATH", help="The Agent's Unix socket, instead of host and port.")
@once_options
def datadog(host: str | None, port: int | None, socket: str | None, **options: Any) -> None:
    """Push executions to a DataDog Agent.

    Each execution is sent once, as histograms, and each failure as an event. The first push sends the last five
    minutes. Executions older than a day are never sent, because DogStatsD counts every sample as of now. The Agent does
    not confirm what it received.

    \b
    Example:
      claude-force push datadog --host localhost
    """
    if socket and (host or port):
        raise click.UsageError("--socket cannot be combined with --host or --port")
    # Made absolute: a relative path in claude.json is relative to another folder.
    path = socket and os.path.abspath(socket.removeprefix("unix://"))  # noqa: PTH100
    given = {"host": host, "port": port, "socket": path}
    # An option replaces both kinds of address in claude.json.
    given |= {"socket": ""} if host or port else {"host": "", "port": ""} if socket else {}
    push_once("datadog", given, **options)
