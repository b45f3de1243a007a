"""`claude-force scheduler`: start and stop the scheduler, see its status, and run single jobs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from claude_force import clock
from claude_force.cli.chosen_database import database_option, group_database_option
from claude_force.cli.chosen_workspace import find_workspace
from claude_force.cli.lazy import CommandGroup
from claude_force.cli.options import json_option
from claude_force.cli.say import say
from claude_force.database.workspace import Workspace, workspace_at

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_force.database.rows.jobs import JobRun


def _complete_jobs(_: click.Context, __: click.Parameter, typed: str) -> list[str]:
    from claude_force.scheduler.jobs import JOBS

    return [name for name in JOBS if name.startswith(typed)]


def _finder(workspace: Workspace, location: str | None) -> Callable[[], Workspace]:
    """Returns a function that gives the workspace with its current settings, but always this database."""
    return lambda: workspace_at(workspace.home, location)[0]._replace(
        location=workspace.location, database=workspace.database
    )


@click.group(cls=CommandGroup)
@group_database_option
def scheduler() -> None:
    """Run ingestion, alert checks, archives and backups.

    \b
    Example:
      claude-force scheduler start --detach
    """


@scheduler.command()
@click.option(
    "--foreground",
    "is_detached",
    flag_value=False,
    default=False,
    help="Stay in the terminal, log to stderr (default).",
)
@click.option("--detach", "is_detached", flag_value=True, type=bool, help="Run without the terminal, log to a file.")
@click.option("--log-file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Log to this file.")
@database_option
def start(is_detached: bool, log_file: Path | None, location: str | None) -> None:
    """Start the scheduler. There is one for each database.

    SIGTERM or Ctrl-C stops it when the running jobs are done, within 10 seconds. A job that was due while no scheduler
    ran runs once at the start. With --detach, the log is scheduler.log beside the database.

    \b
    Example:
      claude-force scheduler start --detach
    """
    workspace = find_workspace(location, may_be_missing=True)
    if is_detached:
        _start_detached(workspace, log_file, location)
        return
    from claude_force.scheduler.service import serve

    _log_to(log_file)
    serve(workspace, _finder(workspace, location))


def _start_detached(workspace: Workspace, log_file: Path | None, location: str | None) -> None:
    from claude_force.scheduler.process import LOG_NAME, start_detached

    log_file = log_file or workspace.data_folder / LOG_NAME
    named = ["--db", location] if location else []
    found = start_detached(workspace.database, [*named, "--log-file", str(log_file.absolute())], log_file)
    say(f"The scheduler runs, pid {found.pid}; its log is {log_file}")
    say("For its status: claude-force scheduler status")


def _log_to(log_file: Path | None) -> None:
    """Log to stderr, or to a file that is rotated."""
    import logging
    from logging.handlers import RotatingFileHandler

    from claude_force.errors import OutputError
    from claude_force.files import open_append

    handler: logging.Handler = logging.StreamHandler()
    if log_file is not None:
        try:
            # Creates the file with private permissions; the handler would not.
            open(open_append(log_file), "ab").close()
            handler = RotatingFileHandler(log_file, maxBytes=2_000_000, backupCount=3, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{log_file}: {error.strerror}") from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("claude_force").addHandler(handler)
    logging.getLogger("claude_force").setLevel(logging.INFO)
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)


@scheduler.command()
@database_option
def stop(location: str | None) -> None:
    """Stop the scheduler of the database, and wait until it has ended.

    \b
    Example:
      claude-force scheduler stop
    """
    from claude_force.scheduler.process import stop as stop_scheduler

    workspace = find_workspace(location, may_be_missing=True)
    found = stop_scheduler(workspace.database)
    say(f"No scheduler runs for {workspace.database.name}" if found is None else f"Stopped, pid {found.pid}")


@scheduler.command()
@json_option
@database_option
def status(as_json: bool, location: str | None) -> None:
    """Show whether the scheduler runs, and the status of each job.

    For each job: its last run, the outcome, and the next run. Exit 1 if the scheduler does not run.

    \b
    Example:
      claude-force scheduler status
    """
    from claude_force.cli.scheduler_status import status_page
    from claude_force.reports.render import write_page
    from claude_force.scheduler.status import scheduler_report

    workspace = find_workspace(location)
    found = scheduler_report(workspace, clock.now_us())
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        write_page(status_page(found), sys.stdout)
    if not found.is_running:
        sys.exit(1)


@scheduler.command()
@click.argument("name", metavar="JOB", shell_complete=_complete_jobs)
@json_option
@database_option
def run(name: str, as_json: bool, location: str | None) -> None:
    """Run a job once, now. Exit 1 if it failed.

    Works with and without a running scheduler.

    \b
    Example:
      claude-force scheduler run maintenance
    """
    from claude_force.scheduler.jobs import JOBS
    from claude_force.scheduler.runs import run_job

    workspace = find_workspace(location)
    if name not in JOBS:
        raise click.UsageError(f"there is no job {name}; there are: {', '.join(JOBS)}")
    done = run_job(JOBS[name], workspace.database, _finder(workspace, location), clock.now_us)
    _print_run(done, as_json=as_json)
    if done.outcome != "ok":
        sys.exit(1)


def _print_run(done: JobRun, *, as_json: bool) -> None:
    counts: dict[str, Any] = json.loads(done.counts)
    if as_json:
        click.echo(json.dumps({"job": done.job, "outcome": done.outcome, **counts, "problem": done.problem}, indent=2))
        return
    counted = ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in counts.items())
    say(f"{done.job}: {done.outcome}" + (f" ({counted})" if counted else ""))
    if done.problem:
        say(done.problem, err=True)


@scheduler.command()
@json_option
@database_option
def jobs(as_json: bool, location: str | None) -> None:
    """List the jobs, how often each runs, and what it does.

    performance.schedule in claude.json changes the intervals.

    \b
    Example:
      claude-force scheduler jobs
    """
    from claude_force.reports.columns import Column
    from claude_force.reports.render import Page, Table, write_page
    from claude_force.scheduler.jobs import JOBS
    from claude_force.scheduler.schedule import intervals

    every = intervals(find_workspace(location))
    rows = [
        {"job": job.name, "every": "off" if (span := every[job.name]) is None else clock.span_name(span),
         "does": job.purpose}
        for job in JOBS.values()
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    columns = [Column("Job", "name"), Column("Every", "text"), Column("Does", "text")]
    write_page(Page("Jobs", [Table(columns, [list(row.values()) for row in rows])]), sys.stdout)


@scheduler.command()
@click.option("--write", is_flag=True, help="Write the file, and print the command that enables it.")
@database_option
def install(write: bool, location: str | None) -> None:
    """Print a unit file that starts the scheduler at login.

    It is a systemd user unit, or a launchd agent on macOS.

    \b
    Example:
      claude-force scheduler install
    """
    from claude_force.scheduler.unit_files import unit_file_for, write_unit_file

    unit = unit_file_for(find_workspace(location), location, sys.platform)
    if not write:
        click.echo(unit.text, nl=False)
        say(f"# for {unit.path}; --write writes it there", err=True)
        return
    write_unit_file(unit)
    say(f"written: {unit.path}")
    say(f"to start it now and at each login: {unit.command}")
