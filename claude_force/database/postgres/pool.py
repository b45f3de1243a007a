"""Connections of one process to a server, kept open for the next transaction."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from claude_force.database.postgres.values import Raw, connect

_KEPT = 5
"""How many idle connections are kept. More than that are open only while as many threads use them."""

_foreign: list[Raw] = []
"""Connections that a parent process has opened. They are never closed here: that would end the parent's sessions."""


class Pool:
    """Connections by the options of libpq. Safe to share between threads, and usable after a fork."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._idle: list[Raw] = []
        self._generation = 0
        self._pid = os.getpid()

    def take(self) -> tuple[Raw, int]:
        """A connection that works, outside of a transaction, and what `give` wants to know. Raises psycopg.Error."""
        with self._lock:
            if self._pid != os.getpid():
                _foreign.extend(self._idle)
                self._idle, self._pid = [], os.getpid()
                self._generation += 1
            generation = self._generation
            idle = self._idle.pop() if self._idle else None
        while idle is not None and not works(idle):
            idle.close()
            with self._lock:
                idle = self._idle.pop() if self._idle else None
        return idle or connect(self._options), generation

    def give(self, raw: Raw, generation: int) -> None:
        """Give a connection back. One that is in a transaction, broken, or from before `close` is closed."""
        is_reusable = not raw.closed and raw.info.transaction_status == TransactionStatus.IDLE
        with self._lock:
            if self._pid != os.getpid():
                _foreign.append(raw)
                return
            if is_reusable and generation == self._generation and len(self._idle) < _KEPT:
                self._idle.append(raw)
                return
        raw.close()

    def close(self) -> None:
        """Close all idle connections; those in use are closed when they are given back."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._generation += 1
            if self._pid != os.getpid():
                _foreign.extend(idle)
                return
        for raw in idle:
            raw.close()


def works(raw: Raw) -> bool:
    """Whether the server has not ended a connection that waits for no answer: it would have said so, and says nothing
    else. Nothing is sent."""
    poll = select.poll()
    try:
        poll.register(raw.fileno(), select.POLLIN)
        return not poll.poll(0)
    except psycopg.Error:
        return False
