"""The data of the benchmarks: histories and databases in a folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Container
from dataclasses import dataclass, field
from datetime import date
from functools import cache, cached_property
from pathlib import Path

from benchmarks.common import HERE, PROGRAM, ROOT, Failed, Usage, run, say


@cache
def fingerprint() -> str:
    """A hash of the program's source."""
    found = hashlib.sha256()
    files = (path for top in ("claude_force", "migrations") for path in (ROOT / top).rglob("*"))
    for path in sorted(path for path in files if path.suffix in {".py", ".sql"}):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


@dataclass
class Workspace:
    """The folder with what the benchmarks read: made when it is missing, else taken as it is.

    Of each count there is one JSONL file (with its seed and end date in its name) and one database (with a fingerprint
    of the program's source too, so that no other version's is read).
    """

    folder: Path
    seed: int
    end: date
    _failed: dict[int, Failed] = field(default_factory=dict)

    @cached_property
    def home(self) -> Path:
        """A home folder with an empty `.claude`. The processes run in it and see no other settings."""
        home = self.folder / "home"
        shutil.rmtree(home, ignore_errors=True)
        (home / ".claude").mkdir(parents=True)
        return home

    def run(self, *command: str | Path, zone: str = "UTC", statuses: Container[int] = (0,)) -> Usage:
        """Run a command in the home folder, with `zone` as local time. Raises Failed if it ends with another status."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLAUDE_FORCE_", "XDG_"))}
        # As for users: compiled code is cached.
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        return run(command, self.home, kept | {"HOME": str(self.home), "TZ": zone}, statuses)

    def program(self, *arguments: str | Path, zone: str = "UTC", statuses: Container[int] = (0,)) -> Usage:
        """Run claude-force."""
        return self.run(PROGRAM, *arguments, zone=zone, statuses=statuses)

    def floor(self, *arguments: str | Path) -> Usage:
        """Run a sub-command of `floor.py`."""
        return self.run(sys.executable, HERE / "floor.py", *arguments)

    def lines(self, count: int) -> Path:
        """A history of `count` lines."""
        path = self.folder / f"executions-{count}-{self.seed}-{self.end}.jsonl"
        if not path.exists():
            self._remove_others(f"executions-{count}-")
            say(f"  generating {count:,} lines")
            options = ("--seed", str(self.seed), "--end", str(self.end))
            self.run(sys.executable, HERE / "generate.py", str(count), path, *options)
        return path

    def database(self, count: int) -> Path:
        """The database with `lines(count)`, imported by the program."""
        path = self._database_folder(count) / "metrics.db"
        if count in self._failed:
            raise self._failed[count]
        if not path.exists():
            say(f"  importing {count:,} lines")
            self.import_lines(count)
        return path

    def import_lines(self, count: int) -> Usage:
        """Import into a new database, which then is `database(count)`. Raises Failed when a line is not in it, and
        `database(count)` does from then on."""
        lines = self.lines(count)
        self._remove_others(f"database-{count}-")
        part = self.folder / f"database-{count}-part"
        part.mkdir()
        try:
            usage = self.program("import", lines, "--timezone", "UTC", "--json", "--db", part / "metrics.db")
            added = json.loads(usage.output)["added"]
            if added != count:
                raise Failed(f"import added {added:,} of {count:,} lines")
        except Failed as error:
            self._failed[count] = error
            raise
        part.rename(self._database_folder(count))
        return usage

    def _database_folder(self, count: int) -> Path:
        return self.folder / f"database-{count}-{self.seed}-{self.end}-{fingerprint()}"

    def _remove_others(self, prefix: str) -> None:
        """Remove the files of an earlier day, another version or an interrupted run, which are large."""
        for path in self.folder.glob(f"{prefix}*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
