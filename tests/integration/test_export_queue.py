"""The feed of a target: each execution once, whenever it comes in, and nothing left out."""

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
from claude_force.windows import Window
from tests.builders import NOON_US, an_execution

NOW_US = NOON_US + HOUR_US
_COST = column("cost_nanousd")


def executions(count: int, start_us: int = NOON_US) -> list[ExecutionMetrics]:
    """Some executions, a second apart."""
    return [an_execution(timestamp_us=start_us + place * SECOND_US) for place in range(count)]


def uids(records: Sequence[ExecutionMetrics]) -> list[bytes]:
    """Their identities."""
    return [identity_bytes(record.uid) for record in records]


def drain(database: Database, since_us: int | None = None, size: int = 50, destination: str = "here") -> list[bytes]:
    """Push all that is due; the uids in the order in which they were sent."""
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
    """What there was, then what came later, whether it was counted at once or waited to be; and then nothing."""
    old, new = executions(before), executions(after, NOON_US + 1000 * SECOND_US)
    store.add(old)
    assert sorted(drain(database)) == sorted(uids(old))
    store.add(new)
    assert sorted(drain(database)) == sorted(uids(new))
    assert drain(database) == []


def test_what_comes_in_late_is_sent(database: Database, store: Store) -> None:
    """An execution of an hour ago that is read only now was passed by no place that is kept."""
    store.add(executions(10))
    drain(database)
    late = executions(120, NOON_US - HOUR_US)
    store.add(late)
    assert sorted(drain(database)) == sorted(uids(late))


def test_a_target_may_begin_with_what_is_recent(database: Database, store: Store) -> None:
    """What is older than its beginning is not sent, whatever comes later is."""
    recorded = executions(10)
    store.add(recorded)
    assert sorted(drain(database, since_us=NOON_US + 6 * SECOND_US)) == sorted(uids(recorded[6:]))
    late = executions(2, NOON_US - HOUR_US)
    store.add(late)
    assert sorted(drain(database)) == sorted(uids(late))


@pytest.mark.parametrize("count", [5, 240])
def test_what_is_not_settled_is_sent_again(database: Database, store: Store, count: int) -> None:
    """A push that ends between sending and noting it sends that batch once more, and goes on where it was."""
    recorded = executions(count)
    store.add(recorded)
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        first, *_ = queue.batches(100)
        assert len(first.items) == min(count, 100)
    assert sorted(drain(database)) == sorted(uids(recorded))


def test_history_goes_on_where_it_was(database: Database, store: Store) -> None:
    """Pages that were settled are not sent again by the next push."""
    recorded = executions(240)
    store.add(recorded)
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        first = next(queue.batches(100))
        queue.ack(first)
    assert drain(database) == uids(recorded)[100:]


@pytest.mark.parametrize("is_backfill", [True, False])
def test_what_a_target_could_not_take_waits(database: Database, store: Store, is_backfill: bool) -> None:
    """Of a batch that was partly taken only the rest is sent again."""
    if not is_backfill:
        drain(database)
    recorded = executions(5)
    store.add(recorded)
    kept = uids(recorded)[1:3]
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        for batch in queue.batches(50):
            queue.ack(batch, [uid for uid in kept if uid in {item.row[0] for item in batch.items}])
    assert drain(database) == kept


def test_a_change_is_sent_as_one(database: Database, store: Store) -> None:
    """An execution that changed after it was sent is due again, told apart from new ones."""
    record = an_execution()
    store.add([record])
    drain(database)
    row = list(to_row(record))
    row[_COST] += 1
    store.reprice([tuple(row)])
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        assert changes(queue) == [(row[0], False, True)]


def test_a_change_while_it_is_sent_is_not_lost(database: Database, store: Store) -> None:
    """What changes between being read and being settled is due again, as a change."""
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


def test_a_usage_that_is_not_final_waits_for_a_while(database: Database, store: Store) -> None:
    """It is sent when it is ten minutes old, and not before."""
    drain(database)
    young = an_execution(timestamp_us=NOW_US - HELD_US + 1, usage_basis=PROVISIONAL)
    old = an_execution(timestamp_us=NOW_US - HELD_US, usage_basis=PROVISIONAL)
    store.add([young, old])
    assert drain(database) == uids([old])
    with database.read() as connection:
        assert export_queries.count_queued(connection, "test") == 1


def test_what_was_deleted_meanwhile_is_counted(database: Database, store: Store) -> None:
    """An execution that is gone before it was sent is taken off, and said."""
    drain(database)
    store.add(executions(3))
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        store.delete(Window(NOON_US, NOON_US + SECOND_US))
        for batch in queue.batches(50):
            queue.ack(batch)
        assert queue.deleted == 1
    assert drain(database) == []


@pytest.mark.parametrize("count", [3, 240])
def test_what_waits_is_not_archived(database: Database, store: Store, count: int) -> None:
    """An execution that a target is still to get stays, of what is new and of history; then it goes."""
    store.add(executions(count))
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        first = next(queue.batches(2))
        queue.ack(first)
    rows = [to_row(record) for record in store_rows(database)]
    assert store.archive(rows, NOW_US) == 2
    assert len(drain(database)) == count - 2
    assert store.archive(rows, NOW_US) == count - 2


