"""`claude-force serve`: the live page."""

from __future__ import annotations

import os
from contextlib import closing

import click

from claude_force import clock
from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import find_workspace
from claude_force.cli.freshness import no_ingest_option
from claude_force.cli.say import say
from claude_force.errors import MissingExtra

_PORT = 4320
_LIBRARIES = frozenset(("starlette", "uvicorn", "jinja2", "markupsafe"))


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65_535), metavar="N", default=_PORT, show_default=True,
    help="Listen on this port; 0 is a free one.",
)  # fmt: skip
@click.option("--open", "is_opened", is_flag=True, help="Open the page in the browser.")
@database_option
@no_ingest_option
def serve(port: int, is_opened: bool, location: str | None, no_ingest: bool) -> None:
    """Show a live page in the browser, until Ctrl-C.

    It has the figures and charts of `claude-force report`, with links from each name, day and run, and is up to date
    after about two seconds. It listens on 127.0.0.1 only, and refuses requests of other machines and other pages.

    \b
    Example:
      claude-force serve --port 4320
    """
    workspace = find_workspace(location)
    try:
        from claude_force.web import server
    except ModuleNotFoundError as missing:
        if missing.name not in _LIBRARIES:
            raise
        raise MissingExtra("the live page needs an extra: pip install 'claude-force[web]'") from None
    from claude_force.cli.page_commands import PageCommands
    from claude_force.web.watcher import Watcher

    found = server.bind(port)
    url = f"http://{server.ADDRESS}:{found.getsockname()[1]}/"
    watcher = Watcher(workspace, clock.now_us, is_reading=not no_ingest)
    ask = PageCommands(location, watcher.freshness)
    say(f"The live page of {workspace.database.name} is at {url}; Ctrl-C ends it")
    if is_opened:
        click.launch(url)
    with closing(ask), closing(workspace.database):
        has_ended = server.serve(found, ask, watcher.look)
        say("The live page has ended", err=True)
        if not has_ended:
            # The questions only read, and what a look stores is one transaction.
            os._exit(0)
