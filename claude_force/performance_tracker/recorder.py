"""Stores records without failing its caller and without losing one.

| a record goes to | if |
|---|---|
| the database | it takes it |
| the spool file | the database does not: it is locked, full, outdated or unreachable |
| memory | the spool file cannot be written either; the next call tries again |

A failure is warned about once. Spooled records are brought in by the next recorder that finds the database working, or
by `claude-force import`.
"""

from __future__ import annotations

import atexit
import functools
import logging
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from claude_force.clock import now_us
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.writes import Store
from claude_force.errors import ClaudeForceError, SettingsError
from claude_force.executions.record import ExecutionMetrics
from claude_force.ingest import spool
from claude_force.ingest.rejects import RejectLog
from claude_force.performance_tracker.labels import TrackerLabel

logger = logging.getLogger("claude_force")
# Without a handler of the host, only the first warning is printed.
logger.addHandler(logging.NullHandler())

_BACKOFF = 10
"""After a slow failure the database is not tried again for this many times the duration of the failure."""

_SLOW_S = 1.0

_DRAIN_EVERY_S = 30.0
"""How often a working recorder looks for records that others have spooled."""


class Recorder:
    """Stores the records of one tracker; may be shared by threads.

    `location` is a path or URL. While there is a `settings_error`, it is not known, and nothing is opened. Records are
    appended to the first of `spool_files` that can be written. `other_spools` are only read.
    """

    def __init__(
        self,
        location: str,
        settings_error: SettingsError | None,
        spool_files: Sequence[Path],
        other_spools: Sequence[Path],
        rejected_file: Path,
        label: TrackerLabel | None = None,
    ) -> None:
        self._location = location
        self._settings_error = settings_error
        self._spool_files = spool_files
        self._all_spools = (*spool_files, *other_spools)
        self._rejected_file = rejected_file
        self._label = label
        self._in_memory: deque[ExecutionMetrics] = deque()
        self._draining = threading.Lock()
        self._has_warned = False
        self._last_error: Exception | None = None
        self._retry_at_s = 0.0
        self._drain_at_s = 0.0
        self._closes_at_exit = False

    @functools.cached_property
    def database(self) -> Database:
        """The database, opened at the first use. Raises ClaudeForceError."""
        if self._settings_error:
            raise self._settings_error
        return open_database(self._location)

    @functools.cached_property
    def store(self) -> Store:
        """The store of the database. Raises ClaudeForceError."""
        return Store(self.database)

    def record(self, records: Sequence[ExecutionMetrics], *, is_new: bool = False) -> None:
        """Store records in one transaction, or keep them for later. Raises nothing. `is_new`: it is one record, and its
        uid was just made."""
        started_s = time.monotonic()
        if started_s < self._retry_at_s:
            self._spool(records)
            return
        try:
            if is_new:
                self.store.add_new(*records)
            else:
                self.store.add(records)
        except ClaudeForceError as error:
            self._last_error = error
            elapsed_s = time.monotonic() - started_s
            if elapsed_s > _SLOW_S:
                # It would delay every call of the host.
                self._retry_at_s = time.monotonic() + _BACKOFF * elapsed_s
            self._spool(records)
            return
        if self._label is not None:
            self._label.keep(self.database)
        if self._in_memory or started_s >= self._drain_at_s:
            self._drain()

    def close(self) -> None:
        """Store or spool the records in memory, and close the database. The recorder can be used again."""
        self._retry_at_s = 0.0
        with self._draining:
            waiting = [self._in_memory.popleft() for _ in range(len(self._in_memory))]
        if waiting:
            self.record(waiting)
        if self._in_memory:
            logger.error("%d executions could not be stored anywhere", len(self._in_memory))
        if "database" in self.__dict__:
            self.database.close()

    def warn(self, message: str) -> None:
        """Warn the first time, and log afterwards: a host that records in a loop must not be flooded."""
        is_first, self._has_warned = not self._has_warned, True
        if is_first:
            _warn_caller(message)
        else:
            logger.warning(message)

    def _spool(self, records: Sequence[ExecutionMetrics]) -> None:
        if self._label is not None:
            self._label.keep(None)
        try:
            path = spool.append(records, self._spool_files)
        except OSError as error:
            if not self._closes_at_exit:
                self._closes_at_exit = True
                atexit.register(self.close)
            self._in_memory.extend(records)
            self.warn(f"{self._last_error}; the spool cannot be written ({error}): executions are kept in memory")
        else:
            self.warn(f"{self._last_error}; executions wait in {path} and are stored later (now: claude-force import)")
        self._drain_at_s = 0.0

    def _drain(self) -> None:
        """Store the records in memory and in the spool files."""
        if not self._draining.acquire(blocking=False):
            return
        # Set first: a record that is spooled in the meantime resets it, and is found by the next call.
        self._drain_at_s = time.monotonic() + _DRAIN_EVERY_S
        try:
            for _ in range(len(self._in_memory)):
                metrics = self._in_memory.popleft()
                try:
                    self.store.add([metrics])
                except ClaudeForceError:
                    self._in_memory.appendleft(metrics)
                    raise
            spool.drain(self._all_spools, self.store, RejectLog(self._rejected_file), now_us())
            self._has_warned = False
        except (ClaudeForceError, OSError) as error:
            self._drain_at_s = 0.0
            logger.debug("spooled executions were not stored: %s", error)
        finally:
            self._draining.release()


def _warn_caller(message: str) -> None:
    """Warn at the line of the host that called claude-force. If the host turns warnings into errors, log instead."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("claude_force."):
        frame, level = frame.f_back, level + 1
    try:
        warnings.warn(message, RuntimeWarning, stacklevel=level)
    except RuntimeWarning:
        logger.warning(message)
