"""What a push to a monitoring system is, and what comes of it.

A target takes what is due and says in counts what it did. It holds no transaction while it talks, so that one that is
slow or away delays no recording; what it did not take is due again at the next push.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

from claude_force.clock import Now
from claude_force.database.contract import Database, Progress
from claude_force.errors import ClaudeForceError, MissingExtra


class PushError(ClaudeForceError):
    """A target did not take what was sent. One line without a secret; what was not taken is due again."""


class Pushed(NamedTuple):
    """What a push did. `said` is it in a few words, `destination` where it went as it may be shown, `counts` how much
    by name, `remarks` what a person should hear about, a line each."""

    said: str
    destination: str
    counts: Mapping[str, int]
    remarks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"destination": self.destination, **self.counts, "remarks": list(self.remarks)}


class Target(Protocol):
    """Where figures are pushed."""

    def push(self, database: Database, now: Now, progress: Progress | None = None) -> Pushed:
        """Send what is due. Raises PushError where the target does not take it, DatabaseError, and MissingExtra where
        the library that talks to it is not installed."""


def require(module: str, extra: str) -> None:
    """Raise MissingExtra, with the line that installs it, where the library of an extra is not there."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        # Of a package inside one that is not there.
        found = None
    if found is None:
        raise MissingExtra(f"{module} is not installed: pip install 'claude-force[{extra}]'")
