"""What leaves the machine: the names of projects, the hashes of tasks, the machine's own name and its user's.

| `projects` | an execution in `/home/ana/shop` is sent with |
|---|---|
| `"names"` | `/home/ana/shop` |
| `"hashed"` | `project-6c1f0a92d3b4`, the same on every machine with that path |
| `{"/home/ana/shop": "shop"}` | `shop`; projects that are not listed are hashed |

The same project always gets the same name, so what is sent again is known again. A hash is no secret: who guesses the
path can compute it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal

from claude_force.database.contract import Row
from claude_force.database.merge.delivery import Delivery
from claude_force.database.merge.tables import TABLES
from claude_force.executions.record import ExecutionRow, columns

NAMES, HASHED = "names", "hashed"

Projects = Literal["names", "hashed"] | Mapping[str, str]

_PROJECT, _TASK, _HOST, _USER = columns("project", "task_hash", "host", "user_name")
_HASH_BYTES = 6


@dataclass(slots=True)
class Disclosure:
    """How executions and rows are changed before they are sent. `repositories` are those of folders; `host` is the name
    of this machine and `user` that of its user, for executions that name none."""

    projects: Projects = "names"
    has_task_hash: bool = True
    host: str | None = None
    user: str | None = None
    repositories: Mapping[str, str] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict, init=False)

    def delivery(self, found: Delivery) -> Delivery:
        """A delivery as it may leave the machine."""
        sightings = {
            uid: {source: seen._replace(row=self._seen(seen.row)) for source, seen in by_source.items()}
            for uid, by_source in found.sightings.items()
        }
        return found._replace(rows=self.rows(found.rows), sightings=sightings)

    def rows(self, rows: Sequence[ExecutionRow]) -> list[ExecutionRow]:
        """Executions as they may leave the machine."""
        return [self._sent(row) for row in rows]

    def _sent(self, row: ExecutionRow) -> ExecutionRow:
        sent = list(row)
        if sent[_HOST] is None:
            sent[_HOST] = self.host
        if sent[_USER] is None:
            sent[_USER] = self.user
        self._hide(sent)
        return tuple(sent)

    def _seen(self, row: ExecutionRow) -> ExecutionRow:
        seen = list(row)
        self._hide(seen)
        return tuple(seen)

    def _hide(self, row: list[Any]) -> None:
        if self.projects != NAMES and row[_PROJECT]:
            row[_PROJECT] = self.project(row[_PROJECT])
        if not self.has_task_hash:
            row[_TASK] = None

    def table(self, name: str, rows: Sequence[Row]) -> Sequence[Row]:
        """Rows of another table as they may leave the machine."""
        if self.projects == NAMES or "project" not in TABLES[name].columns:
            return rows
        if name == "projects":
            # They would name what is hidden; executions have the name of their repository already.
            return []
        place = TABLES[name].columns.index("project")
        return [(*row[:place], row[place] and self.project(row[place]), *row[place + 1 :]) for row in rows]

    def project(self, folder: str) -> str:
        """The name under which a project is sent."""
        if self.projects == NAMES:
            return folder
        if folder not in self._known:
            project = self.repositories.get(folder) or folder
            mapped = self.projects if isinstance(self.projects, Mapping) else {}
            self._known[folder] = mapped.get(project) or mapped.get(folder) or _hash(project)
        return self._known[folder]


def _hash(project: str) -> str:
    digest = blake2b(project.encode("utf-8", "backslashreplace"), digest_size=_HASH_BYTES, person=b"project")
    return f"project-{digest.hexdigest()}"
