"""Days before the first transcript, on both engines: which they are, and that none is counted twice."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from claude_force.analytics import reports
from claude_force.analytics.backfill import Backfill, backfill_report
from claude_force.analytics.groups import RowChoice
from claude_force.clock import DAY_US
from claude_force.database import queries
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.ingest.plan import IngestOptions
from claude_force.ingest.rejects import RejectLog
from claude_force.ingest.report import SourceReport
from claude_force.ingest.run import known_cursors
from claude_force.ingest.sources import STATISTICS
from claude_force.ingest.statistics import read_statistics
from claude_force.time_windows import Window
from tests.builders import NOON_US, an_execution
from tests.transcripts import statistics

DAYS = {
    "2025-10-29": {"opus": 1000, "haiku": 30},
    "2025-10-30": {"opus": 2000},
    "2025-10-31": {"opus": 4000},
    "2025-11-01": {"opus": 8000},
}
"""The last one is that of NOON_US."""


def write(path: Path, value: Any = None) -> Path:
    """A file of statistics."""
    path.write_text(value if isinstance(value, str) else json.dumps(value or statistics(DAYS)))
    return path


def read(store: Store, *paths: Path, host: str = "here", is_dry_run: bool = False) -> SourceReport:
    """Read what changed in these files."""
    rejects = None if is_dry_run else RejectLog(paths[0].with_name("rejected.jsonl"))
    options = IngestOptions(None, UTC, host, rejects, NOON_US)
    return read_statistics(store.database, paths, options, known_cursors(store.database, host, STATISTICS))


def days(store: Store, **chosen: Any) -> dict[str, int]:
    """The tokens of each day before the first transcript."""
    found: dict[str, int] = {}
    for day in backfill_report(store.database, Filter(**chosen)).days:
        found[day.day] = found.get(day.day, 0) + day.tokens
    return found


def at(text: str) -> int:
    """An instant in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the statistics are."""
    return write(tmp_path / "stats-cache.json")


def test_days_before_the_first_execution_of_claude_code_count(store: Store, path: Path) -> None:
    """The day of that execution does not, however late in it that was; other sources are something else."""
    assert read(store, path).files == 1
    every = {day: sum(models.values()) for day, models in DAYS.items()}
    assert days(store) == every
    store.add([an_execution(timestamp_us=at("2025-10-29T01:00:00"), source="tracker")])
    assert days(store) == every
    store.add([an_execution(timestamp_us=at("2025-10-31T23:59:59"), source="claude-code")])
    assert days(store) == {"2025-10-29": 1030, "2025-10-30": 2000}


def test_results_of_claude_p_are_executions_of_claude_code(store: Store, path: Path) -> None:
    """Its statistics count such a run, too."""
    read(store, path)
    store.add([an_execution(timestamp_us=at("2025-10-30T12:00:00"), source="claude-result")])
    assert days(store) == {"2025-10-29": 1030}


def test_a_day_leaves_when_its_transcript_is_read(store: Store, path: Path) -> None:
    """And nothing is counted twice: the figures of the reports are those of the executions alone."""
    read(store, path)
    for day, left in (("2025-10-31", 2), ("2025-10-30", 1), ("2025-10-29", 0)):
        store.add([an_execution(timestamp_us=at(f"{day}T12:00:00"), source="claude-code")])
        assert len(days(store)) == left
        found = reports.summary(store.database, Filter())
        assert (found.backfill.days, found.totals.executions) == (left, 3 - left)
    assert days(store) == {}


def test_archived_days_do_not_come_back(store: Store, path: Path) -> None:
    """An archived execution was one of the store."""
    store.add([an_execution(timestamp_us=at("2025-10-30T12:00:00"), source="claude-code")])
    store.archive(list(queries.iterate_rows(store.database, Filter())), NOON_US)
    read(store, path)
    assert days(store) == {"2025-10-29": 1030}


def test_a_file_is_read_when_it_changed(store: Store, path: Path) -> None:
    """New figures of a day replace the old ones; a day that it no longer has stays."""
    assert (read(store, path).unchanged, read(store, path).unchanged) == (0, 1)
    write(path, statistics({"2025-10-30": {"opus": 2500}, "2025-10-31": {"opus": 4000}}))
    os.utime(path, ns=(NOON_US, NOON_US))
    assert read(store, path).unchanged == 0
    assert days(store) == {"2025-10-29": 1030, "2025-10-30": 2500, "2025-10-31": 4000, "2025-11-01": 8000}


def test_machines_add_up_and_another_name_does_not(store: Store, path: Path, tmp_path: Path) -> None:
    """A machine is known by its first session; a team's database has several."""
    read(store, path)
    read(store, path, host="renamed")
    assert days(store)["2025-10-30"] == 2000
    other = write(tmp_path / "other.json", statistics(DAYS, firstSessionDate="2025-03-01T00:00:00.000Z"))
    read(store, other, host="other")
    assert days(store)["2025-10-30"] == 4000


