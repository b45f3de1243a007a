"""What is wrong in the `performance` section of claude.json, each problem at the path of what has it.

A part that is checked on its own (a rule, a channel, a price) has its problems at its own path, so that a faulty one
does not forbid a change of another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from claude_force import clock
from claude_force.alerts.budget_rules import configured_rules
from claude_force.alerts.channels import settings as channel_settings
from claude_force.alerts.check import FROM_ENVIRONMENT
from claude_force.alerts.rules import check_rule, problem_of, settings_of
from claude_force.analytics.anthropic_reports import key_problems
from claude_force.database.postgres.server_url import connection_options
from claude_force.errors import ClaudeForceError, DatabaseError, SettingsError
from claude_force.exporters import settings as exporter_settings
from claude_force.receiver.settings import token_problems
from claude_force.scheduler.schedule import problems_of as schedule_problems
from claude_force.settings.budgets import load_budgets
from claude_force.settings.claude_json import KEYS, Settings, checked_value, metrics_file, unknown_key
from claude_force.settings.database_url import REMEDY, database_problems, holds_password
from claude_force.settings.home import SECTION, Home, expand
from claude_force.settings.key_path import KeyPath, path_text
from claude_force.settings.values import REFERENCE, nearest, value_problem

ALERTS: KeyPath = (SECTION, "alerts")
_SECRETS = ("otlp_token", "otlp_token_file", "admin_api_key", "admin_api_key_file", "admin_api_url")


class SettingProblem(NamedTuple):
    """A problem: the path of the part that has it, and one line with the remedy."""

    path: KeyPath
    text: str

    def concerns(self, path: KeyPath) -> bool:
        """Whether a change at a path changes the part that has the problem."""
        length = min(len(path), len(self.path))
        return path[:length] == self.path[:length]


def find_problems(section: Mapping[str, Any], home: Home) -> list[SettingProblem]:
    """The problems of the section. A variable that is not set is none: it may be set where the scheduler runs."""
    found: list[SettingProblem] = []
    sound: dict[str, Any] = {}
    for name, value in section.items():
        path = (SECTION, name)
        own = [SettingProblem(path, text) for text in _value_problems(path, value)]
        if not own and value is not None:
            sound[name] = value
        found += own
    for name, check in _PARTS.items():
        for part, value in (sound.get(name) or {}).items():
            found += (SettingProblem((SECTION, name, part), text) for text in check(part, value, sound, home))
    found += (SettingProblem((SECTION, "budgets"), text) for text in load_budgets(sound.get("budgets", ())).problems)
    return [*found, *_of_files(sound, home), *_of_secrets(sound, home), *_of_reference_model(sound)]


def _value_problems(path: KeyPath, value: object) -> Iterator[str]:
    """An unknown key, or a value of the wrong kind."""
    key = ".".join(path)
    if key not in KEYS:
        yield unknown_key(path_text(path))
    elif value is not None and KEYS[key] is dict:
        if not isinstance(value, dict):
            yield f"{key} {value_problem(value, dict)}"
    elif value is not None:
        yield from _raised(checked_value, "", key, value)


def _raised(check: Callable[..., object], *arguments: object) -> Iterator[str]:
    """The text of the error that a check raises."""
    try:
        check(*arguments)
    except ClaudeForceError as error:
        yield str(error)


def _part(key: str) -> Callable[[str, Any, Mapping[str, Any], Home], Iterator[str]]:
    """The check of one part of an object that `claude_json` checks itself."""
    return lambda name, value, _, __: _raised(checked_value, "", f"{SECTION}.{key}", {name: value})


def _rule(name: str, value: Any, section: Mapping[str, Any], _: Home) -> Iterator[str]:
    rules = configured_rules({name: value}, section.get("budgets") or ())
    # What changes a rule of a budget that was removed does nothing.
    value = rules.get(name, False)
    yield from _raised(check_rule, name, value)
    wanted = settings_of(value).get("channels") or []
    channels = section.get("channels") or {}
    for channel in wanted if isinstance(wanted, list) else [wanted]:
        if isinstance(channel, str) and channel not in channels and channel not in FROM_ENVIRONMENT:
            there = nearest(channel, channels) if channels else "; there are none"
            yield f"{problem_of(name)}channels: there is no {channel}{there}"


def _channel(name: str, value: Any, _: Mapping[str, Any], home: Home) -> Iterator[str]:
    found = channel_settings.problems_of({name: value}, os.environ, home.folder)
    yield from (f"{SECTION}.channels: {problem}" for problem in (*found.secrets, *found.others))


def _exporter(kind: str, value: Any, _: Mapping[str, Any], home: Home) -> Iterator[str]:
    found = exporter_settings.problems_of({kind: value}, os.environ, home.folder)
    yield from (*found.secrets, *found.others)


def _job(name: str, value: Any, _: Mapping[str, Any], __: Home) -> Iterator[str]:
    yield from schedule_problems({name: value})


_PARTS: dict[str, Callable[[str, Any, Mapping[str, Any], Home], Iterator[str]]] = {
    "prices": _part("prices"),
    "projects": _part("projects"),
    "alerts": _rule,
    "channels": _channel,
    "exporters": _exporter,
    "schedule": _job,
}
"""The objects whose parts are checked one by one, and how."""


def _of_files(section: Mapping[str, Any], home: Home) -> Iterator[SettingProblem]:
    """Problems of the database and of the file to import."""
    names = ("database", "database_password_file", "metrics_file")
    settings = Settings(**{name: section[name] for name in names if name in section})
    for name, check in {"database": _check_database, "metrics_file": _check_metrics_file}.items():
        if name in section:
            yield from (SettingProblem((SECTION, name), text) for text in _raised(check, settings, home))
    for text in database_problems(settings, home.folder):
        yield SettingProblem((SECTION, text.split()[0].removeprefix(f"{SECTION}.")), text)


def _of_secrets(section: Mapping[str, Any], home: Home) -> Iterator[SettingProblem]:
    """Problems of the token that senders of telemetry must have, and of the key for Anthropic's reports."""
    settings = Settings(**{name: section[name] for name in _SECRETS if name in section})
    for check in (token_problems, key_problems):
        found = check(settings, os.environ, home.folder)
        for text in (*found.secrets, *found.others):
            yield SettingProblem((SECTION, text.split()[0]), f"{SECTION}.{text}")


