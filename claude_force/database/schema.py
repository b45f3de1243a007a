"""The tables: their single definition. The migrations build them, and tests hold the two equal on both engines.

Integers for everything that is added up; `uid` is the primary key with no surrogate beside it; every unique key of a
large table contains its `uid`, so that `executions` can be distributed by it. On SQLite the table is its primary key
(WITHOUT ROWID), in order of time since a uid begins with the instant, and STRICT, so that no text hides in a number.

What the roll-ups are is in `rollup`; `store` keeps them. Rows that they do not count yet are listed in `uncounted`.

Of transcripts, `source_files` says how far each was read, `identities` which responses are one execution, and
`reported_usages` what was said of responses that are not there yet.

Executions that were archived are `archived` by uid, and `archives` says from when they are; their sums stay in the
roll-ups. What the machine that watches has to remember is in `job_runs`, `baselines`, `alert_states`, `alert_events`,
`deliveries` and `silences`: it can be killed at any moment and goes on from there. `exporters` are the targets that get
each execution once, and `export_queue` is what waits for them.
"""

from __future__ import annotations

from typing import Any

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
)
from sqlalchemy.types import TypeEngine

from claude_force.executions.totals import TOTALS

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
"""A 64-bit integer; a STRICT table of SQLite knows it as INTEGER only."""

Measure: TypeEngine[float] = Double().with_variant(REAL(), "sqlite")
"""What was measured, in the unit of its metric; a STRICT table of SQLite knows it as REAL only."""

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
"""Who worked on what; a project that is not known is "", since no engine finds nulls equal. Rows are never changed."""

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
    CheckConstraint("success IN (0, 1)", name="success"),
    # The last two make it an answer of its own to how long the executions of a period took.
    Index(None, "timestamp_us", "uid", "series_id", "duration_us"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

uncounted = Table(
    "uncounted", metadata, Column("uid", Identity, primary_key=True), sqlite_with_rowid=False, sqlite_strict=True
)
"""The executions that the roll-ups do not count yet: about a thousand at the most."""


def _place(*more: Column[Any]) -> list[Column[Any]]:
    """The columns that say what a roll-up is of."""
    names = ("level", "bucket", "series_id")
    return [*(Column(name, Integer, primary_key=True, autoincrement=False) for name in names), *more]


def _scope() -> Column[Any]:
    return Column("scope", Integer, primary_key=True, autoincrement=False)


rollups = Table(
    "rollups",
    metadata,
    _scope(),
    *_place(),
    *(Column(name, Count, nullable=False) for name in TOTALS),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

rollup_durations = Table(
    "rollup_durations",
    metadata,
    _scope(),
    *_place(Column("bin", Integer, primary_key=True, autoincrement=False)),
    Column("executions", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

rollup_errors = Table(
    "rollup_errors",
    metadata,
    *_place(Column("error_type", Text, primary_key=True)),
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
"""What a response of a transcript is known by (a hash; see `sources.responses`), and the execution that it is."""

source_files = Table(
    "source_files",
    metadata,
    Column("host", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("source", "head", "tail", "skipped", "state")),
    *(
        Column(name, Count, nullable=False)
        for name in (
            "device", "inode", "size", "mtime_ns", "position", "lines", "responses", "rejected", "last_read_us",
        )
    ),
    Column("problem", Text),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)  # fmt: skip
"""How far a file was read: see `cursor`."""

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
"""What a parent was told of the last response of a sub-agent's run, until it is taken: see `sighting.ReportedUsage`."""

archived = Table(
    "archived",
    metadata,
    Column("uid", Identity, primary_key=True),
    Column("digest", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""The executions that are in an archive and no longer here, each with a digest of what it was: a known one is not
counted again, and only what is equal comes back."""

archives = Table(
    "archives",
    metadata,
    Column("month", Text, primary_key=True),
    *(Column(name, Count, nullable=False) for name in ("executions", "first_us", "last_us", "archived_us")),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""How many executions of a month (of UTC) are in an archive, and the instants between which they lie."""

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
"""What the scheduler ran; a run that nobody finished was interrupted."""

baselines = Table(
    "baselines",
    metadata,
    *(Column(name, Text, primary_key=True) for name in ("name", "agent_name", "model")),
    Column("is_automatic", Integer, nullable=False),
    *(Column(name, Count, nullable=False) for name in ("created_us", "start_us", "end_us", "executions")),
    Column("snapshot", Text, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Snapshots to compare with: of all executions (agent and model are ""), of an agent, of a model."""

alert_states = Table(
    "alert_states",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("rule", "labels", "severity", "state", "reason")),
    *(Column(name, Count, nullable=False) for name in ("since_us", "evaluated_us")),
    *(Column(name, Count) for name in ("breached_us", "cleared_us", "notified_us")),
    Column("episode", Text),
    Column("value", Measure),
    Column("samples", Count),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Where each alert stands: one for each rule and combination of labels."""

alert_events = Table(
    "alert_events",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("at_us", Count, nullable=False),
    *(Column(name, Text, nullable=False) for name in ("fingerprint", "rule", "labels", "severity")),
    *(Column(name, Text, nullable=False) for name in ("before", "after", "reason")),
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
    *(Column(name, Text, nullable=False) for name in ("batch", "channel", "episode", "action", "notice", "status")),
    Column("attempts", Integer, nullable=False),
    *(Column(name, Count, nullable=False) for name in ("created_us", "due_us")),
    Column("finished_us", Count),
    Column("receipt", Text),
    Column("problem", Text),
    Index(None, "status", "due_us"),
    Index(None, "episode", "channel"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""The outbox: what is to be said on which channel, written with the transition that it tells of. What has one `batch`
goes out as one message."""

silences = Table(
    "silences",
    metadata,
    Column("name", Text, primary_key=True),
    *(Column(name, Count, nullable=False) for name in ("until_us", "created_us")),
    Column("comment", Text),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""Rules of which nobody is to hear for a while."""

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
"""The targets that get each execution once: see `result.ExporterState`."""

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
"""The executions that a target is to get, or to get again: how often each changed since it was put here, and whether
the target may have it already."""
