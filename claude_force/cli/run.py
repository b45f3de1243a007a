"""`claude-force run`: run `claude -p`, or another program, and record the run."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from claude_force import clock
from claude_force.cli.chosen_database import database_option
from claude_force.cli.lazy import LazyGroup
from claude_force.cli.say import say
from claude_force.errors import ClaudeForceError
from claude_force.settings.telemetry_variables import LABEL_VARIABLE

if TYPE_CHECKING:
    from claude_force.database.workspace import Workspace
    from claude_force.headless.record import Ended
    from claude_force.headless.run import Listener


class RunCommand(LazyGroup):
    """A command that runs a program. `claude-force run show` is a command of its own; a program of that name stands
    behind `--`."""

    parse_args = click.Command.parse_args
    invoke = click.Command.invoke
    collect_usage_pieces = click.Command.collect_usage_pieces

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of the program to run, or that of a command such as `show`."""
        command = self.get_command(click.Context(self), args[0]) if args else None
        if command is None:
            return super().make_context(info_name, args, parent, **extra)
        return command.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)


def _checked_label(context: click.Context, parameter: click.Parameter, label: str | None) -> str | None:
    """A label that is valid. One of the environment that is not stops nobody: the run has none, and a line says so."""
    from claude_force.errors import InvalidRecord
    from claude_force.executions.run_labels import check_label

    try:
        return check_label(label) if label is not None else None
    except InvalidRecord as error:
        if context.get_parameter_source(parameter.name or "") is not ParameterSource.ENVIRONMENT:
            raise click.UsageError(f"--{error}") from None
        _say([f"the run has no label: {LABEL_VARIABLE}: {error.reason}"])
        return None


@click.group(
    cls=RunCommand,
    commands_of={"show": "claude_force.cli.run_show:show"},
    context_settings={"allow_interspersed_args": False},
    invoke_without_command=True,
)
@click.option("--agent", metavar="NAME", help="The name of the agent that runs.")
@click.option("--project", metavar="NAME", help="The project that the run belongs to.")
@click.option(
    "--label", envvar=LABEL_VARIABLE, metavar="NAME", callback=_checked_label,
    help="Mark the run, to compare it. Default: CLAUDE_FORCE_LABEL.",
)  # fmt: skip
@click.option("--quiet", is_flag=True, help="Print nothing unless something is wrong.")
@database_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True, metavar="-- COMMAND...")
def run(
    agent: str | None,
    project: str | None,
    label: str | None,
    quiet: bool,
    location: str | None,
    command: tuple[str, ...],
) -> None:
    """Run claude -p or an SDK program, and record what it did.

    The input, the output and the exit code are those of COMMAND, and signals are sent on to it. Its telemetry comes to
    a receiver on a free port of 127.0.0.1, and its transcript is read when it has ended. Programs in Python keep each
    call that they make with the Anthropic SDK. Then up to three lines on standard error say what it cost and what
    telemetry missed. A problem of claude-force never stops COMMAND or changes its output.

    `run show ID` shows a run that was recorded, and what it started.

    \b
    Example:
      claude-force run --agent nightly -- claude -p "Fix the build"
      claude-force run --label new-prompt -- python app.py
    """
    from claude_force.headless import child
    from claude_force.headless import run as headless

    workspace, problem = _workspace(location)
    elsewhere = _elsewhere()
    heard_by = workspace if elsewhere is None else None
    try:
        with headless.run(
            headless.Wanted(command, _folder(), agent, project, label),
            heard_by,
            _environment(workspace),
            _receive,
            clock.now_us,
        ) as done:
            code = done.ended.exit_code
            _say([*_lines(workspace, done.ended, elsewhere, quiet=quiet), *_problems(problem, done.problem)])
    except OSError as error:
        _say([f"{shlex.quote(command[0])} cannot be started: {error.strerror}"])
        code = child.NOT_FOUND if isinstance(error, FileNotFoundError) else child.NOT_EXECUTABLE
    sys.exit(code)


def _folder() -> str:
    """The working folder; "" if it was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return ""


def _environment(workspace: Workspace | None) -> Mapping[str, str]:
    """The variables of the command, with those by which programs in Python keep their calls of the Anthropic SDK."""
    if workspace is None or not workspace.settings.tracking_enabled:
        return os.environ
    from claude_force.anthropic_sdk.recording import with_recording
    from claude_force.ingest.spool_files import telemetry_folders

    return with_recording(os.environ, telemetry_folders(workspace.location, workspace.home.metrics_folder)[0])


def _receive(listener: Listener) -> AbstractContextManager[str]:
    # Imported here, so that a problem of the receiver is one of the run's telemetry only.
    from claude_force.headless.receiving import receive

    return receive(listener)


def _workspace(location: str | None) -> tuple[Workspace | None, str | None]:
    """The workspace; without one, why there is none."""
    from claude_force.cli.chosen_workspace import find_workspace

    try:
        return find_workspace(location, may_be_missing=True), None
    except ClaudeForceError as error:
        return None, str(error)


def _elsewhere() -> str | None:
    """The endpoint to which the user has telemetry sent already; it stays."""
    from claude_force.settings.agent_settings import agent_settings_file, read_variables
    from claude_force.settings.telemetry_variables import other_endpoint

    try:
        # Claude Code puts these before the variables of its process.
        set_by_file = read_variables(agent_settings_file(os.environ))
    except ClaudeForceError:
        set_by_file = {}
    return other_endpoint(set_by_file) or other_endpoint(os.environ)


def _lines(workspace: Workspace | None, ended: Ended, elsewhere: str | None, *, quiet: bool) -> list[str]:
    """What is said of a run: what it cost and what telemetry missed, or why it could not be recorded."""
    from claude_force.headless.record import record_run
    from claude_force.reports.headless import cost_line, telemetry_line

    if workspace is None:
        return []
    try:
        recorded = record_run(workspace, ended, clock.now_us())
    except KeyboardInterrupt:
        return ["interrupted: this run is not recorded; what it cost is read by the next report"]
    except Exception as error:  # what the program did stands, whatever happens here
        return [f"this run is not recorded: {str(error) or type(error).__name__}"]
    problems = recorded.problems[:1]
    if quiet:
        return [*problems]
    telemetry = f"its telemetry goes to {elsewhere}" if elsewhere else telemetry_line(recorded)
    return [cost_line(recorded), *([telemetry] if telemetry else []), *problems]


def _problems(settings: str | None, receiver: str | None) -> list[str]:
    """What went wrong before the program started, a line each."""
    found = [f"this run is not recorded: {settings}"] if settings else []
    return [*found, f"no telemetry was received: {receiver}"] if receiver else found


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        say(f"claude-force: {' '.join(line.split())}", err=True)
