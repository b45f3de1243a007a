"""Archived executions in the database: deleting whole days of them, and restoring exactly those of an archive."""

from __future__ import annotations

from dataclasses import replace

import pytest

from claude_force.clock import DAY_US, HOUR_US
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.writes import Store
from claude_force.executions.record import ExecutionMetrics, to_row
from claude_force.time_windows import Window
from tests.builders import an_execution

JANUARY_US = 1_735_689_600_000_000
"""The start of 2025, in microseconds."""

HOURS = (0, 23, 24, 30, 47, 48, 71, 72, 31 * 24)
"""Hours after the start of 2025 that have an execution: the first and last of several days, and one of February."""


@pytest.fixture
def executions(store: Store) -> list[ExecutionMetrics]:
    """Archived executions of HOURS, half of which failed."""
    found = [
        an_execution(
            timestamp_us=JANUARY_US + hour * HOUR_US + 5,
            duration_us=1000 + hour,
            success=hour % 2 == 0,
            error_type=None if hour % 2 == 0 else "TimeoutError",
        )
        for hour in HOURS
    ]
    store.add(found)
    assert store.archive([to_row(record) for record in found], JANUARY_US) == len(found)
    return found


def hours_left(database: Database) -> list[int]:
    """The hours after the start of 2025 that have archived executions. Also checks all roll-ups."""
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []
        return [
            hour
            for hour in range(32 * 24)
            if queries.totals(
                connection, Filter(Window(JANUARY_US + hour * HOUR_US, JANUARY_US + (hour + 1) * HOUR_US))
            ).executions
        ]


@pytest.mark.parametrize(
    ("start_hour", "end_hour", "left"),
    [
        (24, 48, (0, 23, 48, 71, 72, 744)),
        (23, 71, (0, 23, 48, 71, 72, 744)),
        (25, 72, (0, 23, 24, 30, 47, 72, 744)),
        (25, 47, HOURS),
        (None, 24, (24, 30, 47, 48, 71, 72, 744)),
        (48, None, (0, 23, 24, 30, 47)),
        (None, None, ()),
    ],
)
def test_deleting_a_period_deletes_its_whole_archived_days(
    start_hour: int | None,
    end_hour: int | None,
    left: tuple[int, ...],
    executions: list[ExecutionMetrics],
    store: Store,
    database: Database,
) -> None:
    """Days that are only partly in the period stay. Totals, percentiles, errors and the months agree with what is
    left."""
    start_us, end_us = (None if hour is None else JANUARY_US + hour * HOUR_US for hour in (start_hour, end_hour))
    assert store.delete(Window(start_us, end_us)) == len(HOURS) - len(left)
    assert hours_left(database) == list(left)
    kept = [record for record, hour in zip(executions, HOURS, strict=True) if hour in left]
    with database.read() as connection:
        months = connection.fetch("SELECT month, executions, first_us, last_us FROM archives ORDER BY month")
        failures = connection.fetch("SELECT SUM(failures) FROM rollup_errors WHERE level >= 0")[0][0]
        listed = connection.fetch("SELECT COUNT(*) FROM archived")[0][0]
    by_month = {"2025-01": [h for h in left if h < 31 * 24], "2025-02": [h for h in left if h >= 31 * 24]}
    assert [(row[0], int(row[1])) for row in months] == [
        (name, len(hours)) for name, hours in by_month.items() if hours
    ]
    for name, _, first_us, last_us in months:
        hours = by_month[name]
        assert [(bound - JANUARY_US) // HOUR_US for bound in (first_us, last_us)] == [hours[0], hours[-1]]
    assert bool(failures) == any(not record.success for record in kept)
    assert listed == len(kept)


def test_only_archived_executions_are_restored(
    executions: list[ExecutionMetrics], store: Store, database: Database
) -> None:
    """Of the rows of an archive, unknown ones and changed ones are not restored. No total changes."""
    unknown = an_execution(timestamp_us=JANUARY_US + DAY_US)
    changed = replace(executions[1], duration_us=7)
    rows = [to_row(record) for record in (unknown, executions[0], changed, executions[2])]
    assert store.restore(rows) == 2
    assert list(queries.iterate(database, Filter())) == [executions[0], executions[2]]
    assert hours_left(database) == list(HOURS)
    assert store.restore(rows) == 0
