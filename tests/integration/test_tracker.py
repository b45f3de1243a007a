"""The recording API, as the programs of the guide and of claude-force 1.3 use it, on both engines."""

from __future__ import annotations

import csv
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import claude_force
from claude_force.database.open import open_database
from claude_force.database.writes.archives import archive_rows, tombstone
from claude_force.errors import InvalidRecord, SettingsError
from claude_force.executions import record
from claude_force.executions.jsonl.codec import GUIDE_COLUMNS
from claude_force.performance_tracker.batch import Batch
from claude_force.performance_tracker.tracker import ExecutionMetrics, PerformanceTracker, get_tracker
from tests.builders import an_execution

BASELINE_KEYS = [
    "period", "total_executions", "success_rate", "avg_execution_time_ms", "p50_latency_ms", "p95_latency_ms",
    "p99_latency_ms", "total_cost", "avg_cost_per_execution", "avg_input_tokens", "avg_output_tokens",
    "model_distribution",
]  # fmt: skip
HAIKU, SONNET = "claude-3-5-haiku-20241022", "claude-sonnet-4-5"


def ago(**span: float) -> datetime:
    """An instant in the past."""
    return datetime.now(UTC) - timedelta(**span)


@pytest.fixture
def tracker(location: str) -> Iterator[PerformanceTracker]:
    """A tracker on an empty database, on both engines, closed afterwards."""
    with PerformanceTracker(database=location) as found:
        yield found


@pytest.fixture
def busy(tracker: PerformanceTracker) -> PerformanceTracker:
    """A tracker with four executions of two agents: 2, 25 and 50 hours old, and 40 days old."""
    usage: dict[str, Any] = {"input_tokens": 100, "output_tokens": 50}
    tracker.record_execution("ann", "t", True, 1000, HAIKU, timestamp=ago(hours=2), estimated_cost=0.5, **usage)
    tracker.record_execution("bob", "t", False, 3000, SONNET, timestamp=ago(hours=25), estimated_cost=1.5, **usage)
    tracker.record_execution("ann", "t", True, 2000, SONNET, timestamp=ago(hours=50), estimated_cost=2, **usage)
    tracker.record_execution("ann", "t", True, 6000, HAIKU, timestamp=ago(days=40), estimated_cost=4, **usage)
    return tracker


def test_a_batch_is_stored_at_its_end(tracker: PerformanceTracker) -> None:
    """What is recorded in it, timed or not, waits until then; what is recorded beside it does not."""
    with tracker.batch() as batch:
        recorded = [batch.record_execution(f"a{number}", timestamp=ago(seconds=9 - number)) for number in range(3)]
        with batch.track("timed"):
            pass
        tracker.record_execution("beside", timestamp=ago(seconds=20))
        assert [found.agent_name for found in tracker.get_all_metrics()] == ["beside"]
    assert tracker.get_all_metrics()[1:4] == recorded
    assert tracker.get_all_metrics()[4].agent_name == "timed"


