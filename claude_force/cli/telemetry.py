"""`claude-force telemetry`: point Claude Code at the receiver, see what came, and take it back."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from claude_force import clock
from claude_force.cli.chosen_database import database_option, group_database_option
from claude_force.cli.confirm import confirm
from claude_force.cli.lazy import CommandGroup
from claude_force.cli.options import json_option
from claude_force.cli.say import say
from claude_force.errors import SettingRefused

if TYPE_CHECKING:
    from claude_force.settings.home import Home
    from claude_force.settings.telemetry_setup import Change, Memory

_PORT = ("performance", "otlp_port")
_EXTRA = "claude-force[otel]"


@click.group(cls=CommandGroup)
@group_database_option
def telemetry() -> None:
    """Point Claude Code at the receiver, and see what came.

    \b
    Example:
      claude-force telemetry setup
    """


@telemetry.command()
@click.option("--port", type=click.IntRange(1, 65_535), metavar="N", help="The port of the receiver.  [default: 4319]")
@click.option("--endpoint", metavar="URL", help="Send to a receiver on another machine.")
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Send the token in this file; settings.json then holds it.",
)
@click.option("--replace", is_flag=True, help="Replace another endpoint, which then gets nothing any more.")
@click.option("--dry-run", is_flag=True, help="Show the changes; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def setup(
    port: int | None, endpoint: str | None, token_file: Path | None, replace: bool, dry_run: bool, yes: bool
) -> None:
    """Point Claude Code at the receiver.

    Shows the changes first, and asks: variables in the env block of the user's settings.json (in ~/.claude, or where
    CLAUDE_CONFIG_DIR says), and performance.otlp_port in claude.json, so that the scheduler receives. Everything else
    in both files stays. Then one test record shows whether it arrives.

    \b
    Example:
      claude-force telemetry setup
      claude-force telemetry setup --endpoint https://metrics.example.com:4319 \\
          --token-file token
    """
    from claude_force.settings import telemetry_setup as changing
    from claude_force.settings.agent_settings import agent_settings_file, read_variables
    from claude_force.settings.home import user_home
    from claude_force.settings.telemetry_variables import telemetry_variables

    if endpoint and port:
        raise click.UsageError("--port is for this machine; it is a part of --endpoint")
    home = user_home()
    address = _checked(endpoint) if endpoint else f"http://127.0.0.1:{port or _configured_port(home)}"
    if not endpoint:
        _refuse_stranger(int(address.rpartition(":")[2]))
    token = _token(home, token_file, is_local=endpoint is None)
    protocol = _protocol(is_local=endpoint is None)
    file = agent_settings_file(os.environ)
    known = read_variables(file)
    if not replace:
        _refuse_other(known, address, file, changing.remembered(home.metrics_folder / changing.MEMORY_FILE))
    changes = changing.changes_for(known, telemetry_variables(address, protocol, token))
    new_port = None if endpoint else _port_change(home, address)
    if not changes and new_port is None:
        say(f"{file}: nothing to change")
    else:
        _show(file, changes, home, new_port)
        if dry_run:
            return
        confirm("the settings above will be changed", "Change them?", yes=yes)
        _apply(home, file, changes, new_port)
    _prove(address, token, is_local=endpoint is None)


def _checked(endpoint: str) -> str:
    """An endpoint as it is written. Raises SettingRefused if it is none."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(endpoint)
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_right = False
    if not is_right or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        raise SettingRefused(f"{endpoint} is no address; it begins with https:// or http://")
    return endpoint.rstrip("/")


def _refuse_stranger(port: int) -> None:
    """Raise SettingRefused if somebody else listens on a port of this machine, who would get what Claude Code sends."""
    from claude_force.receiver.probe import stranger_at

    stranger = stranger_at(port)
    if stranger is not None:
        raise SettingRefused(
            f"port {port} is taken by {stranger}; choose one that is free: claude-force telemetry setup --port N"
        )


def _configured_port(home: Home) -> int:
    from claude_force.settings.claude_json import load_settings
    from claude_force.settings.telemetry_variables import DEFAULT_PORT

    return load_settings(home)[0].otlp_port or DEFAULT_PORT


def _token(home: Home, file: Path | None, *, is_local: bool) -> str | None:
    """The token that the receiver wants: that of a file, or of our settings if it is the one of this machine."""
    from claude_force.receiver.settings import token_in, token_of
    from claude_force.settings.claude_json import load_settings

    if file is not None:
        return token_in(file.absolute()).reveal()
    found = token_of(load_settings(home)[0], os.environ, home.folder) if is_local else None
    return found.reveal() if found else None


