"""Settings: the `performance` section of `claude.json`, as one typed value, and where things are.

The file belongs to the user and to other programs: keys other than ours, and the order of all, survive every write.
Precedence is flag, environment, file, default. A broken file is one error with its line and column; a key of ours that
does not exist is a problem that is named with the nearest one that does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from claude_force.errors import SettingsError
from claude_force.files import make_folder, replacing
from claude_force.settings.home import Home, expand
from claude_force.text import kind_of

SECTION = "performance"
DEFAULT_METRICS_FILE = ".claude/metrics/executions.jsonl"
DEFAULT_REFERENCE_MODEL = "claude-sonnet-4-5"


PRICE_LIMIT = 1000
"""US dollars for a million tokens: no price is higher, so that no cost can be more than a record holds."""


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What a model costs, in US dollars for a million tokens of each kind. A kind that is None is billed as what it is
    part of: cached tokens as input, a cache write for an hour as one for five minutes. The field names are the keys."""

    input: float
    output: float
    cache_read: float | None = None
    cache_write_5m: float | None = None
    cache_write_1h: float | None = None


Value = bool | int | str | dict[str, Any]
"""A value of the section, as JSON has it."""


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
    """The JSONL file that `claude-force import` reads when it is given none; relative to the folder above .claude."""
    database: str | None = None
    """Where executions are stored: a file or a postgresql:// URL. None: metrics/metrics.db beside claude.json."""
    reference_model: str = DEFAULT_REFERENCE_MODEL
    """The model that savings are counted against. A model of the same family is its own reference."""
    prices: Mapping[str, ModelPrice] = field(default_factory=dict)
    """Prices of your own, by the name of the model as it is recorded; they come before the list prices."""
    alerts: Mapping[str, Any] = field(default_factory=dict)
    """Alert rules by name, as `alerts.rules` reads them: one with an error in it must not stop the others."""
    channels: Mapping[str, Any] = field(default_factory=dict)
    """Where alerts are told, by name, as `notify.configuration` reads them."""
    schedule: Mapping[str, Any] = field(default_factory=dict)
    """How often the scheduler runs a job, by its name: "30s", "5m", "24h", or "off"."""
    archive_after_days: int = 0
    """The age in days at which the scheduler archives executions; 0 for never."""
    backups_kept: int = 7
    """How many of its own daily backups the scheduler keeps beside a SQLite file; 0 makes none."""
    exporters: Mapping[str, Any] = field(default_factory=dict)
    """Where the scheduler pushes figures, by the kind of the target, as `export.configuration` reads them."""
    metrics_port: int = 0
    """The port of 127.0.0.1 on which the scheduler serves /metrics and /healthz; 0 for none."""


def _kind(default: object) -> type:
    """The type of the value of a setting with this default."""
    return dict if default is MISSING else str if default is None else type(default)


KEYS: dict[str, type] = {f"{SECTION}.{known.name}": _kind(known.default) for known in fields(Settings)}
"""Our keys, dotted, and the type of their value."""

PRICES = f"{SECTION}.prices"


def metrics_file(settings: Settings, home: Home) -> Path:
    """The JSONL file that the settings name, relative to the folder that holds `.claude`."""
    if os.path.isabs(settings.metrics_file) or settings.metrics_file.startswith("~"):  # noqa: PTH117
        return expand(settings.metrics_file)
    if settings.metrics_file == DEFAULT_METRICS_FILE:
        return home.metrics_folder / "executions.jsonl"
    return home.folder.parent / settings.metrics_file


def load_settings(home: Home) -> tuple[Settings, tuple[str, ...]]:
    """The settings of a home, and the problems that do not stop it (keys of ours that do not exist).

    A file that does not exist means the defaults. Raises SettingsError for a broken file or a value of a wrong kind.
    """
    section = read_file(home.settings_file).get(SECTION, {})
    if not isinstance(section, dict):
        raise SettingsError(f"{home.settings_file}: {SECTION} must be an object")
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in section.items():
        key = f"{SECTION}.{name}"
        if key not in KEYS:
            problems.append(f"{home.settings_file}: {unknown_key(key)}")
        elif value is not None:
            values[name] = _checked(f"{home.settings_file}: ", key, value)
    return Settings(**values), tuple(problems)


_WANTED = {bool: "true or false", int: "a whole number", str: "text", dict: "an object"}
_COUNT_LIMIT = 36_500
_LIMITS = {f"{SECTION}.metrics_port": 65_535}
"""The highest value of a whole number, where it is another one."""


