"""The recording API: `PerformanceTracker`.

Recording never fails its host and never loses a record. When the database cannot take one (locked, full, older schema,
server away), the record waits in a spool file, one warning is given, and it is brought in by the next tracker that
finds the database well, or by `claude-force import`. Reading raises what is wrong.

A tracker may be shared by threads and asyncio tasks, used after a fork, and opened by any number of processes.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
import warnings
import weakref
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from claude_force.analytics import reports as analytics
from claude_force.clock import DAY_US, local_zone, now_us, to_instant
from claude_force.database import queries
from claude_force.database.contract import Database
from claude_force.database.open import open_database
from claude_force.database.queries import Filter
from claude_force.database.writes import Store
from claude_force.errors import ClaudeForceError, InvalidRecord, SettingsError, UnknownName
from claude_force.executions import record
from claude_force.executions.export import write_csv, write_document
from claude_force.executions.origin import host_name, project_of_working_folder
from claude_force.executions.pricing import PriceTable
from claude_force.executions.record import ExecutionMetrics
from claude_force.ingest import spool
from claude_force.ingest.rejects import RejectLog
from claude_force.performance_tracker.timing import Outcome, Tracking
from claude_force.settings.claude_json import Settings, load_settings
from claude_force.settings.home import Home, find_home, home_at
from claude_force.settings.location import DATABASE_VARIABLE, database_location
from claude_force.text import kind_of
from claude_force.windows import ALL_TIME, Window, heading_of, last_window

__all__ = ["ExecutionMetrics", "PerformanceTracker", "get_tracker"]

logger = logging.getLogger("claude_force")
# A host that asked for no log gets the first warning and no line for each execution.
logger.addHandler(logging.NullHandler())

_PATIENCE = 10
"""How many times as long as a slow failure took the database is left alone."""

_SLOW_S = 1.0

_DRAIN_EVERY_S = 30.0
"""How often a tracker that is recording looks for what others put aside."""

_ABSURD = 1e15
"""Beyond every limit of the record. NaN is not below it either."""


class PerformanceTracker:
    """Records executions and answers what they came to."""

    def __init__(
        self,
        folder: Path | str | None = None,
        max_entries: int | None = None,
        enable_persistence: bool = True,
        *,
        metrics_dir: Path | str | None = None,
        database: str | None = None,
    ) -> None:
        """Open a tracker; nothing is created before the first record.

        Args:
            folder: a `.claude` folder, or the `metrics` folder in one. Default: the nearest `.claude` at or above the
                working folder, else `~/.claude`.
            max_entries: taken because claude-force 1.3 took it. Nothing is kept in memory, so there is no limit.
            enable_persistence: False keeps the executions in a private database that is gone with the tracker.
            metrics_dir: the folder of the data itself, as in claude-force 1.3.
            database: a path or URL, before CLAUDE_FORCE_DB and the settings.
        """
        del max_entries
        self._home = _home_of(folder, metrics_dir)
        self._settings, self._broken = _settings_of(self._home)
        if not enable_persistence:
            private = tempfile.mkdtemp(prefix="claude-force-")
            weakref.finalize(self, _remove_private, private, os.getpid())
            database = str(Path(private) / "metrics.db")
        self._location = database_location(self._settings, self._home, database)
        self._spool: tuple[Path, ...] = spool.spool_files(self._location, self._home.metrics_folder)
        self._unsettled: tuple[Path, ...] = (spool.unsettled_file(self._home.metrics_folder),)
        if database or os.environ.get(DATABASE_VARIABLE):
            # The settings have no say, and what waits for them is for another database.
            self._broken, self._unsettled = None, ()
        if self._broken:
            self._spool = self._unsettled
        self._waiting: deque[ExecutionMetrics] = deque()
        self._draining = threading.Lock()
        self._warned = False
        self._retry_at = 0.0
        self._trouble: Exception | None = None
        self._drain_at = 0.0
        self._closes_at_exit = False

    @functools.cached_property
    def _database(self) -> Database:
        """Opened when it is needed, where a location that cannot be used is one more reason to spool."""
        if self._broken:
            raise self._broken
        return open_database(self._location)

    @functools.cached_property
    def _store(self) -> Store:
        return Store(self._database)

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

        `execution_time_ms` and `duration_ms` are the same, as are `workflow_name` and `workflow_id`. What is not known
        is left out; an `error_type` over 200 characters is cut. `input_tokens` leaves cached tokens out. `service_tier`
        is "fast" or "batch" where the request was served so.
        `estimated_cost` (US dollars) is computed from the list price where it is not given. `timestamp` is when it
        ended, by default now; a naive one is local time. With a `uid` of your own, recording the same execution again
        changes nothing.

        Raises InvalidRecord, a ValueError, for an argument that cannot be. Nothing that the database does is raised.
        """
        milliseconds = execution_time_ms if duration_ms is None else duration_ms
        return self._record(
            agent_name=agent_name,
            task=task,
            success=success,
            duration_us=None if milliseconds is None else _rounded("execution_time_ms", milliseconds, 1000),
            model=model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            error_type=error_type[: record.NAME_LIMIT] if isinstance(error_type, str) else error_type,
            workflow_id=workflow_id or workflow_name or None,
            workflow_position=workflow_position,
            cache_read_tokens=cache_read_tokens,
            cache_write_5m_tokens=cache_write_5m_tokens,
            cache_write_1h_tokens=cache_write_1h_tokens,
            service_tier=service_tier or None,
            web_searches=web_searches,
            cost_nanousd=self._given_cost(estimated_cost),
            run_id=run_id or None,
            project=project,
            timestamp_us=now_us() if timestamp is None else _instant(timestamp),
            uid=uid,
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
        """Time a block or a function and record it: `with`, `async with`, or a decorator on a function or coroutine.

        The block gets an object whose `take_usage(response)` reads the tokens and the model of an API response; the
        decorator takes them from what the function returns. An exception is recorded by its type and passes through.
        """
        return Tracking(self, agent_name, task, model, workflow_id, workflow_position, run_id)

    def record_outcome(self, outcome: Outcome) -> None:
        """Record what a tracked call came to. Raises nothing: a value that cannot be is logged with its reason."""
        values = {name: getattr(outcome, name) for name in outcome.__slots__}
        try:
            self._record(**values, cost_nanousd=None, project=None, uid=None)
        except InvalidRecord as error:
            self._warn(f"an execution of {outcome.agent_name!r} was not recorded: {error}")

    def _record(self, *, task: object, timestamp_us: int, uid: str | None, **values: Any) -> ExecutionMetrics:
        if task is not None and not isinstance(task, str):
            raise InvalidRecord("task", f"expected text, got {kind_of(task)}")
        metrics = ExecutionMetrics(
            **values
            | {
                "uid": uid or record.fresh_uid(timestamp_us),
                "timestamp_us": timestamp_us,
                "task_hash": None if task is None else record.task_hash(task),
                "host": host_name(),
                "project": values["project"] or project_of_working_folder(),
            }
        )
        if self._settings.cost_tracking and metrics.input_tokens is not None:
            metrics = self._prices.priced(metrics)
        if self._settings.tracking_enabled:
            self._keep(metrics)
        if self._settings.detailed_logging:
            logger.info("execution recorded", extra={"execution": record.as_mapping(metrics)})
        return metrics

    @functools.cached_property
    def _prices(self) -> PriceTable:
        return PriceTable(self._settings.reference_model, self._settings.prices)

    def _given_cost(self, estimated_cost: float | None) -> int | None:
        if estimated_cost is None or not self._settings.cost_tracking:
            return None
        return _rounded("estimated_cost", estimated_cost, record.NANOUSD)

    def _keep(self, metrics: ExecutionMetrics) -> None:
        """Store a record; if that fails spool it; if that fails too keep it in memory for the next call."""
        started = time.monotonic()
        if started < self._retry_at:
            self._put_aside(metrics, self._trouble)
            return
        try:
            self._store.add([metrics])
        except ClaudeForceError as error:
            self._trouble = error
            elapsed = time.monotonic() - started
            if elapsed > _SLOW_S:
                # It would hold up every call of the host: leave it alone for a while.
                self._retry_at = time.monotonic() + _PATIENCE * elapsed
            self._put_aside(metrics, error)
            return
        if self._waiting or started >= self._drain_at:
            self._bring_in()

    def _put_aside(self, metrics: ExecutionMetrics, cause: Exception | None) -> None:
        try:
            path = spool.append(metrics, self._spool)
        except OSError as error:
            if not self._closes_at_exit:
                self._closes_at_exit = True
                atexit.register(self.close)
            self._waiting.append(metrics)
            self._warn(f"{cause}; the spool cannot be written either ({error}): executions are kept in memory")
        else:
            self._warn(f"{cause}; executions wait in {path} and come in later (or now: claude-force import)")
        self._drain_at = 0.0

    def _bring_in(self) -> None:
        """Store what waited, now that the database takes records again."""
        if not self._draining.acquire(blocking=False):
            return
        # Set before, so that what is put aside meanwhile is looked for again.
        self._drain_at = time.monotonic() + _DRAIN_EVERY_S
        try:
            for _ in range(len(self._waiting)):
                metrics = self._waiting.popleft()
                try:
                    self._store.add([metrics])
                except ClaudeForceError:
                    self._waiting.appendleft(metrics)
                    raise
            spool.drain((*self._spool, *self._unsettled), self._store, RejectLog(self._home.rejected_file), now_us())
            self._warned = False
        except (ClaudeForceError, OSError) as error:
            self._drain_at = 0.0
            logger.debug("what waits was not brought in: %s", error)
        finally:
            self._draining.release()

    def _warn(self, message: str) -> None:
        """Once aloud, afterwards to the log: a host that records in a loop must not be flooded."""
        first, self._warned = not self._warned, True
        if first:
            _say(message)
        else:
            logger.warning(message)

    # Reading

    def iter_metrics(self, window: Window = ALL_TIME) -> Iterator[ExecutionMetrics]:
        """Every execution, oldest first, in constant memory; none where there is no database yet. Archived ones are not
        among them: `claude-force import` of their archive brings them back."""
        return queries.iterate(self._database, Filter(window=window))

    def get_all_metrics(self) -> list[ExecutionMetrics]:
        """Every execution, oldest first. On a large store prefer `iter_metrics`."""
        return list(self.iter_metrics())

    def get_metrics_since(self, start: datetime) -> list[ExecutionMetrics]:
        """The executions at or after a moment, oldest first; a naive moment is local time."""
        return list(self.iter_metrics(Window(to_instant(start))))

    def get_metrics_by_agent(self, agent_name: str) -> list[ExecutionMetrics]:
        """The executions of one agent, oldest first."""
        return list(queries.iterate(self._database, Filter(agents=(agent_name,))))

    def get_summary(self, hours: int | None = None, *, days: int | None = None) -> dict[str, Any]:
        """The summary of the last `hours` or `days`, or of all time: the keys of the guide's baseline and those of
        claude-force 1.3. Rates are percent, 0 to 100; what cannot be known (an average of nothing) is None."""
        if (days or 0) < 0 or (hours or 0) < 0:
            raise ValueError("days and hours must not be negative")
        window = last_window(now_us(), days=days or 0, hours=hours or 0) if days or hours else ALL_TIME
        found = analytics.summary(self._database, Filter(window=window)).to_dict()
        return found | {"time_period": "all time" if window is ALL_TIME else heading_of(window.label).lower()}

    def get_agent_stats(self, agent_name: str | None = None) -> dict[str, dict[str, Any]]:
        """By agent: executions, success_rate (0 to 100), total_cost, avg_execution_time_ms, total_tokens. An
        agent that does not exist gives an empty answer."""
        chosen = Filter(agents=(agent_name,) if agent_name else ())
        try:
            groups = analytics.summary(self._database, chosen).agents
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
        """US dollars by agent, by model and in total, the highest first; None where no price is known."""
        costs = analytics.costs(self._database, Filter())
        return {
            "by_agent": {group.name: group.totals.cost for group in costs.by_agent},
            "by_model": {group.name: group.totals.cost for group in costs.by_model},
            "total": costs.totals.cost,
        }

    def get_trends(self, interval_hours: int = 24) -> dict[str, list[Any]]:
        """Parallel lists over the intervals that hold executions: timestamps, executions, costs, success_rates (0 to
        100). Intervals of 24 hours are local days; others are counted from local midnight of the first day. Raises
        ValueError for an interval under one hour."""
        if interval_hours < 1:
            raise ValueError("an interval is at least one hour")
        zone = local_zone()
        hourly = interval_hours % 24 != 0
        found = analytics.trends(self._database, Filter(), "hourly" if hourly else "daily", zone).buckets
        merged = analytics.merge_buckets(found, interval_hours * DAY_US // 24, zone)
        totals = [item for _, item in merged]
        return {
            "timestamps": [start for start, _ in merged],
            "executions": [item.executions for item in totals],
            "costs": [item.cost for item in totals],
            "success_rates": [item.success_rate for item in totals],
        }

    def export_csv(self, output_path: Path | str) -> None:
        """Write every execution as CSV: the guide's twelve columns. Missing folders are made."""
        path = _with_folder(output_path)
        write_csv(queries.iterate_rows(self._database, Filter()), path, local_zone(), all_columns=False)

    def export_json(self, output_path: Path | str) -> None:
        """Write summary, agent_stats, cost_breakdown, trends and executions as one JSON document."""
        head = {
            "summary": self.get_summary(),
            "agent_stats": self.get_agent_stats(),
            "cost_breakdown": self.get_cost_breakdown(),
            "trends": self.get_trends(),
        }
        write_document(queries.iterate_rows(self._database, Filter()), _with_folder(output_path), local_zone(), head)

    def clear_old_metrics(self, days: int = 30) -> int:
        """Delete the executions older than `days`, archived ones too; how many there were. There is no way back but an
        export, or the files of an archive, which stay."""
        if days < 0:
            raise ValueError("days must not be negative")
        if not self._database.exists():
            return 0
        return self._store.delete(Window(None, now_us() - days * DAY_US))

    # Life

    def close(self) -> None:
        """Store or spool what waits in memory and close the database. The tracker can be used again."""
        self._retry_at = 0.0
        with self._draining:
            waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        for metrics in waiting:
            self._keep(metrics)
        if self._waiting:
            logger.error("%d executions could be kept nowhere", len(self._waiting))
        if "_database" in self.__dict__:
            self._database.close()

    def __enter__(self) -> PerformanceTracker:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


def get_tracker(metrics_dir: Path | str | None = None, max_entries: int | None = None) -> PerformanceTracker:
    """A tracker, as claude-force 1.3 made it."""
    return PerformanceTracker(metrics_dir=metrics_dir, max_entries=max_entries)


def _home_of(folder: Path | str | None, metrics_dir: Path | str | None) -> Home:
    if metrics_dir is not None:
        data = Path(metrics_dir).expanduser().absolute()
        return Home(data.parent, data)
    return find_home() if folder is None else home_at(folder)


def _settings_of(home: Home) -> tuple[Settings, SettingsError | None]:
    """The settings, or the defaults and what is wrong with the file: recording must not fail its host."""
    try:
        settings, problems = load_settings(home)
    except SettingsError as error:
        return Settings(), error
    for problem in problems:
        logger.warning(problem)
    return settings, None


def _remove_private(folder: str, pid: int) -> None:
    """Remove a private database, in the process that made it: a child of a fork ends before its parent."""
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


def _say(message: str) -> None:
    """A warning that points at the host's line; to the log where the host has made warnings errors, since this must
    not raise."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("claude_force."):
        frame, level = frame.f_back, level + 1
    try:
        warnings.warn(message, RuntimeWarning, stacklevel=level)
    except RuntimeWarning:
        logger.warning(message)


def _instant(timestamp: object) -> int:
    if not isinstance(timestamp, datetime):
        raise InvalidRecord("timestamp", f"expected a datetime, got {kind_of(timestamp)}")
    return to_instant(timestamp)


def _rounded(field: str, value: object, factor: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _ABSURD:
        raise InvalidRecord(field, f"expected a number that is not absurd, got {kind_of(value)}")
    return round(value * factor)


def _with_folder(path: Path | str) -> Path:
    found = Path(path)
    found.parent.mkdir(parents=True, exist_ok=True)
    return found
