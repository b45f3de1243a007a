"""Groups that import a command only when it is called. The help of a group loads no database and no report."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

CHOSEN_DATABASE = "claude_force.database"
"""The key of `Context.meta` for the values of `--db`, wherever on the line they stand."""


class CommandGroup(click.Group):
    """A group of commands that suggests the nearest command of the whole program after a typing error."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does. Refuse `--db` before a command that uses no database."""
        command = self.get_command(ctx, args[0])
        if ctx.resilient_parsing or args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        if command is None:
            from claude_force.cli.suggestions import suggest_command

            raise click.UsageError(f"No such command {args[0]!r}.{suggest_command(ctx, args[0])}", ctx)
        takes_database = isinstance(command, click.Group) or any("--db" in param.opts for param in command.params)
        if ctx.meta.get(CHOSEN_DATABASE) and not takes_database:
            raise click.UsageError(f"{ctx.command_path} {args[0]} takes no --db", ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(CommandGroup):
    """A group whose commands are imported when they are called. `commands_of` has the "module:attribute" of each, by
    its name.

    `sections` has the headings of the help page, each with its commands and the first line of their help. Without it
    there is one list. A command in no section is completed and documented, and is not on the help page.
    """

    def __init__(
        self,
        *arguments: Any,
        commands_of: Mapping[str, str],
        sections: Mapping[str, Mapping[str, str]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._commands_of = commands_of
        self._sections = sections or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names: those of the help page in its order, then the others."""
        return list(dict.fromkeys([name for names in self._sections.values() for name in names] + [*self._commands_of]))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        if name not in self._commands_of:
            return None
        module, attribute = self._commands_of[name].split(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings, with one column for all names."""
        sections = self._sections or {"Commands": self._first_lines(ctx, formatter.width)}
        width = max(len(name) for lines in sections.values() for name in lines)
        for heading, lines in sections.items():
            rows = [(name.ljust(width), line) for name, line in lines.items()]
            with formatter.section(heading):
                formatter.write_dl(rows)

    def _first_lines(self, ctx: click.Context, limit: int) -> dict[str, str]:
        """The first line of the help of each command. Imports all of them."""
        commands = ((name, self.get_command(ctx, name)) for name in self._commands_of)
        return {name: command.get_short_help_str(limit) for name, command in commands if command}
