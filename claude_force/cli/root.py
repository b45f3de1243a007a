"""The root of the command tree. It turns every error into one line and an exit code.

Commands are imported when they are called: `claude-force --help` loads no database and no report.
"""

from __future__ import annotations

import gc
import os
import sys
from io import TextIOWrapper

import click

from claude_force import __version__
from claude_force.cli.analytics import REPORTS
from claude_force.cli.chosen_database import group_database_option
from claude_force.cli.lazy import CHOSEN_DATABASE, LazyGroup
from claude_force.errors import ClaudeForceError, OutputError
from claude_force.text import for_terminal

# A command allocates much and frees little. Looking for cycles at the usual rate takes two milliseconds of it.
gc.set_threshold(50_000)

_EXTRA_ARGUMENT = r"Got unexpected extra argument \((.*)\)"
"""The message of click, which has the argument nowhere else."""

DEBUG_VARIABLE = "CLAUDE_FORCE_DEBUG"

COMMANDS = {
    **REPORTS,
    "analytics": "claude_force.cli.analytics:analytics",
    "dashboard": "claude_force.cli.dashboard:dashboard",
    "report": "claude_force.cli.report:report",
    "serve": "claude_force.cli.serve:serve",
    "statusline": "claude_force.cli.statusline:statusline",
    "run": "claude_force.cli.run:run",
    "ingest": "claude_force.cli.ingest:ingest",
    "import": "claude_force.cli.import_:import_command",
    "archive": "claude_force.cli.archive:archive",
    "db": "claude_force.cli.db:db",
    "baseline": "claude_force.cli.baseline:baseline",
    "alerts": "claude_force.cli.alerts:alerts",
    "push": "claude_force.cli.push:push",
    "scheduler": "claude_force.cli.scheduler:scheduler",
    "receive": "claude_force.cli.receive:receive",
    "telemetry": "claude_force.cli.telemetry:telemetry",
    "mcp": "claude_force.cli.mcp.command:mcp",
    "config": "claude_force.cli.config:config",
    "doctor": "claude_force.cli.doctor:doctor",
    "completion": "claude_force.cli.completion:completion",
}
SECTIONS = {
    "Reports": {
        "summary": "Show the most important numbers on one page.",
        "daily": "Show tokens of every kind and costs by day and model.",
        "sessions": "Show the last sessions: when, project, duration, cost.",
        "blocks": "Show the five-hour windows of Claude subscriptions.",
        "costs": "Show costs by agent, by model and over time, or by team.",
        "analytics": "List all reports: runs, outcomes, what-if, budgets and more.",
        "dashboard": "Watch the agents live in the terminal.",
        "report": "Write an HTML page with totals, charts and tables.",
        "serve": "Show a live page in the browser, until Ctrl-C.",
        "statusline": "Print one line for the status line of Claude Code.",
    },
    "Data": {
        "run": "Run claude -p or an SDK program, and record what it did.",
        "ingest": "Read what is new in every source.",
        "import": "Import executions from JSONL files.",
        "archive": "Move old executions to compressed files, one for each month.",
        "db": "Ask, upgrade, check, merge, back up and restore the database.",
    },
    "Monitoring": {
        "baseline": "Save the numbers of a period, and detect regressions.",
        "alerts": "Watch rates, times and costs, and notify people.",
        "push": "Push to a monitoring system, or to a team.",
        "scheduler": "Run ingestion, alert checks, archives and backups.",
        "receive": "Receive telemetry (OTLP over HTTP), until Ctrl-C.",
    },
    "Setup": {
        "telemetry": "Point Claude Code at the receiver, and see what came.",
        "mcp": "Let Claude ask for its own metrics (an MCP server).",
        "config": "Read and change settings in claude.json.",
        "doctor": "Find problems and show how to solve them.",
        "completion": "Print the completion script of a shell.",
    },
}
"""The help page of the program: the usual reports (`analytics --help` has all) and everything else, each with the first
line of its help, so that the page imports no command. A test compares them."""


