"""Laws of archives: whatever is archived and brought back, no total changes, and nothing is lost or there twice."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_force.analytics import reports as analytics
from claude_force.clock import DAY_US, HOUR_US, LATEST_US, instant_formatter
from claude_force.database import queries
from claude_force.database.archive import archive_once, read_archive
from claude_force.database.contract import Database, Row
from claude_force.database.queries import Filter, verify_rollups
from claude_force.database.writes import DIRECT_ROLLUP_ROWS, Store
from claude_force.executions.content_uids import content_uid
from claude_force.executions.histogram import bin_of, duration_of
from claude_force.executions.intervals import Interval
from claude_force.executions.jsonl.codec import encode_row, row_digest
from claude_force.executions.record import ExecutionMetrics, column, identity_bytes, to_row
from claude_force.executions.totals import Totals
from claude_force.time_windows import ALL_TIME, Window
from tests.profiles import scaled
from tests.properties.strategies import instants, known_cost, on_both_engines, records, refill

both_engines = settings(on_both_engines, max_examples=scaled(12))

histories = st.lists(records(), max_size=14, unique_by=lambda record: record.uid)
periods = st.tuples(instants, instants).map(sorted)
INTERVALS: tuple[Interval, ...] = ("hourly", "daily", "weekly")
_OF_DETAIL = {
    "archived_executions", "percentiles", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms",
    "cost_too_low_executions",
}  # fmt: skip
"""What the reports say of stored executions only, not of archived ones."""

_EVERYTHING = Filter()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where folders for archives can be made, one for each example."""
    return tmp_path


def a_folder(parent: Path) -> Path:
    """A folder for archives that does not exist yet."""
    return Path(tempfile.mkdtemp(dir=parent)) / "archive"


