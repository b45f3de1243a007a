"""`claude-force baseline`: keep the numbers of a period, and check whether a later period is worse."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from claude_force import clock, time_windows
from claude_force.cli.chosen_database import database_option, group_database_option
from claude_force.cli.chosen_workspace import find_workspace, timezone_option
from claude_force.cli.confirm import confirm
from claude_force.cli.filters import complete_from
from claude_force.cli.freshness import warn_of_unread
from claude_force.cli.lazy import CommandGroup
from claude_force.cli.options import (
    choose_format,
    filter_options,
    format_option,
    json_format_option,
    json_option,
    output_option,
    refuse_database,
)
from claude_force.cli.say import say
from claude_force.database import queries
from claude_force.database.queries import baselines as baseline_queries
from claude_force.errors import BaselineError
from claude_force.reports.layouts.base import Request
from claude_force.text import for_terminal
from claude_force.time_windows import ALL_TIME

if TYPE_CHECKING:
    from claude_force.analytics.baselines import Check
    from claude_force.database.rows.baselines import Baseline

_SUFFIXES = {".json": "json", ".md": "markdown", ".xml": "junit", ".txt": "table"}
_WITH_FOOT = ("table", "markdown")
"""The formats that are read by people, so that they end with how old they are."""

_DAYS = 30
_DAYS_CHECKED = 1
THRESHOLD = 1.15
"""The default of --threshold."""

complete_baselines = complete_from(baseline_queries.names)
complete_labels = complete_from(lambda connection: queries.names(connection, "run_label"))
name_argument = click.argument("name", metavar="NAME", shell_complete=complete_baselines)
agent_option = click.option("--agent", metavar="NAME", help="Only the snapshot of this agent.")
model_option = click.option("--model", metavar="NAME", help="Only the snapshot of this model.")


@click.group(cls=CommandGroup)
@group_database_option
def baseline() -> None:
    """Save the numbers of a period, and detect regressions.

    \b
    Example:
      claude-force baseline check --days 1
    """


@baseline.command()
@click.argument("name", required=False, metavar="[NAME]")
@filter_options
def create(request: Request, name: str | None) -> None:
    """Save the numbers of a period as a baseline.

    Default: all executions of the last 30 days. The default NAME is the date of today. A baseline never changes; to
    reuse its name, delete it first.

    \b
    Example:
      claude-force baseline create release-2.1 --days 14 --agent python-expert
    """
    from claude_force.analytics.baselines import create
    from claude_force.analytics.baselines.snapshots import MINIMUM_SAMPLES, subject
    from claude_force.formatting import quantity

    made = create(
        request.workspace.database, name, _default_period(request, _DAYS).chosen, request.now_us, request.zone
    )
    first, last = made.days(request.zone)
    only = "" if subject(made) == "all executions" else f" of {for_terminal(subject(made))}"
    say(f"baseline {made.name}: {quantity(made.executions, 'execution')}{only}, {first} to {last}")
    warn_of_unread(request.freshness)
    if made.executions < MINIMUM_SAMPLES:
        say(f"warning: too few for a check, which needs at least {MINIMUM_SAMPLES}", err=True)


def _default_period(request: Request, days: int) -> Request:
    """The request. Without a period it gets the last `days` days."""
    if request.chosen.window != ALL_TIME:
        return request
    return request._replace(chosen=replace(request.chosen, window=time_windows.last_window(request.now_us, days=days)))


@baseline.command("list")
@click.option("--all", "with_automatic", is_flag=True, help="Also list the automatic ones.")
@json_option
@timezone_option
@database_option
def list_(with_automatic: bool, as_json: bool, zone_name: str | None, location: str | None) -> None:
    """List the baselines, the newest first.

    Automatic baselines, which the scheduler makes, are only counted.

    \b
    Example:
      claude-force baseline list --all
    """
    zone = clock.zone_of(zone_name)
    with find_workspace(location).database.read() as connection:
        heads = baseline_queries.heads(connection)
    listed = [head for head in heads if with_automatic or not head.is_automatic]
    hidden = [head for head in heads if not with_automatic and head.is_automatic]
    if as_json:
        from claude_force.analytics.baselines.snapshots import head_dict

        found = {"baselines": [head_dict(head, zone) for head in listed], "automatic_not_shown": len(hidden)}
        click.echo(json.dumps(found, indent=2))
    elif not heads:
        say("No baselines yet. Create one:")
        say("  claude-force baseline create")
    else:
        from claude_force.reports.layouts.baselines import list_page
        from claude_force.reports.render import write_page

        write_page(list_page(listed, hidden, zone), sys.stdout)


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
    """Show the numbers of a baseline.

    With --json the output is a file that `baseline check` can read, on another machine too.

    \b
    Example:
      claude-force baseline show 2026-11-24 --json --output baseline.json
    """
    from claude_force.analytics.baselines.snapshots import find_snapshot, head_dict
    from claude_force.output import open_output, write_json

    workspace, zone = find_workspace(location), clock.zone_of(zone_name)
    refuse_database(output, workspace)
    with workspace.database.read() as connection:
        found = find_snapshot(connection, name, agent, model)
    chosen_format = choose_format(None, output, _SUFFIXES, as_json=as_json)
    with open_output(output) as file:
        if chosen_format == "json":
            write_json({**found.snapshot, **head_dict(found, zone)}, file)
        else:
            from claude_force.reports.layouts.baselines import write_baseline

            write_baseline(found, chosen_format, zone, file)
    if output:
        say(f"written to {output}", err=True)


@baseline.command()
@name_argument
@agent_option
@model_option
@click.option("--dry-run", is_flag=True, help="Show what would be deleted; delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
def delete(name: str, agent: str | None, model: str | None, dry_run: bool, yes: bool, location: str | None) -> None:
    """Delete a baseline. Executions are not deleted.

    Asks first; without a terminal it needs --yes. Without --agent and --model, all snapshots of this name are deleted.

    \b
    Example:
      claude-force baseline delete release-2.1 --dry-run
    """
    from claude_force.analytics.baselines.snapshots import find_snapshots, subject
    from claude_force.database.writes import baselines as baseline_writes
    from claude_force.formatting import quantity

    database = find_workspace(location).database
    with database.read() as connection:
        found = find_snapshots(connection, name, agent, model)
    what = f"the snapshot of {for_terminal(subject(found[0]))}" if len(found) == 1 else quantity(len(found), "snapshot")
    if not dry_run:
        confirm(f"{_describe(found)} would be deleted", f"Delete {name}?", yes=yes)
        with database.write() as connection:
            baseline_writes.remove(connection, [(one.name, one.agent_name, one.model) for one in found])
    say(f"baseline {name}: {what} {'would be deleted' if dry_run else 'deleted'}")


def _describe(found: Sequence[Baseline]) -> str:
    """How many snapshots, of how many executions, of which period, and how large."""
    from claude_force.formatting import quantity, size

    firsts, lasts = zip(*(one.days(clock.local_zone()) for one in found), strict=True)
    stored = size(sum(len(json.dumps(one.snapshot)) for one in found))
    executions = quantity(max(one.executions for one in found), "execution")
    return f"{quantity(len(found), 'snapshot')} of up to {executions}, {min(firsts)} to {max(lasts)}, {stored},"


@baseline.command()
@click.option(
    "--baseline", "wanted", metavar="NAME|FILE", shell_complete=complete_baselines,
    help="A name or a .json file. Default: the newest.",
)  # fmt: skip
@click.option(
    "--threshold", type=float, default=THRESHOLD, show_default=True, metavar="FACTOR",
    help="Times may grow up to this factor.",
)  # fmt: skip
@click.option(
    "--against", metavar="LABEL", shell_complete=complete_labels,
    help="Compare with this label instead of a baseline.",
)  # fmt: skip
@click.option("--allow-empty", is_flag=True, help="Pass if the period has no executions.")
@filter_options
@format_option("table", "json", "markdown", "junit", "github")
@json_format_option
@output_option
def check(
    request: Request,
    wanted: str | None,
    against: str | None,
    threshold: float,
    allow_empty: bool,
    form: str | None,
    as_json: bool,
    output: Path | None,
) -> None:
    """Compare a period with a baseline; exit 1 if it is worse.

    The default period is the last day. It is worse if one of these differs by more than chance:

    \b
      average time, P95 time    above the baseline times --threshold
      success rate              below 95% of the baseline
      cost per execution        above 1.5 times the baseline

    With fewer than 30 executions on either side there is no verdict, and the exit code is 0. Without any execution in
    the period nothing was checked, and the exit code is 2.

    The default baseline is the newest that ended before the period starts; yours come before automatic ones.

    --label with --against compares two labels, by default of all time: also tokens per execution (limit: 1.3 times
    the other label's), cost per run (1.5 times) and the success rate of runs (95%).

    \b
    Example:
      claude-force baseline check --baseline baseline.json --format github
      claude-force baseline check --label new-prompt --against old-prompt
    """
    from claude_force.analytics.baselines.rules import REGRESSED

    chosen_format = choose_format(form, output, _SUFFIXES, as_json=as_json)
    if not (math.isfinite(threshold) and 1 <= threshold <= 1000):
        raise click.UsageError(f"--threshold {threshold:g}: give a factor from 1 to 1000, such as {THRESHOLD}")
    refuse_database(output, request.workspace)
    found = _found(request, wanted, against, threshold)
    if not allow_empty:
        _refuse_empty(found)
    _write(found, request, chosen_format, output)
    if found.verdict == REGRESSED:
        sys.exit(1)


def _found(request: Request, wanted: str | None, against: str | None, threshold: float) -> Check:
    """The check of the last day, or of the period; or two labels compared."""
    from claude_force.analytics.baselines import check, check_labels

    database = request.workspace.database
    if against is None:
        request = _default_period(request, _DAYS_CHECKED)
        return check(database, request.chosen, wanted, threshold, request.now_us, request.zone)
    if wanted is not None:
        raise click.UsageError("--against and --baseline cannot be combined")
    if not request.chosen.run_labels:
        raise click.UsageError("--against needs the label that is compared: --label")
    return check_labels(database, request.chosen, against, threshold)


def _refuse_empty(found: Check) -> None:
    """Raise BaselineError if there is nothing to compare."""
    missing = [side.label for side in found.labels or () if not side.executions]
    if missing or not found.executions:
        of_label = f" with the label {missing[0]}" if missing else ""
        remedy = "bring archived ones back with claude-force archive restore"
        raise BaselineError(
            f"no executions{of_label} in the period ({found.period}), so nothing was checked; "
            f"{remedy if found.archived else 'read what is new with claude-force ingest'}, or give --allow-empty"
        )


def _write(found: Check, request: Request, form: str, output: Path | None) -> None:
    from claude_force.output import open_output, write_json
    from claude_force.reports.freshness import freshness_dict, write_foot

    with open_output(output) as file:
        if form == "json":
            data = freshness_dict(request.freshness, request.zone)
            write_json(found.to_dict() | {"filters": found.filters, "timezone": str(request.zone), "data": data}, file)
        else:
            from claude_force.reports.layouts.baselines import write_check

            write_check(found, form, file)
            if form in _WITH_FOOT:
                write_foot(request.freshness, file)
    if form not in (*_WITH_FOOT, "json"):
        warn_of_unread(request.freshness)
    if output:
        say(f"written to {output}", err=True)
