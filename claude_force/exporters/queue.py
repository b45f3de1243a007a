"""What a target gets that gets each execution once: what is new as it comes, and history page by page.

What was sent is noted after the target has taken it: a push that is killed in between sends that batch again, and
nothing is ever left out. One push to a target is at work at a time; two would send the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from claude_force.clock import SECOND_US, Now
from claude_force.database.contract import Database
from claude_force.database.queries import Filter, rolled_up_page
from claude_force.database.queries import export_queue as export_queries
from claude_force.database.rows.exporters import ExporterState
from claude_force.database.writes import export_queue as exporting
from claude_force.database.writes.export_queue import Acked
from claude_force.database.writes.rollups import apply_pending
from claude_force.executions.record import PROVISIONAL, ExecutionRow, columns
from claude_force.exporters.base import PushError

HELD_US = 600 * SECOND_US
"""An execution waits at most so long for its final usage."""

_INSTANT, _BASIS = columns("timestamp_us", "usage_basis")


class Entry(NamedTuple):
    """An execution to send. `is_new` says that the target cannot have it, but for a push that was killed; `has_changed`
    that it is to replace what the target may have."""

    row: ExecutionRow
    is_new: bool = True
    has_changed: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent at once. `queued` are those of the executions that it is made of that wait in the queue; of history,
    `last` is the place that is reached with it, and `is_last` that there is no more. `gone` are those that were deleted
    while they waited."""

    entries: Sequence[Entry]
    queued: Sequence[Acked] = ()
    gone: int = 0
    last: tuple[int, bytes] | None = None
    is_last: bool = False

    @property
    def is_history(self) -> bool:
        """Whether it is of what there was when the target began."""
        return self.last is not None or self.is_last


@dataclass(slots=True)
class ExportQueue:
    """The executions that a target is to get."""

    database: Database
    state: ExporterState
    now: Now
    gone: int = field(default=0, init=False)

    def batches(self, size: int) -> Iterator[Batch]:
        """What is due, in batches of at most `size`. Each is to be settled before the next is taken."""
        yield from self._queued(size)
        if self.state.has_history:
            yield from self._history(size)

    def _queued(self, size: int) -> Iterator[Batch]:
        after: bytes | None = None
        while True:
            with self.database.read() as connection:
                found = export_queries.waiting(connection, self.database, self.state.kind, after, size)
            if not found:
                return
            after = found[-1].uid
            due = [waiting for waiting in found if not self._is_held(waiting.row) and not self._is_ahead(waiting.row)]
            entries = [
                Entry(waiting.row, not waiting.is_sent, waiting.is_sent or waiting.changes > 0)
                for waiting in due
                if waiting.row is not None
            ]
            if due:
                yield Batch(entries, _settled(due), len(due) - len(entries))

    def _is_held(self, row: ExecutionRow | None) -> bool:
        """Whether its usage may still become final. Of a time that lies far ahead nothing is waited for."""
        return row is not None and row[_BASIS] == PROVISIONAL and abs(self.now() - row[_INSTANT]) < HELD_US

    def _is_ahead(self, row: ExecutionRow | None) -> bool:
        """Whether history is still to come to it, which sends it then."""
        at_us, uid = self.state.walked_us, self.state.walked_uid
        if row is None or not self.state.has_history:
            return False
        return at_us is None or uid is None or (row[_INSTANT], row[0]) > (at_us, uid)

    def _history(self, size: int) -> Iterator[Batch]:
        place = (self.state.walked_us, self.state.walked_uid)
        while True:
            with self.database.read() as connection:
                # What is not counted comes with the queue, which knows from then on of each change of it.
                rows = rolled_up_page(connection, Filter(), self._before(place), size)
                # What came in after the beginning is in the queue as well: it is sent here, and taken off there.
                queued = export_queries.queued(connection, self.database, self.state.kind, [row[0] for row in rows])
            found = self.database.decode_rows(rows)
            is_last = len(found) < size
            last = (found[-1][_INSTANT], found[-1][0]) if found else None
            changed = {waiting.uid for waiting in queued if waiting.is_sent or waiting.changes}
            entries = [Entry(row, has_changed=row[0] in changed) for row in found]
            yield Batch(
                entries, [Acked(waiting.uid, waiting.changes) for waiting in queued], last=last, is_last=is_last
            )
            if is_last:
                return
            assert last is not None
            place = last

    def _before(self, place: tuple[int | None, bytes | None]) -> ExecutionRow | None:
        """A place as the beginning of the row after which a page begins."""
        at_us, uid = place
        return None if uid is None else (self.database.encode_uid(uid), at_us)

    def ack(self, batch: Batch, kept: Collection[bytes] = (), rejected: int = 0) -> None:
        """Note that the target has a batch, but for the executions `kept` for the next push; `rejected` are
        those that it will never take."""
        kind, database = self.state.kind, self.database
        with database.write() as connection:
            connection.lock_rollups()
            exporting.ack(connection, database, kind, [entry for entry in batch.queued if entry.uid not in kept])
            if batch.is_history:
                # What history gives is not walked through again, so what was not taken waits.
                exporting.put_off(connection, kind, [database.encode_uid(uid) for uid in kept])
                exporting.walk(connection, database, kind, None if batch.is_last else batch.last)
            exporting.note(connection, kind, len(batch.entries) - len(kept) - rejected)
        self.gone += batch.gone

    def finish(self) -> None:
        """Note that the target has all that was due."""
        with self.database.write() as connection:
            exporting.note(connection, self.state.kind, 0, self.now())


def _settled(queued: Iterable[export_queries.Waiting]) -> list[Acked]:
    """What is noted of executions of the queue when they are sent."""
    return [Acked(waiting.uid, waiting.changes) for waiting in queued]


@contextmanager
def opened(database: Database, kind: str, destination: str, now: Now, since_us: int | None) -> Iterator[ExportQueue]:
    """The feed of a target, by the only push to it. A target that is new, or at a new destination, begins with all of
    history (`since_us` None), or with what is since a time. Raises PushError where another push is at work."""
    with database.try_exclusive(_role(kind)) as is_exclusive:
        if not is_exclusive:
            raise PushError(f"another push to {kind} is at work; nothing was sent twice")
        with database.write() as connection:
            connection.lock_rollups()
            apply_pending(connection)
            state = export_queries.exporter(connection, database, kind)
            if state is None or state.destination != destination:
                exporting.begin(connection, kind, destination, now(), since_us)
                state = export_queries.exporter(connection, database, kind)
        assert state is not None
        yield ExportQueue(database, state, now)


def number_due(database: Database, kind: str, destination: str, since_us: int | None) -> int:
    """How many executions a push would find due, with the arguments of `opened`. Nothing is noted."""
    with database.read() as connection:
        state = export_queries.exporter(connection, database, kind)
        if state is None or state.destination != destination:
            return export_queries.number_since(connection, since_us)
        return export_queries.number_due(connection, database, state)


def forget(database: Database, kind: str) -> bool:
    """Forget how far a target got, and what waits for it; whether there was anything. The next push begins anew. Raises
    PushError where a push is at work, which would let executions wait for a target that is not known any more."""
    with database.try_exclusive(_role(kind)) as is_exclusive:
        if not is_exclusive:
            raise PushError(f"a push to {kind} is at work; nothing was forgotten, try again when it is over")
        with database.write() as connection:
            connection.lock_rollups()
            return exporting.forget(connection, kind) > 0


def _role(kind: str) -> str:
    """What the only push to a target is at a database."""
    return f"push-{kind}"
