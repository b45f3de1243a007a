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
from claude_force.cli.lazy import LazyGroup
from claude_force.errors import ClaudeForceError, OutputError
from claude_force.text import for_terminal

# A command allocates much and frees little. Looking for cycles at the usual rate takes two milliseconds of it.
gc.set_threshold(50_000)

DEBUG_VARIABLE = "CLAUDE_FORCE_DEBUG"

COMMANDS = {
    "analytics": "claude_force.cli.analytics:analytics",
    "dashboard": "claude_force.cli.dashboard:dashboard",
    "report": "claude_force.cli.report:report",
    "statusline": "claude_force.cli.statusline:statusline",
    "ingest": "claude_force.cli.ingest:ingest",
    "import": "claude_force.cli.import_:import_command",
    "archive": "claude_force.cli.archive:archive",
    "db": "claude_force.cli.db:db",
    "baseline": "claude_force.cli.baseline:baseline",
    "alerts": "claude_force.cli.alerts:alerts",
    "push": "claude_force.cli.push:push",
    "scheduler": "claude_force.cli.scheduler:scheduler",
    "config": "claude_force.cli.config:config",
    "doctor": "claude_force.cli.doctor:doctor",
    "completion": "claude_force.cli.completion:completion",
}
SECTIONS = {
    "Reports": ("analytics", "dashboard", "report", "statusline"),
    "Data": ("ingest", "import", "archive", "db"),
    "Monitoring": ("baseline", "alerts", "push", "scheduler"),
    "Setup": ("config", "doctor", "completion"),
}


@click.group(
    cls=LazyGroup,
    commands_of=COMMANDS,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="claude-force")
def cli() -> None:
    """Store and report what Claude agents did: time, success, tokens, cost.

    \b
    Example:
      claude-force ingest                      # read Claude Code's transcripts
      claude-force analytics summary --days 7  # see the last week
      claude-force COMMAND --help              # read about a command
    """


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
        click.echo(message, err=True)
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
            message = for_terminal(" ".join(error.format_message().split()))
            return f"error: {message} (see {command} --help)", error.exit_code
        case click.Abort() | KeyboardInterrupt():
            return "interrupted", 130
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


def _discard_output() -> None:
    """Keep Python from failing again when it flushes the output at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
