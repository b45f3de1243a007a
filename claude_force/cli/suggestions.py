"""What leads on from a command, option or argument that does not exist: what the word means here, or the nearest name
in the whole tree."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

import click

from claude_force.cli import other_words

_LEAST_LIKENESS = 0.6
"""Of commands of the same group, as `difflib.get_close_matches` has it."""

_LEAST_LIKENESS_ELSEWHERE = 0.75
"""Of commands of other groups. There are many: a short word is half like one of them by chance."""

_LEAST_LIKENESS_OF_OPTIONS = 0.75
"""More, because all begin with two dashes."""

_MOST_SHOWN = 4

Path = tuple[str, ...]


def suggest_command(context: click.Context, typed: str) -> str:
    """The question that follows the error: " Did you mean 'summary'?"; "" if nothing is near.

    What a common word means here (`today`, `budget`) is nearest; then a command of this name anywhere; then the most
    alike name of the same group; then that of any group. A command of the same group is named by itself, any other with
    the whole line.
    """
    if meant := other_words.command_line(context.command_path, typed):
        return f" {meant}"
    paths = _known(context)
    found = [path for path in paths if path[-1].lstrip("-") == typed.lower()] or _nearest(paths, context, typed)
    names = [f"'{path[-1] if _is_here(path, context) else ' '.join(path)}'" for path in found[:_MOST_SHOWN]]
    return f" Did you mean {_alternatives(names)}?" if names else ""


def suggest_option(context: click.Context, typed: str) -> str:
    """What follows the error: what a common name (`--csv`) is called here, that it belongs behind a command, or the
    most alike option of this one; "" if there is none of them."""
    if meant := other_words.option(context.command, typed):
        return f" {meant}"
    own = [name for parameter in context.command.get_params(context) for name in parameter.opts]
    below = _walk(context.command, (), context)
    if any(typed in parameter.opts for _, command in below for parameter in command.params):
        return " It stands behind the command."
    near = max(own, key=lambda name: _likeness(typed, name), default="")
    return f" Did you mean '{near}'?" if _likeness(typed, near) >= _LEAST_LIKENESS_OF_OPTIONS else ""


def suggest_argument(context: click.Context, typed: str) -> str:
    """What follows the error: the option that such an argument belongs to, or ""."""
    meant = other_words.argument(context.command, typed)
    return f" {meant}" if meant else ""


def _alternatives(names: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _likeness(typed: str, name: str) -> float:
    return SequenceMatcher(None, typed.lower(), name).ratio()


def _nearest(paths: list[Path], context: click.Context, typed: str) -> list[Path]:
    here = [path for path in paths if _is_here(path, context)]
    for among, least in ((here, _LEAST_LIKENESS), (paths, _LEAST_LIKENESS_ELSEWHERE)):
        best = max(among, key=lambda path: _likeness(typed, path[-1]), default=None)
        if best and _likeness(typed, best[-1]) >= least:
            return [best]
    return []


def _is_here(path: Path, context: click.Context) -> bool:
    return path[:-1] == tuple(context.command_path.split())


def _known(context: click.Context) -> list[Path]:
    """The path of every command, and of the flags of the program. A command with several paths has one: that of the
    group where it was looked for, else the shortest."""
    root = context.find_root()
    paths: dict[int, Path] = {}
    for path, command in _walk(root.command, (str(root.info_name),), root):
        known = paths.get(id(command))
        if known is None or (not _is_here(known, context) and (_is_here(path, context) or len(path) < len(known))):
            paths[id(command)] = path
    flags = [option for option in root.command.get_params(root) if isinstance(option, click.Option) and option.is_flag]
    return [*paths.values(), *((str(root.info_name), name) for flag in flags for name in flag.opts)]


def _walk(group: click.Command, path: Path, context: click.Context) -> Iterator[tuple[Path, click.Command]]:
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command and not command.hidden:
            yield (*path, name), command
            yield from _walk(command, (*path, name), context)
