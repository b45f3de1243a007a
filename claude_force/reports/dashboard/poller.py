"""A thread that reads the figures, so that keys are answered while a database does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable

from claude_force.database.contract import Database
from claude_force.errors import ClaudeForceError, DatabaseMissing
from claude_force.reports.dashboard.snapshot import Figures, Span, read_figures


class Poller:
    """Reads a database every so often, and at once when asked to; `tell` is called after each time.

    `figures` are the last that could be read, `problem` why the last attempt failed (None: it did not), and `failure`
    an error that nobody foresaw, with which the thread has ended."""

    def __init__(self, database: Database, span: Span, refresh_s: float, clock: Callable[[], int]) -> None:
        self.figures: Figures | None = None
        self.problem: str | None = None
        self.failure: Exception | None = None
        self._database, self._span, self._refresh_s, self._clock = database, span, refresh_s, clock
        self._asked = threading.Event()
        self._is_over = False

    def start(self, tell: Callable[[], None]) -> None:
        """Begin. The thread does not keep the program from ending: a server may be silent for long."""
        threading.Thread(target=self._run, args=(tell,), daemon=True).start()

    def ask(self, span: Span) -> None:
        """Read now, and from now on what is of this span."""
        self._span = span
        self._asked.set()

    def stop(self) -> None:
        """Read no more."""
        self._is_over = True
        self._asked.set()

    def _run(self, tell: Callable[[], None]) -> None:
        try:
            while not self._is_over:
                self._read()
                tell()
                self._asked.wait(self._refresh_s)
                self._asked.clear()
        except Exception as error:  # told by the thread that has the terminal
            self.failure = error
            tell()
        finally:
            self._database.close()

    def _read(self) -> None:
        try:
            found = read_figures(self._database, self._span, self._clock())
            if not found.reach and self.figures and self.figures.reach and not self._database.exists():
                # What is not there reads as empty, which it was not.
                raise DatabaseMissing(f"no database at {self._database.name} any more; bring it back, and this goes on")
            self.figures, self.problem = found, None
        except ClaudeForceError as error:
            self.problem = str(error)
