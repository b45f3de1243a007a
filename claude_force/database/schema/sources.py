"""The tables of what is read: files, identities, ledgers, statistics and plan limits."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, Table, Text

from claude_force.database.schema.types import ON_COORDINATOR, Count, Identity, Measure, metadata

identities = Table(
    "identities",
    metadata,
    Column("identity", Identity, primary_key=True),
    Column("uid", Identity, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": "identity"},
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
    info={"shards_by": ON_COORDINATOR},
)
"""How far each file was read: see `rows.cursor`."""

ingest_passes = Table(
    "ingest_passes",
    metadata,
    Column("host", Text, primary_key=True),
    Column("began_us", Count, nullable=False),
    Column("unread_files", Count, nullable=False),
    Column("unread_bytes", Count, nullable=False),
    Column("problems", Text, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": ON_COORDINATOR},
)
"""The last pass of each host over its usual sources: see `ingest_passes.IngestPass`."""

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
    info={"shards_by": ON_COORDINATOR},
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
    info={"shards_by": ON_COORDINATOR},
)
"""The latest ledger of each session, by model; the model "" is the whole session: see `executions.ledgers`."""

copied_sessions = Table(
    "copied_sessions",
    metadata,
    Column("session_id", Text, primary_key=True),
    Column("original_id", Text, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": ON_COORDINATOR},
)
"""Sessions with responses that count for another session: forks, and sessions that were resumed by a copy."""

run_parents = Table(
    "run_parents",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("session_id", Text, primary_key=True),
    Column("parent_id", Text),
    Column("seen_us", Count),
    Index(None, "session_id"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": ON_COORDINATOR},
)
"""Every run that executions name, and what started it: see `executions.run_parents`. The session is "" if there is
none. The rows stay when the executions are archived."""

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
    info={"shards_by": ON_COORDINATOR},
)
"""Tokens by day (UTC) and model from Claude Code's own statistics: see `ingest.statistics`."""

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
    info={"shards_by": ON_COORDINATOR},
)
"""Observations of the limits of a Claude plan, on the machine that made them: see `executions.plan_limits.PlanLimit`. A
row is added when the percentage or the reset changes, and deleted after five weeks."""
