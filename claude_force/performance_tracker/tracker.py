"""The recording API: `PerformanceTracker`.

A recorded execution passes through these stages:

    arguments or a timed block  ->  CallReport  ->  ExecutionMetrics, with a cost  ->  Recorder  ->  database or spool

Recording never fails its host and never loses a record (see `recorder`). Reading raises errors.

A tracker may be shared by threads and asyncio tasks, used after a fork, and opened by any number of processes.
"""

from __future__ import annotations

import copy
import functools
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from claude_force.analytics import reports as analytics
from claude_force.clock import DAY_US, local_zone, now_us, to_instant
from claude_force.database import queries
from claude_force.database.queries import Filter
from claude_force.errors import InvalidRecord, SettingsError, UnknownName
from claude_force.executions import record
from claude_force.executions.costs import price_values
from claude_force.executions.export import write_csv, write_document
from claude_force.executions.origin import host_name, project_of_working_folder
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import ExecutionMetrics
from claude_force.ingest.spool_files import former_files, spool_files, telemetry_folders, unsettled_files
from claude_force.performance_tracker.batch import Batch, Keep
from claude_force.performance_tracker.labels import label_of
from claude_force.performance_tracker.recorder import Recorder, logger
from claude_force.performance_tracker.timing import CallReport, Tracking
from claude_force.settings.claude_json import Settings, load_settings
from claude_force.settings.home import Home, find_home, home_at
from claude_force.settings.location import DATABASE_VARIABLE, database_location
from claude_force.text import kind_of
from claude_force.time_windows import ALL_TIME, Window, heading_of, last_window

__all__ = ["ExecutionMetrics", "PerformanceTracker", "get_tracker"]

_NUMBER_LIMIT = 1e15
"""Above every limit of a record."""


