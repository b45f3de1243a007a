"""Options that several reports share, and layouts that are imported when they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from claude_force.analytics.groups import SORT_KEYS
from claude_force.analytics.reports import INTERVALS
from claude_force.reports.layouts.base import Layout

sort_option = click.option(
    "--sort-by",
    type=click.Choice(SORT_KEYS),
    default="executions",
    metavar="KEY",
    help="executions (default), time, cost, success, tokens or name.",
)
interval_option = click.option(
    "--interval",
    type=click.Choice(INTERVALS),
    default="daily",
    metavar="INTERVAL",
    help="hourly, daily (default), weekly or monthly.",
)


def layout_of(function: str, *arguments: Any, module: str = "analytics") -> Callable[[], Layout]:
    """A layout that is imported only when it is needed: JSON needs none, and the import is slower than the query."""

    def make_layout() -> Layout:
        found: Layout = getattr(import_module(f"claude_force.reports.layouts.{module}"), function)(*arguments)
        return found

    return make_layout
