"""A notification: what every channel is given about an alert. How it looks is the channel's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from claude_force.clock import EARLIEST_US, LATEST_US
from claude_force.executions.record import UNKNOWN

Severity = Literal["critical", "error", "warning", "info"]
Action = Literal["trigger", "repeat", "resolve"]
"""The alert began, still fires, or is resolved."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One alert at one moment.

    `title` is the short name of the problem ("Low Success Rate"), `summary` one sentence with the value ("Success rate
    dropped to 87.5%"), `period` the window ("Last 1 hour"). `labels` name the group ("agent": "python-expert"),
    `details` are further figures by name. `episode` identifies one firing, from trigger to resolve, in all attempts.
    `store` is the name of the database, `host` the machine that evaluated.

    Names come from recorded data and are not sanitized: that is the task of each channel.
    """

    rule: str
    title: str
    summary: str
    period: str
    severity: Severity
    action: Action
    labels: Mapping[str, str]
    details: Mapping[str, str | int | float | None]
    episode: str
    began_us: int
    at_us: int
    store: str
    host: str

    def to_json(self) -> str:
        """The stored form. In ASCII, because paths may hold surrogates, which no database stores."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Notification:
        """Read what `to_json` wrote; fields of later versions are ignored. Raises ValueError for anything else."""
        try:
            found = json.loads(text)
        except RecursionError:
            found = None
        if not isinstance(found, dict) or any(not is_right(found.get(name)) for name, is_right in _CHECKS.items()):
            raise ValueError("not a notification")
        return cls(**{name: found[name] for name in _CHECKS})


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_instant(value: object) -> bool:
    return type(value) is int and EARLIEST_US <= value < LATEST_US


_CHECKS: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys((field.name for field in fields(Notification)), _is_text),
    **dict.fromkeys(("began_us", "at_us"), _is_instant),
    "severity": lambda value: value in get_args(Severity),
    "action": lambda value: value in get_args(Action),
    "labels": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    "details": lambda value: (
        isinstance(value, dict)
        and all(found is None or isinstance(found, str | int | float) for found in value.values())
    ),
}
"""The check of each field."""


def rule_in(text: str) -> str:
    """The rule of a stored notification; "unknown" if it cannot be read."""
    try:
        return Notification.from_json(text).rule
    except ValueError:
        return UNKNOWN
