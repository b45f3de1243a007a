"""claude.json: its `performance` section as one typed value, and changes to the file.

The file belongs to the user and to other programs: a change keeps every other character of it. A broken
file is one error with line and column. An unknown key in our section is a warning that names the nearest known one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from claude_force.errors import SettingRefused, SettingsError
from claude_force.files import make_folder, replacing
from claude_force.settings.database_url import REMEDY, holds_password
from claude_force.settings.home import SECTION, Home, expand
from claude_force.settings.key_path import KeyPath, path_text
from claude_force.settings.values import KIND_NAMES, nearest, value_problem

DEFAULT_METRICS_FILE = ".claude/metrics/executions.jsonl"
DEFAULT_REFERENCE_MODEL = "claude-sonnet-4-5"


PRICE_LIMIT = 1000
"""The highest price, in US dollars for a million tokens. With it, no cost exceeds what a record can hold."""


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """The price of a model, in US dollars for a million tokens of each kind. The field names are the keys.

    None bills cached input as input, and a one-hour cache write as a five-minute one.
    """

    input: float
    output: float
    cache_read: float | None = None
    cache_write_5m: float | None = None
    cache_write_1h: float | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """The `performance` section of claude.json. The field names are its keys."""

    tracking_enabled: bool = True
    """Whether the tracker stores executions at all."""
    cost_tracking: bool = True
    """Whether executions get a cost."""
    detailed_logging: bool = False
    """Whether each recorded execution is also logged, by the logger `claude_force`."""
    user: str | None = None
    """Who works on this machine: a name that its executions get. None: they have none."""
    metrics_file: str = DEFAULT_METRICS_FILE
    """The JSONL file that `claude-force import` reads by default; relative to the folder that holds `.claude`."""
    database: str | None = None
    """Where executions are stored: a file or a postgresql:// URL. None: the user's store, ~/.claude/metrics/metrics.db;
    in the settings of a project, the database of the user's settings."""
    database_password_file: str | None = None
    """A file that only its owner can read, with the password for `database`; relative to the folder of claude.json."""
    reference_model: str = DEFAULT_REFERENCE_MODEL
    """The model that savings are counted against. A model of the same family is its own reference."""
    prices: Mapping[str, ModelPrice] = field(default_factory=dict)
    """Prices by the name of the model as it is recorded. They take precedence over the list prices."""
    projects: Mapping[str, list[str]] = field(default_factory=dict)
    """Projects by name: globs of the folders that belong to each. They take precedence over repositories."""
    alerts: Mapping[str, Any] = field(default_factory=dict)
    """Alert rules by name. `alerts.rules` reads them, so that a faulty rule does not stop the others."""
    budgets: Sequence[Any] = ()
    """Budgets of money. `settings.budgets` reads them, so that a faulty one does not stop the others."""
    channels: Mapping[str, Any] = field(default_factory=dict)
    """Channels that alerts are sent to, by name. `alerts.channels.settings` reads them."""
    schedule: Mapping[str, Any] = field(default_factory=dict)
    """How often the scheduler runs a job, by the job's name: "30s", "5m", "24h", or "off"."""
    archive_after_days: int = 0
    """The age in days at which the scheduler archives executions; 0 for never."""
    backups_kept: int = 7
    """How many of its own daily backups the scheduler keeps beside a SQLite file; 0 makes none."""
    exporters: Mapping[str, Any] = field(default_factory=dict)
    """The exporters that the scheduler pushes with, by kind. `exporters.settings` reads them."""
    admin_api_key: str | None = None
    """A variable, as "${NAME}", with a key of Anthropic's Admin API: `reconcile --by-day` asks for its reports."""
    admin_api_key_file: str | None = None
    """A file that only its owner can read, with that key; relative to the folder of claude.json."""
    admin_api_url: str | None = None
    """Where the Admin API is. None: https://api.anthropic.com."""
    metrics_port: int = 0
    """The port of 127.0.0.1 on which the scheduler serves /metrics and /healthz; 0 for none."""
    otlp_port: int = 0
    """The port of 127.0.0.1 on which the scheduler receives telemetry; 0 for none."""
    otlp_user: str | None = None
    """The attribute of telemetry that says who the user is, one of USER_ATTRIBUTES. None: all of these are dropped."""
    otlp_token: str | None = None
    """A variable, as "${NAME}", with the token that senders of telemetry must have."""
    otlp_token_file: str | None = None
    """A file that only its owner can read, with that token; relative to the folder of claude.json."""


def _kind(default: object) -> type:
    """The type of a setting's value, given its default."""
    if default is MISSING:
        return dict
    return str if default is None else list if default == () else type(default)


KEYS: dict[str, type] = {f"{SECTION}.{known.name}": _kind(known.default) for known in fields(Settings)}
"""Our keys, dotted, and the type of their value."""

