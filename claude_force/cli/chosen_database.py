"""`--db`: before the command, after it, or between a group and its command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from claude_force.cli.lazy import CHOSEN_DATABASE

F = TypeVar("F", bound=Callable[..., Any])


def database_option(function: F) -> F:
    """Add `--db`. The command gets its value as `location`, also if it stands before the command."""
    return _option(expose_value=True)(function)


def group_database_option(function: F) -> F:
    """Add `--db` to a group, for the command that follows."""
    return _option(expose_value=False)(function)


def _option(*, expose_value: bool) -> Callable[[F], F]:
    return click.option(
        "--db", "location", multiple=True, callback=_choose, expose_value=expose_value, metavar="PATH|URL",
        # The variable of settings.location, whose import would make every help slower.
        help="Use this database.  [env: CLAUDE_FORCE_DB]",
    )  # fmt: skip


def _choose(context: click.Context, _: click.Parameter, given: tuple[str, ...]) -> str | None:
    """The database that was named so far; None if none was. All that are named must be the same."""
    chosen = list(dict.fromkeys([*context.meta.get(CHOSEN_DATABASE, ()), *given]))
    if len(chosen) > 1:
        raise click.UsageError(f"--db is given twice: {chosen[0]} and {chosen[1]}", context)
    context.meta[CHOSEN_DATABASE] = chosen
    return chosen[0] if chosen else None