def near_each_other(executions: list[ExecutionMetrics]) -> list[ExecutionMetrics]:
    """The same, each with a few copies minutes apart, so that hours and days hold several."""
    return [
        replace(
            found,
            uid=content_uid(found.timestamp_us, found.uid.encode(), copy + 7),
            timestamp_us=min(found.timestamp_us + copy * 1_000_000_000, LATEST_US - 1),
        )
        for copy in range(1 + DIRECT_ROLLUP_ROWS // max(len(executions), 1))
        for found in executions
    ]


def without_detail(value: Any) -> Any:
    """A report without what only executions themselves tell."""
    if isinstance(value, dict):
        return {name: without_detail(item) for name, item in value.items() if name not in _OF_DETAIL}
    return [without_detail(item) for item in value] if isinstance(value, list) else value


def figures(database: Database, window: Window = ALL_TIME) -> list[Any]:
    """What the reports say that are made of sums, where intervals are whole hours."""
    chosen = Filter(window)
    zones = (ZoneInfo("UTC"), ZoneInfo("America/New_York"))
    return [
        without_detail(report)
        for report in (
            analytics.summary(database, chosen).to_dict(),
            *(
                analytics.breakdown(database, chosen, dimension, "cost").to_dict()
                for dimension in ("agent_name", "model", "project", "source")
            ),
            *(
                analytics.costs(database, chosen, analytics.COST_PARTS | {"trends"}, interval, zone).to_dict()
                for interval in INTERVALS
                for zone in zones
            ),
            *(analytics.trends(database, chosen, interval, zone).to_dict() for interval in INTERVALS for zone in zones),
            analytics.errors(database, chosen, UTC).to_dict(),
        )
    ]


def sums_of_intervals(database: Database, chosen: Filter = _EVERYTHING) -> list[Totals]:
    """The sums of all intervals of a trend, in zones some of which divide hours."""
    with database.read() as connection:
        return [
            sum((bucket.totals for bucket in queries.trend(connection, chosen, interval, ZoneInfo(zone))), Totals())
            for interval in INTERVALS
            for zone in ("UTC", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe")
        ]


def exported(database: Database) -> bytes:
    """The export as JSONL."""
    write = instant_formatter(UTC)
    return b"".join(encode_row(row, write) for row in queries.iterate_rows(database, _EVERYTHING))


def archived_uids(database: Database) -> set[bytes]:
    """The uids of what is archived."""
    with database.read() as connection:
        return {row[0] for row in connection.fetch("SELECT uid FROM archived")}


def stored_uids(database: Database) -> list[bytes]:
    """The uids of what is stored."""
    return [row[0] for row in queries.iterate_rows(database, _EVERYTHING)]


def assert_proven(database: Database) -> None:
    """The roll-ups and what is kept of archived executions agree."""
    with database.read() as connection:
        assert verify_rollups.differences(connection) == []


def assert_whole(database: Database, executions: list[ExecutionMetrics], archives: Path) -> None:
    """Every execution is stored or archived, once; what is archived is in a file; every sum agrees."""
    gone = archived_uids(database)
    assert Counter([*stored_uids(database), *gone]) == Counter(identity_bytes(found.uid) for found in executions)
    assert gone <= {row[0] for row in rows_in(archives)}
    assert_proven(database)


def rows_in(archives: Path) -> list[Row]:
    """What the files of a folder hold."""
    return [row for file in sorted(archives.glob("*")) for row in read_archive(file)]


def files_of(archives: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {file.name: file.read_bytes() for file in archives.glob("*")}


@given(few=histories, cuts=periods, chance=st.randoms(use_true_random=False))
@settings(on_both_engines, max_examples=scaled(6))
def test_archiving_and_bringing_back_change_no_total(
    database: Database, folder: Path, few: list[ExecutionMetrics], cuts: list[int], chance: random.Random
) -> None:
    """Of any history, after any archive, a second one, a part brought back, everything made anew, and all of it brought
    back: every report made of sums is as it was; in the end the export is, and archiving again gives the same files."""
    executions, archives, store = near_each_other(few), a_folder(folder), Store(database)
    refill(database, executions)
    before, intervals, export = figures(database), sums_of_intervals(database), exported(database)
    for cut in cuts:
        archive_once(database, archives, cut, 0)
        assert_whole(database, executions, archives)
        assert figures(database) == before
        assert sums_of_intervals(database) == intervals
    assert {row[0] for row in rows_in(archives)} == archived_uids(database)
    files = files_of(archives)
    store.rebuild()
    assert figures(database) == before
    # What is known is not added again, together or alone, also when it comes with another instant.
    assert store.add(executions).added == 0
    for found in executions[:3]:
        assert store.add([replace(found, timestamp_us=LATEST_US - 1)]).added == 0
    some = [row for row in rows_in(archives) if chance.random() < 0.5]
    assert store.restore(some) == len(some)
    assert store.restore(some) == 0
    assert_whole(database, executions, archives)
    assert figures(database) == before
    store.rebuild()
    assert figures(database) == before
    rest = rows_in(archives)
    chance.shuffle(rest)
    assert store.restore(rest) == len(rest) - len(some)
    assert not archived_uids(database)
    assert_whole(database, executions, archives)
    assert (figures(database), exported(database)) == (before, export)
    archive_once(database, archives, cuts[1], 0)
    assert files_of(archives) == files
    assert figures(database) == before


@given(few=histories, cut=instants, chance=st.randoms(use_true_random=False))
@both_engines
def test_periods_add_up_whatever_divides_them(
    database: Database, folder: Path, few: list[ExecutionMetrics], cut: int, chance: random.Random
) -> None:
    """An archived hour lies in one of two periods that meet; and in a period of whole hours nothing changes at all."""
    executions = near_each_other(few)
    refill(database, executions)
    # Within hours that hold something.
    edges = sorted(
        chance.choice(executions).timestamp_us + chance.randrange(2) if executions else cut for _ in range(2)
    )
    whole = Window(edges[0] // HOUR_US * HOUR_US, edges[1] // HOUR_US * HOUR_US)
    before = figures(database, whole)
    archive_once(database, a_folder(folder), cut, 0)
    assert figures(database, whole) == before
    parts = [Filter(Window(None, edges[0])), Filter(Window(edges[0], edges[1])), Filter(Window(edges[1], None))]
    with database.read() as connection:
        everything = queries.totals(connection, _EVERYTHING)
        assert sum((queries.totals(connection, part) for part in parts), Totals()) == everything
        failures = [sum(found.failures for found in queries.errors(connection, part)) for part in parts]
        assert sum(failures) == everything.failures
        archived = [queries.archived(connection, part).executions for part in parts]
        by_agent = [queries.totals_by(connection, part, "agent_name").values() for part in parts]
    assert sum(archived) == len(archived_uids(database))
    assert sum((totals for groups in by_agent for totals in groups), Totals()) == everything
    intervals = [sums_of_intervals(database, part) for part in parts]
    for sums in zip(*intervals, strict=True):
        assert sum(sums, Totals()) == everything


@given(few=histories, cut=instants)
@both_engines
def test_percentiles_of_archived_executions_are_those_of_their_bins(
    database: Database, folder: Path, few: list[ExecutionMetrics], cut: int
) -> None:
    """They are called approximate where something is archived, and are within the bins of the exact ones; a period that
    holds nothing archived stays exact."""
    refill(database, near_each_other(few))
    with database.read() as connection:
        exact, _ = queries.percentiles(connection, _EVERYTHING)
        by_agent, _ = queries.percentiles_by(connection, _EVERYTHING, "agent_name")
    archive_once(database, a_folder(folder), cut, 0)
    with database.read() as connection:
        found, is_exact = queries.percentiles(connection, _EVERYTHING)
        found_by_agent, _ = queries.percentiles_by(connection, _EVERYTHING, "agent_name")
        _, is_rest_exact = queries.percentiles(connection, Filter(Window(cut)))
    assert is_exact == (not archived_uids(database))
    assert is_rest_exact

    def binned(values: Any) -> list[int | None]:
        return [value if value is None or is_exact else duration_of(bin_of(value)) for value in values]

    assert list(found) == binned(exact)
    assert {name: list(values) for name, values in found_by_agent.items()} == {
        name: binned(values) for name, values in by_agent.items()
    }


@given(few=histories, cut=instants, factor=st.integers(0, 5), changed=st.integers(0, 10**6))
@both_engines
def test_what_stays_can_change(
    database: Database, folder: Path, few: list[ExecutionMetrics], cut: int, factor: int, changed: int
) -> None:
    """Repricing after archiving reaches what is stored and nothing else; what was brought back and changed takes the
    place of what the archive had."""
    executions, archives, store = near_each_other(few), a_folder(folder), Store(database)
    refill(database, executions)
    archive_once(database, archives, cut, 0)
    gone = archived_uids(database)
    repriced = [replace(found, cost_nanousd=factor, reference_cost_nanousd=factor * 2) for found in executions]
    store.reprice(list(map(to_row, repriced)))
    assert_whole(database, executions, archives)
    expected = sum(known_cost(found) if identity_bytes(found.uid) in gone else factor for found in executions)
    with database.read() as connection:
        assert queries.totals(connection, _EVERYTHING).cost_nanousd == expected
    store.restore(rows_in(archives))
    store.reprice(
        [to_row(replace(found, cost_nanousd=changed, reference_cost_nanousd=changed)) for found in executions]
    )
    archive_once(database, archives, cut, 0)
    assert_whole(database, executions, archives)
    cost = column("cost_nanousd")
    assert {row[cost] for row in rows_in(archives)} <= {changed}
    assert len(rows_in(archives)) == len(gone)


@given(few=histories, cut=instants, edges=periods)
@both_engines
def test_deleting_a_period_deletes_its_archived_days(
    database: Database, folder: Path, few: list[ExecutionMetrics], cut: int, edges: list[int]
) -> None:
    """What is stored in the period, and what is archived of whole days in it, is gone from every sum; the archive then
    brings it in as new."""
    executions, archives, store = near_each_other(few), a_folder(folder), Store(database)
    refill(database, executions)
    archive_once(database, archives, cut, 0)
    gone, (start, end) = archived_uids(database), edges

    def stays(found: ExecutionMetrics) -> bool:
        if identity_bytes(found.uid) not in gone:
            return not start <= found.timestamp_us < end
        return not -(-start // DAY_US) <= found.timestamp_us // DAY_US < end // DAY_US

    left = [found for found in executions if stays(found)]
    assert store.delete(Window(start, end)) == len(executions) - len(left)
    assert_whole(database, left, archives)
    with database.read() as connection:
        assert queries.totals(connection, _EVERYTHING).executions == len(left)
    store.rebuild()
    assert_whole(database, left, archives)
    rows = rows_in(archives)
    store.add_rows(rows)
    known = {found.uid: found for found in left} | {
        found.uid: found for found in executions if identity_bytes(found.uid) in gone
    }
    assert_whole(database, list(known.values()), archives)
    assert store.delete(ALL_TIME) == len(known)
    assert_whole(database, [], archives)


@given(execution=records(), other=records())
@settings(max_examples=scaled(60))
def test_a_digest_is_of_everything_that_is_known(execution: ExecutionMetrics, other: ExecutionMetrics) -> None:
    """Two rows have one digest when they are equal, and a difference in any field makes another."""
    row = to_row(execution)
    assert row_digest(row) == row_digest(tuple(row))
    for place, value in enumerate(to_row(other)):
        changed = (*row[:place], value, *row[place + 1 :])
        assert (row_digest(changed) == row_digest(row)) == (changed == row)
