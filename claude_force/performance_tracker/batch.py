"""Records of a batch wait in memory, and are stored many at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import repeat

from claude_force.executions.record import ExecutionMetrics

RECORDS_AT_ONCE = 500
"""With so many waiting records, they are stored."""

Keep = Callable[[Sequence[ExecutionMetrics]], None]
"""What stores records, or keeps them for later. It raises nothing."""

LONGEST_WAIT_S = 1.0
"""A record that finds one waiting for so long has all of them stored."""


class Batch:
    """Hands the records to `store` many at once. May be shared by threads; a fork has its own copy of what waits, and
    storing the same records twice changes nothing."""

    def __init__(self, store: Keep) -> None:
        self._store = store
        # Without a lock, which a fork could leave locked for ever.
        self._waiting: deque[ExecutionMetrics] = deque()
        self._first_s = 0.0
        self._is_over = False

    def add(self, records: Sequence[ExecutionMetrics]) -> None:
        """Keep records, and store all that wait when they are many or old."""
        now_s = time.monotonic()
        if not self._waiting:
            self._first_s = now_s
        self._waiting.extend(records)
        if self._is_over or len(self._waiting) >= RECORDS_AT_ONCE or now_s - self._first_s >= LONGEST_WAIT_S:
            self.flush()

    def end(self) -> None:
        """Store what waits. A thread or a task that goes on finds each of its records stored at once."""
        self._is_over = True
        self.flush()

    def flush(self) -> None:
        """Store what waits. An interrupt loses nothing: the records wait again."""
        taken: list[ExecutionMetrics] = []
        try:
            # Another thread may take some of it. In one call, so that no interrupt can come between two.
            with suppress(IndexError):
                taken.extend(map(deque.popleft, repeat(self._waiting, len(self._waiting))))
            if taken:
                self._store(taken)
        except BaseException:
            self._waiting.extendleft(reversed(taken))
            raise