def _checked(where: str, key: str, value: object) -> object:
    # Not isinstance: true is an int to Python.
    if type(value) is not KEYS[key]:
        raise SettingsError(f"{where}{key} must be {_WANTED[KEYS[key]]}, not {kind_of(value)}")
    limit = _LIMITS.get(key, _COUNT_LIMIT)
    if isinstance(value, int) and not 0 <= value <= limit:
        raise SettingsError(f"{where}{key} must be 0 to {limit:,}, not {value}")
    if key == PRICES:
        assert isinstance(value, dict)
        return {model: _price(f"{where}{key}: the price of {model!r}", found) for model, found in value.items()}
    return value


def _price(what: str, found: object) -> ModelPrice:
    """One of the prices of the settings. Raises SettingsError, which begins with `what`."""
    kinds = {known.name: known.default is MISSING for known in fields(ModelPrice)}
    if not isinstance(found, dict):
        raise SettingsError(f"{what} must be an object, not {kind_of(found)}")
    for kind in found:
        if kind not in kinds:
            raise SettingsError(f"{what} has no {kind!r}; there are: {', '.join(kinds)}")
    for kind, is_required in kinds.items():
        number = found.get(kind)
        if number is None and not is_required:
            continue
        # NaN is not between them either, and true is a number to Python.
        if not isinstance(number, (int, float)) or isinstance(number, bool) or not 0 <= number <= PRICE_LIMIT:
            is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
            given = f"not {number!r}" if is_number else f"not {kind_of(number)}"
            raise SettingsError(
                f"{what}: {kind} must be a number of US dollars for a million tokens, 0 to {PRICE_LIMIT:,}, "
                f"{given if kind in found else 'and is missing'}"
            )
    return ModelPrice(**found)


def unknown_key(key: str) -> str:
    """What to say about a key that does not exist: the nearest that does, or all of them."""
    from difflib import get_close_matches

    near = get_close_matches(key, KEYS, n=1)
    return f"no setting {key}" + (f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(KEYS)}")


def read_file(path: Path) -> dict[str, Any]:
    """The whole of claude.json; {} where there is none. Raises SettingsError with line and column."""
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


def parse_value(key: str, text: str) -> Value:
    """The value of one of our keys from the command line; an object is given as JSON. Raises SettingsError."""
    if key not in KEYS:
        raise SettingsError(unknown_key(key))
    if KEYS[key] is dict:
        return _parse_object(key, text)
    if KEYS[key] is str:
        if not text:
            raise SettingsError(f"{key} must not be empty; to go back to the default: claude-force config unset {key}")
        text.encode()
        if key == f"{SECTION}.database" and "://" in text and not text.startswith(("postgres", "sqlite:///")):
            raise SettingsError(f"{key} must be a file or a postgresql:// URL")
        return text
    if KEYS[key] is int:
        if not text.isdecimal():
            raise SettingsError(f"{key} must be a whole number, not {text!r}")
        number = int(text)
        _checked("", key, number)
        return number
    words = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}
    if text.lower() not in words:
        raise SettingsError(f"{key} must be true or false, not {text!r}")
    return words[text.lower()]


def _parse_object(key: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{key} must be a JSON object: {error}") from None
    _checked("", key, value)
    assert isinstance(value, dict)
    return value


def change_file(path: Path, key: str, value: Value | None) -> None:
    """Set one of our keys, or remove it (None), leaving every other key and the order as they were. Atomic."""
    content = read_file(path)
    section = content.setdefault(SECTION, {})
    if not isinstance(section, dict):
        raise SettingsError(f"{path}: {SECTION} must be an object")
    name = key.removeprefix(f"{SECTION}.")
    if value is None:
        section.pop(name, None)
    else:
        section[name] = value
    write_file(path, content)


def _encoded(text: str, content: Mapping[str, Any]) -> bytes:
    """The text as UTF-8; with escapes where it holds a lone surrogate, which UTF-8 cannot."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(content, indent=2).encode()


def write_file(path: Path, content: Mapping[str, Any]) -> None:
    """Replace claude.json in one step, through a link to the file itself; its permissions stay, a new one is 0600."""
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise SettingsError(f"{path} holds a number that cannot be kept as it is; change it by hand") from None
    if path.exists() and not os.access(path, os.W_OK):
        raise SettingsError(f"{path} is read-only")
    try:
        make_folder(path.resolve().parent)
        with replacing(path, 0o600) as descriptor, open(descriptor, "wb", closefd=False) as file:
            file.write(_encoded(text, content) + b"\n")
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
