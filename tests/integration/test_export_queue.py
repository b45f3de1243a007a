"""The export queue: each execution is sent once, whenever it arrives, and none is skipped."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from claude_force.clock import DAY_US, HOUR_US, SECOND_US
from claude_force.database.contract import Database
from claude_force.database.queries import export_queue as export_queries
from claude_force.database.writes import Store
from claude_force.database.writes import export_queue as writes
from claude_force.database.writes.executions import revise_rows
from claude_force.executions.record import PROVISIONAL, ExecutionMetrics, column, identity_bytes, to_row
from claude_force.exporters.base import PushError
from claude_force.exporters.queue import HELD_US, ExportQueue, count_due, forget, open_queue
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution

NOW_US = NOON_US + HOUR_US
_COST = column("cost_nanousd")


def executions(count: int, start_us: int = NOON_US) -> list[ExecutionMetrics]:
    """Executions, a second apart."""
    return [an_execution(timestamp_us=start_us + place * SECOND_US) for place in range(count)]


def uids(records: Sequence[ExecutionMetrics]) -> list[bytes]:
    """The uids of executions, as bytes."""
    return [identity_bytes(record.uid) for record in records]


def drain(database: Database, since_us: int | None = None, size: int = 50, destination: str = "here") -> list[bytes]:
    """Send everything that is due. Returns the uids in the order sent."""
    sent: list[bytes] = []
    with open_queue(database, "test", destination, lambda: NOW_US, since_us) as queue:
        for batch in queue.batches(size):
            sent += [item.row[0] for item in batch.items]
            queue.ack(batch)
        queue.finish()
    return sent


def changes(queue: ExportQueue) -> list[tuple[bytes, bool, bool]]:
    """What is due: uid, whether it is new, whether it changed."""
    found = [item for batch in queue.batches(50) for item in batch.items]
    return [(item.row[0], item.is_new, item.has_changed) for item in found]


@pytest.mark.parametrize("before", [3, 240])
@pytest.mark.parametrize("after", [3, 240])
def test_each_execution_is_sent_once(database: Database, store: Store, before: int, after: int) -> None:
    """Stored before the first push or after it, counted at once or pending: each is sent once, and then nothing is
    due."""
    old, new = executions(before), executions(after, NOON_US + 1000 * SECOND_US)
    store.add(old)
    assert sorted(drain(database)) == sorted(uids(old))
    store.add(new)
    assert sorted(drain(database)) == sorted(uids(new))
    assert drain(database) == []


def test_late_executions_are_sent(database: Database, store: Store) -> None:
    """An execution with an earlier timestamp than those sent is queued like any other."""
    store.add(executions(10))
    drain(database)
    late = executions(120, NOON_US - HOUR_US)
    store.add(late)
    assert sorted(drain(database)) == sorted(uids(late))


def test_an_exporter_may_start_with_recent_executions(database: Database, store: Store) -> None:
    """Executions before its start are not sent; all that arrive later are, whatever their timestamp."""
    recorded = executions(10)
    store.add(recorded)
    assert sorted(drain(database, since_us=NOON_US + 6 * SECOND_US)) == sorted(uids(recorded[6:]))
    late = executions(2, NOON_US - HOUR_US)
    store.add(late)
    assert sorted(drain(database)) == sorted(uids(late))


@pytest.mark.parametrize("count", [5, 240])
def test_an_unacknowledged_batch_is_sent_again(database: Database, store: Store, count: int) -> None:
    """A push that ends between sending and acknowledging sends that batch once more, and continues from there."""
    recorded = executions(count)
    store.add(recorded)
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        first, *_ = queue.batches(100)
        assert len(first.items) == min(count, 100)
    assert sorted(drain(database)) == sorted(uids(recorded))


def test_the_backfill_continues_where_it_stopped(database: Database, store: Store) -> None:
    """The next push does not send acknowledged pages again."""
    recorded = executions(240)
    store.add(recorded)
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        first = next(queue.batches(100))
        queue.ack(first)
    assert drain(database) == uids(recorded)[100:]


@pytest.mark.parametrize("is_backfill", [True, False])
def test_executions_that_were_not_taken_are_requeued(database: Database, store: Store, is_backfill: bool) -> None:
    """Of a batch that was partly taken, only the rest is sent again."""
    if not is_backfill:
        drain(database)
    recorded = executions(5)
    store.add(recorded)
    kept = uids(recorded)[1:3]
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        for batch in queue.batches(50):
            queue.ack(batch, [uid for uid in kept if uid in {item.row[0] for item in batch.items}])
    assert drain(database) == kept


def test_a_changed_execution_is_sent_again(database: Database, store: Store) -> None:
    """It is due as a change, not as a new execution."""
    record = an_execution()
    store.add([record])
    drain(database)
    row = list(to_row(record))
    row[_COST] += 1
    store.reprice([tuple(row)])
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        assert changes(queue) == [(row[0], False, True)]


def test_a_change_during_a_push_is_not_lost(database: Database, store: Store) -> None:
    """A change between reading and acknowledging is due again, as a change."""
    drain(database)
    record = an_execution()
    store.add([record])
    row = list(to_row(record))
    row[_COST] += 1
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        (batch,) = queue.batches(50)
        store.reprice([tuple(row)])
        queue.ack(batch)
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        assert changes(queue) == [(row[0], False, True)]


def test_provisional_usage_is_held(database: Database, store: Store) -> None:
    """It is sent when it is ten minutes old, not before."""
    drain(database)
    young = an_execution(timestamp_us=NOW_US - HELD_US + 1, usage_basis=PROVISIONAL)
    old = an_execution(timestamp_us=NOW_US - HELD_US, usage_basis=PROVISIONAL)
    store.add([young, old])
    assert drain(database) == uids([old])
    with database.read() as connection:
        assert len(export_queries.queued_page(connection, "test", None, 9)) == 1


def test_deleted_executions_leave_the_queue(database: Database, store: Store) -> None:
    """An execution that is deleted before it was sent is removed from the queue and counted."""
    drain(database)
    store.add(executions(3))
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        store.delete(Window(NOON_US, NOON_US + SECOND_US))
        for batch in queue.batches(50):
            queue.ack(batch)
        assert queue.deleted == 1
    assert drain(database) == []


@pytest.mark.parametrize("count", [3, 240])
def test_unsent_executions_are_not_archived(database: Database, store: Store, count: int) -> None:
    """Queued executions and those of the backfill stay until they are sent."""
    store.add(executions(count))
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        first = next(queue.batches(2))
        queue.ack(first)
    rows = [to_row(record) for record in store_rows(database)]
    assert store.archive(rows, NOW_US) == 2
    assert len(drain(database)) == count - 2
    assert store.archive(rows, NOW_US) == count - 2


def store_rows(database: Database) -> list[ExecutionMetrics]:
    """All stored executions."""
    from claude_force.database.queries import Filter, iterate

    return list(iterate(database, Filter()))


def test_rows_that_a_rebuild_counts_are_sent(database: Database, store: Store) -> None:
    """A rebuild of the roll-ups queues the executions that were still pending."""
    drain(database)
    recorded = executions(5)
    store.add(recorded)
    store.rebuild()
    assert sorted(drain(database)) == sorted(uids(recorded))


def test_another_destination_starts_over(database: Database, store: Store) -> None:
    """A new destination gets everything, whatever the old one has."""
    recorded = executions(5)
    store.add(recorded)
    drain(database)
    assert sorted(drain(database, destination="there")) == sorted(uids(recorded))


def drain_unfinished(database: Database, pages: int) -> list[bytes]:
    """Send some pages of two, then stop. Returns the uids in the order sent."""
    sent: list[bytes] = []
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        for _, batch in zip(range(pages), queue.batches(2), strict=False):
            sent += [item.row[0] for item in batch.items]
            queue.ack(batch)
    return sent


@pytest.mark.parametrize("start_us", [NOON_US - HOUR_US, NOON_US + 3 * SECOND_US + 1, NOON_US + HOUR_US])
def test_executions_that_arrive_during_a_backfill_are_sent_once(
    database: Database, store: Store, start_us: int
) -> None:
    """Behind the position of the backfill or ahead of it, where the backfill reaches them too."""
    old, new = executions(9), executions(120, start_us)
    store.add(old)
    sent = drain_unfinished(database, 2)
    store.add(new)
    sent += drain_unfinished(database, 3)
    sent += drain(database)
    assert sorted(sent) == sorted(uids(old + new))
    assert drain(database) == []


def test_executions_that_arrive_during_a_push_are_sent_once(database: Database, store: Store) -> None:
    """The backfill removes those that it sends from the queue."""
    old, new = executions(6), executions(120, NOON_US + HOUR_US)
    store.add(old)
    sent: list[bytes] = []
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        for batch in queue.batches(2):
            sent += [item.row[0] for item in batch.items]
            queue.ack(batch)
            store.add(new)
        queue.finish()
    sent += drain(database)
    assert sorted(sent) == sorted(uids(old + new))


def test_a_change_ahead_of_the_backfill_is_sent_as_a_change(database: Database, store: Store) -> None:
    """A page was sent but not acknowledged, and an execution in it changed: the receiver must replace it."""
    record = an_execution()
    store.add([record])
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        next(queue.batches(50))
    row = list(to_row(record))
    row[_COST] += 1
    store.reprice([tuple(row)])
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        (batch,) = queue.batches(50)
        assert [(item.row[_COST], item.has_changed) for item in batch.items] == [(row[_COST], True)]
        queue.ack(batch)
    assert drain(database) == []


@pytest.mark.parametrize("since_us", [None, NOON_US + 4 * SECOND_US])
def test_how_many_are_due(database: Database, store: Store, since_us: int | None) -> None:
    """Before the first push, in the middle of the backfill, and with later arrivals; at another destination all are
    due."""

    def due(destination: str = "here") -> int:
        return count_due(database, "test", destination, since_us)

    assert due() == 0
    store.add(executions(9))
    assert due() == (9 if since_us is None else 5)
    with open_queue(database, "test", "here", lambda: NOW_US, since_us) as queue:
        queue.ack(next(queue.batches(2)))
    assert due() == (7 if since_us is None else 3)
    store.add(executions(4, NOON_US - HOUR_US))
    store.add(executions(3, NOON_US + HOUR_US))
    assert due() == (14 if since_us is None else 10)
    drain(database, since_us)
    assert due() == 0
    assert due("there") == (16 if since_us is None else 8)


def test_only_one_push_runs_at_a_time(database: Database, store: Store) -> None:
    """A second push is refused with a message, and works once the first has ended."""
    store.add(executions(2))
    with (
        open_queue(database, "test", "here", lambda: NOW_US, None),
        pytest.raises(PushError, match="another push to test is running"),
        open_queue(database, "test", "here", lambda: NOW_US, None),
    ):
        pass
    assert len(drain(database)) == 2


def test_forgetting_empties_the_queue(database: Database, store: Store) -> None:
    """Nothing stays queued, and the next push starts over."""
    drain(database)
    recorded = executions(120)
    store.add(recorded)
    assert forget(database, "test")
    assert not forget(database, "test")
    with database.read() as connection:
        assert export_queries.queued_page(connection, "test", None, 9) == []
    assert sorted(drain(database)) == sorted(uids(recorded))


def test_a_change_before_counting_is_not_lost(database: Database, store: Store) -> None:
    """An execution that arrives during a push and changes before it is counted is sent in its final form."""
    store.add(executions(3))
    late = an_execution(timestamp_us=NOW_US - HOUR_US // 2, usage_basis=PROVISIONAL)
    there: dict[bytes, object] = {}

    def take(queue: ExportQueue, size: int) -> None:
        for batch in queue.batches(size):
            for item in batch.items:
                # As Elasticsearch does: what is there already is replaced by a change alone.
                if item.has_changed or item.row[0] not in there:
                    there[item.row[0]] = item.row[_COST]
            queue.ack(batch)

    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        store.add([late])
        take(queue, 50)
    before = to_row(late)
    after = tuple(7 if place == _COST else value for place, value in enumerate(before))
    with database.write() as connection:
        connection.lock_rollups()
        revise_rows(connection, [before], [after])
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        take(queue, 50)
    assert there[before[0]] == 7


def test_executions_that_arrive_at_the_start_are_sent_once(database: Database, store: Store) -> None:
    """On a server an execution may arrive just before an exporter starts: it is queued when it is counted, not
    twice."""
    store.add(recorded := executions(3))
    with database.write() as connection:
        connection.lock_rollups()
        writes.register(connection, "test", "here", NOW_US, NOON_US)
        state = export_queries.exporter(connection, "test")
    assert state is not None
    queue, sent = ExportQueue(database, state, lambda: NOW_US), []
    for batch in queue.batches(50):
        sent += [item.row[0] for item in batch.items]
        queue.ack(batch)
    sent += drain(database, NOON_US)
    assert sorted(sent) == sorted(uids(recorded))


@pytest.mark.parametrize("ahead_us", [HELD_US, 70 * 366 * DAY_US])
def test_provisional_usage_in_the_future_is_not_held(database: Database, store: Store, ahead_us: int) -> None:
    """A wrong clock or a wrong timestamp in a file holds nothing back."""
    drain(database)
    store.add([future := an_execution(timestamp_us=NOW_US + ahead_us, usage_basis=PROVISIONAL)])
    assert drain(database) == uids([future])


def test_forgetting_is_refused_during_a_push(database: Database, store: Store) -> None:
    """It would leave queue entries that nobody removes."""
    store.add(executions(3))
    with (
        open_queue(database, "test", "here", lambda: NOW_US, None),
        pytest.raises(PushError, match="a push to test is running"),
    ):
        forget(database, "test")
    assert forget(database, "test")
