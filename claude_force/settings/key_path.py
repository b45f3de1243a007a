"""Paths into claude.json: `performance.alerts.success-rate.threshold`.

Dots separate the parts. A part with a dot or a quote in it is written as in JSON: `performance.prices."gpt-4.1".input`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from claude_force.errors import SettingRefused

KeyPath = tuple[str, ...]
"""The parts of a path, outermost first."""

_PLAIN = r'[^".]+'
_PARTS = r'(?s)(?:"(?:[^"\\]|\\.)*"|[^".]+)(?:\.(?:"(?:[^"\\]|\\.)*"|[^".]+))*'
_PART = r'(?s)"(?:[^"\\]|\\.)*"|[^".]+'


def parse_path(key: str) -> KeyPath:
    """The parts of a key. Raises SettingRefused for an empty part, and for quotes that do not enclose a part."""
    if not re.fullmatch(_PARTS, key):
        raise _no_path(key)
    try:
        return tuple(json.loads(part) if part.startswith('"') else part for part in re.findall(_PART, key))
    except ValueError:
        raise _no_path(key) from None


def _no_path(key: str) -> SettingRefused:
    return SettingRefused(f'{key} is no key; write performance.alerts.NAME, or performance.prices."NAME.WITH.DOTS"')


def path_text(path: Sequence[str]) -> str:
    """The key of a path, as `parse_path` reads it."""
    return ".".join(part if re.fullmatch(_PLAIN, part) else json.dumps(part, ensure_ascii=False) for part in path)


def value_at(content: object, path: Sequence[str]) -> Any:
    """The value at a path of parsed JSON. Raises LookupError if there is none."""
    for part in path:
        content = _members(content)[part]
    return content


def _members(content: object) -> Mapping[str, Any]:
    return content if isinstance(content, Mapping) else {}


def with_value(content: Mapping[str, Any], path: Sequence[str], value: object) -> dict[str, Any]:
    """A copy of an object with a value at a path. Missing objects on the way are made; what stands on the way and is no
    object is replaced."""
    key, *rest = path
    inner = content.get(key)
    new = with_value(inner if isinstance(inner, Mapping) else {}, rest, value) if rest else value
    return {**content, key: new}


def without_value(content: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """A copy of an object without the value at a path."""
    key, *rest = path
    inner = content.get(key)
    if rest:
        return {**content, key: without_value(inner, rest)} if isinstance(inner, Mapping) else dict(content)
    return {name: value for name, value in content.items() if name != key}
