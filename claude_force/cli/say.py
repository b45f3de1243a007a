"""What commands say in lines of text, beside the output that was asked for."""

from __future__ import annotations

import sys

import click

from claude_force.cli.asked import asked
from claude_force.output import fitted
from claude_force.text import for_terminal


def say(line: str, *, err: bool = False) -> None:
    """Write a line, safe for a terminal, and there with breaks between words (see `output.fitted`). A page that asks
    gets it as it is."""
    if page := asked():
        page.lines.append(line)
        return
    click.echo(fitted(for_terminal(line), sys.stderr if err else sys.stdout), err=err)
