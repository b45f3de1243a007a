"""Groups whose commands are imported when they are called: the help of a group loads none of them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group of commands, named as "module:attribute", in the order of `commands_of`."""

    def __init__(self, *arguments: Any, commands_of: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._commands_of = commands_of

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, which suggests for a typing error only the commands that it has imported."""
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], self._commands_of, 1)
            raise click.UsageError(
                f"No such command {args[0]!r}." + (f" Did you mean {near[0]!r}?" if near else ""), ctx
            )
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._commands_of)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self._commands_of:
            return None
        module, attribute = self._commands_of[name].split(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command
