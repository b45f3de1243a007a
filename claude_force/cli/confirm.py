"""The one way to ask before something is deleted, moved or replaced."""

from __future__ import annotations

import sys

import click

from claude_force.cli.say import say


def confirm(what: str, question: str, *, yes: bool) -> None:
    """Return if the user agrees: by --yes, or by an answer on the terminal. `what` says what will be taken away: how
    many, of which period, how large. Exits with 1 after a no, and with 2 where nobody can be asked."""
    if yes:
        return
    if not has_terminal():
        look = ", or --dry-run to look" if _has_dry_run() else ""
        raise click.UsageError(f"nothing was changed: {what}, and there is no terminal to ask on; give --yes{look}")
    say(what[:1].upper() + what[1:], err=True)
    if not click.confirm(question, err=True):
        say("nothing was changed", err=True)
        sys.exit(1)


def _has_dry_run() -> bool:
    return any("--dry-run" in option.opts for option in click.get_current_context().command.params)


def has_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin is not None and sys.stdin.isatty()
