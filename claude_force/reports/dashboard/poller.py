"""Reads the database in a thread, so that the dashboard answers keys while the database is busy."""

from __future__ import annotations

import threading
from collections.abc import Callable

from claude_force.alerts.configured import ConfiguredRules
from claude_force.database.contract import Database
from claude_force.errors import ClaudeForceError, DatabaseMissing
from claude_force.ingest.freshness import Freshness
from claude_force.reports.dashboard.snapshot import DashboardSnapshot, Span, read_snapshot


class Poller:
    """Reads a snapshot every `refresh_s` seconds, and at once on `request`. Calls `notify` after each attempt.
    `freshen` reads what is new, before each.

    `rules` are the rules that are on at the moment, see `firing_alerts`.

    - `snapshot`: the last one that could be read, or None.
    - `problem`: why the last attempt failed, or None if it succeeded.
    - `failure`: an unexpected error. It has ended the thread; the main thread raises it.
    """

    def __init__(
        self,
        database: Database,
        span: Span,
        refresh_s: float,
        clock: Callable[[], int],
        freshen: Callable[[int], Freshness] = Freshness,
        rules: Callable[[], ConfiguredRules | None] = lambda: None,
    ) -> None:
        self.snapshot: DashboardSnapshot | None = None
        self.problem: str | None = None
        self.failure: Exception | None = None
        self._database, self._span, self._refresh_s, self._clock = database, span, refresh_s, clock
        self._freshen, self._rules = freshen, rules
        self._wakeup = threading.Event()
        self._is_stopped = False

    def start(self, notify: Callable[[], None]) -> None:
        """Start the thread. A server that does not answer cannot keep the program from ending."""
        threading.Thread(target=self._run, args=(notify,), daemon=True).start()

    def request(self, span: Span) -> None:
        """Read a snapshot now, and use this span from now on."""
        self._span = span
        self._wakeup.set()

    def stop(self) -> None:
        """End the thread after its current read."""
        self._is_stopped = True
        self._wakeup.set()

    def _run(self, notify: Callable[[], None]) -> None:
        try:
            while not self._is_stopped:
                self._read()
                notify()
                self._wakeup.wait(self._refresh_s)
                self._wakeup.clear()
        except Exception as error:  # the main thread raises it
            self.failure = error
            notify()
        finally:
            self._database.close()

    def _read(self) -> None:
        try:
            now_us = self._clock()
            found = read_snapshot(self._database, self._span, now_us, self._freshen(now_us), self._rules())
            had_executions = self.snapshot is not None and self.snapshot.stored_range is not None
            if had_executions and not found.stored_range and not self._database.exists():
                # A missing database reads as empty.
                raise DatabaseMissing(f"the database {self._database.name} is gone; the dashboard waits for its return")
            self.snapshot, self.problem = found, None
        except ClaudeForceError as error:
            self.problem = str(error)
