"""Transcripts: how far files were read, identities of executions, and new columns of executions.

Columns are added at the end, which takes no time at any size. This file imports nothing of the package, whose later
changes must not change it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_IDENTITY = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")
_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_SUMS = (
    "executions", "successes", "timed", "duration_us", "metered", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_5m_tokens", "cache_write_1h_tokens", "priced", "cost_nanousd", "compared_cost_nanousd",
    "compared_reference_nanousd",
)  # fmt: skip
_OPTIONS = {"sqlite_with_rowid": False, "sqlite_strict": True}


def upgrade() -> None:
    """Add the columns and the tables."""
    _add_columns()
    _create_tables()


def _add_columns() -> None:
    op.add_column("executions", sa.Column("service_tier", sa.Text))
    op.add_column("executions", sa.Column("web_searches", sa.Integer, server_default="0", nullable=False))
    op.add_column("executions", sa.Column("usage_basis", sa.Text))
    op.add_column("executions", sa.Column("recorded_cost_nanousd", _COUNT))
    op.add_column("executions", sa.Column("recorded_basis", sa.Text))
    _widen_rollups()


def _widen_rollups() -> None:
    """The new sums have no default: an older program that still has the database open must fail to count, and put its
    executions aside, rather than count them without these."""
    new = ("provisional", "recorded_cost_nanousd")
    if op.get_context().dialect.name == "postgresql":
        for name in new:
            op.add_column("rollups", sa.Column(name, _COUNT, server_default="0", nullable=False))
        op.execute("UPDATE rollups SET recorded_cost_nanousd = cost_nanousd")
        for name in new:
            op.alter_column("rollups", name, server_default=None)
        return
    op.rename_table("rollups", "narrow_rollups")
    key, sums = ("scope", "level", "bucket", "series_id"), ", ".join(_SUMS)
    op.create_table(
        "rollups",
        *(sa.Column(name, sa.Integer, autoincrement=False, nullable=False) for name in key),
        *(sa.Column(name, _COUNT, nullable=False) for name in (*_SUMS, *new)),
        sa.PrimaryKeyConstraint(*key, name="pk_rollups"),
        **_OPTIONS,
    )
    op.execute(
        f"INSERT INTO rollups ({', '.join(key)}, {sums}, {', '.join(new)}) "
        f"SELECT {', '.join(key)}, {sums}, 0, cost_nanousd FROM narrow_rollups"
    )
    op.drop_table("narrow_rollups")


def _create_tables() -> None:
    op.create_table(
        "identities",
        sa.Column("identity", _IDENTITY, nullable=False),
        sa.Column("uid", _IDENTITY, nullable=False),
        sa.PrimaryKeyConstraint("identity", name="pk_identities"),
        **_OPTIONS,
    )
    counts = ("device", "inode", "size", "mtime_ns", "position", "lines", "responses", "rejected", "last_read_us")
    texts = ("source", "head", "tail", "skipped", "state")
    op.create_table(
        "source_files",
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in texts),
        *(sa.Column(name, _COUNT, nullable=False) for name in counts),
        sa.Column("problem", sa.Text),
        sa.PrimaryKeyConstraint("host", "path", name="pk_source_files"),
        **_OPTIONS,
    )
    op.create_table(
        "reported_usages",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("basis", sa.Text, nullable=False),
        sa.Column("until_us", _COUNT, nullable=False),
        sa.Column("since_us", _COUNT, nullable=False),
        sa.Column("read_us", _COUNT, nullable=False),
        sa.Column("prompt_tokens", _COUNT),
        sa.Column("output_tokens", _COUNT),
        sa.Column("total_tokens", _COUNT, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "basis", "until_us", name="pk_reported_usages"),
        **_OPTIONS,
    )