PRICES = f"{SECTION}.prices"
PROJECTS = f"{SECTION}.projects"
USER = f"{SECTION}.user"
OTLP_USER = f"{SECTION}.otlp_user"
USER_ATTRIBUTES = ("user.email", "user.name", "user.id", "user.account_uuid", "user.account_id", "enduser.id")
"""The attributes of telemetry by which programs say who their user is."""

_USER_LIMIT = 200
"""The longest name that an execution can have."""

_FULL_PATH = r"[/~*?\[]|\\\\|[A-Za-z]:[/\\]"


def metrics_file(settings: Settings, home: Home) -> Path:
    """The JSONL file that the settings name, relative to the folder that holds `.claude`. The default is the one of the
    store, or that of a project which had a store of its own before."""
    if os.path.isabs(settings.metrics_file) or settings.metrics_file.startswith("~"):  # noqa: PTH117
        return expand(settings.metrics_file)
    if settings.metrics_file == DEFAULT_METRICS_FILE:
        folders = (home.unused_metrics_folder, home.metrics_folder)
        files = [folder / "executions.jsonl" for folder in folders if folder is not None]
        return next((file for file in files if os.path.isfile(file)), files[-1])  # noqa: PTH113 - as in settings.home
    return home.folder.parent / settings.metrics_file


def load_settings(home: Home) -> tuple[Settings, tuple[str, ...]]:
    """The settings of a home, and a warning for each unknown key and for a password in the database's URL.

    If the file does not exist, the defaults. A project that uses the user's store has the database of the user's
    settings. Raises SettingsError for a broken file or a value of the wrong kind.
    """
    section = section_of(home.settings_file, read_file(home.settings_file))
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in section.items():
        key = f"{SECTION}.{name}"
        if key not in KEYS:
            problems.append(f"{home.settings_file}: {unknown_key(key)}")
        elif value is not None:
            values[name] = checked_value(f"{home.settings_file}: ", key, value)
    file = home.settings_file
    if home.shared_settings_file is not None and not values.get("database"):
        file = home.shared_settings_file
        values |= _shared_database(file)
    if holds_password(values.get("database") or ""):
        problems.append(f"{file}: {SECTION}.database holds a password; {REMEDY}")
    return Settings(**values), tuple(problems)


def _shared_database(path: Path) -> dict[str, Any]:
    """The database that the user's claude.json names, not relative to any folder, and the file with its password.
    Raises SettingsError."""
    section = section_of(path, read_file(path))
    found = {
        name: None if section.get(name) is None else checked_value(f"{path}: ", f"{SECTION}.{name}", section[name])
        for name in ("database", "database_password_file")
    }
    if found["database"] is not None and "${" not in str(found["database"]):
        found["database"] = absolute_location(str(found["database"]), path.parent)
    return found


def absolute_location(location: str, folder: Path) -> str:
    """A database that a claude.json in `folder` names: a path in it must not depend on the working folder."""
    return location if "://" in location else os.path.join(folder.parent, os.path.expanduser(location))  # noqa: PTH111, PTH118


