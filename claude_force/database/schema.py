"""The tables: their single definition. The migrations build them, and tests compare both on each engine.

- Everything that is added up is an integer.
- `uid` is the primary key of `executions`, with no surrogate beside it; every unique key of a large table contains its
  `uid`, so that `executions` can be distributed by it.
- On SQLite a table is stored as its primary key (WITHOUT ROWID), so executions lie in order of time, since a uid begins
  with the instant. STRICT keeps text out of number columns.

| tables | what they hold |
|---|---|
| `series`, `executions` | the executions |
| `step_usage` | what the steps of executions move from the sums of one model to those of others |
| `uncounted` | pending executions: those that the roll-ups do not contain yet |
| `rollups`, `rollup_durations`, `rollup_errors` | sums by time and series; see `executions.rollups` |
| `source_files`, `identities`, `reported_usages` | ingestion: how far files were read, which identities are known |
| `session_ledgers`, `copied_sessions`, `daily_statistics` | what Claude Code itself says that it used |
| `projects` | the repository of each folder |
| `archived`, `archives` | executions that were moved to archive files |
| `job_runs`, `baselines` | the scheduler's runs, and baselines |
| `alert_states`, `alert_events`, `deliveries`, `silences` | alerts, their transitions and their outbox |
| `exporters`, `export_queue` | what exporters have sent and still have to send |
| `plan_limits` | how much of a Claude plan was used when |
"""

from __future__ import annotations

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Identity = Uuid().with_variant(LargeBinary(), "sqlite")
"""Sixteen bytes on SQLite, a native uuid on PostgreSQL."""

Count = BigInteger().with_variant(Integer(), "sqlite")
"""A 64-bit integer. A STRICT table of SQLite accepts only the name INTEGER."""

Measure: TypeEngine[float] = Double().with_variant(REAL(), "sqlite")
"""A measured value in the unit of its metric. A STRICT table of SQLite accepts only the name REAL."""

