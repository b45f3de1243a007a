"""The tables: their single definition. The migrations build them, and tests hold the two equal on both engines.

Integers for everything that is added up; `uid` is the primary key with no surrogate beside it; every unique key of a
large table contains its `uid`, so that `executions` can be distributed by it. On SQLite the table is its primary key
(WITHOUT ROWID), in order of time since a uid begins with the instant, and STRICT, so that no text hides in a number.

What the roll-ups are is in `rollup`; `store` keeps them. Rows that they do not count yet are listed in `uncounted`.

Of transcripts, `source_files` says how far each was read, `identities` which responses are one execution, and
`reported_usages` what was said of responses that are not there yet.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from claude_force.result import TOTALS

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