@click.group(
    cls=LazyGroup,
    commands_of=COMMANDS,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.version_option(__version__, "-V", "--version", prog_name="claude-force")
@group_database_option
@click.option("-j", "--json", "as_json", is_flag=True, help="Without a command: print JSON.")
@click.option("--no-ingest", is_flag=True, help="Without a command: do not read what is new before.")
@click.pass_context
def cli(context: click.Context, as_json: bool, no_ingest: bool) -> None:
    """Store and report what Claude agents did: time, success, tokens, cost.

    Without a command it shows today, this month, your plan, what needs care.

    \b
    Example:
      claude-force                   # the first answer
      claude-force daily --last 7d   # tokens and costs by day and model
      claude-force COMMAND --help    # read about a command
    """
    if context.invoked_subcommand is None:
        # Imported here: no help and no other command needs it.
        from claude_force.cli.overview import show_overview

        show_overview(next(iter(context.meta[CHOSEN_DATABASE]), None), as_json=as_json, no_ingest=no_ingest)
    elif as_json or no_ingest:
        option = "--json" if as_json else "--no-ingest"
        raise click.UsageError(
            f"{option} belongs behind the command: claude-force {context.invoked_subcommand} {option}"
        )


def main() -> None:
    """Run the program and exit with 0 (done), 1 (failed) or 2 (wrong usage)."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its escape instead of a traceback.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(_run())
    except BrokenPipeError:
        # The reader closed the pipe (`| head`).
        _discard_output()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(error.exit_code)
    except (Exception, KeyboardInterrupt) as error:
        message, code = _describe(error)
        # Imported here: nothing but an error needs it.
        from claude_force.output import fitted

        click.echo(fitted(message, sys.stderr), err=True)
        if isinstance(error, OSError):
            _discard_output()
        sys.exit(code)


def _run() -> int:
    if sys.stdout is None:
        raise OutputError("the standard output is closed")
    code = cli.main(prog_name="claude-force", standalone_mode=False)
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _describe(error: BaseException) -> tuple[str, int]:
    """An error as one line, and its exit code."""
    match error:
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "claude-force"
            message = for_terminal(" ".join(message_of(error).split()))
            return f"error: {message} (see {command} --help)", error.exit_code
        case click.Abort() | KeyboardInterrupt():
            # click makes an Abort of Ctrl-C; what was kept is told by the interrupt itself.
            return str(error.__cause__ or error) or "interrupted", 130
        case ClaudeForceError():
            return f"error: {for_terminal(str(error))}", error.exit_code
        case UnicodeEncodeError():
            return f"error: {error.object[:60]!a} is not valid text (UTF-8)", 2
        case OSError():
            # Usually our own output; other files have errors of their own.
            return f"error: {error.filename or 'the output'}: {error.strerror}", 1
    if os.environ.get(DEBUG_VARIABLE):
        raise error
    text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return f"error: unexpected: {text} (set {DEBUG_VARIABLE}=1 for a traceback, and report it)", 1


def message_of(error: click.UsageError) -> str:
    """The message of click, with what leads on."""
    import re

    from claude_force.cli import suggestions

    message = error.format_message()
    if not error.ctx:
        return message
    if type(error) is click.BadParameter and isinstance(error.param, click.Argument):
        # Where it stands says which one it is; click would spell "Invalid value for '[FILE]...'".
        return error.message
    if isinstance(error, click.NoSuchOption):
        return f"No such option {error.option_name!r}.{suggestions.suggest_option(error.ctx, error.option_name)}"
    if extra := re.fullmatch(_EXTRA_ARGUMENT, message):
        return f"{message}.{suggestions.suggest_argument(error.ctx, extra[1])}"
    return message


def _discard_output() -> None:
    """Keep Python from failing again when it flushes the output at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
