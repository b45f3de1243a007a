"""claude.json: its `performance` section as one typed value, and changes to the file.

The file belongs to the user and to other programs: a write keeps all other keys, and the order of all keys. A broken
file is one error with line and column. An unknown key in our section is a warning that names the nearest known one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from claude_force.errors import SettingsError
from claude_force.files import make_folder, replacing
from claude_force.settings.home import Home, expand
from claude_force.settings.values import KIND_NAMES, nearest, value_problem

SECTION = "performance"
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


Value = bool | int | str | dict[str, Any]
"""A value of the section, as JSON holds it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The `performance` section of claude.json. The field names are its keys."""

    tracking_enabled: bool = True
    """Whether the tracker stores executions at all."""
    cost_tracking: bool = True
    """Whether executions get a cost."""
    detailed_logging: bool = False
    """Whether each recorded execution is also logged, by the logger `claude_force`."""
    metrics_file: str = DEFAULT_METRICS_FILE
    """The JSONL file that `claude-force import` reads by default; relative to the folder that holds `.claude`."""
    database: str | None = None
    """Where executions are stored: a file or a postgresql:// URL. None: metrics/metrics.db beside claude.json."""
    reference_model: str = DEFAULT_REFERENCE_MODEL
    """The model that savings are counted against. A model of the same family is its own reference."""
    prices: Mapping[str, ModelPrice] = field(default_factory=dict)
    """Prices by the name of the model as it is recorded. They take precedence over the list prices."""
    projects: Mapping[str, list[str]] = field(default_factory=dict)
    """Projects by name: globs of the folders that belong to each. They take precedence over repositories."""
    alerts: Mapping[str, Any] = field(default_factory=dict)
    """Alert rules by name. `alerts.rules` reads them, so that a faulty rule does not stop the others."""
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
    metrics_port: int = 0
    """The port of 127.0.0.1 on which the scheduler serves /metrics and /healthz; 0 for none."""


def _kind(default: object) -> type:
    """The type of a setting's value, given its default."""
    return dict if default is MISSING else str if default is None else type(default)


KEYS: dict[str, type] = {f"{SECTION}.{known.name}": _kind(known.default) for known in fields(Settings)}
"""Our keys, dotted, and the type of their value."""

PRICES = f"{SECTION}.prices"
PROJECTS = f"{SECTION}.projects"
_FULL_PATH = re.compile(r"[/~*?\[]|\\\\|[A-Za-z]:[/\\]")


def metrics_file(settings: Settings, home: Home) -> Path:
    """The JSONL file that the settings name, relative to the folder that holds `.claude`."""
    if os.path.isabs(settings.metrics_file) or settings.metrics_file.startswith("~"):  # noqa: PTH117
        return expand(settings.metrics_file)
    if settings.metrics_file == DEFAULT_METRICS_FILE:
        return home.metrics_folder / "executions.jsonl"
    return home.folder.parent / settings.metrics_file


def load_settings(home: Home) -> tuple[Settings, tuple[str, ...]]:
    """The settings of a home, and a warning for each unknown key.

    If the file does not exist, the defaults. Raises SettingsError for a broken file or a value of the wrong kind.
    """
    section = _section_of(home.settings_file, read_file(home.settings_file))
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in section.items():
        key = f"{SECTION}.{name}"
        if key not in KEYS:
            problems.append(f"{home.settings_file}: {unknown_key(key)}")
        elif value is not None:
            values[name] = _checked(f"{home.settings_file}: ", key, value)
    return Settings(**values), tuple(problems)


def _section_of(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Our section of the file's content; it is added if it is missing."""
    section = content.setdefault(SECTION, {})
    if not isinstance(section, dict):
        raise SettingsError(f"{path}: {SECTION} must be an object")
    return section


_BOUNDS = {f"{SECTION}.metrics_port": (0, 65_535)}
_COUNT_BOUNDS = (0, 36_500)
"""The bounds of all other whole numbers: a hundred years, for those in days."""


def _checked(where: str, key: str, value: object) -> object:
    """A value of one of our keys. Raises SettingsError, which starts with `where`."""
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
    return value


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
        if not _FULL_PATH.match(glob) or not glob.isprintable():
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
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
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
    return content


_WORDS = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}


def parse_value(key: str, text: str) -> Value:
    """The value of one of our keys, as typed on the command line; objects are JSON. Raises SettingsError."""
    if key not in KEYS:
        raise SettingsError(unknown_key(key))
    kind = KEYS[key]
    if kind is str:
        return _parse_text(key, text)
    value: object = text
    if kind is dict:
        value = _parse_json(key, text)
    elif kind is int and text.isdecimal():
        value = int(text)
    elif kind is bool:
        value = _WORDS.get(text.lower(), text)
    if isinstance(value, str):
        raise SettingsError(f"{key} must be {KIND_NAMES[kind]}, not {text!r}")
    _checked("", key, value)
    assert isinstance(value, (bool, int, dict))
    return value


def _parse_text(key: str, text: str) -> str:
    if not text:
        raise SettingsError(f"{key} must not be empty; to restore the default: claude-force config unset {key}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SettingsError(f"{key} must be UTF-8 text") from None
    if key == f"{SECTION}.database" and "://" in text and not text.startswith(("postgres", "sqlite:///")):
        raise SettingsError(f"{key} must be a file or a postgresql:// URL")
    return text


def _parse_json(key: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{key} must be a JSON object: {error}") from None


def change_file(path: Path, key: str, value: Value | None) -> None:
    """Set one of our keys, or remove it (None). All other keys and the order stay. Atomic."""
    content = read_file(path)
    section = _section_of(path, content)
    name = key.removeprefix(f"{SECTION}.")
    if value is None:
        section.pop(name, None)
    else:
        section[name] = value
    write_file(path, content)


def write_file(path: Path, content: Mapping[str, Any]) -> None:
    """Replace claude.json in one step. A symlink stays, and the file that it points to is replaced. The permissions
    stay; a new file gets 0600. Raises SettingsError."""
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise SettingsError(f"{path} holds NaN or Infinity, which JSON does not have; edit it by hand") from None
    if path.exists() and not os.access(path, os.W_OK):
        raise SettingsError(f"{path} is read-only")
    try:
        make_folder(path.resolve().parent)
        with replacing(path, 0o600) as descriptor, open(descriptor, "wb", closefd=False) as file:
            file.write(_encoded(text, content) + b"\n")
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None


def _encoded(text: str, content: Mapping[str, Any]) -> bytes:
    """The text in UTF-8. If it holds a lone surrogate, which UTF-8 cannot encode, JSON escapes are used."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(content, indent=2).encode()
