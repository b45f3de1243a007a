"""What every exporter promises, and the result of a push.

An exporter sends what is due to one monitoring system. It holds no transaction while it talks to the network, so a slow
or absent receiver delays no recording. What the receiver did not take is due again at the next push.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

from claude_force.clock import Now
from claude_force.database.contract import Database, Progress
from claude_force.errors import ClaudeForceError, MissingExtra


class PushError(ClaudeForceError):
    """The receiver did not take what was sent. The message is one line without secrets; a retry sends it again."""


class PushResult(NamedTuple):
    """What one push did.

    `message` is a short summary, `destination` the receiver's address without secrets, `counts` the numbers by name,
    and `remarks` the warnings for the user, one line each.
    """

    message: str
    destination: str
    counts: Mapping[str, int]
    remarks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The result as `--json` prints it."""
        return {"destination": self.destination, **self.counts, "remarks": list(self.remarks)}


class Exporter(Protocol):
    """Pushes to one monitoring system."""

    def push(self, database: Database, now: Now, progress: Progress | None = None) -> PushResult:
        """Send what is due.

        Raises PushError if the receiver does not take it, DatabaseError if the database cannot be read, and
        MissingExtra if an optional library is not installed.
        """


def require(module: str, extra: str) -> None:
    """Raise MissingExtra, with the line that installs the extra, if its module cannot be imported."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        # find_spec raises this if a parent package is missing.
        found = None
    if found is None:
        raise MissingExtra(f"{module} is not installed: pip install 'claude-force[{extra}]'")