def section_of(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    """Our section of the file's content; {} if it is missing. Raises SettingsError."""
    section = content.get(SECTION, {})
    if not isinstance(section, dict):
        raise SettingsError(f"{path}: {SECTION} must be an object")
    return section


_BOUNDS = {f"{SECTION}.{name}": (0, 65_535) for name in ("metrics_port", "otlp_port")}
_COUNT_BOUNDS = (0, 36_500)
"""The bounds of all other whole numbers: a hundred years, for those in days."""


def checked_value(where: str, key: str, value: object) -> object:
    """A value of one of our keys, as `Settings` has it. Raises SettingsError, which starts with `where`."""
    bounds = _BOUNDS.get(key, _COUNT_BOUNDS) if KEYS[key] is int else None
    problem = value_problem(value, KEYS[key], bounds)
    if problem:
        raise SettingsError(f"{where}{key} {problem}")
    if key == PRICES:
        assert isinstance(value, dict)
        return {model: _price(f"{where}{key}: the price of {model!r}", found) for model, found in value.items()}
    if key == PROJECTS:
        assert isinstance(value, dict)
        return {name: _folders(f"{where}{key}", name, found) for name, found in value.items()}
    if key == USER and not _is_user_name(str(value)):
        raise SettingsError(f'{where}{key} must be a name of at most {_USER_LIMIT} letters, as in "ada"')
    if key == OTLP_USER and value not in USER_ATTRIBUTES:
        raise SettingsError(f"{where}{key} must be one of: {', '.join(USER_ATTRIBUTES)}")
    return value


def _is_user_name(name: str) -> bool:
    return name.isprintable() and name == name.strip() != "" and len(name) <= _USER_LIMIT


def _folders(where: str, name: str, found: object) -> list[str]:
    """The globs of one project. Raises SettingsError, which starts with `where`."""
    if not name.strip() or not name.isprintable():
        raise SettingsError(f"{where}: {name!r} is not a name for a project")
    what = f"{where}: the folders of {name!r}"
    if not isinstance(found, list) or not all(isinstance(glob, str) for glob in found):
        raise SettingsError(f'{what} must be a list of texts, as in ["/home/me/shop", "/home/me/shop-*"]')
    if not found:
        raise SettingsError(f"{what} must not be empty")
    for glob in found:
        if not re.match(_FULL_PATH, glob) or not glob.isprintable():
            raise SettingsError(f"{what} must be full paths, not {glob!r}; a path may begin with ~ or *")
    return found


def project_globs(settings: Settings) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The projects of the settings, in order, with `~` expanded."""
    return tuple(
        (name, tuple(map(os.path.expanduser, globs)))  # Path.expanduser raises for an unknown user
        for name, globs in settings.projects.items()
    )


def _price(what: str, found: object) -> ModelPrice:
    """The price of one model. Raises SettingsError, which starts with `what`."""
    problem = value_problem(found, dict)
    if problem:
        raise SettingsError(f"{what} {problem}")
    assert isinstance(found, dict)
    is_required = {known.name: known.default is MISSING for known in fields(ModelPrice)}
    for name in found:
        if name not in is_required:
            raise SettingsError(f"{what} has no {name!r}; there are: {', '.join(is_required)}")
    for name, required in is_required.items():
        number = found.get(name)
        if number is None and not required:
            continue
        problem = value_problem(number, float, (0, PRICE_LIMIT)) if name in found else "is missing"
        if problem:
            raise SettingsError(f"{what}: {name} {problem}; prices are in US dollars for a million tokens")
    return ModelPrice(**found)


def unknown_key(key: str) -> str:
    """The message for a key that does not exist."""
    return f"no setting {key}{nearest(key, KEYS)}"


def read_file(path: Path) -> dict[str, Any]:
    """The whole content of claude.json; {} if there is no file. Raises SettingsError with line and column."""
    return parse_content(path, read_text(path))


def read_text(path: Path) -> str:
    """The text of claude.json; "" if there is no file. Raises SettingsError."""
    try:
        if path.is_fifo():
            # Reading it would wait for ever, in every command.
            raise SettingsError(f"{path}: a pipe; it must be a file")
        return path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None


def parse_content(path: Path, text: str) -> dict[str, Any]:
    """The content of a text of claude.json; {} for an empty text. Raises SettingsError with line and column."""
    if not text.strip():
        return {}
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise SettingsError(f"{path}: line {error.lineno} column {error.colno}: {error.msg}") from None
    except (RecursionError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: must hold a JSON object")
    section_of(path, content)
    return content


_WORDS = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}


def parse_value(path: KeyPath, text: str) -> Any:
    """A value as typed on the command line. Objects, and values inside of them, are JSON; there a text needs no quotes.
    Raises SettingRefused."""
    key = ".".join(path[:2])
    if key not in KEYS:
        raise SettingRefused(unknown_key(path_text(path)))
    if len(path) > 2:
        return _parse_inner(path_text(path), text)
    kind = KEYS[key]
    if kind is str:
        return _parse_text(key, text)
    value: object = text
    if kind in (dict, list):
        value = _parse_json(key, kind, text)
    elif kind is int and text.isdecimal():
        value = int(text)
    elif kind is bool:
        value = _WORDS.get(text.lower(), text)
    if isinstance(value, str):
        raise SettingRefused(f"{key} must be {KIND_NAMES[kind]}, not {text!r}")
    return value


def _parse_inner(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.startswith(("{", "[", '"')):
            raise SettingRefused(f"{key} is not JSON: {error}") from None
        return text


def _parse_text(key: str, text: str) -> str:
    if not text:
        raise SettingRefused(f"{key} must not be empty; to restore the default: claude-force config unset {key}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SettingRefused(f"{key} must be UTF-8 text") from None
    return text


def _parse_json(key: str, kind: type, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingRefused(f"{key} must be a JSON {'list' if kind is list else 'object'}: {error}") from None


REMOVED = object()
"""In place of a new value: the value is removed. None is a value: null."""


def changed_text(text: str, changes: Mapping[KeyPath, Any]) -> str:
    """The text of claude.json with values set, or removed where the value is `REMOVED`. Everything else stays as it was
    written. Raises SettingsError for NaN and Infinity."""
    # Imported here: settings are mostly read.
    from claude_force.settings.json_text import removed, replaced

    text = text if text.strip() else "{}\n"
    for path, value in changes.items():
        try:
            text = removed(text, path) if value is REMOVED else replaced(text, path, value)
        except ValueError:
            raise SettingsError(f"{path_text(path)} holds NaN or Infinity, which JSON does not have") from None
    return text


def write_text(path: Path, text: str) -> None:
    """Replace claude.json in one step. A symlink stays, and the file that it points to is replaced. The permissions
    stay; a new file gets 0600. Raises SettingsError."""
    if path.exists() and not os.access(path, os.W_OK):
        raise SettingsError(f"{path} is read-only")
    try:
        make_folder(path.resolve().parent)
        with replacing(path, 0o600) as descriptor, open(descriptor, "wb", closefd=False) as file:
            file.write(text.encode())
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
