"""What `telemetry setup` changes in the user's settings, and how `telemetry remove` takes exactly that out again.

A file beside the store remembers what was there before. A variable that somebody has changed since then is theirs, and
stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from claude_force.errors import SettingsError
from claude_force.settings.agent_settings import change_variables
from claude_force.settings.claude_json import read_text, write_text
from claude_force.settings.telemetry_variables import HEADERS

MEMORY_FILE = "telemetry-setup.json"
"""In the metrics folder: what was changed."""

_SIGNALS = ("LOGS", "METRICS")
_OF_SIGNALS = tuple(
    f"OTEL_EXPORTER_OTLP_{signal}_{what}" for signal in _SIGNALS for what in ("ENDPOINT", "PROTOCOL", "HEADERS")
)
"""Variables that go before ours, each for its signal."""


class Change(NamedTuple):
    """A variable before and after; None: not set."""

    name: str
    before: str | None
    after: str | None

    @property
    def is_secret(self) -> bool:
        """Whether its value must not be shown."""
        return self.name.endswith("HEADERS")


class Memory(NamedTuple):
    """What setup has changed: variables in `file`, and the port in claude.json, as it was before and after (None: it
    was not changed)."""

    file: Path
    changes: tuple[Change, ...]
    port: tuple[int, int] | None = None


def changes_for(known: Mapping[str, str], wanted: Mapping[str, str]) -> list[Change]:
    """What must change in the variables that are `known`, so that those that are `wanted` count."""
    aside = (*_OF_SIGNALS, *(() if HEADERS in wanted else (HEADERS,)))
    removed = [Change(name, known[name], None) for name in aside if name in known]
    return [
        *(Change(name, known.get(name), value) for name, value in wanted.items() if known.get(name) != value),
        *removed,
    ]


def apply(file: Path, changes: Iterable[Change]) -> None:
    """Make changes. Raises SettingsError."""
    change_variables(file, {change.name: change.after for change in changes})


def remembered(path: Path) -> Memory | None:
    """What setup has changed; None if nothing. Raises SettingsError."""
    text = read_text(path)
    if not text.strip():
        return None
    try:
        found = json.loads(text)
        changes = tuple(Change(*change) for change in found["changes"])
        port = (int(found["port"][0]), int(found["port"][1])) if found["port"] else None
        return Memory(Path(found["file"]), changes, port)
    except (ValueError, TypeError, KeyError, IndexError):
        raise SettingsError(f"{path} is damaged; delete it, and change settings.json by hand") from None


def remember(path: Path, memory: Memory) -> None:
    """Keep what was changed. What an earlier setup changed in the same file keeps the value that was there before it.
    Raises SettingsError."""
    earlier = remembered(path)
    if earlier is not None and earlier.file == memory.file:
        memory = _together(earlier, memory)
    content: dict[str, Any] = {"file": str(memory.file), "changes": memory.changes, "port": memory.port}
    write_text(path, json.dumps(content, indent=2) + "\n")


def _together(earlier: Memory, later: Memory) -> Memory:
    changes = {change.name: change for change in earlier.changes}
    for change in later.changes:
        first = changes.get(change.name)
        changes[change.name] = change._replace(before=first.before if first else change.before)
    port = later.port or earlier.port
    if earlier.port and later.port:
        port = (earlier.port[0], later.port[1])
    return Memory(later.file, tuple(changes.values()), port)


def removal(memory: Memory, known: Mapping[str, str]) -> tuple[list[Change], list[str]]:
    """The changes that bring back what was there before, and the names of variables that somebody has changed since."""
    restored = [
        Change(name, after, before) for name, before, after in memory.changes if known.get(name) == after != before
    ]
    return restored, [name for name, before, after in memory.changes if known.get(name) not in (after, before)]


def shown(changes: Sequence[Change]) -> list[str]:
    """Changes for people, a line each; secrets are hidden."""
    return [_shown(change) for change in changes]


def _shown(change: Change) -> str:
    before, after = (value if value is None or not change.is_secret else "***" for value in change[1:])
    if after is None:
        return f"- {change.name}={before}"
    return f"+ {change.name}={after}" + (f"  (was {before})" if before is not None else "")
