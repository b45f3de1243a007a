"""`claude-force config`: settings in claude.json."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from claude_force.errors import SettingsError
from claude_force.settings import claude_json as settings
from claude_force.settings.claude_json import KEYS, SECTION, Settings, Value, load_settings
from claude_force.settings.home import Home, find_home
from claude_force.settings.location import without_password
from claude_force.text import for_terminal

if TYPE_CHECKING:
    from claude_force.settings.fields import Problems

CHANNELS, EXPORTERS = f"{SECTION}.channels", f"{SECTION}.exporters"
ALERTS, SCHEDULE = f"{SECTION}.alerts", f"{SECTION}.schedule"


def _complete(_: click.Context, __: click.Parameter, typed: str) -> list[str]:
    return [key for key in KEYS if key.startswith(typed)]


key_argument = click.argument("key", shell_complete=_complete)


@click.group()
def config() -> None:
    """Read and change settings in claude.json.

    \b
    Example:
      claude-force config get performance.tracking_enabled
    """


@config.command("get")
@key_argument
def get(key: str) -> None:
    """Print a setting, or its default.

    \b
    Example:
      claude-force config get performance.tracking_enabled
    """
    if key not in KEYS:
        raise SettingsError(settings.unknown_key(key))
    found, _ = load_settings(find_home())
    click.echo(_shown(_printable(key, _value(found, key))))


@config.command("set")
@key_argument
@click.argument("value")
def set_(key: str, value: str) -> None:
    """Change a setting. The rest of the file is not changed.

    A secret in channels or exporters is refused; use a variable or a file instead. All other problems in channels,
    exporters, alerts or the schedule are warnings.

    \b
    Example:
      claude-force config set performance.detailed_logging true
    """
    home = find_home()
    parsed = settings.parse_value(key, value)
    problems = _problems_of(key, parsed, home)
    if problems and problems.secrets:
        raise SettingsError("; ".join(problems.secrets))
    settings.change_file(home.settings_file, key, parsed)
    click.echo(f"{key} = {_shown(_printable(key, parsed))}  ({home.settings_file})")
    if key in (f"{SECTION}.reference_model", settings.PRICES):
        click.echo("stored executions keep their costs; to update them: claude-force db reprice", err=True)
    for problem in problems.others if problems else ():
        click.echo(f"warning: {for_terminal(problem)}", err=True)


def _problems_of(key: str, value: Value, home: Home) -> Problems | None:
    """The problems inside a value of channels, exporters, alerts or the schedule; None for any other key."""
    if key not in (CHANNELS, EXPORTERS, ALERTS, SCHEDULE):
        return None
    assert isinstance(value, dict)
    from claude_force.settings.fields import Problems

    if key == CHANNELS:
        from claude_force.alerts.channels import settings as channel_settings

        return channel_settings.problems_of(value, os.environ, home.folder)
    if key == EXPORTERS:
        from claude_force.exporters import settings as exporter_settings

        return exporter_settings.problems_of(value, os.environ, home.folder)
    if key == ALERTS:
        from claude_force.alerts.rules import load_rules

        return Problems([], list(load_rules(value)[1].values()))
    from claude_force.scheduler.schedule import problems_of

    return Problems([], problems_of(value))


@config.command()
@key_argument
def unset(key: str) -> None:
    """Restore the default. Removes unknown keys, too.

    \b
    Example:
      claude-force config unset performance.database
    """
    home = find_home()
    section = settings.read_file(home.settings_file).get(SECTION, {})
    present = isinstance(section, dict) and key.removeprefix(f"{SECTION}.") in section
    if key not in KEYS and not (present and key.startswith(f"{SECTION}.")):
        raise SettingsError(settings.unknown_key(key))
    if present:
        settings.change_file(home.settings_file, key, None)
    click.echo(f"{key} is back to its default" if key in KEYS else f"{key} is removed")


@config.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """Print all settings.

    "(default)" marks those that are not in the file.

    \b
    Example:
      claude-force config list
    """
    home = find_home()
    found, problems = load_settings(home)
    values = {key: _printable(key, _value(found, key)) for key in KEYS}
    if as_json:
        shown = {key: _shown(value) if isinstance(value, str) else value for key, value in values.items()}
        click.echo(json.dumps(shown, indent=2))
    else:
        section = settings.read_file(home.settings_file).get(SECTION, {})
        for key, value in values.items():
            origin = "" if key.removeprefix(f"{SECTION}.") in section else "  (default)"
            click.echo(f"{key} = {_shown(value)}{origin}" if value is not None else f"{key}{origin}")
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)


@config.command()
def path() -> None:
    """Print the path of claude.json.

    \b
    Example:
      claude-force config path
    """
    click.echo(find_home().settings_file)


def _value(found: Settings, key: str) -> Value | None:
    if key == settings.PRICES:
        return {model: _without_none(asdict(price)) for model, price in found.prices.items()}
    value = getattr(found, key.removeprefix(f"{SECTION}."))
    assert value is None or isinstance(value, (bool, int, str, dict))
    return value


def _printable(key: str, value: Value | None) -> Value | None:
    """A value without the secrets of channels and exporters."""
    if key not in (CHANNELS, EXPORTERS) or not isinstance(value, dict) or not value:
        return value
    if key == CHANNELS:
        from claude_force.alerts.channels.settings import shown
    else:
        from claude_force.exporters.settings import shown
    return shown(value)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _shown(value: Value | None) -> str:
    """A value as `config set` takes it, without the password of a URL."""
    if value is None:
        return ""
    if isinstance(value, (bool, int)):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, dict) else without_password(value)
