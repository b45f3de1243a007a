"""Archives, runs of jobs, baselines, and alerts with their deliveries.

Tables are added and nothing is changed, which takes no time at any size. This file imports nothing of the package,
whose later changes must not change it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_IDENTITY = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")
_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MEASURE: Any = sa.Double().with_variant(sa.REAL(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    _create_archives()
    _create_memory()
    _create_alerts()


def _create_archives() -> None:
    _create("archived", ["uid"], sa.Column("uid", _IDENTITY, nullable=False), *_needed(_COUNT, "digest"))
    _create(
        "archives", ["month"], *_needed(sa.Text, "month"),
        *_needed(_COUNT, "executions", "first_us", "last_us", "archived_us"),
    )  # fmt: skip


def _create_memory() -> None:
    _create(
        "job_runs", ["run_id"], *_needed(sa.Text, "run_id", "job", "host"), *_needed(sa.Integer, "pid"),
        *_needed(_COUNT, "started_us"), sa.Column("finished_us", _COUNT), *_needed(sa.Text, "outcome", "counts"),
        sa.Column("problem", sa.Text),
    )  # fmt: skip
    op.create_index("ix_job_runs_job_started_us", "job_runs", ["job", "started_us"])
    names = ("name", "agent_name", "model")
    _create(
        "baselines", list(names), *_needed(sa.Text, *names), *_needed(sa.Integer, "is_automatic"),
        *_needed(_COUNT, "created_us", "start_us", "end_us", "executions"), *_needed(sa.Text, "snapshot"),
    )  # fmt: skip


def _create_alerts() -> None:
    _create(
        "alert_states", ["fingerprint"],
        *_needed(sa.Text, "fingerprint", "rule", "labels", "severity", "state", "reason"),
        *_needed(_COUNT, "since_us", "evaluated_us"),
        *(sa.Column(name, _COUNT) for name in ("breached_us", "cleared_us", "notified_us")),
        sa.Column("episode", sa.Text), sa.Column("value", _MEASURE), sa.Column("samples", _COUNT),
    )  # fmt: skip
    _create(
        "alert_events", ["event_id"], *_needed(sa.Text, "event_id"), *_needed(_COUNT, "at_us"),
        *_needed(sa.Text, "fingerprint", "rule", "labels", "severity", "before", "after", "reason"),
        sa.Column("episode", sa.Text), sa.Column("value", _MEASURE), sa.Column("samples", _COUNT),
    )  # fmt: skip
    op.create_index("ix_alert_events_at_us", "alert_events", ["at_us"])
    _create(
        "deliveries", ["delivery_id"],
        *_needed(sa.Text, "delivery_id", "batch", "channel", "episode", "action", "notice", "status"),
        *_needed(sa.Integer, "attempts"), *_needed(_COUNT, "created_us", "due_us"),
        sa.Column("finished_us", _COUNT), sa.Column("receipt", sa.Text), sa.Column("problem", sa.Text),
    )  # fmt: skip
    op.create_index("ix_deliveries_status_due_us", "deliveries", ["status", "due_us"])
    op.create_index("ix_deliveries_episode_channel", "deliveries", ["episode", "channel"])
    _create(
        "silences", ["name"], *_needed(sa.Text, "name"), *_needed(_COUNT, "until_us", "created_us"),
        sa.Column("comment", sa.Text),
    )  # fmt: skip


def _needed(kind: Any, *names: str) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=False) for name in names]


def _create(table: str, key: list[str], *columns: sa.Column[Any]) -> None:
    primary = sa.PrimaryKeyConstraint(*key, name=f"pk_{table}")
    op.create_table(table, *columns, primary, sqlite_with_rowid=False, sqlite_strict=True)
