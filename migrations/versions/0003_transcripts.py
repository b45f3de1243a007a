"""What transcripts need: how far each file was read, which identities are one execution, and what a record knows more.

Columns are added at the end, which takes no time at any size. The text of this file must not follow later changes of
the package, so it stands alone.
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
_OPTIONS = {"sqlite_with_rowid": False, "sqlite_strict": True}


def upgrade() -> None:
    """Add the columns and the tables."""
    op.add_column("executions", sa.Column("service_tier", sa.Text))
    op.add_column("executions", sa.Column("web_searches", sa.Integer, server_default="0", nullable=False))
    op.add_column("executions", sa.Column("usage_basis", sa.Text))
    op.add_column("executions", sa.Column("recorded_cost_nanousd", _COUNT))
    op.add_column("executions", sa.Column("recorded_basis", sa.Text))
    for name in ("provisional", "recorded_cost_nanousd"):
        op.add_column("rollups", sa.Column(name, _COUNT, server_default="0", nullable=False))
    op.execute("UPDATE rollups SET recorded_cost_nanousd = cost_nanousd")
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
        sa.Column("prompt_tokens", _COUNT),
        sa.Column("output_tokens", _COUNT),
        sa.Column("total_tokens", _COUNT, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "basis", "until_us", name="pk_reported_usages"),
        **_OPTIONS,
    )
