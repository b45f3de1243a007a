"""The root of the command tree, and the one place where an error becomes a line and an exit code.

Commands are imported when they are called: `claude-force --help` loads no database and no report.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from claude_force import __version__
from claude_force.errors import ClaudeForceError
from claude_force.escape import for_terminal

DEBUG_VARIABLE = "CLAUDE_FORCE_DEBUG"

COMMANDS = {
    "analytics": "claude_force.cli.analytics:analytics",
    "import": "claude_force.cli.importing:import_command",
    "db": "claude_force.cli.db:db",
    "config": "claude_force.cli.config:config",
    "completion": "claude_force.cli.completion:completion",
}


class LazyGroup(click.Group):
    """A group whose commands are imported on demand, in the order of COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute = COMMANDS[name].split(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="claude-force")
def cli() -> None:
    """Metrics of Claude agents: who ran, how long, on which model, how many tokens, what it cost, did it succeed.

    \b
    Example:
      claude-force analytics summary --days 7
    """


def _forget_output() -> None:
    """Python would complain once more when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Run the program and exit: 0 done, 1 failed, 2 wrong usage."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows its escape, not a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(prog_name="claude-force", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "claude-force"
        click.echo(f"error: {for_terminal(error.format_message())} (see {command} --help)", err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = 130
    except BrokenPipeError:
        # The reader has seen enough (`| head`).
        _forget_output()
        code = 0
    except OSError as error:
        # Of our own output: whatever else can fail has been given its own words.
        click.echo(f"error: {error.filename or 'the output'}: {error.strerror}", err=True)
        _forget_output()
        code = 1
    except ClaudeForceError as error:
        click.echo(f"error: {for_terminal(str(error))}", err=True)
        code = error.exit_code
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        click.echo(f"error: unexpected: {text} (set {DEBUG_VARIABLE}=1 for the details, and report it)", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