def test_many_of_a_batch_are_stored_before_its_end(
    tracker: PerformanceTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory and what a kill can take stay small."""
    monkeypatch.setattr("claude_force.performance_tracker.batch.RECORDS_AT_ONCE", 3)
    with tracker.batch() as batch:
        for _ in range(4):
            batch.record_execution("a")
        assert len(tracker.get_all_metrics()) == 3
    assert len(tracker.get_all_metrics()) == 4


def test_an_old_record_of_a_batch_is_stored_with_the_next(
    tracker: PerformanceTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that slows down does not keep its records waiting while it records."""
    monkeypatch.setattr("claude_force.performance_tracker.batch.LONGEST_WAIT_S", 0.0)
    with tracker.batch() as batch:
        batch.record_execution("a")
        assert len(tracker.get_all_metrics()) == 1


def test_a_batch_that_fails_is_stored(tracker: PerformanceTracker) -> None:
    """With all that was recorded before the exception."""
    with suppress(ZeroDivisionError), tracker.batch() as batch:
        batch.record_execution("a", execution_time_ms=1 // 1)
        batch.record_execution("b", execution_time_ms=1 // 0)
    assert len(tracker.get_all_metrics()) == 1


def test_what_outlives_a_batch_is_stored_at_once(tracker: PerformanceTracker) -> None:
    """As a thread or a task does that the block started, and did not wait for."""
    with tracker.batch() as batch:
        timed = batch.track("timed")
        timed.__enter__()
    timed.__exit__(None, None, None)
    batch.record_execution("late")
    assert [found.agent_name for found in tracker.get_all_metrics()] == ["timed", "late"]


def test_an_interrupted_batch_is_stored_later(tracker: PerformanceTracker) -> None:
    """An interrupt while a part of it is being stored loses nothing and doubles nothing."""
    keep, interrupts = tracker._keep, iter([True])

    def interrupted(records: Sequence[ExecutionMetrics]) -> None:
        keep(records)
        if next(interrupts, False):
            raise KeyboardInterrupt

    batch = Batch(interrupted)
    batch.add([an_execution(agent_name=name) for name in ("a", "b")])
    with pytest.raises(KeyboardInterrupt):
        batch.flush()
    batch.flush()
    assert sorted(found.agent_name for found in tracker.get_all_metrics()) == ["a", "b"]


def test_threads_share_a_batch(tracker: PerformanceTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each record is stored once."""
    monkeypatch.setattr("claude_force.performance_tracker.batch.RECORDS_AT_ONCE", 20)
    with tracker.batch() as batch, ThreadPoolExecutor(4) as threads:
        recorded = list(threads.map(lambda number: batch.record_execution(str(number)), range(200)))
    assert {found.uid for found in tracker.get_all_metrics()} == {found.uid for found in recorded}


def test_a_recorded_execution_is_stored_unchanged(tracker: PerformanceTracker) -> None:
    """The returned record is the stored one, whichever arguments were given."""
    recorded = [
        tracker.record_execution("a", timestamp=ago(seconds=3)),
        tracker.record_execution(
            agent_name="b",
            task="write tests",
            success=False,
            duration_ms=1234.5,
            model=HAIKU,
            input_tokens=1234,
            output_tokens=567,
            error_type="TimeoutError",
            workflow_id="release",
            workflow_position=2,
            cache_read_tokens=3,
            cache_write_5m_tokens=4,
            cache_write_1h_tokens=5,
            run_id="r1",
            project="/srv/app",
            timestamp=ago(seconds=2),
        ),
        tracker.record_execution("c", "t", True, 10, "no-such-model", 1, 2, None, "flow", 1, timestamp=ago(seconds=1)),
    ]
    assert tracker.get_all_metrics() == recorded
    assert list(tracker.iter_metrics()) == recorded
    bare, full, positional = recorded
    assert (bare.success, bare.model, bare.execution_time_ms, bare.total_tokens, bare.estimated_cost) == (
        True, "unknown", None, None, None,
    )  # fmt: skip
    assert (bare.project, bare.source) == (os.getcwd(), "tracker")
    assert (full.execution_time_ms, full.total_tokens, full.error_type) == (1234.5, 1813, "TimeoutError")
    assert (full.task_hash, full.workflow_id, full.workflow_name) == (
        record.task_hash("write tests"),
        "release",
        "release",
    )
    assert full.estimated_cost is not None
    assert full.reference_cost is not None
    assert full.estimated_cost < full.reference_cost
    assert (positional.workflow_id, positional.workflow_position) == ("flow", 1)
    assert positional.estimated_cost is None


def test_a_given_cost_is_kept(tracker: PerformanceTracker) -> None:
    """It takes precedence over the list price, and no price table is named."""
    found = tracker.record_execution("a", model=HAIKU, input_tokens=1, output_tokens=1, estimated_cost=0.25)
    assert (found.estimated_cost, found.price_version) == (0.25, None)
    assert found.reference_cost is not None


def test_recording_the_same_execution_again_changes_nothing(tracker: PerformanceTracker) -> None:
    """With a uid of its own, a retry is harmless."""
    uid = tracker.record_execution("a").uid
    tracker.record_execution("b", uid=uid)
    assert [found.agent_name for found in tracker.get_all_metrics()] == ["a"]


def test_recording_an_archived_execution_again_changes_nothing(tracker: PerformanceTracker, location: str) -> None:
    """Only an execution whose uid the tracker has just made is stored without a look at the archive."""
    found = tracker.record_execution("a")
    row = record.to_row(found)
    with closing(open_database(location)) as database, database.write() as connection:
        connection.lock_rollups()
        assert archive_rows(connection, [row], [tombstone(row)], row[1] + 1) == 1
    tracker.record_execution("a", uid=found.uid)
    assert tracker.get_all_metrics() == []
    tracker.record_execution("b")
    assert [found.agent_name for found in tracker.get_all_metrics()] == ["b"]


def test_every_execution_has_an_identity_in_order_of_time(tracker: PerformanceTracker) -> None:
    """Equal executions are two; a later one has a greater uid, and a timestamp with its offset."""
    first, second = tracker.record_execution("a", timestamp=ago(seconds=2)), tracker.record_execution("a")
    assert first.uid < second.uid
    assert datetime.fromisoformat(first.timestamp).utcoffset() is not None


_WRONG: list[tuple[str, dict[str, Any]]] = [
    ("agent_name", {"agent_name": ""}),
    ("agent_name", {"agent_name": 7}),
    ("agent_name", {"agent_name": "x" * 201}),
    ("agent_name", {"agent_name": "nul\0"}),
    ("model", {"model": "\ud800"}),
    ("success", {"success": 1}),
    ("task", {"task": 7}),
    ("execution_time_ms", {"duration_ms": -1}),
    ("execution_time_ms", {"execution_time_ms": float("nan")}),
    ("execution_time_ms", {"execution_time_ms": float("inf")}),
    ("execution_time_ms", {"execution_time_ms": "fast"}),
    ("execution_time_ms", {"execution_time_ms": True}),
    ("input_tokens", {"input_tokens": -1, "output_tokens": 1}),
    ("input_tokens", {"input_tokens": 1.5, "output_tokens": 1}),
    ("output_tokens", {"input_tokens": 1}),
    ("cache_read_tokens", {"cache_read_tokens": -1}),
    ("cache_read_tokens", {"cache_read_tokens": None}),
    ("cache_write_1h_tokens", {"cache_write_1h_tokens": "many"}),
    ("estimated_cost", {"estimated_cost": -0.01}),
    ("estimated_cost", {"estimated_cost": float("nan")}),
    ("workflow_position", {"workflow_position": -1}),
    ("workflow_id", {"workflow_name": "x" * 201}),
    ("error_type", {"error_type": 404}),
    ("timestamp", {"timestamp": datetime(1969, 12, 31, tzinfo=UTC)}),
    ("timestamp", {"timestamp": datetime.max.replace(tzinfo=UTC)}),
    ("timestamp", {"timestamp": "2025-11-14T10:30:45"}),
    ("timestamp", {"timestamp": 1_762_000_000}),
    ("uid", {"uid": "mine"}),
    ("uid", {"uid": "0198C0DE-0000-7000-8000-000000000000"}),
]


@pytest.mark.parametrize(
    ("field", "arguments"), _WRONG, ids=[f"{name}-{index}" for index, (name, _) in enumerate(_WRONG)]
)
def test_an_invalid_argument_is_refused(field: str, arguments: dict[str, Any], tmp_path: Path) -> None:
    """InvalidRecord, a ValueError, names the field; nothing is stored."""
    tracker = PerformanceTracker(database=str(tmp_path / "metrics.db"))
    with pytest.raises(InvalidRecord) as caught:
        tracker.record_execution(**{"agent_name": "a"} | arguments)
    assert isinstance(caught.value, ValueError)
    assert caught.value.field == field
    assert tracker.get_all_metrics() == []


def test_the_queries_of_the_guide(busy: PerformanceTracker) -> None:
    """All executions, those since an instant, and those of one agent, each oldest first."""
    assert [metrics.execution_time_ms for metrics in busy.get_all_metrics()] == [6000, 2000, 3000, 1000]
    assert [metrics.execution_time_ms for metrics in busy.get_metrics_since(ago(days=7))] == [2000, 3000, 1000]
    assert [metrics.execution_time_ms for metrics in busy.get_metrics_by_agent("ann")] == [6000, 2000, 1000]
    assert busy.get_metrics_by_agent("nobody") == []
    assert busy.get_metrics_since(datetime.now()) == []  # noqa: DTZ005  (the guide asks with a naive moment)
    assert len(busy.get_metrics_since(datetime.now() - timedelta(hours=3))) == 1  # noqa: DTZ005


@pytest.mark.parametrize(
    ("period", "label", "executions", "cost"),
    [
        ({}, "all time", 4, 8.0),
        ({"days": 7}, "7 days", 3, 4.0),
        ({"days": 1}, "1 day", 1, 0.5),
        ({"hours": 26}, "26 hours", 2, 2.0),
        ({"hours": 1}, "1 hour", 0, 0.0),
    ],
)
def test_the_summary_has_the_keys_of_the_baseline(
    period: dict[str, int], label: str, executions: int, cost: float, busy: PerformanceTracker
) -> None:
    """In the guide's order, for the given days or hours; rates in percent."""
    found = busy.get_summary(**period)
    assert list(found)[: len(BASELINE_KEYS)] == BASELINE_KEYS
    assert (found["period"], found["total_executions"], found["total_cost"]) == (label, executions, cost)


def test_the_summary_counts_right(busy: PerformanceTracker) -> None:
    """Every figure of a known history."""
    found = busy.get_summary(days=7)
    assert found["success_rate"] == pytest.approx(200 / 3)
    assert found["avg_execution_time_ms"] == 2000
    assert (found["p50_latency_ms"], found["p95_latency_ms"], found["p99_latency_ms"]) == (2000, 3000, 3000)
    assert found["avg_cost_per_execution"] == pytest.approx(4 / 3)
    assert (found["avg_input_tokens"], found["avg_output_tokens"]) == (100, 50)
    assert found["model_distribution"] == {"sonnet": pytest.approx(200 / 3), "haiku": pytest.approx(100 / 3)}
    assert (found["successful_executions"], found["failed_executions"], found["total_tokens"]) == (2, 1, 450)


def test_positional_hours_as_in_1_3(busy: PerformanceTracker) -> None:
    """The first argument of get_summary is hours."""
    assert busy.get_summary(26)["total_executions"] == 2


def test_agents_and_costs(busy: PerformanceTracker) -> None:
    """Statistics of one agent or of all, and the cost by agent, by model and in total."""
    stats = busy.get_agent_stats()
    assert list(stats) == ["ann", "bob"]
    assert stats["ann"] == {
        "executions": 3,
        "success_rate": 100.0,
        "total_cost": 6.5,
        "avg_execution_time_ms": 3000.0,
        "total_tokens": 450,
    }
    assert busy.get_agent_stats("bob") == {"bob": stats["bob"]}
    assert busy.get_agent_stats("nobody") == {}
    assert busy.get_cost_breakdown() == {
        "by_agent": {"ann": 6.5, "bob": 1.5},
        "by_model": {HAIKU: 4.5, SONNET: 3.5},
        "total": 8.0,
    }


@pytest.mark.parametrize("interval_hours", [1, 6, 24, 168])
def test_trends_are_parallel_lists(interval_hours: int, busy: PerformanceTracker) -> None:
    """For any interval, every execution is in exactly one, in order of time."""
    found = busy.get_trends(interval_hours)
    assert set(found) == {"timestamps", "executions", "costs", "success_rates"}
    assert len({len(values) for values in found.values()}) == 1
    assert (sum(found["executions"]), sum(found["costs"])) == (4, 8.0)
    assert found["timestamps"] == sorted(found["timestamps"])
    assert found["executions"][0] == 1
    assert {type(datetime.fromisoformat(text)) for text in found["timestamps"]} == {datetime}


@pytest.mark.parametrize("interval_hours", [0, -24])
def test_an_invalid_interval_is_refused(interval_hours: int, busy: PerformanceTracker) -> None:
    """A ValueError with the reason, not an arithmetic error."""
    with pytest.raises(ValueError, match="interval"):
        busy.get_trends(interval_hours)


def test_exports(busy: PerformanceTracker, tmp_path: Path) -> None:
    """CSV has the guide's columns, JSON the reports and the executions; missing folders are created."""
    busy.export_csv(tmp_path / "new" / "metrics.csv")
    with (tmp_path / "new" / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == GUIDE_COLUMNS
    assert [row["agent_name"] for row in rows] == ["ann", "ann", "bob", "ann"]
    busy.export_json(str(tmp_path / "metrics.json"))
    document = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert list(document) == ["summary", "agent_stats", "cost_breakdown", "trends", "executions"]
    assert document["summary"]["total_executions"] == len(document["executions"]) == 4
    assert document["agent_stats"] == busy.get_agent_stats()


def test_clearing_deletes_old_executions(busy: PerformanceTracker) -> None:
    """It returns their number; the default is thirty days; a negative age is refused."""
    with pytest.raises(ValueError, match="negative"):
        busy.clear_old_metrics(-1)
    assert busy.clear_old_metrics() == 1
    assert busy.clear_old_metrics(days=2) == 1
    assert len(busy.get_all_metrics()) == 2


def test_an_empty_store_answers(tracker: PerformanceTracker, tmp_path: Path) -> None:
    """Every query works before the first execution, and creates nothing."""
    assert tracker.get_all_metrics() == []
    assert tracker.get_summary(days=7)["total_executions"] == 0
    assert tracker.get_summary()["success_rate"] is None
    assert tracker.get_agent_stats() == {}
    assert tracker.get_cost_breakdown() == {"by_agent": {}, "by_model": {}, "total": 0}
    assert tracker.get_trends()["timestamps"] == []
    assert tracker.clear_old_metrics(0) == 0
    assert list(tmp_path.rglob("*.db*")) == []


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (PerformanceTracker, ".claude/metrics"),
        (lambda: PerformanceTracker(Path.home() / ".claude"), ".claude/metrics"),
        (lambda: PerformanceTracker(".claude/metrics"), ".claude/metrics"),
        (lambda: PerformanceTracker(metrics_dir=".claude/metrics"), ".claude/metrics"),
        (lambda: PerformanceTracker("other/.claude"), "other/.claude/metrics"),
        (lambda: PerformanceTracker(metrics_dir=Path("figures")), "figures"),
        (lambda: PerformanceTracker(metrics_dir="~/figures", max_entries=10), "figures"),
        (get_tracker, ".claude/metrics"),
        (lambda: get_tracker("figures"), "figures"),
        (claude_force.PerformanceTracker, ".claude/metrics"),
    ],
)
def test_where_a_tracker_keeps_its_executions(make: Callable[[], PerformanceTracker], data: str, home: Path) -> None:
    """Every way of opening one that the guide and claude-force 1.3 have; nothing is created before the first record."""
    before = sorted(home.rglob("*"))
    with make() as tracker:
        assert sorted(home.rglob("*")) == before
        tracker.record_execution("a")
    assert [path.relative_to(home) for path in home.rglob("*.db")] == [Path(data) / "metrics.db"]


@pytest.mark.parametrize("opened", [PerformanceTracker, get_tracker])
def test_a_project_has_no_store_of_its_own(
    opened: Callable[[], PerformanceTracker], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder below a project with a `.claude`, a tracker records into the store of the user; one that was given
    the folder records there."""
    (home / "project" / ".claude").mkdir(parents=True)
    (home / "project" / "src").mkdir()
    monkeypatch.chdir(home / "project" / "src")
    with opened() as tracker:
        tracker.record_execution("a")
    assert list(home.rglob("*.db")) == [home / ".claude" / "metrics" / "metrics.db"]
    with PerformanceTracker(home / "project" / ".claude") as tracker:
        tracker.record_execution("b")
    assert (home / "project" / ".claude" / "metrics" / "metrics.db").exists()


def test_a_tracker_without_persistence_leaves_nothing(home: Path) -> None:
    """Its executions are private, and deleted with it."""
    with PerformanceTracker(enable_persistence=False) as tracker:
        tracker.record_execution("a")
        assert [metrics.agent_name for metrics in tracker.get_all_metrics()] == ["a"]
        assert list((home / ".claude").iterdir()) == []
    del tracker
    assert PerformanceTracker().get_all_metrics() == []


def test_a_tracker_can_be_used_after_it_was_closed(tracker: PerformanceTracker) -> None:
    """Closing closes the database; the next call opens it again."""
    tracker.record_execution("a")
    tracker.close()
    tracker.record_execution("b")
    tracker.close()
    assert len(tracker.get_all_metrics()) == 2


def configure(home: Path, **settings: object) -> None:
    """Write claude.json."""
    (home / ".claude" / "claude.json").write_text(json.dumps({"performance": settings}), encoding="utf-8")


def test_tracking_can_be_switched_off(home: Path) -> None:
    """The caller still gets the record, but nothing is stored and no file is created."""
    configure(home, tracking_enabled=False)
    with PerformanceTracker() as tracker:
        found = tracker.record_execution("a", model=HAIKU, input_tokens=1000, output_tokens=10)
    assert isinstance(found, ExecutionMetrics)
    assert found.estimated_cost is not None
    assert [path.name for path in (home / ".claude").iterdir()] == ["claude.json"]


def test_costs_can_be_switched_off(home: Path) -> None:
    """No execution gets a cost, not even a given one."""
    configure(home, cost_tracking=False)
    with PerformanceTracker() as tracker:
        tracker.record_execution("a", model=HAIKU, input_tokens=1000, output_tokens=10)
        tracker.record_execution("a", estimated_cost=1.0)
        assert {(found.estimated_cost, found.reference_cost) for found in tracker.get_all_metrics()} == {(None, None)}


def test_executions_have_the_user_of_the_settings(home: Path) -> None:
    """Without one, who ran them is not known."""
    with PerformanceTracker() as tracker:
        assert tracker.record_execution("a").user_name is None
    configure(home, user="ada")
    with PerformanceTracker() as tracker:
        assert tracker.record_execution("a").user_name == "ada"
        assert [found.user_name for found in tracker.get_all_metrics()] == [None, "ada"]


def test_each_execution_can_be_logged(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With detailed_logging, the logger `claude_force` gets the whole record; without it, nothing."""
    caplog.set_level(logging.DEBUG, "claude_force")
    with PerformanceTracker() as tracker:
        tracker.record_execution("quiet")
    assert caplog.records == []
    configure(home, detailed_logging=True)
    with PerformanceTracker() as tracker:
        tracker.record_execution("a", duration_ms=5)
    (logged,) = caplog.records
    assert (logged.name, logged.levelno) == ("claude_force", logging.INFO)
    assert vars(logged)["execution"]["agent_name"] == "a"


@pytest.mark.parametrize("content", ["{", '{"performance": {"tracking_enabled": "yes"}}', '{"performance": []}', "[]"])
def test_broken_settings_do_not_stop_recording(content: str, home: Path) -> None:
    """They may name another database: a warning names the file, and the execution is spooled until the file can be
    read."""
    settings = home / ".claude" / "claude.json"
    settings.write_text(content, encoding="utf-8")
    with PerformanceTracker() as tracker:
        with pytest.warns(RuntimeWarning, match=r"claude\.json.*wait in"):
            tracker.record_execution("a")
        with pytest.raises(SettingsError):
            tracker.get_all_metrics()
    assert not (home / ".claude" / "metrics" / "metrics.db").exists()
    settings.write_text('{"performance": {"database": "team.db"}}', encoding="utf-8")
    with PerformanceTracker() as repaired:
        repaired.record_execution("b")
        assert [metrics.agent_name for metrics in repaired.get_all_metrics()] == ["a", "b"]
    assert (home / "team.db").exists()


@pytest.mark.parametrize("elsewhere", [{"enable_persistence": False}, {"database": "other.db"}])
def test_executions_spooled_for_broken_settings_stay(elsewhere: dict[str, Any], home: Path) -> None:
    """A tracker with an explicit database does not take them."""
    settings = home / ".claude" / "claude.json"
    settings.write_text("{", encoding="utf-8")
    with PerformanceTracker() as tracker, pytest.warns(RuntimeWarning):
        tracker.record_execution("waiting")
    settings.unlink()
    with PerformanceTracker(**elsewhere) as other:
        other.record_execution("other")
        assert [metrics.agent_name for metrics in other.get_all_metrics()] == ["other"]
    with PerformanceTracker() as mine:
        mine.record_execution("mine")
        assert [metrics.agent_name for metrics in mine.get_all_metrics()] == ["waiting", "mine"]


def test_a_strict_host_is_not_failed_by_a_warning(home: Path) -> None:
    """If the host turns warnings into errors, the message is logged instead."""
    (home / ".claude" / "claude.json").write_text("{", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with PerformanceTracker() as tracker:
            tracker.record_execution("a")
    assert (home / ".claude" / "metrics" / "spool-unsettled.jsonl").exists()


_NAIVE = """
from datetime import datetime
from claude_force.performance_tracker.tracker import PerformanceTracker

print(PerformanceTracker().record_execution("a", timestamp=datetime(2025, 7, 1, 12)).timestamp)
"""


def test_a_naive_timestamp_is_local_time(home: Path) -> None:
    """With the offset that the local zone had on that day."""
    command = [sys.executable, "-c", _NAIVE]
    environment = os.environ | {"TZ": "Europe/Berlin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "2025-07-01T12:00:00.000000+02:00\n"