def _check_database(settings: Settings, home: Home) -> None:
    key, database = f"{SECTION}.database", settings.database or ""
    if not database:
        raise SettingsError(f"{key} must not be empty; to restore the default: claude-force config unset {key}")
    if holds_password(database):
        raise SettingsError(f"{key} must not hold a password; {REMEDY}")
    if REFERENCE.match(database):
        return
    path = database.removeprefix("sqlite:///")
    if "://" in path:
        _check_server(key, REFERENCE.sub("1", database))
    else:
        expand(path)
        if (home.folder.parent / os.path.expanduser(path)).is_dir():  # noqa: PTH111  (an unknown user)
            raise SettingsError(f"{key}: {path} is a folder; name a file")


def _check_server(key: str, url: str) -> None:
    """Check the form of a URL; whether it can be reached is seen when it is used."""
    if not url.startswith(("postgresql", "postgres://", "postgres+")):
        raise SettingsError(f"{key} must be a file or a postgresql:// URL")
    try:
        connection_options(url)
    except DatabaseError as error:
        raise SettingsError(f"{key}: {error}") from None


def _check_metrics_file(settings: Settings, home: Home) -> None:
    key, path = f"{SECTION}.metrics_file", settings.metrics_file
    if not path:
        raise SettingsError(f"{key} must not be empty; to restore the default: claude-force config unset {key}")
    if metrics_file(settings, home).is_dir():
        raise SettingsError(f"{key}: {path} is a folder; name a file")


def _of_reference_model(section: Mapping[str, Any]) -> Iterator[SettingProblem]:
    """A reference model without a price: no saving would be known."""
    model = section.get("reference_model")
    if model is None or model in (section.get("prices") or {}):
        return
    from claude_force.executions.pricing import PriceTable

    reason = PriceTable(model).unpriced_reason(model, clock.now_us())
    if reason is not None:
        key = f"{SECTION}.reference_model"
        price = f'claude-force config set {path_text((SECTION, "prices", model))} \'{{"input": 3, "output": 15}}\''
        yield SettingProblem((SECTION, "reference_model"), f"{key}: {model} has no known price; to give one: {price}")
