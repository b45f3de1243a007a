"""What telemetry says: who saw an execution, what agents did, which records came from where, and headless runs.

An execution of before has no sighting: its own source saw it. This file imports nothing of the package, whose later
changes must not change it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_IDENTITY = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")
_OPTIONS: dict[str, Any] = {"sqlite_with_rowid": False, "sqlite_strict": True}


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "sightings",
        sa.Column("uid", _IDENTITY, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("ttft_us", _COUNT),
        sa.Column("effort", sa.Text),
        sa.Column("query_source", sa.Text),
        sa.Column("reported_cost_nanousd", _COUNT),
        sa.Column("fields", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("uid", "source", name="pk_sightings"),
        **_OPTIONS,
    )
    op.create_table(
        "outcomes",
        sa.Column("day_us", _COUNT, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("records", _COUNT, nullable=False),
        sa.Column("value", _COUNT, nullable=False),
        sa.PrimaryKeyConstraint("day_us", "session_id", "name", "kind", name="pk_outcomes"),
        **_OPTIONS,
    )
    op.create_table(
        "counted_outcomes",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("received_us", _COUNT, nullable=False),
        sa.Column("day_us", _COUNT, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("value", _COUNT, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_counted_outcomes"),
        **_OPTIONS,
    )
    op.create_table(
        "telemetry_kinds",
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("ignored", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("last_us", _COUNT, nullable=False),
        sa.Column("records", _COUNT, nullable=False),
        sa.PrimaryKeyConstraint("host", "service", "name", "ignored", name="pk_telemetry_kinds"),
        **_OPTIONS,
    )
    op.create_table(
        "headless_runs",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text),
        sa.Column("agent_name", sa.Text),
        sa.Column("project", sa.Text),
        sa.Column("host", sa.Text),
        sa.Column("started_us", _COUNT, nullable=False),
        sa.Column("duration_us", _COUNT, nullable=False),
        sa.Column("exit_code", sa.Integer, nullable=False),
        sa.Column("success", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("turns", _COUNT),
        sa.Column("reported_cost_nanousd", _COUNT),
        sa.PrimaryKeyConstraint("run_id", name="pk_headless_runs"),
        **_OPTIONS,
    )
