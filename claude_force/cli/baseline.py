"""`claude-force baseline`: what executions were like, and whether they are worse now."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from claude_force import clock, windows
from claude_force.cli.options import (
    PLAIN_NAME,
    database_option,
    filter_options,
    find_workspace,
    form_of,
    refuse_database,
    refuse_two_formats,
    timezone_option,
)
from claude_force.errors import BaselineError, ClaudeForceError
from claude_force.reports.layouts.base import Request
from claude_force.text import for_terminal
from claude_force.windows import ALL_TIME

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from claude_force.analytics.baselines import Check
    from claude_force.database.contract import Connection
    from claude_force.database.rows.baselines import Baseline

FORMATS = ("table", "json", "markdown", "junit", "github")
_SUFFIXES = {".json": "json", ".md": "markdown", ".xml": "junit", ".txt": "table"}
_DAYS = 30
_DAYS_CHECKED = 1
THRESHOLD = 1.15
"""Times may grow by this factor unless another is asked for."""


def complete_baselines(context: click.Context, _: click.Parameter, typed: str) -> list[CompletionItem]:
    """The names of baselines that begin with what was typed."""
    from click.shell_completion import CompletionItem

    from claude_force.database.queries import baselines as baseline_queries

    try:
        with find_workspace(context.params.get("location")).database.read() as connection:
            found = baseline_queries.names(connection)
    except ClaudeForceError:
        return []
    return [CompletionItem(name) for name in found if name.startswith(typed) and PLAIN_NAME.fullmatch(name)]


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
output_option = click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write to a file."
)
name_argument = click.argument("name", metavar="NAME", shell_complete=complete_baselines)
agent_option = click.option("--agent", metavar="NAME", help="The one of this agent.")
model_option = click.option("--model", metavar="NAME", help="The one of this model.")


@click.group()
def baseline() -> None:
    """Keep what executions were like, to see when they get worse.

    \b
    Example:
      claude-force baseline check --days 1
    """


@baseline.command()
@click.argument("name", required=False, metavar="[NAME]")
@filter_options
def create(request: Request, name: str | None) -> None:
    """Keep the figures of a period.

    They are of the last 30 days and of all executions, unless something else is asked for.

    NAME is the date of today unless one is given. What a name stands for never changes: delete it first.

    \b
    Example:
      claude-force baseline create release-2.1 --days 14 --agent python-expert
    """
    from claude_force.analytics.baselines import create
    from claude_force.analytics.baselines.snapshots import MINIMUM_SAMPLES, subject
    from claude_force.formatting import quantity

    made = create(request.workspace.database, name, _within(request, _DAYS).chosen, request.now_us, request.zone)
    first, last = (clock.to_datetime(at, request.zone).date() for at in (made.start_us, made.end_us))
    of = "" if subject(made) == "all executions" else f" of {for_terminal(subject(made))}"
    click.echo(f"baseline {made.name}: {quantity(made.executions, 'execution')}{of}, {first} to {last}")
    if made.executions < MINIMUM_SAMPLES:
        click.echo(f"too few to compare with: a check needs {MINIMUM_SAMPLES}", err=True)


def _within(request: Request, days: int) -> Request:
    """The request, of the last so many days where it asks for no period."""
    if request.chosen.window != ALL_TIME:
        return request
    return replace(request, chosen=replace(request.chosen, window=windows.last_window(request.now_us, days=days)))


@baseline.command("list")
@click.option("--all", "with_automatic", is_flag=True, help="Show each automatic one, too.")
@json_option
@timezone_option
@database_option
def list_(with_automatic: bool, as_json: bool, zone_name: str | None, location: str | None) -> None:
    """Show which baselines there are, the newest first. Automatic ones are counted, with --all shown.

    \b
    Example:
      claude-force baseline list --all
    """
    from claude_force.database.queries import baselines as baseline_queries

    zone = clock.zone_of(zone_name)
    with find_workspace(location).database.read() as connection:
        heads = baseline_queries.heads(connection)
    shown = [head for head in heads if with_automatic or not head.is_automatic]
    folded = [head for head in heads if not with_automatic and head.is_automatic]
    if as_json:
        from claude_force.analytics.baselines.snapshots import head_dict

        found = {"baselines": [head_dict(head, zone) for head in shown], "automatic_not_shown": len(folded)}
        click.echo(json.dumps(found, indent=2))
    elif not heads:
        click.echo("No baselines yet. Make one:\n  claude-force baseline create")
    else:
        from claude_force.reports.layouts.baselines import list_page
        from claude_force.reports.render import write_page

        write_page(list_page(shown, folded, zone), sys.stdout)


@baseline.command()
@name_argument
@agent_option
@model_option
@json_option
@output_option
@timezone_option
@database_option
def show(
    name: str,
    agent: str | None,
    model: str | None,
    as_json: bool,
    output: Path | None,
    zone_name: str | None,
    location: str | None,
) -> None:
    """Show the figures of a baseline. With --json it is a file that `check` and other stores can read.

    \b
    Example:
      claude-force baseline show 2026-11-24 --json --output baseline.json
    """
    from claude_force.output import open_output, write_json

    workspace, zone = find_workspace(location), clock.zone_of(zone_name)
    refuse_database(output, workspace)
    with workspace.database.read() as connection:
        found = _one_of(_chosen_from(connection, name, agent, model))
    with open_output(output) as file:
        if as_json or form_of(output, _SUFFIXES) == "json":
            from claude_force.analytics.baselines.snapshots import head_dict

            write_json({**found.snapshot, **head_dict(found, zone)}, file)
        else:
            from claude_force.reports.layouts.baselines import baseline_page
            from claude_force.reports.render import write_markdown, write_page

            write = write_markdown if form_of(output, _SUFFIXES) == "markdown" else write_page
            write(baseline_page(found, zone), file)
    if output:
        click.echo(f"written to {output}", err=True)


@baseline.command()
@name_argument
@agent_option
@model_option
@click.option("--dry-run", is_flag=True, help="Show what would be deleted; delete nothing.")
@database_option
def delete(name: str, agent: str | None, model: str | None, dry_run: bool, location: str | None) -> None:
    """Delete a baseline; the executions stay.

    It is everything of this name, unless an agent or a model is given.

    \b
    Example:
      claude-force baseline delete release-2.1 --dry-run
    """
    from claude_force.analytics.baselines.snapshots import subject
    from claude_force.database.writes import baselines as baseline_writes
    from claude_force.formatting import quantity

    database = find_workspace(location).database
    with database.read() as connection:
        found = _chosen_from(connection, name, agent, model)
    what = f"the snapshot of {for_terminal(subject(found[0]))}" if len(found) == 1 else quantity(len(found), "snapshot")
    if not dry_run:
        with database.write() as connection:
            baseline_writes.remove(connection, [(one.name, one.agent_name, one.model) for one in found])
    click.echo(f"baseline {for_terminal(name)}: {what} {'would be deleted' if dry_run else 'deleted'}")


@baseline.command()
@click.option(
    "--baseline", "wanted", metavar="NAME|FILE", shell_complete=complete_baselines,
    help="Compare with this one: a name, or a file (it ends with .json, or has a /). Default: the newest.",
)  # fmt: skip
@click.option(
    "--threshold", type=float, default=THRESHOLD, show_default=True, metavar="FACTOR",
    help="Times may grow by this factor.",
)  # fmt: skip
@filter_options
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: by the name of --output, else table.")
@click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
@output_option
def check(
    request: Request, wanted: str | None, threshold: float, form: str | None, as_json: bool, output: Path | None
) -> None:
    """Compare a period with a baseline; exit 1 if it is worse.

    The period is the last day unless another is given.

    Worse is: the average time or the P95 over the baseline's by more than the threshold, the success rate below 95% of
    it, the cost per execution over 1.5 times it; and in each case more than chance. With fewer than 30 executions on
    either side there is no verdict, and the exit code is 0.

    The newest baseline is one that ended before the period begins; one that a person made goes before automatic ones.

    \b
    Example:
      claude-force baseline check --baseline baseline.json --days 7 --format github
    """
    from claude_force.analytics.baselines import check
    from claude_force.analytics.baselines.check import REGRESSED

    refuse_two_formats(form, as_json)
    if not (math.isfinite(threshold) and 1 <= threshold <= 1000):
        raise click.UsageError(f"--threshold {threshold:g}: give a factor from 1 to 1000, such as {THRESHOLD}")
    chosen_form = "json" if as_json else form or form_of(output, _SUFFIXES)
    refuse_database(output, request.workspace)
    asked = _within(request, _DAYS_CHECKED)
    found = check(asked.workspace.database, asked.chosen, wanted, threshold, asked.now_us, asked.zone)
    _write(found, asked, chosen_form, output)
    if found.verdict == REGRESSED:
        sys.exit(1)


def _write(found: Check, request: Request, form: str, output: Path | None) -> None:
    from claude_force.output import open_output, write_json

    with open_output(output) as file:
        if form == "json":
            write_json(found.to_dict() | {"filters": found.filters, "timezone": str(request.zone)}, file)
        else:
            from claude_force.reports.layouts.baselines import write_check

            write_check(found, form, file)
    if output:
        click.echo(f"written to {output}", err=True)


def _chosen_from(connection: Connection, name: str, agent: str | None, model: str | None) -> list[Baseline]:
    """The baselines of a name, of this agent and model where these are given."""
    from claude_force.analytics.baselines.snapshots import find_named, subject

    found = find_named(connection, name)
    chosen = [one for one in found if agent in (None, one.agent_name) and model in (None, one.model)]
    if not chosen:
        there = "; ".join(subject(one) for one in found[:5])
        raise BaselineError(for_terminal(f"no baseline {name} of just this; it is of: {there}"))
    return chosen


def _one_of(found: list[Baseline]) -> Baseline:
    """That of all executions where there are several."""
    plain = [one for one in found if not (one.agent_name or one.model)]
    if len(found) > 1 and not plain:
        from claude_force.analytics.baselines.snapshots import subject

        there = "; ".join(subject(one) for one in found[:5])
        raise BaselineError(for_terminal(f"{found[0].name} is of: {there}; give --agent or --model"))
    return (plain or found)[0]
