"""The export queue: sends each execution to a receiver once.

| part | holds | order |
|---|---|---|
| queue | executions that were counted after the exporter's first push | by uid |
| backfill | executions that were stored before it | by time, page by page |

A batch is acknowledged after the receiver took it. If a push is killed in between, the next one sends that batch again;
no execution is ever skipped. Only one push for each exporter runs at a time: two would send the same executions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from claude_force.clock import SECOND_US, Now
from claude_force.database.contract import Database
from claude_force.database.queries import Filter, rolled_up_page
from claude_force.database.queries import export_queue as queries
from claude_force.database.rows.exporters import ExporterState
from claude_force.database.writes import export_queue as writes
from claude_force.database.writes.export_queue import Acked
from claude_force.database.writes.rollups import apply_pending
from claude_force.executions.record import PROVISIONAL, ExecutionRow, columns
from claude_force.exporters.base import PushError

HELD_US = 600 * SECOND_US
"""How long an execution with provisional usage waits for its final usage before it is sent."""

_INSTANT, _BASIS = columns("timestamp_us", "usage_basis")


class ExportItem(NamedTuple):
    """An execution to send. `is_new`: the receiver does not have it, unless a push was killed after sending it.
    `has_changed`: it must replace what the receiver may have."""

    row: ExecutionRow
    is_new: bool = True
    has_changed: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent at once.

    `acks` are the queue entries to remove once it is sent, `deleted` the number of queued executions that no longer
    exist. A batch of the backfill also has the position it reaches (`last`) and whether it is the final one
    (`is_last`).
    """

    items: Sequence[ExportItem]
    acks: Sequence[Acked] = ()
    deleted: int = 0
    last: tuple[int, bytes] | None = None
    is_last: bool = False

    @property
    def is_backfill(self) -> bool:
        """Whether it holds executions that were stored before the exporter's first push."""
        return self.last is not None or self.is_last


@dataclass(slots=True)
class ExportQueue:
    """The executions that one exporter still has to send. `deleted` counts those that were deleted while queued."""

    database: Database
    state: ExporterState
    now: Now
    deleted: int = field(default=0, init=False)

    def batches(self, size: int) -> Iterator[Batch]:
        """What is due, in batches of at most `size`. Call `ack` for each, in order; the next may be taken before."""
        yield from self._queued(size)
        if self.state.is_backfilling:
            yield from self._backfill(size)

    def _queued(self, size: int) -> Iterator[Batch]:
        after: bytes | None = None
        while True:
            with self.database.read() as connection:
                found = queries.queued_page(connection, self.state.kind, after, size)
            if not found:
                return
            after = found[-1].uid
            due = [
                entry for entry in found if not self._is_held(entry.row) and not self._is_left_to_backfill(entry.row)
            ]
            items = [
                ExportItem(entry.row, not entry.is_sent, entry.is_sent or entry.changes > 0)
                for entry in due
                if entry.row is not None
            ]
            if due:
                yield Batch(items, _acks(due), len(due) - len(items))

    def _is_held(self, row: ExecutionRow | None) -> bool:
        """Whether its usage may still become final. A timestamp far in the future holds nothing back."""
        return row is not None and row[_BASIS] == PROVISIONAL and abs(self.now() - row[_INSTANT]) < HELD_US

    def _is_left_to_backfill(self, row: ExecutionRow | None) -> bool:
        """Whether the backfill has yet to reach this execution, and will send it then."""
        at_us, uid = self.state.backfilled_us, self.state.backfilled_uid
        if row is None or not self.state.is_backfilling:
            return False
        return at_us is None or uid is None or (row[_INSTANT], row[0]) > (at_us, uid)

    def _backfill(self, size: int) -> Iterator[Batch]:
        position = (self.state.backfilled_us, self.state.backfilled_uid)
        while True:
            with self.database.read() as connection:
                # Uncounted executions are left out: they enter the queue when they are counted, which tracks changes.
                rows = rolled_up_page(connection, Filter(), self._page_start(position), size)
                # Executions that were stored since the first push are queued too: sent here, removed from the queue.
                queued = queries.queued_among(connection, self.state.kind, [row[0] for row in rows])
            is_last = len(rows) < size
            last = (rows[-1][_INSTANT], rows[-1][0]) if rows else None
            changed = {entry.uid for entry in queued if entry.is_sent or entry.changes}
            items = [ExportItem(row, has_changed=row[0] in changed) for row in rows]
            yield Batch(items, _acks(queued), last=last, is_last=is_last)
            if is_last:
                return
            assert last is not None
            position = last

    def _page_start(self, position: tuple[int | None, bytes | None]) -> ExecutionRow | None:
        """A position as the first columns of the row after which a page starts."""
        at_us, uid = position
        return None if uid is None else (uid, at_us)

    def ack(self, batch: Batch, kept: Collection[bytes] = (), rejected: int = 0) -> None:
        """Record that the receiver has a batch, except for the executions `kept` (uids) for the next push and the
        `rejected` ones, which it will never take."""
        kind, database = self.state.kind, self.database
        with database.write() as connection:
            connection.lock_rollups()
            writes.ack(connection, kind, [entry for entry in batch.acks if entry.uid not in kept])
            if batch.is_backfill:
                # The backfill does not return to these, so they wait in the queue.
                writes.requeue(connection, kind, list(kept))
                writes.record_backfill(connection, kind, None if batch.is_last else batch.last)
            writes.record_push(connection, kind, len(batch.items) - len(kept) - rejected)
        self.deleted += batch.deleted

    def finish(self) -> None:
        """Record that everything that was due has been sent."""
        with self.database.write() as connection:
            writes.record_push(connection, self.state.kind, 0, self.now())


def _acks(entries: Sequence[queries.QueueEntry]) -> list[Acked]:
    return [Acked(entry.uid, entry.changes) for entry in entries]


@contextmanager
def open_queue(
    database: Database, kind: str, destination: str, now: Now, since_us: int | None
) -> Iterator[ExportQueue]:
    """The queue of an exporter, held for the only push to it.

    An exporter that is new, or has a new destination, starts with the executions since `since_us`; None sends all of
    them. Raises PushError if another push is running.
    """
    with database.try_exclusive(_role(kind)) as is_exclusive:
        if not is_exclusive:
            raise PushError(f"another push to {kind} is running; nothing was sent")
        with database.write() as connection:
            connection.lock_rollups()
            apply_pending(connection)
            state = queries.exporter(connection, kind)
            if state is None or state.destination != destination:
                writes.register(connection, kind, destination, now(), since_us)
                state = queries.exporter(connection, kind)
        assert state is not None
        yield ExportQueue(database, state, now)


def count_due(database: Database, kind: str, destination: str, since_us: int | None) -> int:
    """How many executions a push would find due, given the arguments of `open_queue`. Changes nothing."""
    with database.read() as connection:
        state = queries.exporter(connection, kind)
        if state is None or state.destination != destination:
            return queries.count_since(connection, since_us)
        return queries.count_due(connection, state)


def forget(database: Database, kind: str) -> bool:
    """Delete the state and the queue of an exporter, so that its next push starts from the beginning. Returns whether
    there was any. Raises PushError if a push is running: it would leave queue entries that nobody removes."""
    with database.try_exclusive(_role(kind)) as is_exclusive:
        if not is_exclusive:
            raise PushError(f"a push to {kind} is running; nothing was forgotten, try again when it has ended")
        with database.write() as connection:
            connection.lock_rollups()
            return writes.forget(connection, kind) > 0


def _role(kind: str) -> str:
    """The name of the lock that a push holds."""
    return f"push-{kind}"