def test_a_period_and_names_restrict_the_days(store: Store, path: Path) -> None:
    """What the statistics do not know, such as agents, leaves none of them."""
    read(store, path)
    store.add([an_execution(model="opus", project="/p", workflow_id="w", agent_name="a", timestamp_us=NOON_US)])
    store.add([an_execution(model="haiku", source="claude-code", timestamp_us=NOON_US)])
    window = Window(at("2025-10-29T12:00:00"), at("2025-10-31T00:00:00"))
    assert days(store, window=window) == {"2025-10-30": 2000}
    assert days(store, models=("haiku",)) == {"2025-10-29": 30}
    assert days(store, sources=("claude-code",)) == days(store)
    for nothing in ({"agents": ("a",)}, {"projects": ("/p",)}, {"workflows": ("w",)}, {"sources": ("tracker",)}):
        assert days(store, **nothing) == {}


def test_summary_and_trends_say_that_there_are_such_days(store: Store, path: Path) -> None:
    """Beside their figures, which stay those of the executions; the cost is unknown, with the reason."""
    read(store, path)
    store.add([an_execution(source="claude-code", timestamp_us=NOON_US)])
    before = Backfill(3, 7030)
    found = reports.summary(store.database, Filter())
    assert (found.backfill, found.totals.executions) == (before, 1)
    assert reports.trends(store.database, Filter(), "daily", UTC).backfill == before
    last_day = Filter(Window(NOON_US - DAY_US // 2, NOON_US + 1))
    assert reports.summary(store.database, last_day).backfill == Backfill()
    document = found.to_dict()["before_first_transcript"]
    assert (document["tokens"], document["cost"]) == (7030, None)
    assert "kinds of tokens" in document["cost_unknown_reason"]


def test_a_limit_cuts_the_days_and_not_the_sums(store: Store, path: Path) -> None:
    """The newest are kept, and the oldest of them comes first."""
    read(store, path)
    every, last = (backfill_report(store.database, Filter(), RowChoice(limit=limit)) for limit in (None, 2))
    assert len(every.days) > 2
    assert last.days == every.days[-2:]
    assert replace(last, days=every.days) == every


def test_a_broken_file_is_a_problem_until_it_is_whole(store: Store, path: Path) -> None:
    """It is read again by each pass; what is stored stays."""
    read(store, path)
    write(path, '{"version": 5, "dailyMo')
    for _ in range(2):
        ((where, problem),) = read(store, path).problems
        assert (where, problem.startswith("not valid JSON")) == (str(path), True)
    assert len(days(store)) == 4
    write(path, statistics({"2025-10-28": {"opus": 1}}))
    assert read(store, path).problems == []
    assert len(days(store)) == 5


def test_impossible_days_are_named_once(store: Store, path: Path) -> None:
    """With their place in the file; the others count."""
    value = statistics(DAYS)
    value["dailyModelTokens"][1]["tokensByModel"]["opus"] = -5
    write(path, value)
    found = read(store, path)
    assert (found.rejected, len(days(store))) == (1, 3)
    assert "dailyModelTokens[1]" in found.problems[0][1]
    assert "dailyModelTokens[1]" in path.with_name("rejected.jsonl").read_text()
    assert (read(store, path).rejected, read(store, path).unchanged) == (0, 1)


def test_a_dry_run_stores_nothing_and_a_missing_file_is_none(store: Store, path: Path, tmp_path: Path) -> None:
    """Most machines have no such file."""
    assert read(store, path, is_dry_run=True).files == 1
    assert read(store, tmp_path / "gone.json") == SourceReport()
    assert days(store) == {}
    (tmp_path / "folder").mkdir()
    assert read(store, tmp_path / "folder").problems == [(str(tmp_path / "folder"), "not a regular file")]
