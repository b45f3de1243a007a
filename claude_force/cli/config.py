"""`claude-force config`: settings in claude.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import click

from claude_force.cli.lazy import CommandGroup
from claude_force.cli.options import json_option
from claude_force.cli.say import say
from claude_force.cli.setting_changes import save_changes, say_ended
from claude_force.errors import ClaudeForceError, SettingRefused, SettingsError
from claude_force.network.redaction import HIDDEN
from claude_force.settings import claude_json as settings
from claude_force.settings.claude_json import KEYS, REMOVED, Settings, load_settings
from claude_force.settings.home import SECTION, find_home
from claude_force.settings.key_path import KeyPath, parse_path, path_text, value_at, with_value
from claude_force.settings.location import explained_location, without_password
from claude_force.settings.values import REFERENCE
from claude_force.text import for_terminal

CHANNELS, EXPORTERS = f"{SECTION}.channels", f"{SECTION}.exporters"
ALERTS: KeyPath = (SECTION, "alerts")
ENABLED = "enabled"
SECRET_ENDS = ("_key", "_token")
"""What the names of settings that are secrets end with."""


def _complete(_: click.Context, __: click.Parameter, typed: str) -> list[str]:
    try:
        section = settings.read_file(find_home().settings_file).get(SECTION, {})
    except ClaudeForceError:
        section = {}
    inner = (path_text((SECTION, *path)) for path in _paths(section))
    return [key for key in dict.fromkeys([*KEYS, *inner]) if key.startswith(typed)]


def _paths(content: object) -> Iterator[KeyPath]:
    """The path of every value in an object, those inside of objects too."""
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield (name,)
            yield from ((name, *path) for path in _paths(value))


key_argument = click.argument("key", shell_complete=_complete)


@click.group(cls=CommandGroup)
def config() -> None:
    """Read and change settings in claude.json.

    A KEY may lead into an object, as in the second example. A name with a dot in it stands in double quotes:
    'performance.prices."gpt-4.1".input'.

    \b
    Example:
      claude-force config get performance.tracking_enabled
      claude-force config get performance.alerts.success-rate.threshold
    """


@config.command("get")
@key_argument
def get(key: str) -> None:
    """Print a setting, or its default.

    \b
    Example:
      claude-force config get performance.tracking_enabled
    """
    path = _known_path(key)
    found, _ = load_settings(find_home())
    value = _printable(_top(path), _value(found, _top(path)))
    try:
        value = value_at(value, path[2:])
    except LookupError:
        value = _default_inside(path)
    click.echo(for_terminal(_shown(value)))


def _known_path(key: str) -> KeyPath:
    """The path of a key of ours. Raises SettingRefused."""
    path = parse_path(key)
    if _top(path) not in KEYS:
        raise SettingRefused(settings.unknown_key(key))
    return path


def _top(path: KeyPath) -> str:
    return ".".join(path[:2])


def _default_inside(path: KeyPath) -> Any:
    """What holds for a part of a rule that claude.json does not name: a default rule is off, with the fields that it
    has. Raises SettingRefused for everything else."""
    from claude_force.alerts.rules import DEFAULTS

    if path[:2] == ALERTS and path[2] in DEFAULTS:
        if len(path) == 3:
            return False
        try:
            return value_at(DEFAULTS[path[2]], path[3:])
        except LookupError:
            pass
    raise SettingRefused(f"{path_text(path)} is not set")


# A value may be a negative number.
@config.command("set", context_settings={"ignore_unknown_options": True})
@key_argument
@click.argument("value")
def set_(key: str, value: str) -> None:
    """Change a setting. The rest of the file is not changed.

    A wrong value, and a secret in the value itself, are refused; for a secret use a variable or a file instead. An
    object is JSON, and so is a value inside of one, where a text needs no quotes.

    \b
    Example:
      claude-force config set performance.alerts.success-rate.threshold 98
    """
    home = find_home()
    path = _known_path(key)
    parsed = settings.parse_value(path, value)
    ended = save_changes(home, _change(path, parsed, settings.read_file(home.settings_file)))
    printable = _printable(_top(path), with_value({}, path[2:], parsed) if path[2:] else parsed)
    say(f"{key} = {_shown(value_at(printable, path[2:]))}  ({home.settings_file})")
    if _top(path) in (f"{SECTION}.reference_model", settings.PRICES):
        say("stored executions keep their costs; to update them: claude-force db reprice", err=True)
    say_ended(ended)


def _change(path: KeyPath, value: Any, content: Mapping[str, Any]) -> dict[KeyPath, Any]:
    """The change that sets a value. A new field does not switch on a rule that is `false`."""
    rule = path[:3]
    if path[:2] == ALERTS and path != rule:
        try:
            is_off = value_at(content, rule) is False
        except LookupError:
            is_off = False
        if is_off:
            return {rule: with_value({ENABLED: False}, path[3:], value)}
    return {path: value}


@config.command()
@key_argument
def unset(key: str) -> None:
    """Restore the default. Removes unknown keys, too.

    \b
    Example:
      claude-force config unset performance.database
    """
    home = find_home()
    content = settings.read_file(home.settings_file)
    path = _path_to_unset(key, content.get(SECTION, {}))
    try:
        value_at(content, path)
    except LookupError:
        if len(path) > 2:
            raise SettingRefused(f"{key} is not set") from None
        ended = []
    else:
        ended = save_changes(home, {path: REMOVED})
    say(f"{key} is back to its default" if key in KEYS else f"{key} is removed")
    say_ended(ended)


def _path_to_unset(key: str, section: Mapping[str, Any]) -> KeyPath:
    """The path of a key of ours, or of an unknown key in our section. Raises SettingRefused."""
    name = key.removeprefix(f"{SECTION}.")
    if name != key and name in section and key not in KEYS:
        return (SECTION, name)
    path = parse_path(key)
    is_known = _top(path) in KEYS or (path[0] == SECTION and len(path) > 1 and path[1] in section)
    if not is_known:
        raise SettingRefused(settings.unknown_key(key))
    return path


@config.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Print all settings.

    "(default)" marks those that are not in the file, "(not set)" those that have no default either.

    \b
    Example:
      claude-force config list
    """
    home = find_home()
    found, problems = load_settings(home)
    values = {key: _printable(key, _value(found, key)) for key in KEYS}
    if as_json:
        click.echo(json.dumps(values, indent=2))
    else:
        section = settings.read_file(home.settings_file).get(SECTION, {})
        for key, value in values.items():
            origin = "" if key.removeprefix(f"{SECTION}.") in section else "  (default)"
            say(f"{key} = {_shown(value)}{origin}" if value is not None else f"{key}  (not set)")
    for problem in problems:
        say(f"warning: {problem}", err=True)


