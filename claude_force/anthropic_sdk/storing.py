"""Stores the calls that a program keeps, about a second later, in a thread of its own.

What it does not store stays in the spool: the next report, `claude-force ingest` or the scheduler reads it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

logger = logging.getLogger("claude_force")

EVERY_S = 1.0
"""Calls wait for others, so that one transaction stores them all."""

EXIT_S = 1.0
"""How long a program that ends waits at most for its last calls to be stored."""

_BACKOFF, _LONGEST_S = 10, 60.0
"""After a failure the database is not tried again for this many times its duration, within these seconds."""


class Storing:
    """Calls `store` in a thread, about a second after `wake`; it may raise anything."""

    def __init__(self, store: Callable[[], None]) -> None:
        self._store = store
        self._has_warned = False
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._wanted, self._ending, self._ended = threading.Event(), threading.Event(), threading.Event()

    def wake(self) -> None:
        """Have the calls stored soon."""
        self._wanted.set()
        if self._thread is None and self._starting.acquire(blocking=False):
            thread = threading.Thread(target=self._run, name="claude-force", daemon=True)
            with suppress(RuntimeError):  # no more threads, or the interpreter ends
                thread.start()
                self._thread = thread
            self._starting.release()

    def _run(self) -> None:
        while not self._ending.is_set():
            self._wanted.wait()
            self._ending.wait(EVERY_S)
            self._wanted.clear()
            delay_s = self._pass()
            if delay_s:
                self._wanted.set()
                self._ending.wait(delay_s)
        self._ended.set()

    def _pass(self) -> float:
        """Store once; returns for how long not to try again, in seconds."""
        started_s = time.monotonic()
        try:
            self._store()
        except Exception as error:  # the program goes on, whatever happens here
            if not self._has_warned:
                self._has_warned = True
                logger.warning("%s; calls of the Anthropic SDK wait, and are stored later", error)
            return min(_LONGEST_S, EVERY_S + _BACKOFF * (time.monotonic() - started_s))
        self._has_warned = False
        return 0

    def finish(self) -> None:
        """Have the last calls stored, since the program ends, and wait a moment for it."""
        self._ending.set()
        self._wanted.set()
        if self._thread is not None and self._thread.is_alive():
            self._ended.wait(EXIT_S)
