"""The tables of executions, their sums, and what is kept of archived ones."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, Table, Text, UniqueConstraint, text

from claude_force.database.schema.types import EVERYWHERE, ON_COORDINATOR, Count, Identity, metadata
from claude_force.executions.totals import TOTALS

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
    info={"shards_by": EVERYWHERE},
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
    Column("user_name", Text),
    CheckConstraint("success IN (0, 1)", name="success"),
    Index("ix_executions_unpriced", "timestamp_us", sqlite_where=_UNPRICED, postgresql_where=_UNPRICED),
    # A covering index: the last two columns let it alone answer how long the executions of a period took.
    Index(None, "timestamp_us", "uid", "series_id", "duration_us"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": "uid"},
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
    info={"shards_by": "uid"},
)
"""What executions with several steps add to the sums of series, beside their rows: see `billed_steps.Share`. It is made
from the column `steps`."""

projects = Table(
    "projects",
    metadata,
    Column("folder", Text, primary_key=True),
    Column("project", Text, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": ON_COORDINATOR},
)
"""The repository of each folder, as ingestion found it; the folder itself if it is in none, "" if the folder was not
there. It is kept, since a folder may be gone tomorrow."""

uncounted = Table(
    "uncounted",
    metadata,
    Column("uid", Identity, primary_key=True),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": "uid"},
)
"""Pending executions: those that the roll-ups do not contain yet, about a thousand at most."""


def _sums() -> list[Column[int]]:
    """The columns of `executions.totals.Totals`, for one table."""
    return [Column(name, Count, nullable=False) for name in TOTALS]


rollups = Table(
    "rollups",
    metadata,
    Column("scope", Integer, primary_key=True, autoincrement=False),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("series_id", Integer, primary_key=True, autoincrement=False),
    *_sums(),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": ON_COORDINATOR},
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
    info={"shards_by": ON_COORDINATOR},
)

seats = Table(
    "seats",
    metadata,
    Column("seat_id", Integer, primary_key=True, autoincrement=False),
    Column("host", Text, nullable=False),
    Column("user_name", Text, nullable=False),
    UniqueConstraint("host", "user_name"),
    sqlite_strict=True,
    info={"shards_by": ON_COORDINATOR},
)
"""The combinations of host and user. One that an execution does not have is "". Rows never change."""

rollup_seats = Table(
    "rollup_seats",
    metadata,
    Column("scope", Integer, primary_key=True, autoincrement=False),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("series_id", Integer, primary_key=True, autoincrement=False),
    Column("seat_id", Integer, primary_key=True, autoincrement=False),
    *_sums(),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": ON_COORDINATOR},
)
"""`rollups` by host and user, from the level of a day. Without archived executions, of which neither is known."""

rollup_seat_durations = Table(
    "rollup_seat_durations",
    metadata,
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("bucket", Integer, primary_key=True, autoincrement=False),
    Column("seat_id", Integer, primary_key=True, autoincrement=False),
    Column("bin", Integer, primary_key=True, autoincrement=False),
    Column("executions", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": ON_COORDINATOR},
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
    info={"shards_by": ON_COORDINATOR},
)

rollup_spans = Table(
    "rollup_spans",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("workflow_id", Text, primary_key=True),
    Column("session_id", Text, primary_key=True),
    Column("git_branch", Text, primary_key=True),
    Column("host", Text, primary_key=True),
    Column("user_name", Text, primary_key=True),
    Column("first_us", Count, nullable=False),
    Column("last_us", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": ON_COORDINATOR},
)
"""When the stored executions of each workflow, session, branch, host and user began and ended, by day (its number since
the epoch, UTC). A name that an execution does not have is ""."""

rollup_runs = Table(
    "rollup_runs",
    metadata,
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("session_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("workflow_id", Text, primary_key=True),
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
    Column("failed_nanousd", Count, nullable=False),
    Column("failed_unpriced", Count, nullable=False),
    Column("began_us", Count),
    Column("code", Count),
    info={"shards_by": ON_COORDINATOR},
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
"""The parts of runs: what a run of stored executions has in one day, workflow and series. See `executions.run_parts`; a
name that it does not have is "". Executions that are runs of their own are not in it."""

archived = Table(
    "archived",
    metadata,
    Column("uid", Identity, primary_key=True),
    Column("digest", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": "uid"},
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
    info={"shards_by": ON_COORDINATOR},
)
"""The number of archived executions of a month (UTC), and the instants between which they lie."""
