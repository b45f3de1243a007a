"""The tables of what telemetry says: who saw an execution, what agents did, what came from where, headless runs."""

from __future__ import annotations

from sqlalchemy import Column, Integer, Table, Text

from claude_force.database.schema.types import EVERYWHERE, ON_COORDINATOR, Count, Identity, metadata

sightings = Table(
    "sightings",
    metadata,
    Column("uid", Identity, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("ttft_us", Count),
    Column("effort", Text),
    Column("query_source", Text),
    Column("reported_cost_nanousd", Count),
    Column("fields", Text, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": "uid"},
)
"""Each source that saw an execution, if telemetry did; an execution without a row was seen by its own source alone. In
`fields` is where the source differs from the execution (JSON), which is merged from all of them. See
`executions.sightings`."""

outcomes = Table(
    "outcomes",
    metadata,
    Column("day_us", Count, primary_key=True, autoincrement=False),
    Column("session_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("records", Count, nullable=False),
    Column("value", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": ON_COORDINATOR},
)
"""What agents did, by day (UTC) and session: see `executions.signals.Outcome`."""

counted_outcomes = Table(
    "counted_outcomes",
    metadata,
    Column("key", Text, primary_key=True),
    Column("received_us", Count, nullable=False),
    Column("day_us", Count, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("value", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": ON_COORDINATOR},
)
"""The records that are in the sums, for a week: one that is sent again is not added again, and a merge with another
store adds what it has not. They are known by their key (32 hexadecimal digits)."""

telemetry_kinds = Table(
    "telemetry_kinds",
    metadata,
    Column("host", Text, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("ignored", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("last_us", Count, nullable=False),
    Column("records", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": ON_COORDINATOR},
)
"""Which kinds of records came to which host, from which program, and when the last: see `Heard`. Those that were
ignored for a reason are a row of their own."""

headless_runs = Table(
    "headless_runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("session_id", Text),
    Column("agent_name", Text),
    Column("project", Text),
    Column("host", Text),
    Column("started_us", Count, nullable=False),
    Column("duration_us", Count, nullable=False),
    Column("exit_code", Integer, nullable=False),
    Column("success", Integer, nullable=False),
    Column("outcome", Text),
    Column("turns", Count),
    Column("reported_cost_nanousd", Count),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": ON_COORDINATOR},
)
"""The runs of `claude-force run`. The reported cost is that of the whole session so far, and is never added up."""

run_labels = Table(
    "run_labels",
    metadata,
    Column("session", Text, primary_key=True),
    Column("run", Text, primary_key=True),
    Column("label", Text, primary_key=True),
    Column("since_us", Count, nullable=False),
    Column("until_us", Count, nullable=False),
    sqlite_with_rowid=False,
    sqlite_strict=True,
    info={"shards_by": EVERYWHERE},
)
"""The labels of runs: which sessions a run had, and when. Executions have no label of their own; see
`executions.run_labels`."""