def store_rows(database: Database) -> list[ExecutionMetrics]:
    """Everything that is stored."""
    from claude_force.database.queries import Filter, iterate

    return list(iterate(database, Filter()))


def test_rows_that_a_rebuild_counts_are_sent(database: Database, store: Store) -> None:
    """Making the roll-ups anew passes no execution by that was not counted yet."""
    drain(database)
    recorded = executions(5)
    store.add(recorded)
    store.rebuild()
    assert sorted(drain(database)) == sorted(uids(recorded))


def test_another_destination_begins_anew(database: Database, store: Store) -> None:
    """What one place has, another has not."""
    recorded = executions(5)
    store.add(recorded)
    drain(database)
    assert sorted(drain(database, destination="there")) == sorted(uids(recorded))


def drain_unfinished(database: Database, pages: int) -> list[bytes]:
    """Push some pages of two, and end there; the uids in the order in which they were sent."""
    sent: list[bytes] = []
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        for _, batch in zip(range(pages), queue.batches(2), strict=False):
            sent += [item.row[0] for item in batch.items]
            queue.ack(batch)
    return sent


@pytest.mark.parametrize("start_us", [NOON_US - HOUR_US, NOON_US + 3 * SECOND_US + 1, NOON_US + HOUR_US])
def test_what_comes_in_while_history_is_sent_is_sent_once(database: Database, store: Store, start_us: int) -> None:
    """Whether it is behind the place that was reached, or ahead of it, where history comes to it as well."""
    old, new = executions(9), executions(120, start_us)
    store.add(old)
    sent = drain_unfinished(database, 2)
    store.add(new)
    sent += drain_unfinished(database, 3)
    sent += drain(database)
    assert sorted(sent) == sorted(uids(old + new))
    assert drain(database) == []


def test_what_comes_in_ahead_during_a_push_is_sent_once(database: Database, store: Store) -> None:
    """What the walk through history comes to does not wait for the next push any more."""
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


def test_what_changed_ahead_of_history_replaces_what_may_be_there(database: Database, store: Store) -> None:
    """A page that was sent, but not noted, and whose execution changed since, is sent as a change."""
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
    """Before the beginning, in the middle of history, and with what came in since; at another place all are."""

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


def test_only_one_push_is_at_work(database: Database, store: Store) -> None:
    """A second one is refused in words, and works when the first is over."""
    store.add(executions(2))
    with (
        open_queue(database, "test", "here", lambda: NOW_US, None),
        pytest.raises(PushError, match="another push to test is running"),
        open_queue(database, "test", "here", lambda: NOW_US, None),
    ):
        pass
    assert len(drain(database)) == 2


def test_a_target_that_is_forgotten_leaves_nothing(database: Database, store: Store) -> None:
    """Nothing waits for it any more, and the next push begins anew."""
    drain(database)
    recorded = executions(120)
    store.add(recorded)
    assert forget(database, "test")
    assert not forget(database, "test")
    with database.read() as connection:
        assert export_queries.count_queued(connection, "test") == 0
    assert sorted(drain(database)) == sorted(uids(recorded))


def test_a_change_of_what_history_sent_uncounted_is_not_lost(database: Database, store: Store) -> None:
    """An execution that comes in during a push and changes before it is counted is sent as it is in the end."""
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
        uid = database.encode_uid(before[0])
        revise_rows(connection, [(uid, *before[1:])], [(uid, *after[1:])])
    with open_queue(database, "test", "here", lambda: NOW_US, None) as queue:
        take(queue, 50)
    assert there[before[0]] == 7


def test_what_came_in_as_a_target_began_is_sent_once(database: Database, store: Store) -> None:
    """On a server an execution may come in just before it: it is queued when it is counted, and not twice."""
    store.add(recorded := executions(3))
    with database.write() as connection:
        connection.lock_rollups()
        writes.register(connection, "test", "here", NOW_US, NOON_US)
        state = export_queries.exporter(connection, database, "test")
    assert state is not None
    queue, sent = ExportQueue(database, state, lambda: NOW_US), []
    for batch in queue.batches(50):
        sent += [item.row[0] for item in batch.items]
        queue.ack(batch)
    sent += drain(database, NOON_US)
    assert sorted(sent) == sorted(uids(recorded))


@pytest.mark.parametrize("ahead_us", [HELD_US, 70 * 366 * DAY_US])
def test_a_usage_of_the_future_does_not_wait(database: Database, store: Store, ahead_us: int) -> None:
    """A clock that was set back, or a wrong time in a file, holds nothing for longer than anything else."""
    drain(database)
    store.add([future := an_execution(timestamp_us=NOW_US + ahead_us, usage_basis=PROVISIONAL)])
    assert drain(database) == uids([future])


def test_nothing_is_forgotten_under_a_push(database: Database, store: Store) -> None:
    """It would note what the target has of what nobody knows any more, and leave executions that wait for ever."""
    store.add(executions(3))
    with (
        open_queue(database, "test", "here", lambda: NOW_US, None),
        pytest.raises(PushError, match="a push to test is running"),
    ):
        forget(database, "test")
    assert forget(database, "test")
