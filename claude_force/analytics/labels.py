"""Short labels for projects, workflows and sessions, which are stored as paths and UUIDs.

JSON and CSV keep the full names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import tzinfo
from itertools import pairwise

from claude_force import clock
from claude_force.executions.record import CLAUDE_CODE
from claude_force.executions.totals import WorkflowStart

_STEPS = re.compile(r"[/\\]+")
_SHORT_ID = 8
_LONGEST_NAME = 24
_ID = re.compile(r"(?:[a-z]+[_-])?[0-9a-f-]{8,}", re.IGNORECASE)
"""What a program made: a UUID or another hexadecimal number, also with a word before it."""

_MODEL_FRAME = re.compile(r"^claude-(?=.*[a-z])|-20\d{6}$")
"""The maker and the day of a model's name."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def project_labels(paths: Iterable[str]) -> dict[str, str]:
    """The shortest unique tail of each path: `app`, or `work/app` if two projects are called `app`."""
    steps = {path: [step for step in _STEPS.split(path) if step] for path in paths}
    seen: dict[tuple[str, ...], set[str]] = {}
    for path, parts in steps.items():
        for length in range(1, len(parts) + 1):
            seen.setdefault(tuple(parts[-length:]), set()).add(path)
    return {path: _shortest(path, parts, seen) for path, parts in steps.items()}


def _shortest(path: str, parts: list[str], seen: dict[tuple[str, ...], set[str]]) -> str:
    for length in range(1, len(parts) + 1):
        if len(seen[tuple(parts[-length:])]) == 1:
            return "/".join(parts[-length:])
    # The whole path is the tail of a longer one.
    return path


def model_labels(models: Iterable[str]) -> dict[str, str]:
    """The short name of each model: `sonnet-4-5` for `claude-sonnet-4-5-20250929`. Where two would be alike, both keep
    their whole names."""
    short = {model: _MODEL_FRAME.sub("", model) or model for model in models}
    times = Counter(short.values())
    return {model: label if times[label] == 1 else model for model, label in short.items()}


def workflow_labels(workflow_starts: dict[str, WorkflowStart], zone: tzinfo) -> dict[str, str]:
    """The start, the short id and the project of each Claude Code session, and the session of each run that one
    started. Other workflows have no label. No two have the same: a short id has as many characters as tell it apart."""
    labelled = {name: found for name, found in workflow_starts.items() if found.source == CLAUDE_CODE}
    short = short_ids({*labelled, *(found.session for found in labelled.values() if found.session)})
    return {
        name: " ".join(
            filter(None, (f"{clock.to_datetime(found.first_us, zone):%Y-%m-%d %H:%M}", _ids(name, found, short),
                          _folder(found)))
        )
        for name, found in labelled.items()
    }  # fmt: skip


def short_ids(names: Iterable[str]) -> dict[str, str]:
    """The shortest beginning of each id that no other one has, of at least eight characters. A name that somebody chose
    stays whole, unless it is long."""
    ordered = sorted(names)
    shared = [0, *(_shared_length(*pair) for pair in pairwise(ordered)), 0]
    short = {name: name[: max(*shared[at : at + 2], _SHORT_ID - 1) + 1] for at, name in enumerate(ordered)}
    return {name: name if _is_chosen(name) else label for name, label in short.items()}


def _is_chosen(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and not _ID.fullmatch(name)


def uuid_labels(names: Iterable[str]) -> dict[str, str]:
    """The short id of each name that is a UUID, as the workflows of Claude Code's sessions are."""
    return short_ids(name for name in names if _UUID.fullmatch(name))


def _shared_length(first: str, second: str) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (mine, other) in pairs if mine != other), min(len(first), len(second)))


def _ids(name: str, found: WorkflowStart, short: Mapping[str, str]) -> str:
    of_session = f" of {short[found.session]}" if found.session and found.session != name else ""
    return short[name] + of_session


def _folder(found: WorkflowStart) -> str:
    return next((step for step in reversed(_STEPS.split(found.project or "")) if step), "")
