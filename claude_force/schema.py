"""The tables: their single definition. The migrations build them, and tests hold the two equal on both engines.

Integers for everything that is added up; `uid` is the primary key with no surrogate beside it; every unique key of a
large table contains its `uid`, so that `executions` can be distributed by it. On SQLite the table is its primary key
(WITHOUT ROWID), in order of time since a uid begins with the instant, and STRICT, so that no text hides in a number.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, LargeBinary, MetaData, Table, Text, Uuid

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

executions = Table(
    "executions",
    metadata,
    Column("uid", Identity, primary_key=True),
    Column("timestamp_us", Count, nullable=False),
    Column("agent_name", Text, nullable=False),
    Column("success", Integer, nullable=False),
    Column("model", Text, nullable=False),
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
    Column("source", Text, nullable=False),
    Column("host", Text),
    Column("project", Text),
    Column("run_id", Text),
    CheckConstraint("success IN (0, 1)", name="success"),
    Index(None, "timestamp_us", "uid"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)