series = Table(
    "series",
    metadata,
    Column("series_id", Integer, primary_key=True, autoincrement=False),
    Column("agent_name", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("source", Text, nullable=False),
    UniqueConstraint("agent_name", "model", "project", "source"),
    sqlite_strict=True,
)
"""The combinations of labels. An unknown project is "", since NULLs are not equal to each other. Rows never change."""

_UNPRICED = text("cost_nanousd IS NULL")

executions = Table(
    "executions",
    metadata,
    Column("uid", Identity, primary_key=True),
    Column("timestamp_us", Count, nullable=False),
    Column("series_id", Integer, nullable=False),
    Column("success", Integer, nullable=False),
    Column("task_hash", Text),
    Column("duration_us", Count),
    Column("input_tokens", Count),
    Column("output_tokens", Count),
    Column("cache_read_tokens", Count, nullable=False),
    Column("cache_write_5m_tokens", Count, nullable=False),
    Column("cache_write_1h_tokens", Count, nullable=False),
    Column("cost_nanousd", Count),
    Column("reference_cost_nanousd", Count),
    Column("price_version", Text),
    Column("error_type", Text),
    Column("workflow_id", Text),
    Column("workflow_position", Integer),
    Column("host", Text),
    Column("run_id", Text),
    Column("service_tier", Text),
    Column("web_searches", Integer, nullable=False, server_default="0"),
    Column("usage_basis", Text),
    Column("recorded_cost_nanousd", Count),
    Column("recorded_basis", Text),
    Column("inference_geo", Text),
    Column("provider", Text),
    Column("session_id", Text),
    Column("git_branch", Text),
    Column("steps", Text),
    CheckConstraint("success IN (0, 1)", name="success"),
    Index("ix_executions_unpriced", "timestamp_us", sqlite_where=_UNPRICED, postgresql_where=_UNPRICED),
    # A covering index: the last two columns let it alone answer how long the executions of a period took.
    Index(None, "timestamp_us", "uid", "series_id", "duration_us"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

step_usage = Table(
    "step_usage",
    metadata,
    Column("uid", Identity, primary_key=True),
    Column("series_id", Integer, primary_key=True, autoincrement=False),
    Column("timestamp_us", Count, nullable=False),
    Column("input_tokens", Count, nullable=False),
    Column("output_tokens", Count, nullable=False),
    Column("cache_read_tokens", Count, nullable=False),
    Column("cache_write_5m_tokens", Count, nullable=False),
    Column("cache_write_1h_tokens", Count, nullable=False),
    Column("cost_nanousd", Count, nullable=False),
    Column("compared_cost_nanousd", Count, nullable=False),
    Column("compared_reference_nanousd", Count, nullable=False),
    Column("recorded_cost_nanousd", Count, nullable=False),
    Index(None, "timestamp_us"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""What executions with several steps add to the sums of series, beside their rows: see `executions.steps.Share`. It is
made from the column `steps`."""

projects = Table(
    "projects",
    metadata,
    Column("folder", Text, primary_key=True),
    Column("project", Text, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""The repository of each folder, as ingestion found it; the folder itself if it is in none, "" if the folder was not
there. It is kept, since a folder may be gone tomorrow."""

uncounted = Table(
    "uncounted",
    metadata,
    Column("uid", Identity, primary_key=True),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Pending executions: those that the roll-ups do not contain yet, about a thousand at most."""

rollups = Table(
    "rollups",
    metadata,
    Column("scope", Integer, primary_key=True, autoincrement=False),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("series_id", Integer, primary_key=True, autoincrement=False),
    Column("executions", Count, nullable=False),
    Column("successes", Count, nullable=False),
    Column("timed", Count, nullable=False),
    Column("duration_us", Count, nullable=False),
    Column("metered", Count, nullable=False),
    Column("input_tokens", Count, nullable=False),
    Column("output_tokens", Count, nullable=False),
    Column("cache_read_tokens", Count, nullable=False),
    Column("cache_write_5m_tokens", Count, nullable=False),
    Column("cache_write_1h_tokens", Count, nullable=False),
    Column("priced", Count, nullable=False),
    Column("cost_nanousd", Count, nullable=False),
    Column("compared_cost_nanousd", Count, nullable=False),
    Column("compared_reference_nanousd", Count, nullable=False),
    Column("provisional", Count, nullable=False),
    Column("recorded_cost_nanousd", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

rollup_durations = Table(
    "rollup_durations",
    metadata,
    Column("scope", Integer, primary_key=True, autoincrement=False),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("series_id", Integer, primary_key=True, autoincrement=False),
    Column("bin", Integer, primary_key=True, autoincrement=False),
    Column("executions", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

rollup_errors = Table(
    "rollup_errors",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("series_id", Integer, primary_key=True, autoincrement=False),
    Column("error_type", Text, primary_key=True),
    Column("failures", Count, nullable=False),
    Column("first_us", Count, nullable=False),
    Column("last_us", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

identities = Table(
    "identities",
    metadata,
    Column("identity", Identity, primary_key=True),
    Column("uid", Identity, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Hashes that identify a response of a transcript (see `ingest.transcripts.responses`), and its execution."""

source_files = Table(
    "source_files",
    metadata,
    Column("host", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("head", Text, nullable=False),
    Column("tail", Text, nullable=False),
    Column("skipped", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("device", Count, nullable=False),
    Column("inode", Count, nullable=False),
    Column("size", Count, nullable=False),
    Column("mtime_ns", Count, nullable=False),
    Column("position", Count, nullable=False),
    Column("lines", Count, nullable=False),
    Column("responses", Count, nullable=False),
    Column("rejected", Count, nullable=False),
    Column("last_read_us", Count, nullable=False),
    Column("problem", Text),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""How far each file was read: see `rows.cursor`."""

reported_usages = Table(
    "reported_usages",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("basis", Text, primary_key=True),
    Column("until_us", Count, primary_key=True, autoincrement=False),
    Column("since_us", Count, nullable=False),
    Column("read_us", Count, nullable=False),
    Column("prompt_tokens", Count),
    Column("output_tokens", Count),
    Column("total_tokens", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Usages reported to a parent for the last response of a sub-agent's run, until they are applied: see
`executions.deduplication.ReportedUsage`."""

session_ledgers = Table(
    "session_ledgers",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("at_us", Count, nullable=False),
    Column("cost_nanousd", Count, nullable=False),
    Column("input_tokens", Count, nullable=False),
    Column("output_tokens", Count, nullable=False),
    Column("cache_read_tokens", Count, nullable=False),
    Column("cache_write_tokens", Count, nullable=False),
    Column("web_searches", Count, nullable=False),
    Column("is_lower_bound", Integer, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""The latest ledger of each session, by model; the model "" is the whole session: see `executions.ledgers`."""

copied_sessions = Table(
    "copied_sessions",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("original_id", Text, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Sessions with responses that count for another session: forks, and sessions that were resumed by a copy."""

daily_statistics = Table(
    "daily_statistics",
    metadata,
    Column("machine", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("tokens", Count, nullable=False),
    Column("has_cache_tokens", Integer),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Tokens by day (UTC) and model from Claude Code's own statistics: see `ingest.statistics`."""

archived = Table(
    "archived",
    metadata,
    Column("uid", Identity, primary_key=True),
    Column("digest", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""The executions that were moved to an archive file, each with a digest of its content: importing one again does not
count it twice, and only an equal one can be restored."""

archives = Table(
    "archives",
    metadata,
    Column("month", Text, primary_key=True),
    Column("executions", Count, nullable=False),
    Column("first_us", Count, nullable=False),
    Column("last_us", Count, nullable=False),
    Column("archived_us", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""The number of archived executions of a month (UTC), and the instants between which they lie."""

job_runs = Table(
    "job_runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("job", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_us", Count, nullable=False),
    Column("finished_us", Count),
    Column("outcome", Text, nullable=False),
    Column("counts", Text, nullable=False),
    Column("problem", Text),
    Index(None, "job", "started_us"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Runs of the scheduler's jobs."""

baselines = Table(
    "baselines",
    metadata,
    Column("name", Text, primary_key=True),
    Column("agent_name", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("is_automatic", Integer, nullable=False),
    Column("created_us", Count, nullable=False),
    Column("start_us", Count, nullable=False),
    Column("end_us", Count, nullable=False),
    Column("executions", Count, nullable=False),
    Column("snapshot", Text, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Snapshots to compare with: of all executions (agent and model are ""), of an agent, of a model, of both."""

alert_states = Table(
    "alert_states",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since_us", Count, nullable=False),
    Column("evaluated_us", Count, nullable=False),
    Column("breached_us", Count),
    Column("cleared_us", Count),
    Column("notified_us", Count),
    Column("episode", Text),
    Column("value", Measure),
    Column("samples", Count),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""The state of each alert: one for each rule and combination of labels."""

alert_events = Table(
    "alert_events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("at_us", Count, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("episode", Text),
    Column("value", Measure),
    Column("samples", Count),
    Index(None, "at_us"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Every transition of an alert."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", Text, primary_key=True),
    Column("batch", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("episode", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("notice", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_us", Count, nullable=False),
    Column("due_us", Count, nullable=False),
    Column("finished_us", Count),
    Column("receipt", Text),
    Column("problem", Text),
    Index(None, "status", "due_us"),
    Index(None, "episode", "channel"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""The outbox: notifications to send on a channel, stored together with the transition that they report. Those of one
`batch` are sent as one message."""

silences = Table(
    "silences",
    metadata,
    Column("name", Text, primary_key=True),
    Column("until_us", Count, nullable=False),
    Column("created_us", Count, nullable=False),
    Column("comment", Text),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Rules without notifications until an instant."""

exporters = Table(
    "exporters",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("destination", Text, nullable=False),
    Column("has_history", Integer, nullable=False),
    Column("walked_us", Count),
    Column("walked_uid", Identity),
    Column("began_us", Count, nullable=False),
    Column("pushed_us", Count),
    Column("sent", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""The exporters that send each execution once: see `rows.exporters.ExporterState`."""

export_queue = Table(
    "export_queue",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("uid", Identity, primary_key=True),
    Column("changes", Integer, nullable=False),
    Column("is_sent", Integer, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""The executions that an exporter has to send (again): how often each changed since it was queued, and whether
the receiver may have it already."""

plan_limits = Table(
    "plan_limits",
    metadata,
    Column("host", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("observed_us", Count, primary_key=True),
    Column("used_percent", Measure, nullable=False),
    Column("resets_us", Count),
    Column("session_id", Text),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Observations of the limits of a Claude plan, on the machine that made them: see `executions.plan_limits.PlanLimit`. A
row is added when the percentage or the reset changes, and deleted after five weeks."""