@config.command()
def edit() -> None:
    """Edit claude.json with $VISUAL or $EDITOR.

    The editor gets a copy. What it saves replaces claude.json if it is right; if it is wrong you may edit it again, and
    claude.json stays as it was.

    \b
    Example:
      claude-force config edit
    """
    from claude_force.cli.config_edit import edit_settings

    edit_settings(find_home())


@config.command()
@json_option
def path(as_json: bool) -> None:
    """Print which claude.json and which store are used here, and why.

    \b
    Example:
      claude-force config path
    """
    home = find_home()
    found, _ = load_settings(home)
    try:
        store, reason = explained_location(found, home)
    except SettingsError as error:
        store, reason = found.database or "", str(error)
    parts = {"settings": str(home.settings_file), "store": without_password(store), "reason": reason}
    if as_json:
        click.echo(json.dumps(parts, indent=2))
        return
    missing = "" if home.settings_file.exists() else "  (not there; the defaults apply)"
    say(f"Settings: {parts['settings']}{missing}")
    say(f"Store:    {parts['store']}")
    say(f"Reason:   {reason}")


def _value(found: Settings, key: str) -> Any:
    if key == settings.PRICES:
        return {model: _without_none(asdict(price)) for model, price in found.prices.items()}
    return getattr(found, key.removeprefix(f"{SECTION}."))


def _printable(key: str, value: Any) -> Any:
    """A value without the secrets of channels and exporters, and without the password of a URL."""
    if isinstance(value, str):
        is_secret = key.endswith(SECRET_ENDS) and not REFERENCE.fullmatch(value)
        return HIDDEN if is_secret else without_password(value)
    if key not in (CHANNELS, EXPORTERS) or not isinstance(value, dict) or not value:
        return value
    if key == CHANNELS:
        from claude_force.alerts.channels.settings import shown
    else:
        from claude_force.exporters.settings import shown
    return shown(value)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _shown(value: Any) -> str:
    """A value as `config set` takes it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