class PerformanceTracker:
    """Records executions and reports on them."""

    def __init__(
        self,
        folder: Path | str | None = None,
        max_entries: int | None = None,
        enable_persistence: bool = True,
        *,
        metrics_dir: Path | str | None = None,
        database: str | None = None,
        label: str | None = None,
    ) -> None:
        """Open a tracker. Nothing is created before the first record.

        Args:
            folder: a `.claude` folder, or its `metrics` folder, with its own settings and its own store. Default: the
                settings and the store that the command line has in the working folder, as a rule those in `~/.claude`.
            max_entries: accepted because claude-force 1.3 had it. Nothing is kept in memory, so there is no limit.
            enable_persistence: False uses a private database that is deleted with the tracker.
            metrics_dir: the folder of the data itself, as in claude-force 1.3.
            database: a path or URL. It takes precedence over CLAUDE_FORCE_DB and the settings.
            label: marks all that it records, to compare it with other labels: those executions are a session of their
                own. Default: CLAUDE_FORCE_LABEL. Raises InvalidRecord, a ValueError, for one that is not valid.
        """
        del max_entries
        home = _home_of(folder, metrics_dir)
        self._settings, error = _settings_of(home)
        if not enable_persistence:
            private = tempfile.mkdtemp(prefix="claude-force-")
            weakref.finalize(self, _remove_private, private, os.getpid())
            database = str(Path(private) / "metrics.db")
        try:
            location = database_location(self._settings, home, database)
        except SettingsError as unknown:
            location, error = str(home.database_file), unknown
        spools = spool_files(location, home.metrics_folder)
        unsettled = unsettled_files(home)
        others = (*unsettled, *former_files(location, home))
        if database or os.environ.get(DATABASE_VARIABLE):
            # The settings do not decide where records go, and the unsettled ones are for another database.
            error, others = None, ()
        if error:
            spools = unsettled[:1]
        self._label = label_of(label, telemetry_folders(location, home.metrics_folder)[0])
        self._recorder = Recorder(location, error, spools, others, home.rejected_file, self._label)
        self._keep: Keep = self._recorder.record
        self._keep_new: Keep = functools.partial(self._recorder.record, is_new=True)

    # Recording

    def record_execution(
        self,
        agent_name: str,
        task: str | None = None,
        success: bool = True,
        execution_time_ms: float | None = None,
        model: str = record.UNKNOWN,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        error_type: str | None = None,
        workflow_name: str | None = None,
        workflow_position: int | None = None,
        *,
        duration_ms: float | None = None,
        workflow_id: str | None = None,
        cache_read_tokens: int = 0,
        cache_write_5m_tokens: int = 0,
        cache_write_1h_tokens: int = 0,
        service_tier: str | None = None,
        web_searches: int = 0,
        estimated_cost: float | None = None,
        run_id: str | None = None,
        project: str | None = None,
        timestamp: datetime | None = None,
        uid: str | None = None,
    ) -> ExecutionMetrics:
        """Record one execution and return it.

        | argument | meaning |
        |---|---|
        | `execution_time_ms`, `duration_ms` | the duration; two names for one value |
        | `workflow_name`, `workflow_id` | the workflow; two names for one value |
        | `input_tokens` | without cached tokens |
        | `error_type` | cut to 200 characters |
        | `service_tier` | "fast" or "batch" if the request was served so |
        | `estimated_cost` | US dollars; default: computed from the list price |
        | `timestamp` | when the execution ended; default: now; a naive one is local time |
        | `uid` | recording the same uid again changes nothing; default: a new one |

        Unknown values are left out. Raises InvalidRecord, a ValueError, for an invalid argument. Failures of the
        database raise nothing.
        """
        milliseconds = execution_time_ms if duration_ms is None else duration_ms
        has_cost = estimated_cost is not None and self._settings.cost_tracking
        return self._record(
            CallReport(
                agent_name=agent_name,
                task=task,
                success=success,
                model=model,
                timestamp_us=now_us() if timestamp is None else _instant(timestamp),
                duration_us=None if milliseconds is None else _rounded("execution_time_ms", milliseconds, 1000),
                error_type=error_type,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cache_read_tokens=cache_read_tokens,
                cache_write_5m_tokens=cache_write_5m_tokens,
                cache_write_1h_tokens=cache_write_1h_tokens,
                service_tier=service_tier or None,
                web_searches=web_searches,
                workflow_id=workflow_id or workflow_name or None,
                workflow_position=workflow_position,
                run_id=run_id or None,
                cost_nanousd=_rounded("estimated_cost", estimated_cost, record.NANOUSD) if has_cost else None,
                project=project,
                uid=uid,
            )
        )

    def track(
        self,
        agent_name: str,
        task: str | None = None,
        *,
        model: str = record.UNKNOWN,
        workflow_id: str | None = None,
        workflow_position: int | None = None,
        run_id: str | None = None,
    ) -> Tracking:
        """Time a block or a function and record it: use it with `with`, `async with`, or as a decorator.

        The block gets an object whose `take_usage(response)` reads tokens and model from an API response; the decorator
        reads them from what the function returns. An exception is recorded by its type and passes through.
        """
        return Tracking(self._record_call, agent_name, task, model, workflow_id, workflow_position, run_id)

    @contextmanager
    def batch(self) -> Iterator[PerformanceTracker]:
        """Record thousands of executions a second: those of the block are stored many at once.

        The block gets a tracker like this one. What is recorded with it waits in memory, and is stored with 500 others,
        after a second (when the next execution is recorded), and at the end of the block, however it ends. What waits
        is not in the store: reports do not contain it, and a process that is killed loses it. Failures of the database
        lose nothing, as for single executions. After the block its tracker stores each execution at once.
        """
        batch, tracker = Batch(self._keep), copy.copy(self)
        tracker._keep = tracker._keep_new = batch.add
        try:
            yield tracker
        finally:
            batch.end()

    def _record_call(self, report: CallReport) -> None:
        """Record a timed call. Raises nothing: an invalid value is warned about."""
        try:
            self._record(report)
        except InvalidRecord as error:
            self._recorder.warn(f"an execution of {report.agent_name!r} was not recorded: {error}")

    def _record(self, report: CallReport) -> ExecutionMetrics:
        values = _values_of(report, self._label.session if self._label else None, self._settings.user)
        record.check_values(values)
        metrics = price_values(self._prices, values) if self._settings.cost_tracking else record.of_values(values)
        if self._settings.tracking_enabled:
            keep = self._keep_new if report.uid is None else self._keep
            keep((metrics,))
        if self._settings.detailed_logging:
            logger.info("execution recorded", extra={"execution": record.as_mapping(metrics)})
        return metrics

    @functools.cached_property
    def _prices(self) -> PriceTable:
        return PriceTable(self._settings.reference_model, self._settings.prices)

    # Reading

    def iter_metrics(self, window: Window = ALL_TIME) -> Iterator[ExecutionMetrics]:
        """Every stored execution, oldest first, in constant memory. Archived ones are not included; `claude-force
        import` brings them back from their archive."""
        return queries.iterate(self._recorder.database, Filter(window=window))

    def get_all_metrics(self) -> list[ExecutionMetrics]:
        """Every stored execution, oldest first, as a list. For a large store use `iter_metrics`."""
        return list(self.iter_metrics())

    def get_metrics_since(self, start: datetime) -> list[ExecutionMetrics]:
        """The executions since `start`, oldest first. A naive `start` is local time."""
        return list(self.iter_metrics(Window(to_instant(start))))

    def get_metrics_by_agent(self, agent_name: str) -> list[ExecutionMetrics]:
        """The executions of one agent, oldest first."""
        return list(queries.iterate(self._recorder.database, Filter(agents=(agent_name,))))

    def get_summary(self, hours: int | None = None, *, days: int | None = None) -> dict[str, Any]:
        """The summary of the last `hours` or `days`, or of all time, with the keys of the guide's baseline and of
        claude-force 1.3. Rates are percentages, 0 to 100. Unknown values, such as an average of nothing, are None.
        Raises ValueError for a negative number."""
        if (days or 0) < 0 or (hours or 0) < 0:
            raise ValueError("days and hours must not be negative")
        window = last_window(now_us(), days=days or 0, hours=hours or 0) if days or hours else ALL_TIME
        found = analytics.summary(self._recorder.database, Filter(window=window)).to_dict()
        return found | {"time_period": "all time" if window is ALL_TIME else heading_of(window.label).lower()}

    def get_agent_stats(self, agent_name: str | None = None) -> dict[str, dict[str, Any]]:
        """For each agent: executions, success_rate (0 to 100), total_cost, avg_execution_time_ms, total_tokens. The
        result is empty for an unknown agent."""
        chosen = Filter(agents=(agent_name,) if agent_name else ())
        try:
            groups = analytics.summary(self._recorder.database, chosen).agents
        except UnknownName:
            return {}
        return {
            group.name or "": {
                "executions": group.totals.executions,
                "success_rate": group.totals.success_rate,
                "total_cost": group.totals.cost,
                "avg_execution_time_ms": group.totals.average_ms,
                "total_tokens": group.totals.total_tokens,
            }
            for group in groups
        }

    def get_cost_breakdown(self) -> dict[str, Any]:
        """US dollars by agent, by model and in total, highest first. None means that no price is known."""
        costs = analytics.costs(self._recorder.database, Filter())
        return {
            "by_agent": {group.name: group.totals.cost for group in costs.by_agent},
            "by_model": {group.name: group.totals.cost for group in costs.by_model},
            "total": costs.totals.cost,
        }

    def get_trends(self, interval_hours: int = 24) -> dict[str, list[Any]]:
        """Parallel lists over the intervals that have executions: timestamps, executions, costs, success_rates (0 to
        100). Intervals of 24 hours are local days; others are counted from local midnight of the first day. Raises
        ValueError for an interval below one hour."""
        if interval_hours < 1:
            raise ValueError("an interval is at least one hour")
        zone = local_zone()
        hourly = interval_hours % 24 != 0
        found = analytics.trends(self._recorder.database, Filter(), "hourly" if hourly else "daily", zone).buckets
        found = [bucket for bucket in found if not bucket.totals.is_empty]
        merged = analytics.merge_buckets(found, interval_hours * DAY_US // 24, zone)
        totals = [item for _, item in merged]
        return {
            "timestamps": [start for start, _ in merged],
            "executions": [item.executions for item in totals],
            "costs": [item.cost for item in totals],
            "success_rates": [item.success_rate for item in totals],
        }

    def export_csv(self, output_path: Path | str) -> None:
        """Write every execution as CSV with the guide's twelve columns. Creates missing folders."""
        path = _with_folder(output_path)
        write_csv(queries.iterate_rows(self._recorder.database, Filter()), path, local_zone(), all_columns=False)

    def export_json(self, output_path: Path | str) -> None:
        """Write summary, agent_stats, cost_breakdown, trends and executions as one JSON document. Creates missing
        folders."""
        head = {
            "summary": self.get_summary(),
            "agent_stats": self.get_agent_stats(),
            "cost_breakdown": self.get_cost_breakdown(),
            "trends": self.get_trends(),
        }
        write_document(
            queries.iterate_rows(self._recorder.database, Filter()), _with_folder(output_path), local_zone(), head
        )

    def clear_old_metrics(self, days: int = 30) -> int:
        """Delete the executions older than `days`, archived ones included. Returns how many. Only an export, or the
        files of an archive, can bring them back. Raises ValueError for a negative number."""
        if days < 0:
            raise ValueError("days must not be negative")
        if not self._recorder.database.exists():
            return 0
        return self._recorder.store.delete(Window(None, now_us() - days * DAY_US))

    # Life

    def close(self) -> None:
        """Store or spool the records in memory, and close the database. The tracker can be used again."""
        self._recorder.close()

    def __enter__(self) -> PerformanceTracker:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


def get_tracker(metrics_dir: Path | str | None = None, max_entries: int | None = None) -> PerformanceTracker:
    """A tracker, with the arguments of claude-force 1.3."""
    return PerformanceTracker(metrics_dir=metrics_dir, max_entries=max_entries)


def _home_of(folder: Path | str | None, metrics_dir: Path | str | None) -> Home:
    if metrics_dir is not None:
        data = Path(metrics_dir).expanduser().absolute()
        return Home(data.parent, data)
    return find_home() if folder is None else home_at(folder)


def _settings_of(home: Home) -> tuple[Settings, SettingsError | None]:
    """The settings; or the defaults and the error, because a broken file must not fail the host."""
    try:
        settings, problems = load_settings(home)
    except SettingsError as error:
        return Settings(), error
    for problem in problems:
        logger.warning(problem)
    return settings, None


def _remove_private(folder: str, pid: int) -> None:
    """Delete a private database, unless this process is a fork of the one that created it."""
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


def _values_of(report: CallReport, session: str | None, user: str | None) -> tuple[Any, ...]:
    """The values of a record (see `record.FIELDS`), without a computed cost. Raises InvalidRecord for an impossible
    task."""
    if report.task is not None and not isinstance(report.task, str):
        raise InvalidRecord("task", f"expected text, got {kind_of(report.task)}")
    error_type = report.error_type
    return (
        report.uid or record.fresh_uid(report.timestamp_us),
        report.timestamp_us,
        report.agent_name,
        report.success,
        report.model,
        None if report.task is None else record.task_hash(report.task),
        report.duration_us,
        report.input_tokens,
        report.output_tokens,
        report.cache_read_tokens,
        report.cache_write_5m_tokens,
        report.cache_write_1h_tokens,
        report.cost_nanousd,
        None,
        None,
        error_type[: record.NAME_LIMIT] if isinstance(error_type, str) else error_type,
        report.workflow_id,
        report.workflow_position,
        record.TRACKER,
        host_name(),
        report.project or project_of_working_folder(),
        report.run_id,
        report.service_tier,
        report.web_searches,
        *(None, None, None),
        report.inference_geo,
        None,
        session,
        None,
        user,
        report.steps,
    )


def _instant(timestamp: object) -> int:
    if not isinstance(timestamp, datetime):
        raise InvalidRecord("timestamp", f"expected a datetime, got {kind_of(timestamp)}")
    return to_instant(timestamp)


def _rounded(field: str, value: object, factor: int) -> int:
    """A number in the integer unit of a record. Raises InvalidRecord."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRecord(field, f"expected a number, got {kind_of(value)}")
    # NaN is not below the limit either.
    if not abs(value) <= _NUMBER_LIMIT:
        raise InvalidRecord(field, f"must be between 0 and 1e15, not {value}")
    return round(value * factor)


def _with_folder(path: Path | str) -> Path:
    found = Path(path)
    found.parent.mkdir(parents=True, exist_ok=True)
    return found
