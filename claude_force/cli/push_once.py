"""What the commands share that push each execution once: how many are due, a dry run, and to begin anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

import click

from claude_force import clock
from claude_force.cli.options import database_option, find_workspace, progress_bar
from claude_force.cli.push import say_pushed, target_at
from claude_force.clock import Now
from claude_force.database.contract import Database, Progress
from claude_force.exporters.base import Pushed
from claude_force.formatting import quantity
from claude_force.text import for_terminal

F = TypeVar("F", bound=Callable[..., Any])


class OnceTarget(Protocol):
    """A target that gets each execution once."""

    @property
    def destination(self) -> str:
        """Where it pushes to, as it may be shown."""

    def number_due(self, database: Database, now: Now) -> int:
        """How many executions a push would find due."""

    def push(self, database: Database, now: Now, progress: Progress | None = None) -> Pushed:
        """See `Target`."""


def once_options(function: F) -> F:
    """`--dry-run`, `--forget`, `--json` and `--db`."""
    options = (
        click.option("--dry-run", "is_dry", is_flag=True, help="Only say how many executions are due."),
        click.option("--forget", "is_forgotten", is_flag=True, help="Send nothing; the next push begins anew."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        database_option,
    )
    for option in reversed(options):
        function = option(function)
    return function


def push_once(
    kind: str, given: dict[str, Any], *, is_dry: bool, is_forgotten: bool, as_json: bool, location: str | None
) -> None:
    """Push what is due to the target of a kind, or do what the options say instead; say what came of it."""
    if is_dry and is_forgotten:
        raise click.UsageError("--dry-run and --forget do not go together")
    workspace = find_workspace(location)
    if is_forgotten:
        _forget(workspace.database, kind, as_json=as_json)
        return
    target = cast("OnceTarget", target_at(workspace, kind, given))
    due = target.number_due(workspace.database, clock.now_us)
    if is_dry:
        _say_due(target.destination, due, as_json=as_json)
        return
    with progress_bar(due, f"Pushing {quantity(due, 'execution')}") as progress:
        pushed = target.push(workspace.database, clock.now_us, progress)
    say_pushed(pushed, as_json=as_json)


def _forget(database: Database, kind: str, *, as_json: bool) -> None:
    from claude_force.exporters import queue

    # Forgetting is a write, which would create a database that is not there.
    is_forgotten = database.exists() and queue.forget(database, kind)
    if as_json:
        click.echo(json.dumps({"forgotten": is_forgotten}))
    elif is_forgotten:
        click.echo(f"Forgotten what {kind} has; the next push begins anew")
    else:
        click.echo(f"Nothing was pushed to {kind} from this database")


def _say_due(destination: str, due: int, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"destination": destination, "due": due}, indent=2))
    else:
        verb = "is" if due == 1 else "are"
        click.echo(for_terminal(f"{quantity(due, 'execution')} {verb} due to {destination}; nothing was sent"))
