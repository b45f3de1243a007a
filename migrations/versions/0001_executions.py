"""The table of executions.

An execution is a row, identified by the uid that its recorder made.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_IDENTITY = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")
_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create `executions` and its index by time, and mark a SQLite file as ours."""
    op.create_table(
        "executions",
        sa.Column("uid", _IDENTITY, nullable=False),
        sa.Column("timestamp_us", _COUNT, nullable=False),
        sa.Column("agent_name", sa.Text, nullable=False),
        sa.Column("success", sa.Integer, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("task_hash", sa.Text),
        sa.Column("duration_us", _COUNT),
        sa.Column("input_tokens", _COUNT),
        sa.Column("output_tokens", _COUNT),
        sa.Column("cache_read_tokens", _COUNT, nullable=False),
        sa.Column("cache_write_5m_tokens", _COUNT, nullable=False),
        sa.Column("cache_write_1h_tokens", _COUNT, nullable=False),
        sa.Column("cost_nanousd", _COUNT),
        sa.Column("reference_cost_nanousd", _COUNT),
        sa.Column("price_version", sa.Text),
        sa.Column("error_type", sa.Text),
        sa.Column("workflow_id", sa.Text),
        sa.Column("workflow_position", sa.Integer),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("host", sa.Text),
        sa.Column("project", sa.Text),
        sa.Column("run_id", sa.Text),
        sa.CheckConstraint("success IN (0, 1)", name="success"),
        sa.PrimaryKeyConstraint("uid", name="pk_executions"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    op.create_index("ix_executions_timestamp_us_uid", "executions", ["timestamp_us", "uid"])
    if op.get_context().dialect.name == "sqlite":
        op.execute(f"PRAGMA application_id = {0x636C6664}")
