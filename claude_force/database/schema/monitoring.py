"""The tables of the scheduler, baselines, alerts and exporters."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text

from claude_force.database.schema.types import ON_COORDINATOR, Count, Identity, Measure, metadata

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
    info={"shards_by": ON_COORDINATOR},
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
    info={"shards_by": ON_COORDINATOR},
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
    info={"shards_by": ON_COORDINATOR},
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
    info={"shards_by": ON_COORDINATOR},
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
    info={"shards_by": ON_COORDINATOR},
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
    info={"shards_by": ON_COORDINATOR},
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
    info={"shards_by": ON_COORDINATOR},
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
    info={"shards_by": "uid"},
)
"""The executions that an exporter has to send (again): how often each changed since it was queued, and whether
the receiver may have it already. Of an exporter that sends rows of other tables, too, the digests of those that the
receiver has are here under a kind of their own: see `rows.exporters.rows_kind`."""
