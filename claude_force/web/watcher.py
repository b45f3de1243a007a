"""Looks for what is new: in the files of this machine, and in the database."""

from __future__ import annotations

from collections.abc import Callable

from claude_force import clock
from claude_force.database.workspace import Workspace
from claude_force.ingest.freshness import Freshness, bring_up_to_date, stored_freshness
from claude_force.ingest.sources import usual_sources

_BUDGET_S = 2.0
"""How long one look reads what is new. It goes on with the next one."""


class Watcher:
    """One look at a time, at the sources and the database of a workspace. `is_reading` is false with `--no-ingest`."""

    def __init__(self, workspace: Workspace, now_us: Callable[[], int], *, is_reading: bool) -> None:
        self._workspace, self._now_us, self._is_reading = workspace, now_us, is_reading
        self._found: Freshness | None = None
        self._files: object = None
        self._mark: object = None

    def freshness(self, now_us: int) -> Freshness:
        """How old an answer at this instant is, as the last look found."""
        return Freshness(now_us) if self._found is None else self._found._replace(as_of_us=now_us)

    def look(self) -> bool:
        """Read what is new; returns whether the store changed since the last look. What goes wrong is a problem of the
        answers, and the next look tries again."""
        try:
            return self._look()
        except Exception as error:  # the pages say it, and the watcher goes on
            before = self._found
            self._found = Freshness(self._now_us(), problems=(" ".join(f"{error}".split()) or type(error).__name__,))
            return before is None or before.problems != self._found.problems

    def _look(self) -> bool:
        workspace, now_us, before = self._workspace, self._now_us(), self._found
        if not self._is_reading:
            self._found = stored_freshness(workspace, now_us)
        elif self._has_new_files(workspace):
            self._found = bring_up_to_date(workspace, now_us, clock.deadline(_BUDGET_S), max_age_us=-1)
        elif before is not None:
            # Nothing has changed since: what was read is up to date as of now.
            self._found = before._replace(as_of_us=now_us, read_us=before.read_us and now_us)
        mark = workspace.database.change_mark()
        is_new = mark != self._mark
        self._mark = mark
        return is_new or before is None or before[2:] != (self._found or before)[2:]

    def _has_new_files(self, workspace: Workspace) -> bool:
        """Whether something changed since it was last asked, or is left to read."""
        sources = usual_sources(workspace, lambda _path, _problem: None)
        files = frozenset(sources.files())
        is_changed = files != self._files
        self._files = files
        return is_changed or sources.has_waiting() or bool(self._found is None or self._found.unread_files)
