"""What is said about an alert, on any channel: words and numbers, and nothing of how a channel shows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from claude_force.clock import EARLIEST_US, LATEST_US
from claude_force.executions.record import UNKNOWN

Severity = Literal["critical", "error", "warning", "info"]
Action = Literal["trigger", "repeat", "resolve"]
"""That it began, that it still goes on, that it is over."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One alert, at one moment.

    `title` is the short name of what is wrong ("Low Success Rate"), `summary` one sentence with the figure ("Success
    rate dropped to 87.5%"), `period` what it was measured over ("Last 1 hour"). `labels` say of what ("agent":
    "python-expert"), `details` are further figures by their name. `episode` is one from trigger to resolve, and the
    same in all retries of both. `store` is the database as a person knows it, `host` the machine that noticed.

    Names in it come from outside and are as they were recorded: a channel makes them harmless.
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
        """As it is kept until it is delivered: in ASCII, since a path may hold what no database stores."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Notification:
        """What `to_json` gave; what a later version added to it is left out. Raises ValueError for anything else."""
        try:
            found = json.loads(text)
        except RecursionError:
            found = None
        if not isinstance(found, dict) or any(not is_right(found.get(name)) for name, is_right in _CHECKS.items()):
            raise ValueError("not a notice")
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
"""What each field must be."""


def rule_in(text: str) -> str:
    """The rule that a notice is about; "unknown" where it cannot be read."""
    try:
        return Notification.from_json(text).rule
    except ValueError:
        return UNKNOWN
