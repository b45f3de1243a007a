"""The options for the rows of a table: how many, and in which order."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from claude_force.analytics.groups import RowChoice

R = TypeVar("R")

_ROW_OPTIONS = (
    click.option("--limit", type=click.IntRange(1), metavar="N", help="Show only the first N; over time, the last N."),
    click.option("--asc", "is_ascending", is_flag=True, help="The smallest, the oldest or A first."),
    click.option("--desc", "is_descending", is_flag=True, help="The largest, the newest or Z first."),
)

_MOST_ROWS = 10**9
"""No table has so many rows, and every database can count them."""


def row_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add `--limit`, `--asc` and `--desc`. The command gets a RowChoice as `rows`."""

    @functools.wraps(function)
    def command(*arguments: Any, limit: int | None, is_ascending: bool, is_descending: bool, **options: Any) -> R:
        if is_ascending and is_descending:
            raise click.UsageError("--asc and --desc cannot be combined")
        most = None if limit is None else min(limit, _MOST_ROWS)
        chosen = RowChoice(is_ascending if is_ascending or is_descending else None, most)
        return function(*arguments, rows=chosen, **options)

    for option in reversed(_ROW_OPTIONS):
        command = option(command)
    return command
