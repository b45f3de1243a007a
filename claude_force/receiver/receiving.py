"""The receiver as a whole: the server puts what it gets into the spool, and a thread stores the spool every second.

The two do not wait for each other: while the database is locked, the spool grows and clients get their answers.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from claude_force.errors import ClaudeForceError, ReceiverError
from claude_force.executions.signals import ModelRequest, Outcome, Signal
from claude_force.ingest.telemetry.segments import sealed_segments
from claude_force.ingest.telemetry.spool import TelemetrySpool
from claude_force.receiver.decode import Kind, decode_export
from claude_force.receiver.server import Endpoint, ReceiverServer, logger
from claude_force.receiver.team import Deliver
from claude_force.text import for_terminal

STORE_EVERY_S = 1.0
"""How often what was received is stored."""

_PATIENCE_S = 3.0
"""How long the end waits for the database. What is not stored by then stays in the spool."""

Store = Callable[[], object]
"""Stores all sealed segments. Raises ClaudeForceError if that is not possible now."""


class Received:
    """What a receiver took since it began: the numbers of signals by kind, counted over all its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: Counter[type[Signal]] = Counter()
        self.requests = 0

    def add(self, signals: Sequence[Signal]) -> None:
        """Count what one request held."""
        with self._lock:
            self.requests += 1
            self._numbers.update(map(type, signals))

    @property
    def model_requests(self) -> int:
        """Model requests, and failures of them."""
        return self._numbers[ModelRequest]

    @property
    def outcomes(self) -> int:
        """Outcomes: lines, commits, tool calls and so on."""
        return self._numbers[Outcome]


class Receiver:
    """A server and the thread that stores. `folders` are those of the spool: the first is written to, all are
    stored. `user_attribute` is the attribute that says who the user is (see `decode_export`). `deliver` stores
    deliveries; without it there are none. Raises ReceiverError if the port cannot be had."""

    def __init__(
        self,
        endpoint: Endpoint,
        folders: Sequence[Path],
        store: Store,
        user_attribute: str | None = None,
        deliver: Deliver | None = None,
    ) -> None:
        self.received = Received()
        self._folders = folders
        self._spool = TelemetrySpool(folders[0])
        self._store = store
        self._user_attribute = user_attribute
        self._problem: str | None = None
        self._end = threading.Event()
        try:
            self.server = ReceiverServer(endpoint, self._take, deliver)
        except OSError as error:
            raise ReceiverError(f"port {endpoint.port} of {endpoint.address}: {error.strerror}") from None
        # Not waited for at the end of the process: what it does not finish, the next pass does.
        self._thread = threading.Thread(target=self._store_until_end, name="telemetry", daemon=True)

    def start(self) -> None:
        """Receive and store, in threads."""
        self.server.start()
        self._thread.start()

    def close(self) -> None:
        """Answer who was sending, and store what came, if the database does not keep it waiting."""
        self.server.close()
        self._end.set()
        self._thread.join(_PATIENCE_S)

    def seal(self) -> None:
        """Let what was received so far be stored, by this process or another."""
        self._spool.seal()

    def _take(self, kind: Kind, content_type: str, body: bytes) -> None:
        signals = decode_export(kind, content_type, body, self._user_attribute)
        self._spool.append(signals)
        self.received.add(signals)

    def _store_until_end(self) -> None:
        is_over = False
        while not is_over:
            is_over = self._end.wait(STORE_EVERY_S)
            self.seal()
            self._report(self._store_waiting())

    def _store_waiting(self) -> str | None:
        """Store what waits. Returns the problem; whatever it is, the next second tries again."""
        try:
            if any(map(sealed_segments, self._folders)):
                self._store()
        except (ClaudeForceError, OSError) as error:
            return str(error)
        except Exception as error:
            if self._problem is None:
                logger.exception("what was received could not be stored")
            return f"unexpected: {type(error).__name__}: {error}"
        return None

    def _report(self, problem: str | None) -> None:
        """Log a problem when it begins and when it is over."""
        if problem is not None and self._problem is None:
            logger.warning("what was received waits in the spool: %s", for_terminal(problem))
        elif problem is None and self._problem is not None:
            logger.info("the spool is stored again")
        self._problem = problem


@contextmanager
def receiving(
    endpoint: Endpoint,
    folders: Sequence[Path],
    store: Store,
    user_attribute: str | None = None,
    deliver: Deliver | None = None,
) -> Iterator[Receiver]:
    """Receive within the block. The arguments are those of Receiver. Raises ReceiverError if the port cannot be had."""
    receiver = Receiver(endpoint, folders, store, user_attribute, deliver)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.close()
