"""Groups that import a command only when it is called. The help of a group loads no database and no report."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group of commands. `commands_of` has the "module:attribute" of each, by its name.

    `sections` has the headings of the help page, each with its commands. Without it there is one list.
    """

    def __init__(
        self,
        *arguments: Any,
        commands_of: Mapping[str, str],
        sections: Mapping[str, tuple[str, ...]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._commands_of = commands_of
        self._sections = sections or {"Commands": tuple(commands_of)}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does. Suggest a command after a typing error, although none is imported yet."""
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], self._commands_of, 1)
            raise click.UsageError(
                f"No such command {args[0]!r}." + (f" Did you mean {near[0]!r}?" if near else ""), ctx
            )
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the help page."""
        return [name for names in self._sections.values() for name in names]

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
        width = max(map(len, self._commands_of))
        limit = formatter.width - width - 6
        for heading, names in self._sections.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name.ljust(width), command.get_short_help_str(limit)) for name, command in commands if command]
            with formatter.section(heading):
                formatter.write_dl(rows)
