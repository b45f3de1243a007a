"""`claude-force completion`: the completion script of a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    It completes commands, options, and the names in your store.

    \b
    Example:
      claude-force completion bash >> ~/.bashrc
    """
    from claude_force.cli.root import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "claude-force", "_CLAUDE_FORCE_COMPLETE").source())