def _protocol(*, is_local: bool) -> str:
    """The protocol that the receiver certainly understands."""
    from claude_force.settings.telemetry_variables import JSON, PROTOBUF

    if not is_local:
        return JSON
    if find_spec("google") is None or find_spec("opentelemetry") is None or find_spec("opentelemetry.proto") is None:
        say(f"{JSON}, because protobuf is not installed; for {PROTOBUF}: pip install '{_EXTRA}'", err=True)
        return JSON
    return PROTOBUF


def _refuse_other(known: dict[str, str], address: str, file: Path, earlier: Memory | None) -> None:
    """Raise SettingRefused if telemetry goes somewhere else already; not if an earlier setup said so."""
    from claude_force.settings.telemetry_variables import other_endpoint

    other = other_endpoint(known, address)
    is_ours = earlier is not None and any(change.after == other for change in earlier.changes)
    if other is not None and not is_ours:
        raise SettingRefused(
            f"{file} sends telemetry to {other} already; to send it here instead: claude-force telemetry setup "
            "--replace; to have it in both, let that collector send it on"
        )


def _port_change(home: Home, address: str) -> tuple[int, int] | None:
    """The port in claude.json before and after; None if it stays."""
    from claude_force.settings.claude_json import load_settings

    before, after = load_settings(home)[0].otlp_port, int(address.rpartition(":")[2])
    return None if before == after else (before, after)


def _show(file: Path, changes: list[Change], home: Home, port: tuple[int, int] | None) -> None:
    from claude_force.settings.telemetry_setup import shown

    if changes:
        say(f"{file}, env:")
        for line in shown(changes):
            say(f"  {line}")
    if port is not None:
        was = f"  (was {port[0]})" if port[0] else ""
        say(f"{home.settings_file}:")
        say(f"  + performance.otlp_port={port[1]}{was}" if port[1] else f"  - performance.otlp_port={port[0]}")


def _apply(home: Home, file: Path, changes: list[Change], port: tuple[int, int] | None) -> None:
    """Make the changes. They are remembered first, so that those of a setup that is killed can be taken back."""
    from claude_force.cli.setting_changes import save_changes
    from claude_force.settings import telemetry_setup as changing

    changing.remember(home.metrics_folder / changing.MEMORY_FILE, changing.Memory(file, tuple(changes), port))
    changing.apply(file, changes)
    if port is not None:
        save_changes(home, {_PORT: port[1]})


def _prove(address: str, token: str | None, *, is_local: bool) -> None:
    """Send a record, and say whether it arrived, or what is missing."""
    from claude_force.receiver.probe import send_test

    problem = send_test(address, token, clock.now_us())
    if problem is None:
        say(f"A test record arrived at {address}. Sessions of Claude Code that begin now are received.")
        return
    say(f"Nothing receives at {address} yet: {problem}")
    if is_local:
        say("Start it: claude-force scheduler start --detach")
        say("(a scheduler that runs already must be stopped first: claude-force scheduler stop)")
        say("or, in a terminal: claude-force receive")


@telemetry.command()
@click.option("--dry-run", is_flag=True, help="Show the changes; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(dry_run: bool, yes: bool) -> None:
    """Take back what setup has changed.

    A variable that was there before gets its value back. One that was changed since then stays, which is said.

    \b
    Example:
      claude-force telemetry remove
    """
    from claude_force.settings import telemetry_setup as changing
    from claude_force.settings.agent_settings import read_variables
    from claude_force.settings.claude_json import load_settings
    from claude_force.settings.home import user_home

    home = user_home()
    path = home.metrics_folder / changing.MEMORY_FILE
    memory = changing.remembered(path)
    if memory is None:
        say("telemetry setup has changed nothing here")
        return
    changes, kept = changing.removal(memory, read_variables(memory.file))
    port = (memory.port[1], memory.port[0]) if memory.port else None
    if port is not None and load_settings(home)[0].otlp_port != port[0]:
        port = None
    _show(memory.file, changes, home, port)
    for name in kept:
        say(f"{name} was changed since then, and stays")
    if dry_run:
        return
    if changes or port:
        confirm("the settings above will be changed", "Change them?", yes=yes)
        _take_back(home, memory.file, changes, port)
    path.unlink(missing_ok=True)
    say("Claude Code sends no telemetry here any more. What came is kept.")


def _take_back(home: Home, file: Path, changes: list[Change], port: tuple[int, int] | None) -> None:
    from claude_force.cli.setting_changes import save_changes
    from claude_force.settings.claude_json import REMOVED
    from claude_force.settings.telemetry_setup import apply

    apply(file, changes)
    if port is not None:
        save_changes(home, {_PORT: port[1] or REMOVED})


@telemetry.command()
@json_option
@database_option
def status(as_json: bool, location: str | None) -> None:
    """Show whether telemetry is sent and received, and what came.

    For each kind of record: when the last one came, from which program and version, how many there were, and why they
    were not used.

    \b
    Example:
      claude-force telemetry status
    """
    from claude_force.cli.telemetry_status import show_status

    show_status(location, as_json=as_json)
