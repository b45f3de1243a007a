"""What decides on a bill: billed steps, data residency, provider; the session, branch and project of an execution. And
what Claude Code itself says that it used: the ledgers of sessions, its daily statistics, and the limits of plans.

Columns are added at the end, which takes no time at any size. This file imports nothing of the package, whose later
changes must not change it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_IDENTITY = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")
_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MEASURE: Any = sa.Double().with_variant(sa.REAL(), "sqlite")
_OPTIONS = {"sqlite_with_rowid": False, "sqlite_strict": True}


def upgrade() -> None:
    """Add the columns and the tables."""
    for name in ("inference_geo", "provider", "session_id", "git_branch", "steps"):
        op.add_column("executions", sa.Column(name, sa.Text))
    unpriced = sa.text("cost_nanousd IS NULL")
    op.create_index(
        "ix_executions_unpriced", "executions", ["timestamp_us"], sqlite_where=unpriced, postgresql_where=unpriced
    )
    _create_step_usage()
    _create_ledgers()
    _create_projects()
    _create_plan_limits()


def _create_step_usage() -> None:
    sums = (
        "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens",
        "cost_nanousd", "compared_cost_nanousd", "compared_reference_nanousd", "recorded_cost_nanousd",
    )  # fmt: skip
    op.create_table(
        "step_usage",
        sa.Column("uid", _IDENTITY, nullable=False),
        sa.Column("series_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("timestamp_us", _COUNT, nullable=False),
        *(sa.Column(name, _COUNT, nullable=False) for name in sums),
        sa.PrimaryKeyConstraint("uid", "series_id", name="pk_step_usage"),
        **_OPTIONS,
    )
    op.create_index("ix_step_usage_timestamp_us", "step_usage", ["timestamp_us"])


def _create_ledgers() -> None:
    op.create_table(
        "session_ledgers",
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("at_us", _COUNT, nullable=False),
        sa.Column("cost_nanousd", _COUNT, nullable=False),
        sa.Column("input_tokens", _COUNT, nullable=False),
        sa.Column("output_tokens", _COUNT, nullable=False),
        sa.Column("cache_read_tokens", _COUNT, nullable=False),
        sa.Column("cache_write_tokens", _COUNT, nullable=False),
        sa.Column("web_searches", _COUNT, nullable=False),
        sa.Column("is_lower_bound", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "model", name="pk_session_ledgers"),
        **_OPTIONS,
    )
    op.create_table(
        "copied_sessions",
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("original_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="pk_copied_sessions"),
        **_OPTIONS,
    )
    op.create_table(
        "daily_statistics",
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("tokens", _COUNT, nullable=False),
        sa.Column("has_cache_tokens", sa.Integer),
        sa.PrimaryKeyConstraint("machine", "day", "model", name="pk_daily_statistics"),
        **_OPTIONS,
    )


def _create_projects() -> None:
    op.create_table(
        "projects",
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("folder", name="pk_projects"),
        **_OPTIONS,
    )


def _create_plan_limits() -> None:
    op.create_table(
        "plan_limits",
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("observed_us", _COUNT, nullable=False),
        sa.Column("used_percent", _MEASURE, nullable=False),
        sa.Column("resets_us", _COUNT),
        sa.Column("session_id", sa.Text),
        sa.PrimaryKeyConstraint("host", "kind", "observed_us", name="pk_plan_limits"),
        **_OPTIONS,
    )
