"""The options of the exporters that send each execution once: a dry run, and starting over."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

import click

from claude_force import clock
from claude_force.cli.chosen_database import database_option
from claude_force.cli.chosen_workspace import find_workspace
from claude_force.cli.options import json_option
from claude_force.cli.progress import progress_bar
from claude_force.cli.push import find_exporter, print_result
from claude_force.cli.say import say
from claude_force.clock import Now
from claude_force.database.contract import Database
from claude_force.exporters.base import Exporter
from claude_force.formatting import quantity

F = TypeVar("F", bound=Callable[..., Any])


class QueuedExporter(Exporter, Protocol):
    """An exporter that sends each execution once."""

    @property
    def destination(self) -> str:
        """The receiver's address, without secrets."""

    def count_due(self, database: Database, now: Now) -> int:
        """How many executions a push would find due."""


def once_options(function: F) -> F:
    """Add `--dry-run`, `--forget`, `--json` and `--db`."""
    options = (
        click.option("--dry-run", "is_dry", is_flag=True, help="Send nothing; print how many executions are due."),
        click.option("--forget", "is_forgotten", is_flag=True, help="Send nothing; make the next push start over."),
        json_option,
        database_option,
    )
    for option in reversed(options):
        function = option(function)
    return function


def push_once(
    kind: str, given: dict[str, Any], *, is_dry: bool, is_forgotten: bool, as_json: bool, location: str | None
) -> None:
    """Push what is due with the exporter of a kind, or do what the options say instead; print the result."""
    if is_dry and is_forgotten:
        raise click.UsageError("--dry-run and --forget exclude each other")
    workspace = find_workspace(location)
    if is_forgotten:
        _forget(workspace.database, kind, as_json=as_json)
        return
    exporter = cast("QueuedExporter", find_exporter(workspace, kind, given))
    due = exporter.count_due(workspace.database, clock.now_us)
    if is_dry:
        _print_due(exporter.destination, due, as_json=as_json)
        return
    with progress_bar(due, f"Pushing {quantity(due, 'execution')}") as progress:
        result = exporter.push(workspace.database, clock.now_us, progress)
    print_result(result, as_json=as_json)


def _forget(database: Database, kind: str, *, as_json: bool) -> None:
    from claude_force.exporters import queue

    # Forgetting is a write, which would create a missing database.
    is_forgotten = database.exists() and queue.forget(database, kind)
    if as_json:
        click.echo(json.dumps({"forgotten": is_forgotten}))
    elif is_forgotten:
        say(f"Forgot what was sent to {kind}; the next push starts over")
    else:
        say(f"Nothing was pushed to {kind} from this database")


def _print_due(destination: str, due: int, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"destination": destination, "due": due}, indent=2))
    else:
        verb = "is" if due == 1 else "are"
        say(f"{quantity(due, 'execution')} {verb} due to {destination}; nothing was sent")
