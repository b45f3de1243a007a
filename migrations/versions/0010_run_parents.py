"""Which run started which.

The new table names the runs of all executions. What started them is not in the executions: of old ones it stays unknown
until a transcript or telemetry says it again. This file imports nothing of the package, whose later changes must not
change it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_FILL = """
INSERT INTO run_parents (run_id, session_id)
SELECT DISTINCT run_id, COALESCE(session_id, workflow_id, '') FROM executions WHERE run_id IS NOT NULL
"""


def upgrade() -> None:
    """Create the table and fill it."""
    op.create_table(
        "run_parents",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("parent_id", sa.Text),
        sa.Column("seen_us", _COUNT),
        sa.PrimaryKeyConstraint("run_id", "session_id", name="pk_run_parents"),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
    op.create_index("ix_run_parents_session_id", "run_parents", ["session_id"])
    op.execute(_FILL)
